"""What runs behind the clicks gives way to them: the encoder, the closer look at a small object, the doubt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.core.features import Features
from maskwright.core.prompts import Point, Prompts
from maskwright.core.volume import View
from maskwright.session import Session
from maskwright.session.crops import CROPS, CropShelf, Target
from tests.fakes import FakeSegmenter, disks

from .conftest import Desk, write_photo

A, B = Point(20, 20), Point(40, 30)
PHOTO = (60, 80)
BOX = (4, 6, 34, 46)


@pytest.fixture
def head_runs(desk: Desk) -> Callable[[], int]:
    """How many runs of the head were begun since the last time."""
    seen = [0]

    def since() -> int:
        new, seen[0] = desk.segmenter.segmented - seen[0], desk.segmenter.segmented
        return new

    return since


def ready(desk: Desk, path: Path, **options: Any) -> Session:
    session = desk.session(**options)
    session.open(path)
    desk.settle(session)
    return session


def mask(session: Session) -> np.ndarray:
    assert session.preview_mask is not None
    return session.preview_mask


def zoomed(prompts: Prompts) -> np.ndarray:
    out = disks(prompts, PHOTO)
    out[BOX[0] : BOX[2], BOX[1] : BOX[3]] = True
    return out


# The encoder gives way.


def test_a_click_stops_the_slice_that_is_being_encoded_and_it_is_encoded_again_afterwards(desk: Desk, scan: Path):
    session, desk.segmenter.close_after = desk.session(), 1
    session.open(scan)
    desk.main.run_until(lambda: bool(session.ready[3]))
    desk.main.run_until(lambda: session.encoding is not None)
    busy_with = session.encoding
    desk.segmenter.head_gate.clear()
    session.add_prompt(A)
    desk.main.run_until(lambda: not session._encode_lane.busy)
    assert desk.segmenter.encoded == 1 and session.encoding is None  # quiet while the click is being answered
    desk.segmenter.head_gate.set()
    desk.main.run_until(lambda: session.preview_is_current)
    desk.main.run_until(lambda: session._encode_lane.busy)
    assert session.encoding == busy_with
    desk.segmenter.gate.set()
    desk.settle(session)
    assert session.ready.all() and desk.segmenter.encoded == 7
    assert sorted(view.index for view in desk.stores.only.writes) == list(range(7))


def test_clicks_that_keep_coming_lose_no_slice(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.main.run_until(lambda: bool(session.ready[3]))
    for k in range(8):
        desk.click(session, Point(10 + k, 20))
    desk.settle(session)
    assert session.ready.all() and desk.segmenter.encoded == 7 and desk.segmenter.segmented == 8


def test_a_prompt_that_is_taken_back_before_its_answer_lets_the_encoder_go_on(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.main.run_until(lambda: bool(session.ready[3]))
    desk.segmenter.head_gate.clear()
    session.add_prompt(A)
    session.undo()
    desk.segmenter.head_gate.set()
    desk.settle(session)
    assert session.ready.all() and session.preview is None


def test_closing_does_not_wait_for_the_encoder(desk: Desk, scan: Path):
    desk.segmenter.gate.clear()  # nobody opens it
    session = desk.session()
    session.open(scan)
    desk.main.run_until(lambda: session.encoding is not None)
    session.close()
    assert desk.segmenter.encoded == 0 and not any("encode" in thread.name for thread in threading.enumerate())


def test_another_scan_stops_the_encoder_of_the_one_before(desk: Desk, scan: Path, photo: Path):
    session = desk.session()
    session.open(scan)
    desk.segmenter.gate.clear()
    desk.main.run_until(lambda: session.encoding is not None)
    session.open(photo)
    desk.segmenter.gate.set()
    desk.settle(session)
    assert session.ready.tolist() == [True] and desk.segmenter.shapes[-1] == PHOTO


# The closer look.


def test_a_small_object_is_answered_at_once_and_again_when_its_crop_is_there(
    desk: Desk, photo: Path, head_runs: Callable[[], int]
):
    session = ready(desk, photo)
    desk.segmenter.zoom_at, desk.segmenter.shapes = BOX, []
    desk.segmenter.gate.clear()
    desk.changes.clear()
    session.add_prompt(A)
    desk.main.run_until(lambda: session.preview_is_current)
    assert head_runs() == 1 and desk.segmenter.shapes == []  # one click, one head run, no encode before the answer
    assert np.array_equal(mask(session), disks(Prompts((A,)), PHOTO))
    assert session.encoding is None and not session.waiting
    desk.segmenter.gate.set()
    desk.settle(session)
    assert np.array_equal(mask(session), zoomed(Prompts((A,))))
    assert head_runs() == 1 and desk.segmenter.shapes == [(30, 40)]
    assert desk.merged().preview == (6, 4, 46, 34)
    assert desk.stores.only.writes == [View(0, 0)]  # crops are not stored


def test_the_next_click_uses_the_crop_without_waiting(desk: Desk, photo: Path, head_runs: Callable[[], int]):
    session = ready(desk, photo)
    desk.segmenter.zoom_at = BOX
    desk.click(session, A)
    desk.settle(session)
    head_runs()
    encoded = desk.segmenter.encoded
    desk.click(session, B)
    assert np.array_equal(mask(session), zoomed(Prompts((A, B)))) and head_runs() == 1
    desk.settle(session)
    assert head_runs() == 0 and desk.segmenter.encoded == encoded
    session.undo()
    assert np.array_equal(mask(session), zoomed(Prompts((A,))))
    session.redo()
    assert np.array_equal(mask(session), zoomed(Prompts((A, B)))) and head_runs() == 0


def test_a_click_during_the_closer_look_is_answered_first_and_the_late_one_is_not_shown(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.segmenter.zoom_at = BOX
    desk.segmenter.gate.clear()
    desk.click(session, A)
    desk.main.run_until(lambda: session._encode_lane.busy)
    desk.click(session, B)  # stops the encode of the crop
    assert np.array_equal(mask(session), disks(Prompts((A, B)), PHOTO))
    session.clear_prompts()
    desk.segmenter.gate.set()
    desk.settle(session)
    assert session.preview is None and desk.segmenter.encoded == 1  # nobody wants the crop any more
    session.undo()
    desk.settle(session)
    assert np.array_equal(mask(session), zoomed(Prompts((A, B))))


def test_the_crop_of_what_is_on_the_screen_comes_before_other_slices(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.main.run_until(lambda: bool(session.ready[3]))
    desk.segmenter.zoom_at = BOX
    desk.click(session, A)
    desk.segmenter.shapes = []
    desk.settle(session)
    assert desk.segmenter.shapes[0] == (30, 40) and desk.segmenter.shapes.count((30, 40)) == 1
    assert session.ready.all()
    session.close()
    without = ready(desk, write_photo(desk.folder / "other.png", seed=5), encode_ahead=False)
    desk.click(without, A)
    desk.settle(without)
    assert without.preview is not None and without.preview.zoom is not None and without.preview.zoom.used


def test_a_commit_takes_what_is_on_the_screen(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.segmenter.zoom_at = BOX
    desk.segmenter.gate.clear()
    desk.click(session, A)
    session.commit()
    (one,) = session.annotation.objects
    assert one.masks[View(0, 0)].area == disks(Prompts((A,)), PHOTO).sum()
    desk.segmenter.gate.set()
    desk.settle(session)
    assert desk.segmenter.encoded == 1


def test_prompts_of_before_a_restart_get_their_closer_look(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.segmenter.zoom_at = BOX
    desk.click(session, A)
    session.close()
    again = ready(desk, photo)
    assert np.array_equal(mask(again), zoomed(Prompts((A,))))


def test_a_closer_look_that_fails_is_said_once_and_the_answer_stays(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.segmenter.zoom_at = BOX
    desk.segmenter.gate.clear()
    desk.click(session, A)
    desk.changes.clear()
    desk.segmenter.trouble = ValueError("no")
    desk.segmenter.gate.set()
    desk.settle(session)
    assert len([one for one in desk.changes if one.error is not None]) == 1
    assert np.array_equal(mask(session), disks(Prompts((A,)), PHOTO))


def test_the_shelf_of_crops_forgets_the_oldest():
    shelf, features = CropShelf(), Features((), (1, 1))
    for n in range(CROPS + 1):
        shelf.put(Target(View(0, n % 2), (0, 0, 1, n + 1)), features)
    assert len(shelf.of(View(0, 0))) + len(shelf.of(View(0, 1))) == CROPS
    assert (0, 0, 1, 1) not in shelf.of(View(0, 0)) and (0, 0, 1, 2) in shelf.of(View(0, 1))
    shelf.clear()
    assert not shelf.of(View(0, 0))


# The doubt.


def test_nothing_is_doubted_until_it_is_to_be_shown(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.click(session, A)
    desk.settle(session)
    assert desk.segmenter.doubted == 0 and session.uncertainty is None and not session.shows_uncertainty
    desk.changes.clear()
    session.show_uncertainty(on=True)
    desk.settle(session)
    assert desk.segmenter.doubted == 1 and session.uncertainty is not None
    assert session.uncertainty.next_click == (3, 4, True) and session.uncertainty.map.shape == PHOTO
    assert desk.merged().preview == (0, 0, 80, 60)
    assert session.show_uncertainty(on=False).preview == (0, 0, 80, 60)
    assert session.uncertainty is None
    session.show_uncertainty(on=True)
    assert session.uncertainty is not None  # it was kept
    desk.settle(session)
    assert desk.segmenter.doubted == 1 and not session.can_redo and session.undo_text == "point"


def test_a_click_is_answered_before_it_is_doubted_and_older_doubt_goes(desk: Desk, photo: Path):
    session = ready(desk, photo)
    session.show_uncertainty(on=True)
    desk.segmenter.doubt_gate.clear()
    desk.click(session, A)
    desk.main.run_until(lambda: session._look_lane.busy)
    desk.click(session, B)  # while the first is still being doubted
    assert desk.segmenter.doubted == 0
    desk.segmenter.doubt_gate.set()
    desk.settle(session)
    assert desk.segmenter.doubted == 1 and desk.segmenter.segmented == 2
    assert session.uncertainty is not None
    changes = session.add_prompt(Point(60, 30))
    assert session.uncertainty is not None or changes.preview == (0, 0, 80, 60)
    desk.main.run_until(lambda: session.preview_is_current)
    assert session.uncertainty is None
    desk.settle(session)
    assert session.uncertainty is not None and desk.segmenter.doubted == 2


def test_a_small_object_is_doubted_once_after_the_closer_look(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.segmenter.zoom_at = BOX
    session.show_uncertainty(on=True)
    desk.click(session, A)
    desk.settle(session)
    assert desk.segmenter.doubted == 1 and session.uncertainty is not None
    assert session.uncertainty.map[BOX[0], BOX[1]] == 0.5  # of the mask that is shown


def test_features_of_a_slice_that_was_left_are_read_again_for_its_doubt(desk: Desk, scan: Path):
    session = ready(desk, scan)
    desk.click(session, A)
    session.set_view(View(0, 0))
    desk.click(session, B)
    desk.settle(session)
    session.set_view(View(0, 3))
    runs = desk.segmenter.segmented
    session.show_uncertainty(on=True)
    desk.settle(session)
    assert session.uncertainty is not None and desk.segmenter.segmented == runs


def test_doubt_that_fails_is_said_once(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.click(session, A)
    desk.segmenter.trouble = ValueError("no")
    desk.changes.clear()
    session.show_uncertainty(on=True)
    desk.settle(session)
    assert len([one for one in desk.changes if one.error is not None]) == 1 and session.uncertainty is None
    desk.segmenter.trouble = None
    desk.click(session, B)
    desk.settle(session)
    assert session.uncertainty is not None


def test_another_model_forgets_crops_and_doubt(desk: Desk, photo: Path):
    session = ready(desk, photo)
    desk.segmenter.zoom_at = BOX
    session.show_uncertainty(on=True)
    desk.click(session, A)
    desk.settle(session)
    other = FakeSegmenter()
    session.use_model_async(lambda: other, name="other")
    desk.main.run_until(lambda: session.model_name == "other")
    assert session.uncertainty is None and not session._crops.of(View(0, 0))
    desk.settle(session)
    assert other.doubted == 1 and session.uncertainty is not None
    assert np.array_equal(mask(session), disks(Prompts((A,)), PHOTO))
