"""The model card and the curves: what the first lines say, whose hours are counted, what is drawn from a log."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from maskwright.core.errors import ModelError
from maskwright.core.model_card import card_to_json
from maskwright_models.__main__ import main
from maskwright_models.data.index import Dataset, read_index
from maskwright_models.evaluate.learning import read_log
from maskwright_models.export.card_text import TrainingRun, card_text
from tests.fakes import FAKE_CARD
from tests.models.test_evaluation_pool import evaluation, row

CARD = dataclasses.replace(FAKE_CARD, citation="Somebody, 2026", notice="Read from somewhere.")
RUNS = [
    TrainingRun("first", 1500, 1.25, {"views": 5, "seed": 1, "hours": 9}),
    TrainingRun("second", 500, 0.5, {"views": 6}),
]


def dataset(name: str, modality: str = "photo") -> Dataset:
    return Dataset(name, "natural", modality, ())


def rows() -> list[dict[str, Any]]:
    return [
        row(evaluation("berkeley", 7, modality="photo", seed=1)),
        row(evaluation("medical_a", 30, modality="ct", seed=2)),
        {**row(evaluation("medical_a", 30, modality="ct", seed=3)), "prompt": "text"},
        {**row(evaluation("medical_nuclei_dsb2018", 9, modality="microscopy", seed=4)), "prompt": "text"},
        {**row(evaluation("medical_a", 12, modality="ct", seed=5)), "prompt": "text", "labels_of": "train"},
    ]


def test_the_terms_of_the_data_come_first() -> None:
    sets = [dataset("CCP"), dataset("CarParts"), dataset("derm_ham10000", "dermoscopy"), dataset("mine")]
    lines = card_text(CARD, sets, RUNS, rows()).splitlines()
    assert lines[0] == "# Fake"
    assert lines[2].startswith("**These weights are for non-commercial research.** 3 of the 4 training sets")
    assert lines[4:7] == [
        "- Non-commercial or research terms: derm_ham10000.",
        "- No terms stated: CarParts, mine.",
        "- Terms that allow commercial use: CCP.",
    ]
    free = card_text(CARD, [dataset("CCP"), dataset("BuildingFacade")], RUNS, rows()).splitlines()
    assert free[2].startswith("**All training sets allow commercial use.** They are CCP, BuildingFacade;")


def test_runs_are_counted_together_and_told_one_by_one() -> None:
    text = card_text(CARD, [dataset("CCP")], RUNS, rows())
    assert "1.75 hours, 2000 steps in 2 runs, each from the weights of the one before." in text
    assert "| run | steps | hours | images per step | seed |" in text
    assert "| first | 1500 | 1.25 | 5 | 1 |" in text and "| second | 500 | 0.50 | 6 | - |" in text
    assert "1.25 hours, 1500 steps." in card_text(CARD, [dataset("CCP")], RUNS[:1], rows())


def test_a_section_for_each_first_prompt_with_calibration_and_monotony() -> None:
    text = card_text(CARD, [dataset("CCP")], RUNS, rows(), about="Made by hand.\n")
    heads = [line for line in text.splitlines() if line.startswith("### ")]
    assert heads == [
        "### First clicks",
        "### First words, then clicks",
        "### First words, then clicks; only labels that train has",
    ]
    click = text.split("### First clicks")[1].split("###")[0]
    a, b = rows()[:2]
    worst = max((a, b), key=lambda r: r["details"]["largest_drop"])
    assert f"the largest fall is {worst['details']['largest_drop']:.4f}, on {worst['folder']} at click 5." in click
    assert "on 0 of 2 sets" in click
    total = a["details"]["answers"] + b["details"]["answers"]
    assert f"Calibration error over all {total} answers: 0." in click
    assert "| <1 % |" in click and "| ct | 30 |" in click
    words = text.split("### First words, then clicks")[1]
    assert "**medical, masks hold all of a label, mean of 1 sets**" in words
    assert "It takes no words." in text and "Made by hand." in text and "Somebody, 2026" in text
    assert "It takes no words." not in card_text(
        dataclasses.replace(CARD, prompts=("point", "text")), [dataset("CCP")], RUNS, rows()
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A model folder, training data, two runs with logs, and figures."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text(json.dumps(card_to_json(CARD)), "utf-8")
    for name in ("images", "objects"):
        (tmp_path / "train" / "natural" / "CCP" / name).mkdir(parents=True)
        pixels = cv2.imencode(".png", np.ones((6, 8), np.uint8))[1].tobytes()
        (tmp_path / "train" / "natural" / "CCP" / name / "a.png").write_bytes(pixels)
    (tmp_path / "train" / "natural" / "CCP" / "labels.csv").write_text("file,index,label\na.png,1,hat\n", "utf-8")
    assert len(read_index(tmp_path / "train")) == 1
    for name, hours in (("first", 1.0), ("second", 0.5)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        torch.save({"step": 40, "seconds": 3600 * hours, "recipe": {"views": 5}}, folder / "last.pt")
        log = [
            {"step": 20 * n, "hours": hours * n / 4, "rate": 0.1, "grad": 3.0, "mask0": 1 / n, "iou0": 0.2 * n}
            for n in range(1, 5)
        ]
        log.append({"step": 80, "hours": hours, "held1": 0.4, "named0": float("nan")})
        (folder / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in log), "utf-8")
    (tmp_path / "rows.jsonl").write_text("noise\n" + "".join(json.dumps(r) + "\n" for r in rows()), "utf-8")
    return tmp_path


def card_command(work: Path, *more: str) -> int:
    runs = [str(work / "runs" / name / "last.pt") for name in ("first", "second")]
    words = ["--data", str(work / "train"), "--run", *runs, "--figures", str(work / "rows.jsonl"), *more]
    return main(["card", str(work / "model"), *words])


def test_one_command_writes_card_and_curves(work: Path) -> None:
    assert card_command(work, "--curves", str(work / "figures")) == 0
    text = (work / "model" / "README.md").read_text("utf-8")
    assert text.startswith("# Fake\n\n**All training sets allow commercial use.** They are CCP;")
    assert "1.50 hours, 80 steps in 2 runs" in text and "| CCP | photo | 1 | Apache-2.0 (repository) |" in text
    names = {p.name for p in (work / "figures").iterdir()}
    assert {"README.md", "learning.svg", "click-sets.svg", "text-labels-of-train-size.svg", "reliability.svg"} <= names
    assert {p.suffix for p in (work / "figures").iterdir()} == {".svg", ".md"}
    page = (work / "figures" / "README.md").read_text("utf-8")
    links = [part.split(")")[0] for part in page.split("](")[1:]]
    assert len(links) == 10 and set(links) <= names
    before = {p.name: p.read_bytes() for p in (work / "figures").iterdir()}
    assert card_command(work, "--curves", str(work / "figures")) == 0
    assert {p.name: p.read_bytes() for p in (work / "figures").iterdir()} == before, "the same figures, the same files"


def test_figures_without_details_are_refused(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "rows.jsonl").write_text('{"folder": "berkeley", "prompt": "click", "noc@85": 3.0}\n', "utf-8")
    assert card_command(work) == 1
    assert "there are no figures with details" in capsys.readouterr().err
    (work / "rows.jsonl").unlink()
    assert card_command(work) == 1
    assert "no readable figures" in capsys.readouterr().err
    assert not (work / "model" / "README.md").exists()


def test_the_learning_curve_of_a_chain_of_runs(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(work / "runs" / "first"), str(work / "runs" / "second" / "log.jsonl")]
    out = work / "docs" / "learning.svg"
    assert main(["curve", *runs, "--chain", "--smooth", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 1.50 hours; at the end held1 0.400, iou0 0.700\n"
    svg = out.read_text("utf-8")
    for text in (">first: mask0<", ">second: iou0<", ">second: held1<", ">hours of training<", ">loss<", ">IoU<"):
        assert text in svg
    assert "rate" not in svg.split("<metadata")[0] + svg.split("</metadata>")[1] and ">first: named0<" not in svg
    assert main(["curve", runs[0], "--only", "held1", "--out", str(work / "one.png")]) == 0
    assert (work / "one.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["first", "--out", "x.pdf"], "curves are drawn as svg or png"),
        (["nowhere", "--out", "x.svg"], "no readable training log"),
        (["first", "--only", "nothing", "--out", "x.svg"], "no run has such a figure"),
    ],
)
def test_curves_that_cannot_be_drawn(
    work: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work / "runs")
    assert main(["curve", *words]) == 1
    assert said in capsys.readouterr().err


def test_values_of_a_log_are_smoothed_and_shifted(work: Path) -> None:
    found = read_log(work / "runs" / "first", smooth=2, from_hours=10)
    assert set(found) == {"mask0", "iou0", "held1"}
    assert np.allclose(found["iou0"], [(10.5, 0.3), (10.75, 0.5), (11.0, 0.7)])
    assert found["held1"] == [(11.0, 0.4)]
    (work / "runs" / "first" / "log.jsonl").write_text("", "utf-8")
    with pytest.raises(ModelError, match="no figures yet"):
        read_log(work / "runs" / "first")
