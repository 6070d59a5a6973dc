"""Where a closer look is taken, and how masks, clicks and logits lie in it."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.preprocess import STRETCH, SliceTransform
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.inference.closer import CropEncoder, crop_logits, merged_logits
from maskwright.inference.zoom import ZoomPolicy, misses, pasted, plan_zoom, policy_of_card, prompts_in, within

POLICY = ZoomPolicy(
    expand=1.5, doubt=1, least_score=0.5, least_gain=1.5, most_gain=8, least_side_px=16, rim=0.1, shrink=0.5, speck=0.05
)
SHAPE = (200, 300)


def blob(y0: int, x0: int, y1: int, x1: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def click(x: float, y: float, *, positive: bool = True) -> Prompts:
    return Prompts().add(Point(x, y, positive=positive))


def plan(mask: np.ndarray, prompts: Prompts, **options):
    return plan_zoom(mask, prompts, mask.shape, policy=POLICY, **options)


# Planning.


def test_a_small_object_gets_a_square_round_it() -> None:
    assert plan(blob(80, 100, 120, 140), click(110, 100)) == (70, 90, 130, 150)  # 40 px and half of that more


def test_a_long_object_gets_a_square_of_its_long_side() -> None:
    y0, x0, y1, x1 = plan(blob(95, 100, 105, 160), click(110, 100)) or (0, 0, 0, 0)
    assert (y1 - y0, x1 - x0) == (90, 90) and (y0 + y1, x0 + x1) == (200, 260)


def test_at_the_edge_the_square_moves_inside_and_keeps_its_size() -> None:
    assert plan(blob(0, 260, 40, 300), click(290, 10)) == (0, 240, 60, 300)


def test_a_slice_that_is_too_narrow_cuts_the_square() -> None:
    mask = blob(5, 40, 25, 90, (30, 400))
    assert plan(mask, click(50, 10)) == (0, 28, 30, 103)


def test_a_large_object_is_close_enough() -> None:
    assert plan(blob(20, 20, 180, 160), click(60, 60)) is None
    assert plan(blob(30, 30, 163, 163), click(60, 60)) == (0, 0, 200, 200)  # 200 px: one and a half times larger
    assert plan(blob(30, 30, 164, 164), click(60, 60)) is None


def test_a_crop_is_never_smaller_than_it_may_be() -> None:
    y0, x0, y1, x1 = plan(blob(100, 100, 102, 102), click(100, 100)) or (0, 0, 0, 0)
    assert (y1 - y0, x1 - x0) == (38, 38)  # 300 / 8
    assert plan_zoom(blob(9, 9, 11, 11, (40, 40)), click(10, 10), (40, 40), policy=POLICY) == (2, 2, 18, 18)


@pytest.mark.parametrize("prompts", [Prompts(), Prompts().add(Text("cup")), click(50, 50, positive=False)])
def test_without_a_place_that_belongs_to_the_object_there_is_nothing_to_look_at(prompts: Prompts) -> None:
    assert plan(blob(80, 100, 120, 140), prompts) is None


def test_a_click_that_found_nothing_says_nothing_of_the_size() -> None:
    assert plan(np.zeros(SHAPE, bool), click(100, 100)) is None


def test_specks_elsewhere_do_not_count_but_clicked_ones_and_parts_do() -> None:
    mask = blob(80, 100, 120, 140) | blob(10, 280, 12, 290)  # 20 of 1620 px
    assert plan(mask, click(110, 100)) == (70, 90, 130, 150)
    assert plan(mask, click(110, 100).add(Point(285, 11))) is None
    twins = blob(80, 100, 120, 120) | blob(80, 150, 120, 170)
    y0, x0, y1, x1 = plan(twins, click(110, 100)) or (0, 0, 0, 0)
    assert (y1 - y0, x1 - x0) == (105, 105) and x0 < 100 and x1 > 170


def test_positive_clicks_are_in_the_crop_and_negative_ones_need_not_be() -> None:
    mask = blob(80, 100, 120, 140)
    with_far = plan(mask, click(110, 100).add(Point(179, 100)))
    assert with_far is not None and within(Point(179, 100), with_far)
    assert plan(mask, click(110, 100).add(Point(250, 20, positive=False))) == plan(mask, click(110, 100))


def test_a_box_decides_whatever_the_mask_is() -> None:
    box = Prompts().add(Box(100, 80, 140, 120))
    assert plan(blob(0, 0, 200, 300), box) == (70, 90, 130, 150) == plan(np.zeros(SHAPE, bool), box)


def test_an_unsure_mask_gets_more_room_and_a_bad_one_none() -> None:
    mask = blob(80, 100, 120, 140)
    sides = [(plan(mask, click(110, 100), score=score) or (0, 0, 0, 0))[2:][0] - 100 for score in (1.0, 0.75, 0.5)]
    assert sides == [30, 35, 40]  # half of 60, 70 and 80 px
    assert plan(mask, click(110, 100), score=0.49) is None
    assert plan(mask, click(110, 100), score=0.49, current=(70, 90, 130, 150)) is None
    assert plan(mask, click(110, 100).add(Box(100, 80, 140, 120)), score=0.1) == (70, 90, 130, 150)


def test_a_crop_is_kept_while_the_object_sits_well_in_it() -> None:
    current = (70, 90, 130, 150)
    assert plan(blob(78, 97, 122, 143), click(110, 100), current=current) == current  # 7 px from the edge
    wider = plan(blob(78, 95, 122, 143), click(110, 100), current=current)  # 5 px
    assert wider is not None and wider != current
    assert plan(blob(90, 110, 112, 132), click(115, 100), current=current) == current  # needs 38 of 60 px
    tiny = plan(blob(98, 108, 102, 112), click(110, 100), current=(0, 20, 180, 200))
    assert tiny is not None and tiny[2] - tiny[0] == 38


def test_at_the_edge_of_the_slice_an_object_may_touch_the_edge_of_its_crop() -> None:
    current = (0, 240, 60, 300)
    assert plan(blob(0, 262, 38, 300), click(290, 10), current=current) == current


def test_the_card_of_a_model_may_change_the_policy_or_have_none() -> None:
    assert policy_of_card({}) == ZoomPolicy() == policy_of_card({"zoom": True}) == policy_of_card({"zoom": {}})
    assert policy_of_card({"zoom": False}) is None
    other = policy_of_card({"zoom": {"expand": 2, "trust": 0, "of a later version": 1}})
    assert other == ZoomPolicy(expand=2.0, trust=False)


# Prompts and masks.


def test_prompts_in_a_crop() -> None:
    stroke = Scribble(np.array([[0, 0], [95, 75], [100, 80], [400, 80]]))
    prompts = click(100, 80).add(Point(20, 20, positive=False)).add(Box(60, 60, 120, 500)).add(stroke).add(Text("cup"))
    point, box, strokes, text = prompts_in(prompts, (70, 90, 130, 150))
    assert point == Point(10, 10) and box == Box(0, 0, 30, 60) and text == Text("cup")
    assert isinstance(strokes, Scribble) and strokes.xy.tolist() == [[5, 5], [10, 10]]
    assert not prompts_in(Prompts().add(Scribble(np.array([[0, 0]]))), (70, 90, 130, 150))


def test_clicks_that_a_mask_contradicts_are_counted() -> None:
    mask = blob(80, 100, 120, 140)
    assert misses(mask, click(110, 100).add(Point(20, 20, positive=False)).add(Box(0, 0, 5, 5))) == 0
    assert misses(mask, click(110, 100, positive=False).add(Point(20, 20)).add(Point(139.4, 119.4))) == 2
    assert misses(mask, click(-0.5, -0.5, positive=False)) == 0


def test_pasting_changes_a_copy() -> None:
    mask = blob(80, 100, 120, 140)
    out = pasted(mask, np.zeros((60, 60), bool), (70, 90, 130, 150))
    assert not out.any() and mask.sum() == 1600


# Logits. A ramp of the slice's own coordinates must read the same wherever it is looked at from.


def ramps(view: SliceTransform, cells: int, corner_yx: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of the slice under every cell of a logit grid."""
    out = []
    for inner, n, corner in zip(view.inner_yx, view.shape_yx, corner_yx, strict=True):
        out.append((np.arange(cells) + 0.5) / (inner / n * cells / view.size) - 0.5 + corner)
    rows, columns = np.meshgrid(*out, indexing="ij")
    return columns.astype(np.float32), rows.astype(np.float32)


@pytest.mark.parametrize("fit", [None, STRETCH])
@pytest.mark.parametrize("box", [(40, 60, 100, 120), (0, 230, 50, 300), (100, 0, 200, 150)])
def test_logits_keep_their_place_in_both_directions(fit: str | None, box: tuple[int, int, int, int]) -> None:
    cells = 64
    options = {} if fit is None else {"fit": fit}
    full = SliceTransform(SHAPE, 128, **options)
    crop = SliceTransform((box[2] - box[0], box[3] - box[1]), 128, **options)
    inner = [round(cells * n / 128) for n in crop.inner_yx]
    for seen, closer in zip(ramps(full, cells), ramps(crop, cells, box[:2]), strict=True):
        got = crop_logits(seen, box, full=full, crop=crop)[1 : inner[0] - 1, 1 : inner[1] - 1]
        steps = 2.4 * full.shape_yx[1] / cells  # at the border of the slice the ramp ends
        assert np.abs(got - closer[1 : inner[0] - 1, 1 : inner[1] - 1]).max() < steps
        back = merged_logits(np.full_like(seen, -999), closer, box, full=full, crop=crop)
        columns, rows = ramps(full, cells)
        inside = (rows >= box[0] - 0.5) & (rows < box[2] - 0.5) & (columns >= box[1] - 0.5) & (columns < box[3] - 0.5)
        assert (back[~inside] == -999).all() and inside.sum() > 50
        deep = (rows > box[0] + 6) & (rows < box[2] - 7) & (columns > box[1] + 6) & (columns < box[3] - 7)
        assert np.abs(back - seen)[deep].max() < 1e-3


def test_a_mask_survives_the_way_there_and_back() -> None:
    box, cells = (40, 60, 100, 120), 64
    full, crop = SliceTransform(SHAPE, 128), SliceTransform((60, 60), 128)
    columns, rows = ramps(full, cells)
    disk = (20 - np.hypot(columns - 90, rows - 70)).astype(np.float32)
    closer = crop_logits(disk, box, full=full, crop=crop)
    assert np.abs(merged_logits(disk, closer, box, full=full, crop=crop) - disk).max() < 2.0
    seen, close = full.logits_to_slice(disk) > 0, pasted(np.zeros(SHAPE, bool), crop.logits_to_slice(closer) > 0, box)
    assert (seen ^ close).sum() <= 0.02 * seen.sum()


# Crops.


def test_crops_are_encoded_once_and_the_last_few_are_kept() -> None:
    from maskwright.core.features import Features

    asked = []

    def encode(box):
        asked.append(box)
        return Features((), (box[2] - box[0], box[3] - box[1]))

    crops, boxes = CropEncoder(encode, kept=2), [(0, 0, n, n) for n in (1, 2, 3)]
    assert crops(boxes[0]) is crops(boxes[0]) and asked == boxes[:1]
    crops(boxes[1])
    crops(boxes[0])
    crops(boxes[2])  # the second goes
    crops(boxes[0])
    assert asked == boxes
    crops(boxes[1])
    assert asked == [*boxes, boxes[1]]
