"""The sheet of the demo: what lies where, to the pixel."""

from __future__ import annotations

import numpy as np

from maskwright.cli_picture import HEAD, HEIGHT, MARGIN, NEGATIVE, PAPER, POSITIVE, WHITE, Panel, as_seen, sheet
from maskwright.core.orientation import AS_STORED, SliceOrientation
from maskwright.core.prompts import Box, Point, Prompts

TOP = HEAD + 40
COLOR = (230, 159, 0)


def panel(prompts: Prompts = Prompts(), *, aspect: float = 1.0) -> Panel:  # noqa: B008 (frozen)
    """A black picture of 48 x 96 pixels whose right half is the object."""
    mask = np.zeros((48, 96), bool)
    mask[:, 48:] = True
    return Panel("title", "caption", np.zeros((48, 96, 3), np.uint8), mask, prompts, COLOR, aspect)


def test_pictures_stand_side_by_side_at_one_height() -> None:
    out = sheet("t", [panel(), panel(aspect=2.0)])
    assert out.shape == (TOP + HEIGHT + 64, MARGIN + 960 + MARGIN + 480 + MARGIN, 3)
    assert tuple(out[TOP + 5, 2]) == PAPER
    assert tuple(out[TOP + 5, MARGIN + 5]) == (0, 0, 0)
    assert tuple(out[TOP + 5, MARGIN + 960 + MARGIN + 5]) == (0, 0, 0)


def test_the_mask_is_translucent_with_a_solid_outline() -> None:
    out = sheet("t", [panel()])[TOP : TOP + HEIGHT, MARGIN : MARGIN + 960]
    assert tuple(out[240, 800]) == tuple(int(0.45 * c) for c in COLOR)
    assert tuple(out[240, 100]) == (0, 0, 0)
    assert tuple(out[240, 480]) == COLOR


def test_clicks_lie_on_the_centre_of_their_pixel() -> None:
    prompts = Prompts((Point(9.5, 23.5), Point(29.5, 23.5, positive=False)))
    out = sheet("t", [panel(prompts)])[TOP : TOP + HEIGHT, MARGIN : MARGIN + 960]
    assert [tuple(out[240, x]) for x in (100, 300)] == [WHITE, WHITE]
    assert [tuple(out[235, x + 4]) for x in (100, 300)] == [POSITIVE, NEGATIVE]


def test_a_box_is_drawn_on_its_edges() -> None:
    out = sheet("t", [panel(Prompts((Box(10, 10, 30, 40),)))])[TOP : TOP + HEIGHT, MARGIN : MARGIN + 960]
    assert [tuple(out[y, x]) for y, x in ((250, 100), (250, 300), (100, 200), (400, 200))] == [WHITE] * 4
    assert tuple(out[250, 200]) == (0, 0, 0)


def test_a_slice_without_mirrors_is_left_as_it_is() -> None:
    one = panel(Prompts((Point(3, 4),)))
    seen = as_seen(one, AS_STORED)
    assert np.array_equal(seen.mask, one.mask) and seen.prompts == one.prompts


def test_a_mirrored_slice_takes_its_clicks_along() -> None:
    one = panel(Prompts((Point(0, 0), Box(10, 10, 30, 40))))
    one.rgb[0, 0] = 200
    seen = as_seen(one, SliceOrientation(flip_x=True, flip_y=True))
    assert seen.rgb[47, 95, 0] == 200 and seen.rgb.sum() == 600
    assert np.array_equal(seen.mask, one.mask[::-1, ::-1])
    assert seen.prompts == Prompts((Point(95, 47), Box(66, 8, 86, 38)))
