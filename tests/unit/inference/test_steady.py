"""A correction is for what it touches: elsewhere the earlier answer has a say, as far as the card gives it one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from maskwright.core.prompts import Box, Point, Prompt, Prompts, Scribble
from maskwright.inference import OnnxSegmenter
from maskwright.inference.segmentation import Segmentation
from maskwright.inference.steady import NEAR_CELLS, SURE, steadied
from tests.unit.inference.tiny_models import make_model

AT = np.array([[4.5, 10.5]])
"""Column and row of the newest click."""


def flat(value: float, *, size: int = 40) -> np.ndarray:
    return np.full((size, size), value, np.float32)


def test_a_change_that_touches_the_click_counts_in_full() -> None:
    before, logits = flat(-9.0), flat(-9.0)
    logits[10, 2:35] = 1.0  # a branch that begins under the click and ends far from it
    assert np.array_equal(steadied(logits, before, AT, kept=1.0), logits)


def test_elsewhere_the_earlier_answer_is_weighed_in() -> None:
    before, logits = flat(-3.0), flat(-3.0)
    logits[30, 30], logits[30, 34] = 1.0, 5.0
    half = steadied(logits, before, AT, kept=0.5)
    assert half[30, 30] == -1.0 and half[30, 34] == 1.0, "an unsure change is not made, a sure one is"
    assert (steadied(logits, before, AT, kept=1.0) > 0).sum() == 0
    assert np.array_equal(steadied(logits, before, AT, kept=0.0), logits)


def test_what_lies_near_the_click_is_new_even_where_the_mask_stays() -> None:
    got = steadied(flat(-2.0), flat(-4.0), AT, kept=0.5)
    assert got[10, 4] == got[10, 4 + NEAR_CELLS] == -2.0 and got[10, 4 + NEAR_CELLS + 2] == -3.0


def test_no_answer_is_so_sure_that_it_decides_alone() -> None:
    before, logits = flat(-1000.0), flat(-1000.0)
    logits[30, 30] = 1000.0
    assert steadied(logits, before, AT, kept=0.4)[30, 30] == pytest.approx(0.2 * SURE)


def test_every_point_of_a_stroke_is_near_and_those_outside_count_at_the_rim() -> None:
    before, logits = flat(-3.0), flat(-3.0)
    logits[10, 5] = logits[38, 38] = logits[30, 10] = 1.0
    got = steadied(logits, before, np.array([[4.5, 10.5], [60.0, 60.0]]), kept=0.5)
    assert got[10, 5] == got[38, 38] == 1.0 and got[30, 10] == -1.0


# The segmenter.

SLICE = np.zeros((64, 64), np.uint8)
FIRST, SECOND, THIRD = Point(8, 8), Point(50, 8), Point(30, 50)


def answered(folder: Path, *prompts: Prompt, before: float = -30.0) -> Segmentation:
    """Answer to prompts where nothing was there before; the tiny head draws a disk round every point."""
    segmenter = OnnxSegmenter(folder, threads=1)
    features = segmenter.encode(SLICE)
    first = segmenter.segment(features, Prompts().add(FIRST))
    nothing = replace(first, logits=np.full_like(first.logits, before), mask=np.zeros_like(first.mask))
    return segmenter.segment(features, Prompts(tuple(prompts)), previous=nothing)


def test_a_card_keeps_the_earlier_answer_elsewhere(tmp_path: Path) -> None:
    kept = answered(make_model(tmp_path / "kept", kept_elsewhere=1.0), FIRST, SECOND, THIRD).mask
    assert kept[50, 30] and not kept[8, 8] and not kept[8, 50]
    usual = answered(make_model(tmp_path / "usual"), FIRST, SECOND, THIRD).mask
    assert usual[50, 30] and usual[8, 8] and usual[8, 50]


def test_a_sure_change_is_made_all_the_same(tmp_path: Path) -> None:
    got = answered(make_model(tmp_path, kept_elsewhere=0.5), FIRST, SECOND, THIRD, before=-3.0).mask
    assert got[8, 8] and got[8, 50] and got[50, 30]


@pytest.mark.parametrize(
    ("prompts", "kept"),
    [
        ((FIRST, THIRD), False),  # one click leaves open what is meant
        ((Box(2, 2, 14, 10), THIRD), True),  # a box does not
        ((FIRST, SECOND, Box(24, 44, 40, 60)), False),  # what is asked for anew is all of the answer
        ((FIRST, SECOND, Scribble(np.array([[28, 50], [34, 50]]))), True),
    ],
)
def test_which_prompts_correct(tmp_path: Path, prompts: tuple[Prompt, ...], kept: bool) -> None:
    mask = answered(make_model(tmp_path, kept_elsewhere=1.0), *prompts).mask
    far = (slice(0, 16), slice(0, 60))
    assert mask[far].any() != kept
