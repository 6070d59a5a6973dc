"""Prompts: what they accept, how they grow, strokes at equal arc length, and the journal's plain values."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text, prompt_from_json, prompt_to_json

STROKE = Scribble(np.array([[1, 2], [3.5, 4]]), positive=False)
EVERY_KIND = (Point(1.5, -2, positive=False), Box(1, 2, 30.25, 40), STROKE, Text("left kidney"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_coordinates_are_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Point(1, bad)
    with pytest.raises(ValueError, match="must be finite"):
        Box(0, 0, bad, 1)
    with pytest.raises(ValueError, match="must be finite"):
        Scribble(np.array([[0, 0], [bad, 1]]))


@pytest.mark.parametrize("corners", [(2, 3, 10, 20), (10, 20, 2, 3), (2, 20, 10, 3), (10, 3, 2, 20)])
def test_a_box_is_the_same_whichever_corner_comes_first(corners: tuple[int, int, int, int]) -> None:
    assert Box(*corners) == Box(2, 3, 10, 20)


def test_a_stroke_keeps_its_own_vertices() -> None:
    drawn = np.array([[1.0, 2.0], [3.0, 4.0]])
    stroke = Scribble(drawn)
    drawn[0] = 99
    assert stroke.xy.tolist() == [[1, 2], [3, 4]]
    assert stroke.xy.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        stroke.xy[0] = 0


@pytest.mark.parametrize("shape", [(0, 2), (2,), (3, 3), (1, 2, 2)])
def test_a_stroke_needs_vertices_in_the_plane(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="N >= 1"):
        Scribble(np.zeros(shape))


def test_strokes_are_equal_by_value_and_sign() -> None:
    same = Scribble(np.array([[1, 2], [3.5, 4]]), positive=False)
    assert same == STROKE and hash(same) == hash(STROKE)
    assert Scribble(STROKE.xy, positive=True) != STROKE
    assert Scribble(STROKE.xy[:1], positive=False) != STROKE
    assert STROKE != Text("left kidney")


def test_drawing_speed_does_not_change_the_points_of_a_stroke() -> None:
    steady = Scribble(np.array([[0, 5], [30, 5]]))
    hasty = Scribble(np.array([[0, 5], [1, 5], [1, 5], [2, 5], [29, 5], [30, 5]]))
    want = [[0, 5], [10, 5], [20, 5], [30, 5]]
    assert steady.resampled(10).tolist() == want
    assert hasty.resampled(10).tolist() == want


def test_a_bent_stroke_is_measured_along_itself() -> None:
    corner = Scribble(np.array([[0, 0], [20, 0], [20, 20]]))
    assert corner.resampled(10).tolist() == [[0, 0], [10, 0], [20, 0], [20, 10], [20, 20]]


def test_a_long_stroke_gets_fewer_points_not_more() -> None:
    points = Scribble(np.array([[0, 0], [2300, 0]])).resampled(10)
    assert points[:, 0].tolist() == [100 * i for i in range(24)]
    assert len(Scribble(np.array([[0, 0], [2300, 0]])).resampled(10, most=5)) == 5


def test_a_stroke_shorter_than_a_step_is_one_point_half_way() -> None:
    assert Scribble(np.array([[4, 4]])).resampled(16).tolist() == [[4, 4]]
    assert Scribble(np.array([[4, 4], [8, 4]])).resampled(16).tolist() == [[6, 4]]


def test_prompts_grow_and_shrink_as_new_values() -> None:
    none = Prompts()
    one = none.add(Point(1, 2))
    two = one.add(Box(0, 0, 5, 5))
    assert (len(none), len(one), len(two)) == (0, 1, 2)
    assert not none and one
    assert list(two) == [Point(1, 2), Box(0, 0, 5, 5)]
    assert two.without_last() == one
    assert none.without_last() == none
    with pytest.raises(FrozenInstanceError):
        one.items = ()  # type: ignore[misc]


def test_only_prompts_are_added() -> None:
    with pytest.raises(TypeError, match=r"not a prompt: \(3, 4\)"):
        Prompts().add((3, 4))  # type: ignore[arg-type]


def test_the_newest_box_and_the_newest_text_count() -> None:
    prompts = Prompts().add(Box(0, 0, 5, 5)).add(Text("cup")).add(Box(1, 1, 2, 2)).add(Text("spoon")).add(Point(0, 0))
    assert prompts.box == Box(1, 1, 2, 2)
    assert prompts.text == "spoon"
    assert Prompts().box is None
    assert Prompts().text == ""


@pytest.mark.parametrize("prompt", EVERY_KIND, ids=lambda p: type(p).__name__)
def test_plain_values_give_the_prompt_back(prompt: Point | Box | Scribble | Text) -> None:
    assert prompt_from_json(json.loads(json.dumps(prompt_to_json(prompt)))) == prompt


def test_plain_values_are_what_the_journal_has_always_held() -> None:
    assert [prompt_to_json(prompt) for prompt in EVERY_KIND] == [
        {"kind": "point", "x": 1.5, "y": -2, "positive": False},
        {"kind": "box", "x0": 1, "y0": 2, "x1": 30.25, "y1": 40},
        {"kind": "scribble", "xy": [[1.0, 2.0], [3.5, 4.0]], "positive": False},
        {"kind": "text", "text": "left kidney"},
    ]


@pytest.mark.parametrize("value", [{"kind": "lasso"}, {}, {"kind": "scribble", "xy": []}])
def test_plain_values_that_are_no_prompt_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="unknown prompt kind|N >= 1"):
        prompt_from_json(value)
