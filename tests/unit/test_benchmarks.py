"""The benchmark of the families: work in turns, claims and the table that says whether they hold."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import families, turns
from benchmarks.families import AS_PUBLISHED, CLAIMS, claims, table

MODEL = {
    "weights": "random",
    "input_size": 512,
    "encode_ms": 1307.4,
    "encode_ratio": 3.49,
    "click_ms": 78.34,
    "click_ratio": 9.99,
    "features_mb": 1.966,
    "peak_mb": 1028.2,
}
CLICK = {"weights": "random", "input_size": 512, "click_ms": 265.04, "click_ratio": 18.2}
LIGHT = AS_PUBLISHED.format("interformer/light")


@pytest.mark.parametrize(("seconds", "most", "runs"), [(0.0, 60, 3), (60.0, 5, 6)])
def test_two_pieces_of_work_take_turns_at_least_twice_after_a_warm_up(
    seconds: float, most: int, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(turns, "PAUSE_S", 0.0)
    times = turns.in_turns(lambda: seen.append("a"), lambda: seen.append("b"), seconds=seconds, most=most)
    assert seen == ["a", "b"] * runs
    assert min(times) >= 0


def test_a_claim_is_held_against_its_own_row_and_only_where_that_was_measured() -> None:
    found = {"interformer/light": MODEL, LIGHT: CLICK}
    told = {c["claim"]: (c["ratio"], c["holds"]) for c in claims(found)}
    assert len(told) == len(CLAIMS)
    assert told["click at least 10 x faster than interformer/light as published (torch)"] == (18.2, True)
    assert told["click at least 10 x faster than our export of interformer/light"] == (9.99, False)
    assert told["click at least 3 x faster than sam/vit_b as published (torch)"] == (None, None)
    assert told["encode at least 8 x faster than our export of sam/vit_b"] == (None, None)


def test_peers_of_a_claim_are_measured_as_published_too_and_what_has_no_time_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    def child(arguments: list[str], end: float) -> dict[str, Any] | None:
        role, name = arguments[0], arguments[1].rsplit("/", 1)[-1] if arguments[0] == "--measure" else arguments[1]
        asked.append((role, name))
        answers = {"--export": {}, "--measure": MODEL, "--published": CLICK}
        return None if (role, name) in {("--published", "sam/vit_b"), ("--measure", "sam_vit_b")} else answers[role]

    monkeypatch.setattr(families, "_child", child)
    monkeypatch.setattr("benchmarks.unit.unit_ms", lambda: 100.0)
    report = families.compare(("interformer/light", "sam/vit_b", "imis/vit_b"), [], seconds=60)
    assert asked[:3] == [("--measure", "default"), ("--published", "interformer/light"), ("--published", "sam/vit_b")]
    assert ("--published", "imis/vit_b") not in asked  # no claim is about it
    assert list(report["models"]) == ["default", LIGHT, "interformer/light", "imis/vit_b"]
    assert report["models"][LIGHT] == {**CLICK, "click_units": 2.65}
    assert report["models"]["imis/vit_b"]["encode_units"] == 13.074
    assert report["left_out"] == [AS_PUBLISHED.format("sam/vit_b"), "sam/vit_b"]
    assert [c["holds"] for c in report["claims"]] == [True, None, False, None, None, None]


def test_a_peer_as_published_has_a_row_with_its_click_alone() -> None:
    found = {"interformer/light": MODEL, LIGHT: CLICK}
    report: dict[str, Any] = {"models": found, "claims": claims(found), "left_out": [AS_PUBLISHED.format("sam/vit_b")]}
    lines = table(report).splitlines()
    assert lines[2] == "| interformer/light | random | 512 | 1307 | 3.49 | 78.3 | 9.99 | 1.97 | 1028 |"
    assert lines[3] == "| interformer/light as published (torch) | random | 512 |  |  | 265.0 | 18.20 |  |  |"
    assert {line.count("|") for line in lines[:4]} == {10}
    assert "- click at least 10 x faster than our export of interformer/light: 9.99 (DOES NOT HOLD)" in lines
    assert "- click at least 10 x faster than interformer/light as published (torch): 18.2 (holds)" in lines
    assert "- click at least 3 x faster than our export of sam/vit_b: None (not measured)" in lines
    assert lines[-1] == "- left out, no time: sam/vit_b as published (torch)"
