"""A click becomes a mask: journal, dot, features, head; late, stale and failing answers; prompts over a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import ModelError, ScanError, StoreError
from maskwright.core.prompts import Box, Point, Prompts, Text
from maskwright.core.volume import View
from maskwright.session import Session
from tests.fakes import MainThread, disks

from .conftest import Desk

A, B, C = Point(20, 20), Point(40, 30), Point(22, 22, positive=False)
PHOTO = (60, 80)


def mask(session: Session) -> np.ndarray:
    assert session.preview_mask is not None
    return session.preview_mask


def test_a_click_shows_its_dot_at_once_and_its_mask_when_the_head_is_done(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    desk.changes.clear()
    encoded = desk.segmenter.encoded
    assert encoded == 1 and session.ready.tolist() == [True]

    changes = session.add_prompt(A)
    assert changes.prompts and changes.history and changes.preview is None and not session.waiting
    assert session.prompts == Prompts((A,)) and session.preview is None and not session.preview_is_current
    desk.main.run_until(lambda: session.preview_is_current)
    assert np.array_equal(mask(session), disks(Prompts((A,)), PHOTO))
    assert desk.merged().preview == (8, 8, 33, 33)
    assert session.last_click_ms is not None and session.last_click_ms > 0
    assert (desk.segmenter.segmented, desk.segmenter.encoded) == (1, encoded)  # one click, one head run, no encode


def test_each_prompt_goes_on_from_the_answer_before_it(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.click(session, A, B, C)
    assert desk.segmenter.chain == [(1, 0), (2, 1), (3, 2)]
    assert np.array_equal(mask(session), disks(Prompts((A, B, C)), PHOTO))


def test_removing_and_undoing_a_prompt_shows_the_earlier_answer_without_a_head_run(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.click(session, A, B)
    two = mask(session)
    changes = session.undo()
    assert changes.prompts and changes.preview == (8, 8, 53, 43)  # around both masks
    assert session.prompts == Prompts((A,)) and np.array_equal(mask(session), disks(Prompts((A,)), PHOTO))
    session.redo()
    assert mask(session) is two
    session.remove_last_prompt()
    assert session.prompts == Prompts((A,)) and session.undo_text == "remove prompt"
    session.undo()
    assert mask(session) is two
    session.clear_prompts()
    assert session.preview is None and session.preview_is_current and not session.prompts
    session.undo()
    assert mask(session) is two
    assert desk.segmenter.segmented == 2


def test_removing_where_nothing_is_does_nothing(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    assert not session.remove_last_prompt() and not session.clear_prompts()
    assert not session.can_undo


def test_a_click_on_a_slice_that_is_not_ready_waits_and_its_encode_goes_first(desk: Desk, scan: Path):
    desk.segmenter.gate.clear()
    session = desk.session()
    session.open(scan)
    assert session.view == View(0, 3) == session.encoding
    session.set_view(View(0, 0))
    session.add_prompt(A)
    assert session.waiting and not session.ready.any()
    desk.segmenter.gate.set()
    desk.main.run_until(lambda: session.preview_is_current)
    assert not session.waiting
    assert [view.index for view in desk.stores.only.writes][:1] == [0]  # the one that was in work gave way
    assert np.array_equal(mask(session), disks(Prompts((A,)), (40, 50)))
    assert session.last_click_ms is None  # waiting for an encode is not what is measured
    desk.settle(session)
    assert [view.index for view in desk.stores.only.writes] == [0, 1, 2, 3, 4, 5, 6]
    assert desk.segmenter.encoded == 7 and session.ready.all() and session.encoding is None


def test_the_head_does_not_wait_for_a_slice_that_is_being_encoded(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.main.run_until(lambda: bool(session.ready[3]))
    desk.segmenter.gate.clear()
    desk.main.run_until(lambda: session.encoding is not None)
    desk.click(session, A)  # the gate holds back the encoder all the while
    assert session.preview_is_current and desk.segmenter.segmented == 1
    desk.segmenter.gate.set()


def test_scrolling_moves_the_encoder_along(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.main.run_until(lambda: bool(session.ready[3]))
    session.set_view(View(0, 6))
    desk.settle(session)
    order = [view.index for view in desk.stores.only.writes]
    assert order[0] == 3 and set(order[1:3]) <= {4, 6} and order[-1] == 0


def test_without_encoding_ahead_only_clicked_slices_are_encoded(desk: Desk, scan: Path):
    session = desk.session(encode_ahead=False)
    session.open(scan)
    desk.settle(session)
    assert desk.segmenter.encoded == 0
    desk.click(session, A)
    desk.settle(session)
    assert desk.segmenter.encoded == 1 and session.ready.tolist() == [i == 3 for i in range(7)]


def test_a_slice_along_another_axis_is_encoded_when_it_is_clicked(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.settle(session)
    session.set_view(View(1, 11))
    desk.settle(session)
    assert desk.segmenter.encoded == 7
    desk.click(session, Point(10, 3))
    assert desk.segmenter.encoded == 8 and mask(session).shape == (7, 50)


def test_fast_clicks_give_the_answer_of_slow_ones(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    desk.segmenter.head_gate.clear()
    for prompt in (A, B, C):
        session.add_prompt(prompt)
    desk.segmenter.head_gate.set()
    desk.main.run_until(lambda: session.preview_is_current)
    assert np.array_equal(mask(session), disks(Prompts((A, B, C)), PHOTO))
    assert desk.segmenter.chain == [(1, 0), (2, 1), (3, 2)]


def test_a_stale_answer_is_not_shown(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    desk.changes.clear()
    desk.segmenter.head_gate.clear()
    session.add_prompt(A)
    session.clear_prompts()
    desk.segmenter.head_gate.set()
    desk.main.run_until(lambda: not session._head_lane.busy)
    assert session.preview is None and desk.merged().preview is None
    session.undo()  # what was computed in vain is not computed again
    assert np.array_equal(mask(session), disks(Prompts((A,)), PHOTO)) and desk.segmenter.segmented == 1


def test_prompts_belong_to_their_slice(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.settle(session)
    desk.click(session, A)
    changes = session.set_view(View(0, 4))
    assert changes.view and changes.prompts and session.prompts == Prompts() and session.preview is None
    desk.click(session, B)
    session.set_view(View(0, 3))
    assert session.prompts == Prompts((A,)) and np.array_equal(mask(session), disks(Prompts((A,)), (40, 50)))
    assert session.draft_views == (View(0, 3), View(0, 4)) and desk.segmenter.segmented == 2
    session.undo()
    assert session.view == View(0, 4) and session.prompts == Prompts()


def test_prompts_survive_a_restart_and_their_mask_is_computed_again(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    session.set_view(View(0, 5))
    desk.click(session, A, B, C)
    before = mask(session).copy()
    session.close()

    again = desk.session()
    again.open(scan)
    assert again.view == View(0, 5) and again.prompts == Prompts((A, B, C)) and not again.preview_is_current
    desk.main.run_until(lambda: again.preview_is_current)
    assert np.array_equal(mask(again), before)
    assert desk.segmenter.chain[3:] == [(1, 0), (2, 1), (3, 2)]
    again.undo()
    assert again.prompts == Prompts((A, B)) and np.array_equal(mask(again), disks(Prompts((A, B)), (40, 50)))


def test_prompts_survive_a_restart_with_a_model_whose_features_are_not_there(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.click(session, Box(10, 12, 30, 40))
    session.close()
    desk.stores.opened.clear()
    again = desk.session()
    again.open(photo)
    assert again.waiting
    desk.main.run_until(lambda: again.preview_is_current)
    assert int(mask(again).sum()) == 20 * 28


def test_damaged_features_are_encoded_again_and_said_so_once(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    desk.settle(session)
    session.close()
    again = desk.session()
    again.open(scan)
    desk.stores.only.damaged.add(View(0, 3))
    encoded = desk.segmenter.encoded
    desk.changes.clear()
    again.add_prompt(A)
    desk.main.run_until(lambda: again.preview_is_current)
    assert desk.segmenter.encoded == encoded + 1
    assert desk.merged().message.count("damaged") == 1


def test_a_full_feature_disk_is_said_once_and_clicks_still_work(desk: Desk, scan: Path):
    session = desk.session(encode_ahead=False)
    session.open(scan)
    desk.stores.only.full = True
    for index in (3, 4, 5):
        session.set_view(View(0, index))
        desk.click(session, A)
    failures = [one for one in desk.changes if one.error is not None]
    assert len(failures) == 1 and "the disk is full" in failures[0].message
    assert session.ready.tolist() == [False, False, False, True, True, True, False]
    assert not desk.stores.only.ready_flags().any()
    desk.stores.only.full = False
    session.set_view(View(0, 6))
    desk.click(session, A)
    assert desk.stores.only.writes == [View(0, 6)]


def test_without_a_place_for_features_a_scan_opens_and_clicks_work(desk: Desk, scan: Path):
    desk.stores.trouble = StoreError("the folder is read-only", path=desk.folder, hint="Choose another feature folder.")
    session = desk.session()
    changes = session.open(scan)
    assert changes.error is desk.stores.trouble
    desk.settle(session)
    assert desk.segmenter.encoded == 0  # nothing ahead of time that cannot be kept
    desk.click(session, A)
    assert session.preview_is_current and desk.segmenter.encoded == 1
    assert not any(one.error for one in desk.changes)  # said once


def test_without_a_model_a_scan_opens_and_each_click_says_why_there_is_no_mask(desk: Desk, photo: Path):
    error = ModelError("the model is damaged", hint="Import it again.")
    broken = True

    def load():
        if broken:
            raise error
        return desk.segmenter

    session = desk.session(segmenter=load)
    assert session.open(photo).error is error
    assert session.volume is not None and session.model_card is None
    desk.settle(session)
    assert desk.changes == []
    for count in (1, 2):
        session.add_prompt(A)
        desk.main.run_until(lambda: len(desk.changes) == count)  # noqa: B023
        assert desk.changes[-1].error is error and len(session.prompts) == count
    broken = False
    session.add_prompt(B)
    desk.main.run_until(lambda: session.preview_is_current)
    assert np.array_equal(mask(session), disks(Prompts((A, A, B)), PHOTO))
    assert session.model_card is desk.segmenter.card


def test_a_head_that_fails_says_so_and_the_next_click_tries_again(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    desk.changes.clear()
    desk.segmenter.trouble = ValueError("shapes")
    session.add_prompt(A)
    desk.main.run_until(lambda: bool(desk.changes))
    (failure,) = desk.changes
    assert failure.error is not None and failure.message.startswith("could not segment (ValueError: shapes)")
    assert session.prompts == Prompts((A,))
    desk.segmenter.trouble = None
    desk.click(session, B)
    assert np.array_equal(mask(session), disks(Prompts((A, B)), PHOTO))


def test_a_click_without_a_scan_says_what_to_do(desk: Desk):
    session = desk.session()
    with pytest.raises(ScanError, match="no scan is open") as caught:
        session.add_prompt(A)
    assert caught.value.hint == "Open a scan or a photo first."
    with pytest.raises(ScanError, match="no scan is open"):
        session.commit()
    with pytest.raises(ScanError, match="no scan is open"):
        session.set_view(View(0, 0))


def test_what_undo_says_names_the_prompt(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    for prompt, text in ((A, "point"), (C, "negative point"), (Box(0, 0, 3, 3), "box"), (Text("liver"), "text")):
        session.add_prompt(prompt)
        assert session.undo_text == text
    assert session.undo().message == "Undone: text."


def test_a_view_outside_the_scan_is_the_nearest_inside(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    session.set_view(View(0, 99))
    assert session.view == View(0, 6)
    session.set_view(View(0, -4))
    assert session.view == View(0, 0)
    assert not session.set_view(View(0, 0))
    with pytest.raises(ValueError, match="axis"):
        session.set_view(View(3, 0))


def test_a_session_belongs_to_its_thread(desk: Desk, photo: Path):
    import threading

    session = desk.session()
    session.open(photo)
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            session.add_prompt(A)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert isinstance(caught[0], ValueError) and session.prompts == Prompts()


def test_nothing_arrives_after_close(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    session.close()
    desk.changes.clear()
    main = MainThread()
    main._waiting.extend(desk.main._waiting)
    while main._waiting:
        main.run_one()
    assert desk.changes == []
    with pytest.raises(ValueError, match="closed"):
        session.add_prompt(A)
    session.close()
