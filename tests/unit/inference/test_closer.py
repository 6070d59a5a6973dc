"""One answer from two views: what runs, which answer counts, and what the next call goes on from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.features import CropBox, Features
from maskwright.core.preprocess import SliceTransform
from maskwright.core.prompts import Box, Point, Prompts
from maskwright.inference.closer import look_closer
from maskwright.inference.segmentation import Segmentation
from maskwright.inference.zoom import ZoomPolicy, pasted

SHAPE, CELLS, SIZE = (200, 300), 64, 128
POLICY = ZoomPolicy(
    expand=1.5,
    doubt=0,
    least_score=0,
    least_gain=1.5,
    most_gain=8,
    least_side_px=16,
    rim=0.1,
    shrink=0.5,
    slack=0.05,
    clear_gain=0.05,
)
BOX = (70, 90, 130, 150)
CLICK = Prompts().add(Point(110, 100))


def frame(shape_yx: tuple[int, int]) -> SliceTransform:
    return SliceTransform(shape_yx, SIZE)


def blob(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


class Head:
    """Answers ``full`` on the whole slice and the part of ``near`` on a crop; keeps what it was asked."""

    def __init__(self, *, near: np.ndarray | None = None) -> None:
        self.full, self.near = blob(80, 100, 120, 140), blob(82, 102, 118, 138) if near is None else near
        self.full_score, self.near_score = 0.7, 0.9
        self.asked: list[tuple[CropBox | None, Prompts, np.ndarray | None]] = []
        self.encoded: list[CropBox] = []
        self.ready = True

    def features(self) -> Features:
        def crop(box: CropBox) -> Features | None:
            if not self.ready:
                return None
            if box not in self.encoded:
                self.encoded.append(box)
            return Features((np.array(box),), (box[2] - box[0], box[3] - box[1]))

        return Features((), SHAPE, crops=crop)

    def look(self, features: Features, prompts: Prompts, start: np.ndarray | None) -> Segmentation:
        if not features.arrays:
            self.asked.append((None, prompts, start))
            return Segmentation(self.full, np.full((CELLS, CELLS), -1, np.float32), self.full_score)
        y0, x0, y1, x1 = (int(v) for v in features.arrays[0])
        self.asked.append(((y0, x0, y1, x1), prompts, start))
        return Segmentation(self.near[y0:y1, x0:x1], np.full((CELLS, CELLS), 5, np.float32), self.near_score)

    def __call__(self, prompts: Prompts, previous: Segmentation | None = None, **changes: object) -> Segmentation:
        policy = replace(POLICY, **changes)  # type: ignore[arg-type]
        return look_closer(self.look, self.features(), prompts, previous, frame=frame, policy=policy)

    @property
    def views(self) -> list[CropBox | None]:
        """Which views were asked since the last time."""
        seen, self.asked = [box for box, _, _ in self.asked], []
        return seen


def test_inside_the_crop_the_closer_answer_outside_the_full_one() -> None:
    head = Head()
    head.full = head.full | blob(5, 5, 7, 8)  # a speck far away
    answer = head(CLICK)
    assert head.views == [None, BOX] and head.encoded == [BOX]
    assert np.array_equal(answer.mask, head.near | blob(5, 5, 7, 8))
    assert answer.score == 0.9 and answer.wants_crop is None
    assert answer.zoom is not None and answer.zoom.used and answer.zoom.box == BOX and answer.zoom.score == 0.9
    assert answer.logits.shape == (CELLS, CELLS)
    ratio = CELLS / 300  # the whole slice is what goes on, with the crop's answer in its place
    inside = answer.logits[
        round(70 * ratio) + 1 : round(130 * ratio) - 1, round(90 * ratio) + 1 : round(150 * ratio) - 1
    ]
    assert (inside == 5).all() and (answer.logits == 5).sum() < 0.06 * CELLS**2 and answer.logits[0, 0] == -1


def test_the_closer_look_starts_from_the_full_view_and_sees_the_click_in_its_own_pixels() -> None:
    head = Head()
    head(CLICK)
    (_, _, nothing), (_, prompts, start) = head.asked
    assert nothing is None and prompts == Prompts((Point(20, 30),))
    assert start is not None and start.shape == (CELLS, CELLS) and (start == -1).all()


def test_a_large_object_is_one_run() -> None:
    head = Head()
    head.full = blob(10, 10, 190, 250)
    answer = head(CLICK)
    assert head.views == [None] and head.encoded == [] and answer.zoom is None and answer.mask is head.full


def test_a_mask_that_is_hardly_believed_is_no_place_to_look_at() -> None:
    head = Head()
    head.full_score = 0.4
    answer = head(CLICK, least_score=0.5)
    assert head.views == [None] and answer.zoom is None
    with_box = head(CLICK.add(Box(100, 80, 140, 120)), least_score=0.5)
    assert used(with_box) and head.views == [None, BOX]


def test_a_box_allows_the_closer_look_at_once() -> None:
    head = Head()
    head.full = blob(0, 0, 200, 300)
    answer = head(Prompts().add(Box(100, 80, 140, 120)))
    assert head.views == [None, BOX]
    assert used(answer)
    head.near_score = 0.74  # the two have little in common: the score must be clear
    assert not used(head(Prompts().add(Box(100, 80, 140, 120))))


def used(answer: Segmentation) -> bool:
    return answer.zoom is not None and answer.zoom.used


@pytest.mark.parametrize(
    ("near", "full_score", "near_score", "believed"),
    [
        (blob(82, 102, 118, 138), 0.7, 0.66, True),  # much the same, a little less sure
        (blob(82, 102, 118, 138), 0.7, 0.64, False),  # much the same, clearly less sure
        (blob(95, 105, 110, 115), 0.7, 0.76, True),  # something else, clearly surer
        (blob(95, 105, 110, 115), 0.7, 0.74, False),  # something else, hardly surer
        (blob(0, 0, 0, 0), 0.1, 0.99, False),  # nothing at all
        (blob(82, 112, 118, 138), 0.1, 0.99, False),  # contradicts the click
    ],
)
def test_what_is_seen_closely_has_to_hold_its_own(
    near: np.ndarray, full_score: float, near_score: float, *, believed: bool
) -> None:
    head = Head(near=near)
    head.full_score, head.near_score = full_score, near_score
    answer = head(CLICK)
    assert used(answer) == believed
    if not believed:
        assert answer.mask is head.full and answer.score == full_score and (answer.logits == -1).all()


def test_without_the_features_of_the_crop_the_answer_is_the_full_one_and_says_what_it_wants() -> None:
    head = Head()
    head.ready = False
    answer = head(CLICK)
    assert head.views == [None] and answer.mask is head.full and answer.wants_crop == BOX and not used(answer)
    head.full = blob(81, 101, 121, 141)  # the same crop is wanted as long as it fits
    second = head(CLICK.add(Point(105, 100)), answer)
    assert second.wants_crop == BOX and head.views == [None]
    head.ready = True
    third = head(CLICK.add(Point(105, 100)), answer)
    assert used(third) and head.views == [None, BOX]


def test_the_next_click_is_one_run_on_the_crop_that_goes_on_from_its_own_logits() -> None:
    head = Head()
    first = head(CLICK)
    head.asked.clear()
    second = head(CLICK.add(Point(105, 90)), first)
    ((box, prompts, start),) = head.asked
    assert box == BOX and prompts == Prompts((Point(20, 30), Point(15, 20)))
    assert first.zoom is not None and start is first.zoom.logits
    assert used(second) and np.array_equal(second.mask, head.near)


def test_a_crop_that_was_not_believed_goes_on_from_the_answer_that_was_given() -> None:
    head = Head()
    head.near_score = 0.5
    first = head(CLICK)
    assert not used(first) and first.zoom is not None
    head.asked.clear()
    head.near_score = 0.9
    second = head(CLICK.add(Point(105, 90)), first)
    (box, _, start), (full, _, _) = head.asked
    assert (box, full) == (BOX, None) and used(second)
    assert start is not None and (start == -1).all()  # the full view's, not the crop's own of 5


def test_after_an_answer_of_the_crop_the_full_view_has_to_be_surer_even_where_it_sees_something_else() -> None:
    head = Head(near=blob(95, 105, 110, 115))
    first = head(CLICK)
    assert used(first)
    head.near_score = 0.66  # less sure than before, so the full view is asked
    prompts = CLICK.add(Point(107, 100))
    assert used(head(prompts, first))
    assert not used(head(prompts))  # as a first answer it would not have counted
    head.near_score = 0.64
    assert not used(head(prompts, first))


def _unsure(head: Head) -> Prompts:
    head.near_score = 0.84
    return CLICK.add(Point(105, 90))


def _far_click(_: Head) -> Prompts:
    return CLICK.add(Point(20, 20, positive=False))


def _ignored_click(_: Head) -> Prompts:
    return CLICK.add(Point(92, 75))


@pytest.mark.parametrize("doubt", [_unsure, _far_click, _ignored_click])
def test_the_full_view_is_asked_again_where_anything_looks_wrong(doubt: Callable[[Head], Prompts]) -> None:
    head = Head()
    first = head(CLICK)
    prompts = doubt(head)
    assert head.views == [None, BOX]
    head(prompts, first)
    views = head.views
    assert None in views and views[0] == BOX


def test_without_trust_both_views_are_asked_every_time() -> None:
    head = Head()
    answer = head(CLICK, trust=False)
    answer = head(CLICK.add(Point(105, 90)), answer, trust=False)
    assert head.views == [None, BOX, BOX, None] and used(answer) and head.encoded == [BOX]


def test_an_object_that_goes_on_beyond_the_crop_gets_a_wider_one_once() -> None:
    head = Head(near=blob(70, 90, 130, 150))  # fills its crop
    answer = head(CLICK)
    first, *others = [box for box in head.views if box is not None]
    assert first == BOX and len(others) == 1
    (wider,) = others
    assert wider[2] - wider[0] == 90 and answer.zoom is not None and answer.zoom.box == wider


def test_a_click_beyond_the_crop_gets_a_new_one() -> None:
    head = Head()
    first = head(CLICK)
    head.full = head.near = blob(80, 100, 120, 190)
    answer = head(CLICK.add(Point(185, 100)), first)
    assert used(answer) and answer.zoom is not None and answer.zoom.box != BOX
    assert np.array_equal(answer.mask, head.near)
    assert answer.mask[100, 185]


def test_going_back_to_an_earlier_answer_gives_the_same_again() -> None:
    head = Head()
    first = head(CLICK)
    second = head(CLICK.add(Point(105, 90)), first)
    head(CLICK.add(Point(105, 90)).add(Point(185, 100)), second)
    again = head(CLICK.add(Point(105, 90)), first)
    assert np.array_equal(again.mask, second.mask) and np.array_equal(again.logits, second.logits)
    assert first.zoom is not None and again.zoom is not None and again.zoom.box == first.zoom.box


# With a model.

pytest.importorskip("onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from tests.unit.inference.tiny_models import make_model

    return make_model(tmp_path)


def test_a_model_sees_a_small_object_at_the_right_place_and_encodes_its_crop_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskwright.inference import OnnxSegmenter
    from maskwright.inference.ort import run_session

    ran: list[str] = []

    def counting(session, outputs, inputs, **options):
        ran.append("encoder" if "image" in inputs else "head")
        return run_session(session, outputs, inputs, **options)

    monkeypatch.setattr("maskwright.inference.segmenter.run_session", counting)
    policy = ZoomPolicy(expand=2, doubt=0, least_gain=1.5, least_overlap=0, slack=1, rim=0.01, shrink=0.1)
    segmenter = OnnxSegmenter(folder, threads=1, zoom=policy)
    image = np.zeros((512, 512), np.uint8)
    features = segmenter.encode(image)
    image[:] = 255  # what the caller does with its array afterwards does not matter
    click = Prompts().add(Point(200, 300))
    first = segmenter.segment(features, click)
    assert ran == ["encoder", "head", "encoder", "head"]
    assert first.zoom is not None and first.zoom.used and first.mask[300, 200] and first.score == pytest.approx(0.7)
    ran.clear()
    second = segmenter.segment(features, click.add(Point(210, 300)), previous=first)
    assert ran == ["head"] and second.mask[300, 200] and second.mask[300, 210]
    elsewhere = segmenter.segment(features, Prompts().add(Point(400, 60)))
    assert elsewhere.mask[60, 400] and not elsewhere.mask[300, 200] and ran.count("encoder") == 1
    plain = OnnxSegmenter(folder, threads=1)
    assert plain.encode(image).crops is None
    stored = features.with_crops(None)
    ran.clear()
    assert segmenter.segment(stored, click).zoom is None and ran == ["head"]


def test_a_family_with_a_memory_has_one_view(tmp_path: Path) -> None:
    from maskwright.inference import OnnxSegmenter
    from tests.unit.inference.tiny_models import make_model

    segmenter = OnnxSegmenter(make_model(tmp_path, state=True), threads=1, zoom=ZoomPolicy())
    features = segmenter.encode(np.zeros((512, 512), np.uint8))
    assert features.crops is None
    assert segmenter.segment(features, Prompts().add(Point(200, 300))).zoom is None


def test_the_zoom_is_on_in_scripts_and_can_be_turned_off(folder: Path) -> None:
    from maskwright.inference import load_segmenter
    from tests.unit.inference.tiny_models import edit_card

    image, policy = np.zeros((512, 512), np.uint8), ZoomPolicy(least_gain=3)
    assert load_segmenter(folder, 1).encode(image).crops is not None
    assert load_segmenter(folder, 1, zoom=policy).encode(image).crops is not None
    assert load_segmenter(folder, 1, zoom=False).encode(image).crops is None
    edit_card(folder, zoom=False)  # a model may say that it is no good at it
    assert load_segmenter(folder, 1).encode(image).crops is None
    assert load_segmenter(folder, 1, zoom=policy).encode(image).crops is not None
    assert np.array_equal(pasted(np.zeros((2, 2), bool), np.ones((1, 1), bool), (0, 0, 1, 1)), [[1, 0], [0, 0]])
