"""The rule of a text that names nothing."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.prompts import Box, Point, Prompts, Text
from maskwright.inference import Segmentation
from maskwright.inference.not_found import asked, is_text_alone, judged

CAT, DOG, CLICK = Text("cat"), Text("dog"), Point(1, 1)


def answer(score: float, *, filled: bool = True, missing: str = "", label: str = "animal") -> Segmentation:
    mask = np.full((4, 4), filled)
    return Segmentation(mask, np.where(mask, 5.0, -5.0).astype(np.float32), score, label=label, missing=missing)


@pytest.mark.parametrize(
    ("items", "alone"),
    [
        ((CAT,), True),
        ((DOG, CAT), True),
        ((CAT, CLICK), False),
        ((Box(0, 0, 2, 2), CAT), False),
        ((Text(" "),), False),
        ((CAT, Text("")), False),  # the newest text counts, and says nothing
        ((), False),
    ],
)
def test_text_alone(items: tuple, alone: bool) -> None:
    assert is_text_alone(Prompts(items)) is alone


def test_a_score_below_the_floor_leaves_no_mask() -> None:
    sure, unsure = answer(0.3), answer(0.29)
    words = Prompts((CAT,))
    assert judged(sure, words, floor=0.3) is sure
    found = judged(unsure, words, floor=0.3)
    assert (found.mask.any(), found.missing, found.label, found.score) == (False, "cat", "", 0.29)
    assert found.not_found and found.not_found_sentence() == "No “cat” was found in this picture."
    assert unsure.mask.all() and unsure.not_found_sentence() == ""  # it is a value


def test_without_a_floor_only_an_empty_mask_says_so() -> None:
    words = Prompts((CAT,))
    assert judged(answer(0.01), words, floor=None).missing == ""
    assert judged(answer(0.9, filled=False), words, floor=None).missing == "cat"


def test_a_click_makes_it_an_ordinary_answer() -> None:
    unsure = answer(0.01)
    assert judged(unsure, Prompts((CAT, CLICK)), floor=0.3) is unsure
    assert judged(unsure, Prompts((CLICK,)), floor=0.3) is unsure


def test_clicks_go_on_without_the_words_and_without_what_nobody_saw() -> None:
    nothing = judged(answer(0.1), Prompts((CAT,)), floor=0.3)
    said, start, left_out = asked(Prompts((CAT, CLICK)), nothing)
    assert (said, start, left_out) == (Prompts((CLICK,)), None, "cat")
    seen = judged(answer(0.2), said, floor=0.3, left_out=left_out)
    assert seen.mask.all() and seen.missing == "cat" and not seen.not_found
    more = asked(Prompts((CAT, CLICK, CLICK)), seen)
    assert more == (Prompts((CLICK, CLICK)), seen, "cat")  # still left out, and this mask is gone on from


def test_other_words_are_heard_again() -> None:
    nothing = judged(answer(0.1), Prompts((CAT,)), floor=0.3)
    prompts = Prompts((CAT, DOG))
    assert asked(prompts, nothing) == (prompts, None, "")
    seen = answer(0.8, missing="cat")
    prompts = Prompts((CAT, CLICK, DOG))
    assert asked(prompts, seen) == (prompts, seen, "")


def test_what_was_found_is_gone_on_from() -> None:
    seen, prompts = answer(0.8), Prompts((CAT, CLICK))
    assert asked(prompts, seen) == (prompts, seen, "")
    assert asked(prompts, None) == (prompts, None, "")
