"""Disagreement of a pool of head runs: where it lies, how it is counted, which click it leads to, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.core.preprocess import SliceTransform
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.inference.uncertainty import Asked, PoolPolicy, Uncertainty, doubt

SHAPE, CELLS, SIZE = (200, 300), 64, 128
FRAME = SliceTransform(SHAPE, SIZE)
CLICK = Prompts().add(Point(110, 100))
POLICY = PoolPolicy()
CELL = SHAPE[1] / CELLS  # slice pixels a cell


def cells(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Logits that say object inside (x0, y0, x1, y1) boxes of the slice."""
    out = np.full((CELLS, CELLS), -10, np.float32)
    for box in boxes:
        x0, y0, x1, y1 = (round(edge / CELL) for edge in box)
        out[y0:y1, x0:x1] = 10
    return out


BODY, ARM, ISLAND = (60, 60, 140, 140), (140, 60, 220, 140), (240, 20, 270, 50)


class Run:
    """A head whose every run gives these candidates; keeps what it was asked."""

    def __init__(self, *candidates: tuple[np.ndarray, float]) -> None:
        self.candidates = candidates
        self.asked: list[tuple[Prompts, np.ndarray | None]] = []

    def __call__(self, prompts: Prompts, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((prompts, start))
        return np.stack([c for c, _ in self.candidates]), np.array([s for _, s in self.candidates], np.float32)


def doubt_of(run: Run, logits: np.ndarray, score: float = 0.9, prompts: Prompts = CLICK) -> Uncertainty:
    return doubt(run, prompts, logits, score, frame=FRAME, policy=POLICY)


def test_a_pool_that_agrees_is_sure() -> None:
    found = doubt_of(Run((cells(BODY), 0.9)), cells(BODY), score=1.0)
    assert found.map.shape == SHAPE and found.map.dtype == np.float32
    assert found.map.max() < 1e-3 and found.score == pytest.approx(0, abs=1e-6) and found.next_click is None


def test_what_only_the_pool_sees_is_doubtful_and_wants_a_positive_click_in_its_middle() -> None:
    found = doubt_of(Run((cells(BODY, ARM), 0.9)), cells(BODY))
    assert found.map[100, 180] > 0.8 and found.map[100, 90] < 0.01 and found.map[20, 20] < 0.01
    assert found.next_click is not None
    x, y, positive = found.next_click
    assert positive and (x, y) == pytest.approx((180, 100), abs=2 * CELL)


def test_what_the_pool_does_not_see_wants_a_negative_click() -> None:
    found = doubt_of(Run((cells(BODY), 0.9)), cells(BODY, ISLAND, ARM))
    assert found.next_click is not None
    x, y, positive = found.next_click
    assert not positive and (x, y) == pytest.approx((180, 100), abs=2 * CELL)  # the deeper of the two


def test_the_score_grows_with_disagreement_and_falls_with_the_predicted_iou() -> None:
    calm, torn = Run((cells(BODY), 0.9)), Run((cells(ARM), 0.9))
    assert doubt_of(calm, cells(BODY)).score == pytest.approx(0.05, abs=1e-4)
    assert doubt_of(torn, cells(BODY)).score > 0.4
    assert doubt_of(calm, cells(BODY), score=0.3).score > doubt_of(calm, cells(BODY), score=0.8).score + 0.2


def test_one_member_that_disagrees_is_enough_for_the_score() -> None:
    split = doubt_of(Run((cells(BODY), 0.9), (cells(ARM), 0.7)), cells(BODY))
    torn = doubt_of(Run((cells(ARM), 0.9)), cells(BODY))
    assert split.score == pytest.approx(torn.score) and split.map.max() < torn.map.max() + 1e-6


def test_candidates_that_scored_nearly_as_well_are_members_and_the_rest_are_not() -> None:
    near = doubt_of(Run((cells(BODY), 0.9), (cells(BODY, ARM), 0.85)), cells(BODY))
    far = doubt_of(Run((cells(BODY), 0.9), (cells(BODY, ARM), 0.59)), cells(BODY))
    assert near.map[100, 180] > 0.5 and far.map[100, 180] < 0.01 and far.next_click is None


def test_a_place_that_was_clicked_is_not_proposed_again() -> None:
    first = doubt_of(Run((cells(BODY, ARM), 0.9)), cells(BODY)).next_click
    assert first is not None
    clicked = CLICK.add(Point(first[0], first[1], positive=False))
    second = doubt_of(Run((cells(BODY, ARM), 0.9)), cells(BODY), prompts=clicked).next_click
    assert second is not None and np.hypot(second[0] - first[0], second[1] - first[1]) > CELL


def test_the_padding_of_the_model_input_is_no_place_to_click() -> None:
    everywhere = np.full((CELLS, CELLS), 10, np.float32)
    found = doubt_of(Run((everywhere, 0.9)), np.full((CELLS, CELLS), -10, np.float32))
    assert found.next_click is not None
    x, y, _ = found.next_click
    assert y == pytest.approx(100, abs=2 * CELL) and 90 < x < 210  # all of that is equally deep


def test_the_pool_is_three_runs_with_clicks_moved_alike_every_time() -> None:
    logits, runs = cells(BODY), []
    for _ in range(2):
        run = Run((logits, 0.9))
        doubt_of(run, logits, prompts=CLICK.add(Point(20, 20, positive=False)))
        runs.append(run.asked)
    assert [prompts for prompts, _ in runs[0]] == [prompts for prompts, _ in runs[1]]
    (a, no), (b, start), (c, none) = runs[0]
    assert no is None and start is logits and none is None and c == CLICK.add(Point(20, 20, positive=False))
    for varied in (a, b):
        for moved, kept in zip(varied, c, strict=True):
            assert isinstance(moved, Point) and isinstance(kept, Point) and moved.positive == kept.positive
            assert np.hypot(moved.x - kept.x, moved.y - kept.y) == pytest.approx(5 * 300 / 128, rel=1e-4)
    assert a != b


def test_a_click_stays_where_moving_it_would_contradict_the_mask() -> None:
    run = Run((cells(BODY), 0.9))
    edge = Prompts().add(Point(62, 62)).add(Point(57, 100, positive=False)).add(Text("cup"))
    doubt_of(run, cells(BODY), prompts=edge)
    mask = FRAME.logits_to_slice(cells(BODY)) > 0
    for varied, _ in run.asked:
        for p in varied:
            assert isinstance(p, Text) or (isinstance(p, Point) and mask[round(p.y), round(p.x)] == p.positive)


def test_words_alone_are_two_runs() -> None:
    run = Run((cells(BODY), 0.9))
    doubt_of(run, cells(BODY), prompts=Prompts().add(Text("cup")))
    assert [start is None for _, start in run.asked] == [True, False]


def test_boxes_and_strokes_are_varied_too() -> None:
    run, stroke = Run((cells(BODY), 0.9)), Scribble(np.array([[80, 80], [100, 100]]))
    prompts = Prompts().add(Box(60, 60, 140, 140)).add(stroke).add(Box(60, 60, 61, 61))
    doubt_of(run, cells(BODY), prompts=prompts)
    (a, _), (b, _), (c, _) = run.asked
    tight, loose = a.items[0], b.items[0]
    assert isinstance(tight, Box) and isinstance(loose, Box) and tight.x0 > 60 > loose.x0 and tight.y1 < 140 < loose.y1
    assert a.items[1] != stroke != b.items[1] and c == prompts and a.items[2] == prompts.items[2]


def test_an_empty_mask_is_as_doubtful_as_its_pool() -> None:
    nothing = np.full((CELLS, CELLS), -10, np.float32)
    assert doubt_of(Run((nothing, 0.2)), nothing, score=0.2).score == pytest.approx(0.4, abs=1e-6)
    assert doubt_of(Run((cells(BODY), 0.2)), nothing, score=0.2).score > 0.7


def test_what_is_asked_for_is_computed_once() -> None:
    calls = []

    def compute() -> Uncertainty:
        calls.append(1)
        return Uncertainty(np.zeros((1, 1), np.float32), 0.5, None)

    asked = Asked(compute)
    assert calls == [] and asked() is asked() and calls == [1]


# With a model.


def test_an_answer_tells_its_next_click_when_it_is_asked_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    from maskwright.core.stop import Stop, Stopped
    from maskwright.inference import OnnxSegmenter, ZoomPolicy
    from maskwright.inference.ort import run_session
    from tests.unit.inference.tiny_models import make_model

    ran: list[str] = []

    def counting(session, outputs, inputs, **options):
        ran.append("encoder" if "image" in inputs else "head")
        return run_session(session, outputs, inputs, **options)

    monkeypatch.setattr("maskwright.inference.segmenter.run_session", counting)
    policy = ZoomPolicy(expand=2, doubt=0, least_overlap=0, slack=1, rim=0.01)
    segmenter = OnnxSegmenter(make_model(tmp_path), threads=1, zoom=policy)
    features = segmenter.encode(np.zeros((512, 512), np.uint8))
    click = Prompts().add(Point(200, 300))
    plain = segmenter.segment(features.with_crops(None), click)
    assert ran == ["encoder", "head"]
    assert plain.uncertainty is not None and plain.uncertainty.map.shape == (512, 512)
    assert plain.next_click == plain.uncertainty.next_click and ran == ["encoder", *["head"] * 4]
    edge, inside = plain.uncertainty.map[300, 255:275].max(), plain.uncertainty.map[300, 190:210].max()
    assert edge > 0.3 > 0.2 > inside  # the disk moves with its click

    zoomed = segmenter.segment(features, click)
    assert zoomed.zoom is not None and zoomed.zoom.used
    ran.clear()
    found = zoomed.uncertainty
    assert found is not None and ran == ["head"] * 3
    y0, x0, y1, x1 = zoomed.zoom.box
    outside = np.ones((512, 512), bool)
    outside[y0:y1, x0:x1] = False
    assert found.map[outside].max() == 0 < found.map.max()
    if found.next_click is not None:
        assert x0 <= found.next_click[0] < x1 and y0 <= found.next_click[1] < y1

    stop = Stop()
    stop.set()
    for work in (
        lambda: segmenter.uncertainty(features, click, plain, stop=stop),
        lambda: segmenter.segment(features, click, stop=stop),
        lambda: segmenter.encode(np.zeros((8, 8), np.uint8), stop=stop),
    ):
        with pytest.raises(Stopped):
            work()
