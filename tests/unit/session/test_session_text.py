"""Words as prompts: said and said anew, found or not, and the label they suggest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.core.features import Features
from maskwright.core.prompts import Point, Prompts, Text
from maskwright.inference import Segmentation
from maskwright.session import Session
from tests.fakes import FAKE_CARD, FakeSegmenter, disks

from .conftest import Desk, write_photo

CARD = replace(
    FAKE_CARD,
    prompts=("point", "box", "scribble", "text"),
    text_shape=(1, 4),
    text_floor=0.3,
    labels=("left kidney", "liver"),
    extra={"text": {"codes": {"liver": "SCT:10200004"}}},
)
CLICK = Point(20, 20)


class Reader(FakeSegmenter):
    """Finds a liver, everywhere in the upper rows; other words name nothing. ``sees`` is said to be in each mask."""

    def __init__(self) -> None:
        super().__init__(CARD)
        self.sees = ""

    def segment(
        self, features: Features, prompts: Prompts, *, previous: Segmentation | None = None, **options: Any
    ) -> Segmentation:
        """As OnnxSegmenter does it, from what is said to the rule on what was not found."""
        from maskwright.inference.not_found import asked, judged

        said, previous, left_out = asked(prompts, previous)
        answer = super().segment(features, said, previous=previous, **options)
        mask, known = disks(said, features.shape_yx), said.text.lower() == "liver"
        mask[:5] |= known
        answer = replace(answer, mask=mask, score=0.8 if known or len(said.items) > 1 else 0.1, label=self.sees)
        return judged(answer, said, floor=self.card.text_floor, left_out=left_out)


@pytest.fixture
def reader(desk: Desk) -> Reader:
    desk.segmenter = Reader()
    return desk.segmenter


@pytest.fixture
def session(desk: Desk, reader: Reader, tmp_path: Path) -> Session:
    write_photo(tmp_path / "photo.png", seed=1)
    session = desk.session()
    session.open(tmp_path / "photo.png")
    desk.settle(session)
    return session


def said(desk: Desk, session: Session, text: str) -> None:
    session.say(text)
    desk.main.run_until(lambda: session.preview_is_current)


def test_newer_words_take_the_place_of_older_ones(desk: Desk, session: Session):
    said(desk, session, "  left   kidney ")
    assert session.prompts.items == (Text("left kidney"),)
    desk.click(session, CLICK)
    said(desk, session, "liver")
    assert session.prompts.items == (CLICK, Text("liver"))
    said(desk, session, "")
    assert session.prompts.items == (CLICK,)
    texts = []
    while session.can_undo:
        texts.append(session.undo_text)
        session.undo()
    assert texts == ["remove text", "text", "point", "text"] and not session.prompts


def test_saying_the_same_again_is_no_step(desk: Desk, session: Session, reader: Reader):
    said(desk, session, "liver")
    count = reader.segmented
    assert not session.say("liver ") and reader.segmented == count


def test_words_survive_a_restart(desk: Desk, session: Session):
    said(desk, session, "liver")
    session.close()
    again = desk.session()
    again.open(again.scans[0].path)
    assert again.prompts.items == (Text("liver"),)
    desk.main.run_until(lambda: again.preview_is_current)
    assert again.preview_mask is not None and again.preview_mask[:5].all()


def test_words_that_name_nothing_leave_no_mask_and_a_sentence(desk: Desk, session: Session):
    assert session.not_found == ""
    said(desk, session, "xylophone")
    assert session.not_found == "No “xylophone” was found in this picture."
    assert session.preview_mask is not None and not session.preview_mask.any()
    said(desk, session, "liver")
    assert session.not_found == ""


def test_an_empty_find_cannot_be_committed(desk: Desk, session: Session):
    said(desk, session, "xylophone")
    changes = session.commit()
    assert changes.message == "No “xylophone” was found in this picture. Click on it to show where it is."
    assert not session.annotation.objects and session.prompts


def test_a_click_corrects_what_was_not_found(desk: Desk, session: Session, reader: Reader):
    said(desk, session, "xylophone")
    desk.click(session, CLICK)
    assert reader.chain[-1] == (1, 0)  # the click alone, from the beginning
    assert session.not_found == "" and session.preview_mask is not None and session.preview_mask[20, 20]
    desk.click(session, Point(40, 40))
    assert reader.chain[-1] == (2, 1)  # both clicks, and on from the answer to the first
    session.commit()
    assert len(session.annotation.objects) == 1


def test_found_words_suggest_their_label(desk: Desk, session: Session):
    assert session.suggested_label == ""
    said(desk, session, "xylophone")
    assert session.suggested_label == ""
    said(desk, session, "Liver")
    assert session.suggested_label == "Liver"
    changes = session.use_label("Liver")
    assert changes.labels and changes.history
    label = session.labels.by_name("liver")
    assert label is not None and (label.name, label.code, session.active_label) == ("Liver", "SCT:10200004", label.id)
    assert session.suggested_label == ""  # it has it
    session.commit()
    assert [one.label_id for one in session.annotation.objects] == [label.id]


def test_words_that_were_not_found_suggest_nothing_after_a_click(desk: Desk, session: Session):
    said(desk, session, "xylophone")
    desk.click(session, CLICK)
    assert session.suggested_label == ""


def test_what_the_model_sees_comes_before_the_words(desk: Desk, session: Session, reader: Reader):
    reader.sees = "hepatic vein"
    desk.click(session, CLICK)
    assert session.suggested_label == "hepatic vein"
    session.use_label("hepatic vein")
    label = session.labels.by_name("hepatic vein")
    assert label is not None and label.code == ""


def test_a_label_that_is_there_is_chosen_without_a_step(desk: Desk, session: Session):
    session.add_label("Liver")
    session.set_active_label(1)
    said(desk, session, "liver")
    assert session.suggested_label == "liver"
    count = len(session.labels)
    assert not session.use_label("liver").history
    assert len(session.labels) == count and session.active_label == 2


def test_more_of_an_object_gets_no_other_label(desk: Desk, session: Session):
    desk.click(session, CLICK)
    session.commit()
    session.set_active_object(session.annotation.objects[0].id)
    said(desk, session, "liver")
    assert session.preview_mask is not None and np.any(session.preview_mask) and session.suggested_label == ""
