"""Rows of several sets put together: as if all objects had been measured as one set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskwright.inference.evaluate import Evaluation
from maskwright_models.evaluate.pool import (
    by_modality,
    by_size,
    newest,
    over_sets,
    pool,
    reliability_of,
    worst_found,
)
from maskwright_models.evaluate.published import PUBLISHED, RITM_SETS, paper_set
from maskwright_models.evaluate.tables import proposal_table, reliability_table, sections


def evaluation(folder: str, objects: int, *, modality: str, seed: int, clicks: int = 12) -> Evaluation:
    rng = np.random.default_rng(seed)
    curves = np.sort(rng.uniform(0, 1, (objects, clicks)), 1)
    curves[:, 4] -= 0.3 * rng.random(objects)
    scores = np.clip(curves + rng.normal(0, 0.2, curves.shape), 0, 1)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    shares = tuple(float(v) for v in rng.uniform(0, 0.3, objects))
    return Evaluation(
        folder,
        "m",
        "click",
        modality,
        tuple(map(str, range(objects))),
        curves,
        scores,
        shares,
        ({},) * objects,
        {1: 1 - curves[:, 0] + rng.normal(0, 0.02, objects)},
        (1.0,),
        (2.0,),
    )


def row(one: Evaluation) -> dict[str, Any]:
    return {**one.summary(), "details": one.details()}


@pytest.fixture
def parts() -> list[Evaluation]:
    return [
        evaluation("berkeley", 7, modality="photo", seed=1),
        evaluation("medical_a", 30, modality="ct", seed=2),
        evaluation("medical_b", 11, modality="ct", seed=3),
    ]


def together(parts: list[Evaluation]) -> Evaluation:
    join = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ("curves", "scores")}
    shares = tuple(share for p in parts for share in p.shares)
    one = parts[0]
    doubts = {1: np.concatenate([p.doubts[1] for p in parts])}
    names = tuple(map(str, shares))
    return Evaluation(
        "all", "m", "click", one.modality, names, join["curves"], join["scores"], shares, (), doubts, (1.0,), (2.0,)
    )


def test_pooled_rows_are_the_row_of_all_objects(parts: list[Evaluation]) -> None:
    pooled, whole = pool([row(p) for p in parts], "all"), row(together(parts))
    for key in ("objects", "nof@80", "nof@85", "nof@90"):
        assert pooled[key] == whole[key]
    for key in ("noc@80", "noc@85", "noc@90"):
        assert abs(pooled[key] - whole[key]) < 2e-3
    for key in ("iou@1", "iou@2", "iou@3", "iou@5", "dice@1", "dice@3", "dice@5"):
        assert abs(pooled[key] - whole[key]) < 2e-4
    ours, theirs = pooled["details"], whole["details"]
    assert np.allclose(ours["curve"], theirs["curve"], atol=2e-4)
    assert (ours["answers"], ours["largest_drop_at"]) == (theirs["answers"], theirs["largest_drop_at"])
    assert abs(ours["ece"] - theirs["ece"]) < 2e-4 and abs(ours["largest_drop"] - theirs["largest_drop"]) < 4e-4
    assert np.allclose(ours["reliability"], theirs["reliability"], atol=2e-4)
    assert np.allclose(reliability_of([row(p) for p in parts]), theirs["reliability"], atol=2e-4)
    assert ours["modality"] == "" and ours["monotone"] is theirs["monotone"]


def test_finding_the_worst_objects_is_measured_over_all_sets(parts: list[Evaluation]) -> None:
    whole = together(parts)
    found = worst_found([row(p) for p in parts])
    bad = np.argsort(whole.curves[:, 0])[:5]  # a tenth of 48
    good = np.setdiff1d(np.arange(48), bad)
    pairs = whole.doubts[1][bad][:, None] > whole.doubts[1][good]
    assert list(found) == ["1"] and abs(found["1"] - pairs.mean()) < 0.01 and found["1"] > 0.8
    silent = row(parts[0])
    silent["details"]["doubt"] = {}
    assert worst_found([silent, row(parts[1])]) == {}, "only where every set has it"


def test_proposed_clicks_beside_those_of_the_protocol(parts: list[Evaluation]) -> None:
    rows = [row(p) for p in parts]
    proposed = [{**r, "prompt": "proposal", "noc@85": r["noc@85"] * 1.1, "noc@90": r["noc@90"] + 1} for r in rows[:2]]
    lines = proposal_table([*rows, *proposed], "proposal")
    assert lines[0] == "| set | objects | NoC@85 | proposed | more | NoC@90 | proposed | more |"
    cells = lines[2].strip("| ").split(" | ")
    assert cells[:2] == ["berkeley", "7"] and cells[4] == "+10.0 %" and float(cells[3]) > float(cells[2])
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| berkeley", "| medical_a", "| **mean of 2 sets**"]
    assert proposal_table(rows, "proposal") == proposal_table([*rows, *proposed], "checked") == []


def test_sizes_and_modalities(parts: list[Evaluation]) -> None:
    rows, whole = [row(p) for p in parts], together(parts).details()["sizes"]
    sizes = {r["folder"]: r for r in by_size(rows)}
    assert {k: r["objects"] for k, r in sizes.items()} == {k: v["objects"] for k, v in whole.items()}
    for name, part in whole.items():
        assert np.allclose(sizes[name]["curve"], part["curve"], atol=2e-4)
        assert abs(sizes[name]["noc@85"] - part["noc@85"]) < 2e-3 and sizes[name]["nof@90"] == part["nof@90"]
    photo, ct = by_modality(rows)
    assert (photo["folder"], photo["objects"], ct["folder"], ct["objects"]) == ("photo", 7, "ct", 41)
    assert ct["details"]["curve"] == pool(rows[1:], "ct")["details"]["curve"]


def test_the_mean_of_sets_counts_each_set_once(parts: list[Evaluation]) -> None:
    rows = [row(p) for p in parts]
    mean = over_sets(rows, "mean")
    assert abs(mean["iou@1"] - np.mean([r["iou@1"] for r in rows])) < 1e-4
    assert mean["iou@1"] != pool(rows, "all")["iou@1"] and mean["objects"] == 48


def test_a_set_measured_again_counts_once(parts: list[Evaluation]) -> None:
    first, again = row(parts[0]), {**row(parts[0]), "iou@1": 1.0}
    other = {**row(parts[0]), "labels_of": "train"}
    assert newest([first, other, again]) == [again, other]


def test_tables_of_a_report(parts: list[Evaluation]) -> None:
    lines = sections([row(p) for p in parts])
    assert lines[0].startswith("| set | objects | noc@85 ") and lines[0].endswith("| largest_drop | ece |")
    names = [line.split(" | ")[0] for line in lines]
    for name in ("| berkeley", "| **medical, mean of 2 sets**", "| **mean of 3 sets**", "| ct", "| <1 %", "| >20 %"):
        assert name in names
    widths = {line.count("|") for line in lines[:7]}
    assert widths == {lines[0].count("|")}
    table = reliability_table([(0, 0.0, 0.0), (3, 0.51, 0.4)])
    assert table[2:] == ["| 0.50 - 1.00 | 3 | 0.510 | 0.400 |"]


def test_published_figures_are_those_of_the_papers() -> None:
    by_name = {p.name: p for p in PUBLISHED}
    tiny = by_name["InterFormer-Tiny (ViT-L)"]
    assert tiny.clicks["berkeley"] == (None, 2.53) and tiny.clicks["cod10k"] == (None, 9.42) and tiny.seconds == "0.23"
    assert by_name["RITM HR18s-IT"].clicks == {
        "grabcut": (1.54, 1.68), "berkeley": (None, 2.60), "sbd": (4.04, 6.48), "davis": (4.70, 5.98)
    }  # fmt: skip
    assert all(set(p.clicks) <= set(RITM_SETS) for p in PUBLISHED)
    assert [paper_set(n) for n in ("Berkeley", "GrabCut", "sbd-val", "coco_mval")] == [
        "berkeley",
        "grabcut",
        "sbd",
        None,
    ]
