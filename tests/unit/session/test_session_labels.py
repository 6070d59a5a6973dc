"""Labels: shared by the scans of a project, while each scan has a history of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.core.errors import AnnotationError, StoreError
from maskwright.core.labels import PALETTE
from maskwright.core.prompts import Point
from maskwright.session import Session

from .conftest import Desk, write_photo

A = Point(20, 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in (1, 2):
        write_photo(tmp_path / "photos" / f"{i}.png", seed=i)
    return tmp_path / "photos"


@pytest.fixture
def session(desk: Desk, folder: Path) -> Session:
    session = desk.session()
    session.open(folder)
    return session


def names(session: Session) -> list[str]:
    return [label.name for label in session.labels]


def test_add_rename_recolour_remove_are_steps(session: Session):
    assert names(session) == ["Object"] and session.active_label == 1
    changes = session.add_label("  Left   kidney ")
    assert changes.labels and changes.history and session.active_label == 2
    session.rename_label(2, "Kidney")
    session.recolor_label(2, (1, 2, 3))
    session.remove_label(1)
    assert [(label.id, label.name, label.color) for label in session.labels] == [(2, "Kidney", (1, 2, 3))]
    texts = []
    while session.can_undo:
        texts.append(session.undo_text)
        session.undo()
    assert texts == [
        "remove label Object",
        "recolour label Kidney",
        "rename label Left kidney",
        "add label Left kidney",
    ]
    assert names(session) == ["Object"] and session.labels.get(1).color == PALETTE[0] and session.active_label == 1
    for _ in texts:
        session.redo()
    assert names(session) == ["Kidney"]


def test_no_change_is_no_step_and_bad_names_change_nothing(session: Session):
    assert not session.rename_label(1, "Object")
    assert not session.recolor_label(1, session.labels.get(1).color)
    for call in (
        lambda: session.add_label("object"),
        lambda: session.add_label("  "),
        lambda: session.rename_label(1, ""),
        lambda: session.rename_label(5, "x"),
        lambda: session.recolor_label(5, (0, 0, 0)),
        lambda: session.remove_label(5),
        lambda: session.set_active_label(5),
    ):
        with pytest.raises(AnnotationError):
            call()
    assert names(session) == ["Object"] and not session.can_undo


def test_a_label_in_use_stays_also_when_another_scan_uses_it(desk: Desk, session: Session):
    session.add_label("Liver")
    desk.click(session, A)
    session.commit()
    with pytest.raises(AnnotationError, match='"Liver" is in use by 1 object'):
        session.remove_label(2)
    session.next_scan()
    with pytest.raises(AnnotationError, match='"Liver" is in use by 1 object'):
        session.remove_label(2)
    assert names(session) == ["Object", "Liver"]


def test_labels_are_those_of_the_project_and_undo_is_that_of_the_scan(session: Session):
    session.add_label("Liver")
    session.next_scan()
    assert names(session) == ["Object", "Liver"] and not session.can_undo
    session.add_label("Kidney")
    session.previous_scan()
    assert session.undo_text == "add label Liver"
    session.undo()
    assert names(session) == ["Object", "Kidney"]
    session.redo()
    assert names(session) == ["Object", "Liver", "Kidney"]


def test_a_number_is_never_given_twice(session: Session):
    session.add_label("Liver")
    session.undo()
    session.next_scan()
    session.add_label("Kidney")
    assert [label.id for label in session.labels] == [1, 3]
    session.previous_scan()
    session.redo()
    assert [(label.id, label.name) for label in session.labels] == [(1, "Object"), (2, "Liver"), (3, "Kidney")]


def test_undo_of_a_label_that_another_scan_uses_is_passed_over_and_said(desk: Desk, session: Session):
    desk.click(session, A)
    session.add_label("Liver")
    session.next_scan()
    desk.click(session, A)
    session.commit()
    session.previous_scan()
    with pytest.raises(AnnotationError, match="in use by 1 object.*passed over"):
        session.undo()
    assert names(session) == ["Object", "Liver"] and session.undo_text == "point"  # not stuck
    session.undo()
    assert not session.prompts


def test_redo_of_a_label_whose_name_is_taken_is_passed_over_and_said(session: Session):
    session.add_label("Liver")
    session.undo()
    session.next_scan()
    session.add_label("liver")
    session.previous_scan()
    with pytest.raises(AnnotationError, match="already a label.*passed over"):
        session.redo()
    assert names(session) == ["Object", "liver"] and not session.can_redo


def test_undo_of_a_delete_brings_its_label_back_when_that_was_removed_meanwhile(desk: Desk, session: Session):
    session.add_label("Liver")
    desk.click(session, A)
    session.commit()
    session.delete_object(1)
    session.next_scan()
    session.remove_label(2)
    session.previous_scan()
    changes = session.undo()
    assert changes.labels and names(session) == ["Object", "Liver"] and session.annotation.get(1).label_id == 2
    session.close()
    again = desk.session()
    again.show_scan(0)
    assert names(again) == ["Object", "Liver"] and again.annotation.get(1).label_id == 2


def test_labels_and_the_active_one_survive_a_restart(desk: Desk, session: Session, folder: Path):
    session.add_label("Liver", (7, 8, 9))
    session.add_label("Kidney")
    session.set_active_label(2)
    session.close()
    again = desk.session()
    assert names(again) == ["Object", "Liver", "Kidney"]  # before a scan is shown
    again.open(folder)
    assert again.active_label == 2 and again.labels.get(2).color == (7, 8, 9)


def test_labels_can_be_made_before_a_scan_is_open_when_there_is_a_project(desk: Desk):
    session = desk.session()
    session.add_label("Liver")
    session.undo()
    assert names(session) == ["Object"]
    session.redo()
    assert names(session) == ["Object", "Liver"]


def test_without_a_project_a_label_says_what_to_do(desk: Desk):
    session = desk.session(fixed=False)
    with pytest.raises(StoreError, match="no project yet. Open a scan or a photo first"):
        session.add_label("Liver")
    with pytest.raises(StoreError, match="no project yet"):
        session.undo()
    assert names(session) == ["Object"]
