"""`maskwright-models evaluate`: rows, tables, choice of labels, layouts of others, and the report that it writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.core.features import Features
from maskwright.core.prompts import Prompts
from maskwright.inference import Segmentation
from maskwright_models.__main__ import main
from maskwright_models.evaluate.absent import BODY, SURFACES, THINGS, absent_words
from tests.fakes import FAKE_CARD, FakeSegmenter

SHAPE = (90, 120)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def disk(x: int, y: int, radius: int) -> np.ndarray:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (xx - x) ** 2 + (yy - y) ** 2 <= radius**2


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A photo set of two images and three objects, and a set of two CT slices with labels."""
    rng = np.random.default_rng(1)
    for name, objects in {
        "berkeley": {"a#1": disk(40, 40, 13), "a#2": disk(80, 45, 36), "b": disk(60, 45, 6)},
        "medical_two_ct_slices": {"a": disk(50, 40, 11), "b": disk(50, 40, 30) & ~disk(50, 40, 15)},
    }.items():
        for image in ("a", "b"):
            write(tmp_path / name / "images" / f"{image}.png", rng.integers(0, 256, (*SHAPE, 3), np.uint8))
        for key, mask in objects.items():
            write(tmp_path / name / "masks" / f"{key}.png", mask.astype(np.uint8) * 255)
    (tmp_path / "medical_two_ct_slices" / "labels.csv").write_text("a.png,Liver\nb.png,spleen\n", "utf-8")
    return tmp_path


@pytest.fixture
def reader(fake_segmenter: FakeSegmenter) -> FakeSegmenter:
    """The fake, said to take words; it answers them with nothing."""
    fake_segmenter.card = dataclasses.replace(FAKE_CARD, prompts=("point", "box", "scribble", "text"))
    return fake_segmenter


def rows_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_row_for_each_folder_and_prompt(
    sets: Path, reader: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(sets / "berkeley"), str(sets / "medical_two_ct_slices")]
    assert main(["evaluate", *folders, "--prompt", "click,box,text", "--clicks", "6"]) == 0
    out, err = capsys.readouterr()
    rows = rows_of(out)
    assert [(r["folder"], r["prompt"], r["objects"]) for r in rows] == [
        ("berkeley", "click", 3),
        ("berkeley", "box", 3),
        ("medical_two_ct_slices", "click", 2),
        ("medical_two_ct_slices", "box", 2),
        ("medical_two_ct_slices", "text", 2),
    ]
    assert [r["details"]["modality"] for r in rows] == ["photo", "photo", "ct", "ct", "ct"]
    assert reader.encoded == 4 and err == ""
    assert rows[0]["details"]["curve"][0] == rows[0]["iou@1"] and len(rows[0]["details"]["curve"]) == 6
    # The disk of radius 13 is met by one of 12; the fake says 0.9 whatever it answers.
    assert [row[0] for row in rows[0]["details"]["reliability"] if row[0]] == [rows[0]["details"]["answers"]]


def test_objects_whose_label_the_training_data_has(
    sets: Path, reader: FakeSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = tmp_path / "train" / "medical" / "x"
    train.mkdir(parents=True)
    (train / "labels.csv").write_text("file,index,label\na.png,1,liver\n", "utf-8")
    words = ["--prompt", "text", "--labels-of", str(tmp_path / "train"), "--clicks", "3"]
    assert main(["evaluate", str(sets / "berkeley"), str(sets / "medical_two_ct_slices"), *words]) == 0
    out, err = capsys.readouterr()
    (row,) = rows_of(out)
    assert (row["folder"], row["objects"], row["labels_of"]) == ("medical_two_ct_slices", 1, "train")
    assert err == "berkeley: no object with a label that is asked for, left out\n"
    assert main(["evaluate", str(sets / "berkeley"), *words]) == 1
    assert "nothing to measure" in capsys.readouterr().err


def test_what_cannot_be_asked_is_said_before_anything_runs(
    sets: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in {
        ("--prompt", "click,text"): "model fake does not take text. Leave text out",
        ("--prompt", "point"): "protocol ritm has no prompt 'point'. Use click, box, scribble, text, proposal, checked",
        ("--protocol", "imis", "--prompt", "click"): "protocol imis has no prompt 'click'",
    }.items():
        assert main(["evaluate", str(sets / "berkeley"), *words]) == 1
        assert said in capsys.readouterr().err
    assert fake_segmenter.encoded == 0


def test_the_papers_row_with_published_ones_under_it(
    sets: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(sets / "berkeley"), str(sets / "medical_two_ct_slices")]
    assert main(["evaluate", *folders, "--table", "--clicks", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| method | SPC, s | berkeley NoC@85 | berkeley NoC@90 | medical_two_ct_slices NoC@85 |")
    own = lines[2].split(" | ")
    assert own[0] == "| fake" and all(1 <= float(cell.strip(" |")) <= 5 for cell in own[2:])
    (light,) = [line for line in lines if "InterFormer-Light" in line]
    assert light == "| InterFormer-Light (ViT-B) (published) | 0.13 | - | 3.14 | - | - |"
    (focal,) = [line for line in lines if "SegF-B0-S2" in line]
    assert "| 1.59 | 2.27 |" in focal
    assert main(["evaluate", folders[1], "--table", "--clicks", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_rows_of_the_other_paper(sets: Path, reader: FakeSegmenter, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(sets / "medical_two_ct_slices")
    words = ["evaluate", folder, "--protocol", "imis", "--prompt", "point,box,text,point+box", "--clicks", "3"]
    assert main(words) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [(r["prompt"], r["protocol"], len(r["dice"])) for r in rows] == [
        (p, "imis", 3) for p in ("point", "box", "text", "point+box")
    ]
    assert rows[2]["dice"][0] == 0 < rows[0]["dice"][0] < 1
    assert main([*words, "--table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| method | Dice, % | point | box | text | point+box |"
    cells = [line.strip("| ").split(" | ") for line in lines]
    assert cells[2] == ["fake, medical_two_ct_slices", "image level", *[f"{100 * r['dice'][0]:.2f}" for r in rows]]
    assert cells[3][1] == "mask level" and cells[4][:3] == [
        "IMIS-Net (published, on IMed-361M)",
        "image level",
        "88.48",
    ]
    assert "| set | first prompt | objects | 1 round | 2 rounds | 3 rounds |" in lines
    assert cells[-1] == ["medical_two_ct_slices", "point+box", "2", *[f"{100 * v:.2f}" for v in rows[3]["dice"]]]


def test_training_layout_and_published_layouts(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    index = np.where(disk(40, 40, 13), 1, np.where(disk(85, 45, 20), 2, 0)).astype(np.uint8)
    write(tmp_path / "us_ours" / "images" / "a.png", np.zeros(SHAPE, np.uint8))
    write(tmp_path / "us_ours" / "objects" / "a.png", index)
    (tmp_path / "us_ours" / "labels.csv").write_text("file,index,label\na.png,1,Cyst\na.png,2,node\n", "utf-8")
    (tmp_path / "us_ours" / "modality.txt").write_text("ultrasound\n", "utf-8")
    write(tmp_path / "GrabCut" / "data_GT" / "p.png", np.zeros((*SHAPE, 3), np.uint8))
    write(tmp_path / "GrabCut" / "boundary_GT" / "p.png", disk(40, 40, 13).astype(np.uint8) * 255)
    assert main(["evaluate", str(tmp_path / "us_ours"), str(tmp_path / "GrabCut"), "--clicks", "2"]) == 0
    ours, grabcut = rows_of(capsys.readouterr().out)
    assert (ours["folder"], ours["objects"], ours["details"]["modality"]) == ("us_ours", 2, "ultrasound")
    assert (grabcut["folder"], grabcut["objects"], grabcut["images"]) == ("GrabCut", 1, 1)
    assert grabcut["iou@1"] == round(disk(40, 40, 12).sum() / disk(40, 40, 13).sum(), 4)
    assert main(["evaluate", str(tmp_path / "nowhere")]) == 1
    assert "there is no images folder" in capsys.readouterr().err


def test_report_with_curves_and_gallery(
    sets: Path, fake_segmenter: FakeSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, pairs = tmp_path / "out" / "report", tmp_path / "pairs.npz"
    folders = [str(sets / "berkeley"), str(sets / "medical_two_ct_slices")]
    words = ["--prompt", "click,box", "--report", str(report), "--gallery", "2", "--pairs", str(pairs)]
    assert main(["evaluate", *folders, *words]) == 0
    printed = rows_of(capsys.readouterr().out)
    assert rows_of((report / "rows.jsonl").read_text("utf-8")) == printed
    curves = sorted(p.name for p in (report / "curves").iterdir())
    stems = [f"{p}-{kind}" for p in ("box", "click") for kind in ("modality", "sets", "size")] + ["reliability"]
    assert curves == sorted(f"{stem}.{kind}" for stem in stems for kind in ("svg", "png"))
    svg = (report / "curves" / "click-sets.svg").read_text("utf-8")
    assert ">berkeley (3)<" in svg and ">two_ct_slices (2)<" in svg and "IoU" in svg
    pictures = sorted(p.relative_to(report / "failures") for p in report.rglob("*.jpg"))
    # A box of a disk is answered with the box, and there the small disks are worst.
    assert len(pictures) == 8 and {p.parts[:2] for p in pictures} == {
        (Path(f).name, prompt) for f in folders for prompt in ("click", "box")
    }
    values = np.load(pairs)
    assert values["scores"].shape == values["real"].shape == (sum(r["details"]["answers"] for r in printed),)
    text = (report / "report.md").read_text("utf-8")
    for link in [line.split("](")[1].strip("<>)") for line in text.splitlines() if line.startswith("![")]:
        assert (report / link.split(")")[0]).is_file(), link
    assert "| ct | 2 |" in text and "| photo | 3 |" in text and "| **mean of 2 sets** | 5 |" in text


def test_proposed_clicks_and_doubt(
    sets: Path,
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answered = fake_segmenter.segment

    def segment(features: Features, prompts: Prompts, *, previous: Segmentation | None = None) -> Segmentation:
        answer = answered(features, prompts, previous=previous)
        return dataclasses.replace(answer, ask=lambda: fake_segmenter.uncertainty(features, prompts, answer))

    monkeypatch.setattr(fake_segmenter, "segment", segment)
    words = [
        "--prompt",
        "click,proposal,checked",
        "--doubt",
        "--clicks",
        "4",
        "--report",
        str(tmp_path / "r"),
        "--gallery",
        "0",
    ]
    assert main(["evaluate", str(sets / "berkeley"), *words]) == 0
    click, proposal, checked = rows_of(capsys.readouterr().out)
    prompts = [row["prompt"] for row in (click, proposal, checked)]
    assert prompts == ["click", "proposal", "checked"] and fake_segmenter.encoded == 2
    # The fake is always in doubt about the corner: a click there helps nobody, and a place is proposed once.
    assert proposal["iou@1"] == click["iou@1"] and proposal["iou@2"] != click["iou@2"]
    assert checked["iou@3"] == click["iou@3"]  # the corner is right in every mask
    assert {k: [pair[0] for pair in v] for k, v in click["details"]["doubt"].items()} == {
        "1": [0.25] * 3,
        "3": [0.25] * 3,
    }
    text = (tmp_path / "r" / "report.md").read_text("utf-8")
    assert "worst tenth of the masks with an AUROC of 0.500 after 1 click, 0.500 after 3 clicks." in text
    assert "## Clicks where the model proposes, beside" in text
    assert "## Clicks where the model proposes if the mask is wrong there, beside" in text
    assert "| berkeley | 3 |" in text
    assert not (tmp_path / "r" / "failures").exists()


def test_words_that_are_not_there(
    sets: Path,
    tmp_path: Path,
    reader: FakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answered, asked = reader.segment, []

    def segment(features: Features, prompts: Prompts, *, previous: Segmentation | None = None) -> Segmentation:
        answer = answered(features, prompts, previous=previous)
        if prompts.text and previous is None:
            asked.append(prompts.text)
            if prompts.text == "Liver":
                return dataclasses.replace(answer, mask=~answer.mask, score=0.7)
        return answer

    monkeypatch.setattr(reader, "segment", segment)
    words = ["--prompt", "click,text", "--absent", "--clicks", "2", "--report", str(tmp_path / "r"), "--gallery", "0"]
    assert main(["evaluate", str(sets / "medical_two_ct_slices"), *words]) == 0
    click, text = rows_of(capsys.readouterr().out)
    assert "words" not in click["details"]
    assert text["details"]["words"] == {
        "there": {"asked": 2, "no_mask": 1, "score": 0.8, "score_5": 0.71, "share": 0.5},
        "not_there": {"asked": 4, "no_mask": 4, "score": 0.9, "score_95": 0.9, "share": 0.0},
    }
    assert not set(asked) - {"Liver", "spleen"} & {"liver", "aorta", "tooth 36"} and len(asked) == 2 + 2 + 4
    report = (tmp_path / "r" / "report.md").read_text("utf-8")
    assert (
        "Of 4 words that name nothing in the picture 4 got no mask (100 %); of 2 that name something 1 got none"
        in report
    )


@pytest.mark.parametrize("modality", ["photo", "ct", "mr", "xray", "fundus", "endoscopy", "dermoscopy", "microscopy"])
def test_absent_words_are_those_of_other_pictures(modality: str) -> None:
    seen = {word for n in range(200) for word in absent_words(modality, str(n))}
    assert SURFACES.get(modality) not in seen
    if modality in ("ct", "mr", "xray"):
        assert not seen & {*BODY, "tooth 36"} and "optic disc" in seen
    if modality == "photo":
        assert not seen & {*THINGS, "skin lesion"} and "liver" in seen
    assert absent_words(modality, "a.png") == absent_words(modality, "a.png")


def test_without_a_closer_look(
    sets: Path, fake_segmenter: FakeSegmenter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    def load(*arguments: Any, **options: Any) -> FakeSegmenter:
        asked.append(options)
        return fake_segmenter

    monkeypatch.setattr("maskwright.inference.load_segmenter", load)
    for words in ([], ["--no-zoom"]):
        assert main(["evaluate", str(sets / "berkeley"), "--clicks", "1", *words]) == 0
    plain, whole = rows_of(capsys.readouterr().out)
    assert [options["zoom"] for options in asked] == [True, False]
    assert "zoom" not in plain and whole["zoom"] is False


def test_the_gallery_shows_the_worst_objects_first(
    sets: Path, fake_segmenter: FakeSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    assert main(["evaluate", str(sets / "berkeley"), "--report", str(report), "--gallery", "3"]) == 0
    names = sorted(p.name for p in report.rglob("*.jpg"))
    # Disks of radius 12 against ones of 36, 6 and 13.
    assert [n.split("-")[0] for n in names] == ["01", "02", "03"] and names[2] == "03-a_1.jpg"
    picture = cv2.imread(str(next(report.rglob("03-a_1.jpg"))))
    assert picture is not None and picture.shape == (258, 4 * 244, 3)
    blue, green, red = (picture[:, 244 : 244 + 240, k].astype(int) for k in range(3))
    assert ((red - green > 60) & (red - blue > 60)).mean() > 0.05, "the answer is painted"
    assert ((green - red > 60) & (green - blue > 60)).mean() > 0.002, "the truth is outlined"
