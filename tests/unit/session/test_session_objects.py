"""Objects: what commit makes, what each verb changes, and that every one is one step to undo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.core.annotation import AnnotationObject
from maskwright.core.errors import AnnotationError
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.prompts import Box, Point, Prompts
from maskwright.core.volume import View
from maskwright.session import Session
from tests.fakes import disks

from .conftest import Desk

A, B = Point(20, 20), Point(45, 30)
PHOTO = (60, 80)


@pytest.fixture
def session(desk: Desk, photo: Path) -> Session:
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    return session


@pytest.fixture
def in_scan(desk: Desk, scan: Path) -> Session:
    session = desk.session()
    session.open(scan)
    desk.settle(session)
    return session


def disk(*points: Point, shape: tuple[int, int] = PHOTO) -> Mask:
    return Mask.from_array(disks(Prompts(points), shape))


def test_commit_makes_the_preview_an_object_and_clears_the_prompts(desk: Desk, session: Session):
    desk.click(session, A)
    changes = session.commit()
    assert changes.objects and changes.prompts and changes.history and changes.preview == (8, 8, 33, 33)
    assert session.annotation.objects == (AnnotationObject(1, 1, {View(0, 0): disk(A)}, True, 0.9),)
    assert session.prompts == Prompts() and session.preview is None and session.undo_text == "commit Object"
    assert session.scan is not None and session.scan.status == "started"


def test_undo_of_a_commit_brings_back_prompts_and_preview_without_a_head_run(desk: Desk, session: Session):
    desk.click(session, A, B)
    shown = session.preview
    session.commit()
    changes = session.undo()
    assert changes.objects and changes.prompts and changes.preview is not None
    assert session.annotation.objects == () and session.prompts == Prompts((A, B)) and session.preview is shown
    session.redo()
    assert session.annotation.get(1).masks == {View(0, 0): disk(A, B)} and session.preview is None
    session.undo()
    session.undo()
    assert session.prompts == Prompts((A,))
    session.undo()
    assert session.prompts == Prompts() and not session.can_undo
    for _ in range(3):
        session.redo()
    assert session.annotation.get(1).masks == {View(0, 0): disk(A, B)} and not session.can_redo
    assert desk.segmenter.segmented == 2


def test_a_commit_without_an_active_object_makes_a_new_one_each_time(desk: Desk, session: Session):
    for point in (A, B):
        desk.click(session, point)
        session.commit()
    assert [one.id for one in session.annotation.objects] == [1, 2] and session.active_object is None


def test_a_commit_adds_to_the_active_object_on_this_slice_and_on_others(desk: Desk, in_scan: Session):
    session, shape = in_scan, (40, 50)
    desk.click(session, A)
    session.commit()
    session.set_active_object(1)
    session.set_view(View(0, 4))
    desk.click(session, Point(10, 10))
    session.commit()
    desk.click(session, Point(30, 30))
    session.commit()
    one = session.annotation.get(1)
    assert len(session.annotation.objects) == 1 and session.active_object == 1
    assert one.masks == {
        View(0, 3): disk(A, shape=shape),
        View(0, 4): disk(Point(10, 10), Point(30, 30), shape=shape),
    }
    session.undo()
    assert session.annotation.get(1).masks[View(0, 4)] == disk(Point(10, 10), shape=shape)


def test_undo_moves_to_the_slice_where_the_change_is(desk: Desk, in_scan: Session):
    session = in_scan
    desk.click(session, A)
    session.commit()
    session.set_view(View(0, 6))
    changes = session.undo()
    assert changes.view and session.view == View(0, 3) and session.prompts == Prompts((A,))
    session.set_view(View(1, 5))
    assert session.redo().view and session.view == View(0, 3) and len(session.annotation.objects) == 1


def test_nothing_to_commit_and_an_empty_mask_are_said_and_change_nothing(desk: Desk, session: Session):
    assert session.commit().message == "Nothing to commit: click on an object or draw a box first."
    desk.click(session, Point(20, 20, positive=False))
    assert session.commit().message == "The mask is empty: add a point on the object first."
    assert session.annotation.objects == () and len(session.prompts) == 1 and session.undo_text == "negative point"


def test_a_commit_that_comes_before_its_mask_happens_when_the_mask_is_there(desk: Desk, session: Session):
    desk.segmenter.head_gate.clear()
    session.add_prompt(A)
    assert session.commit().busy and session.annotation.objects == ()
    desk.segmenter.head_gate.set()
    desk.main.run_until(lambda: bool(session.annotation.objects))
    assert session.annotation.get(1).masks == {View(0, 0): disk(A)} and session.prompts == Prompts()
    assert session.undo_text == "commit Object" and desk.segmenter.segmented == 1


def test_a_commit_that_waits_is_not_lost_by_scrolling_on(desk: Desk, scan: Path):
    desk.segmenter.gate.clear()
    session = desk.session()
    session.open(scan)
    session.add_label("Liver")
    session.add_prompt(A)
    session.commit()
    session.set_active_label(1)  # the label is the one of the moment when Enter was pressed
    session.set_view(View(0, 6))
    session.add_prompt(B)
    desk.segmenter.gate.set()
    desk.main.run_until(lambda: bool(session.annotation.objects) and session.preview_is_current)
    one = session.annotation.get(1)
    assert (one.label_id, one.masks) == (2, {View(0, 3): disk(A, shape=(40, 50))})
    assert session.view == View(0, 6) and session.prompts == Prompts((B,)) and session.draft_views == (View(0, 6),)


def test_a_commit_that_waits_is_given_up_when_the_prompts_change(desk: Desk, session: Session):
    desk.segmenter.head_gate.clear()
    session.add_prompt(A)
    session.commit()
    session.add_prompt(B)
    desk.segmenter.head_gate.set()
    desk.main.run_until(lambda: session.preview_is_current)
    assert session.annotation.objects == () and session.prompts == Prompts((A, B))


def test_the_label_is_the_one_asked_for_else_the_active_one(desk: Desk, session: Session):
    session.add_label("Liver")
    session.add_label("Kidney")
    desk.click(session, A)
    session.commit()
    desk.click(session, B)
    session.commit(2)
    assert [one.label_id for one in session.annotation.objects] == [3, 2]
    desk.click(session, A)
    with pytest.raises(AnnotationError, match="no label 9"):
        session.commit(9)


def test_without_any_label_a_commit_makes_one_in_the_same_step(desk: Desk, session: Session):
    session.remove_label(1)
    assert session.active_label is None
    desk.click(session, A)
    assert session.commit().labels
    assert [(label.id, label.name) for label in session.labels] == [(2, "Object")]
    assert session.annotation.get(1).label_id == 2 and session.active_label == 2
    session.undo()
    assert len(session.labels) == 0 and session.annotation.objects == () and session.prompts == Prompts((A,))
    session.redo()
    assert session.annotation.get(1).label_id == 2


def test_delete_and_back(desk: Desk, in_scan: Session):
    session = in_scan
    desk.click(session, A)
    session.commit()
    session.set_active_object(1)
    session.set_view(View(0, 5))
    desk.click(session, B)
    session.commit()
    before = session.annotation
    assert session.delete_object(1).objects
    assert session.annotation.objects == () and session.active_object is None and session.undo_text == "delete Object 1"
    session.undo()
    assert session.annotation == before
    session.redo()
    assert session.annotation.objects == ()
    with pytest.raises(AnnotationError, match="no object 1"):
        session.delete_object(1)


def test_visibility_and_label_are_steps_and_no_change_is_none(desk: Desk, session: Session):
    session.add_label("Liver")
    desk.click(session, A)
    session.commit(1)
    assert not session.set_object_visible(1, visible=True) and not session.set_object_label(1, 1)
    session.set_object_visible(1, visible=False)
    session.set_object_label(1, 2)
    one = session.annotation.get(1)
    assert (one.visible, one.label_id, one.masks) == (False, 2, {View(0, 0): disk(A)})
    assert session.undo_text == "relabel Object 1"
    session.undo()
    session.undo()
    assert (session.annotation.get(1).visible, session.annotation.get(1).label_id) == (True, 1)
    for call in (
        lambda: session.set_object_visible(7, visible=True),
        lambda: session.set_object_label(7, 1),
        lambda: session.set_object_label(1, 7),
        lambda: session.set_active_object(7),
    ):
        with pytest.raises(AnnotationError):
            call()


def test_set_mask_replaces_takes_away_and_refuses_what_does_not_fit(desk: Desk, in_scan: Session):
    session = in_scan
    desk.click(session, A)
    session.commit()
    new = disk(B, shape=(40, 50))
    session.set_mask(1, View(0, 3), new)
    session.set_mask(1, View(2, 7), Mask.from_array(np.eye(7, 40, dtype=bool)))
    assert session.annotation.get(1).masks[View(0, 3)] == new
    assert not session.set_mask(1, View(0, 3), new)
    session.set_mask(1, View(0, 3), Mask.empty((40, 50)))
    assert list(session.annotation.get(1).masks) == [View(2, 7)]
    for view, wrong in ((View(0, 3), disk(A)), (View(0, 7), new), (View(3, 0), new), (View(0, -1), new)):
        with pytest.raises(AnnotationError):
            session.set_mask(1, view, wrong)
    session.undo()
    session.undo()
    session.undo()
    assert session.annotation.get(1).masks == {View(0, 3): disk(A, shape=(40, 50))}


def test_import_is_one_step_and_matches_labels_by_name(desk: Desk, session: Session):
    session.add_label("Liver")
    desk.click(session, A)
    session.commit(1)
    theirs = LabelSet(
        (Label(1, "LIVER", (9, 9, 9)), Label(2, "Spleen", session.labels.get(1).color), Label(5, "Unused", (1, 1, 1)))
    )
    incoming = [
        AnnotationObject(1, 2, {View(0, 0): disk(B)}),
        AnnotationObject(4, 1, {View(0, 0): disk(A)}, False, 0.5),
    ]
    changes = session.import_objects(incoming, labels=theirs)
    assert changes.objects and changes.labels and changes.message == "Imported 2 objects."
    assert [(label.id, label.name) for label in session.labels] == [(1, "Object"), (2, "Liver"), (3, "Spleen")]
    assert len({label.color for label in session.labels}) == 3
    assert session.annotation.objects[1:] == (
        AnnotationObject(2, 3, {View(0, 0): disk(B)}),
        AnnotationObject(3, 2, {View(0, 0): disk(A)}, False, 0.5),
    )
    session.undo()
    assert len(session.annotation.objects) == 1 and len(session.labels) == 2
    session.redo()
    assert len(session.annotation.objects) == 3 and len(session.labels) == 3


def test_import_refuses_what_does_not_fit_and_changes_nothing(session: Session):
    assert session.import_objects([]).message == "There is nothing to import."
    small = AnnotationObject(1, 1, {View(0, 0): Mask.from_array(np.ones((3, 3), bool))})
    with pytest.raises(AnnotationError, match="3 x 3 does not fit a slice of 60 x 80"):
        session.import_objects([small])
    with pytest.raises(AnnotationError, match="no label 8"):
        session.import_objects([AnnotationObject(1, 8, {View(0, 0): disk(A)})])
    with pytest.raises(AnnotationError, match="label 8, which is not in the file"):
        session.import_objects([AnnotationObject(1, 8, {View(0, 0): disk(A)})], labels=LabelSet())
    assert session.annotation.objects == () and not session.can_undo


def test_a_box_is_committed_with_its_pixels(desk: Desk, session: Session):
    desk.click(session, Box(30, 40, 10, 20))
    session.commit()
    assert session.annotation.get(1).masks[View(0, 0)].box == (20, 10, 40, 30)
