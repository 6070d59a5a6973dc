"""Another model takes over: prompts stay, features come from the store, late jobs of the old one are dropped."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import ModelError, StoreError
from maskwright.core.features import Features
from maskwright.core.prompts import Point, Prompts
from maskwright.core.stop import Stop
from maskwright.core.volume import View
from maskwright.inference import Segmentation
from maskwright.session import Session
from tests.fakes import FAKE_CARD, FakeSegmenter, disks

from .conftest import Desk, write_scan

A, B = Point(20, 20), Point(40, 30)
PHOTO = (60, 80)
OTHER_CARD = replace(FAKE_CARD, id="other", name="Other", sha256={"encoder.onnx": "f" * 64, "head.onnx": "g" * 64})


class OtherSegmenter(FakeSegmenter):
    """Answers with all that the fake leaves out, and takes boxes or not."""

    def __init__(self) -> None:
        super().__init__(OTHER_CARD)

    def segment(
        self,
        features: Features,
        prompts: Prompts,
        *,
        previous: Segmentation | None = None,
        stop: Stop | None = None,
    ) -> Segmentation:
        answer = super().segment(features, prompts, previous=previous, stop=stop)
        return replace(answer, mask=~answer.mask)


@pytest.fixture
def other() -> OtherSegmenter:
    return OtherSegmenter()


def switch(desk: Desk, session: Session, other: FakeSegmenter, name: str = "other") -> None:
    session.use_model_async(lambda: other, name=name)
    assert session.loading_model == name
    desk.main.run_until(lambda: not session.loading_model)


def test_the_prompts_are_answered_again_and_nothing_is_asked_of_the_old_model(
    desk: Desk, photo: Path, other: OtherSegmenter
):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    desk.click(session, A, B)
    before = desk.segmenter.encoded, desk.segmenter.segmented
    assert before == (1, 2) and session.model_name == "default"
    desk.changes.clear()

    switch(desk, session, other)
    assert session.model_name == "other" and session.model_card == OTHER_CARD
    assert session.prompts == Prompts((A, B)) and session.preview is None and session.waiting
    desk.main.run_until(lambda: session.preview_is_current)
    assert session.preview_mask is not None
    assert np.array_equal(session.preview_mask, ~disks(Prompts((A, B)), PHOTO))
    assert (other.encoded, other.chain) == (1, [(1, 0), (2, 1)])  # each goes on from its own answer, not the old one's
    assert (desk.segmenter.encoded, desk.segmenter.segmented) == before
    changes = desk.merged()
    assert changes.model and changes.prompts and changes.features and not changes.history and not changes.objects
    assert changes.preview == (0, 0, 80, 60) and changes.message == "Other answers from now on."


def test_it_is_no_edit(desk: Desk, photo: Path, other: OtherSegmenter):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    session.commit()
    undo = session.undo_text
    rows = session.project.journal.get(1) if session.project else {}
    switch(desk, session, other)
    assert session.undo_text == undo and len(session.annotation.objects) == 1
    assert session.project is not None and session.project.journal.get(1) == rows
    session.undo()  # the commit: its prompts are back, and the new model answers them
    assert not session.annotation.objects and session.prompts == Prompts((A,))
    desk.main.run_until(lambda: session.preview_is_current)
    assert other.segmented == 1 and desk.segmenter.segmented == 1


def test_features_that_are_stored_are_not_made_again(desk: Desk, scan: Path, other: OtherSegmenter):
    session = desk.session()
    session.open(scan)
    desk.settle(session)
    switch(desk, session, other)
    assert not session.ready.any()
    desk.settle(session)
    assert session.ready.all() and (desk.segmenter.encoded, other.encoded) == (7, 7)

    session.use_model_async(lambda: desk.segmenter, name="default")
    desk.main.run_until(lambda: not session.loading_model)
    assert session.ready.all()  # at once
    desk.click(session, A)
    desk.settle(session)
    assert (desk.segmenter.encoded, other.encoded) == (7, 7)
    assert session.preview_mask is not None
    assert np.array_equal(session.preview_mask, disks(Prompts((A,)), (40, 50)))
    assert len(desk.stores.opened) == 2


def test_what_the_old_model_still_encodes_is_dropped(desk: Desk, scan: Path, other: OtherSegmenter):
    session = desk.session()
    desk.segmenter.gate.clear()
    session.open(scan)
    assert session.encoding == View(0, 3)
    session.add_prompt(A)
    switch(desk, session, other)
    assert session.encoding is None and not session.ready.any() and other.encoded == 0  # one encoder at a time
    desk.segmenter.gate.set()
    desk.main.run_until(lambda: session.preview_is_current)
    desk.settle(session)
    assert desk.segmenter.encoded == 0 and other.encoded == 7 and desk.segmenter.segmented == 0  # it gave way
    old, new = desk.stores.opened.values()
    assert old.writes == []
    assert sorted(view.index for view in new.writes) == list(range(7))


def test_an_answer_of_the_old_model_that_comes_late_is_dropped(desk: Desk, photo: Path, other: OtherSegmenter):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    desk.segmenter.head_gate.clear()
    session.add_prompt(A)
    session.use_model_async(lambda: other, name="other")
    desk.main.run_until(lambda: session.model_name == "other")
    desk.segmenter.head_gate.set()
    desk.main.run_until(lambda: session.preview_is_current)
    assert desk.segmenter.segmented == 1 and other.segmented == 1
    assert session.preview_mask is not None and not session.preview_mask[20, 20]
    session.remove_last_prompt()
    assert session.preview is None
    session.undo()
    assert session.preview_mask is not None and not session.preview_mask[20, 20]  # nothing of the old one was kept


@pytest.mark.parametrize("error", [ModelError("the head does not match its hash"), RuntimeError("unforeseen")])
def test_a_model_that_fails_leaves_the_old_one_in_use_and_says_why(desk: Desk, photo: Path, error: Exception):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    preview = session.preview
    desk.changes.clear()

    def load() -> FakeSegmenter:
        raise error

    session.use_model_async(load, name="broken")
    desk.main.run_until(lambda: not session.loading_model)
    changes = desk.merged()
    assert changes.error is not None and str(error) in str(changes.error) and not changes.model
    assert (session.model_name, session.model_card) == ("default", FAKE_CARD)
    assert session.preview is preview
    desk.click(session, B)
    assert desk.segmenter.encoded == 1 and desk.segmenter.segmented == 2


def test_a_kind_of_prompt_that_the_new_model_does_not_take_is_told(desk: Desk, photo: Path, other: OtherSegmenter):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    desk.changes.clear()
    other.trouble = None
    refusal = ModelError("model other does not take clicks", hint="Use a box.")

    def refuse(*_: object, **__: object) -> Segmentation:
        raise refusal

    other.segment = refuse  # type: ignore[method-assign]
    switch(desk, session, other)
    desk.settle(session)
    assert desk.merged().error is refusal
    assert session.prompts == Prompts((A,)) and session.preview is None and session.model_name == "other"


def test_of_two_wishes_the_later_one_counts(desk: Desk, photo: Path, other: OtherSegmenter):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    go = threading.Event()

    def slow() -> FakeSegmenter:
        assert go.wait(10)
        raise ModelError("nobody asked for this any more")

    session.use_model_async(slow, name="slow")
    session.use_model_async(lambda: other, name="other")
    assert session.loading_model == "other"
    desk.changes.clear()
    go.set()
    desk.main.run_until(lambda: session.model_name == "other")
    assert desk.merged().error is None


def test_before_anything_is_open_it_answers_what_is_opened_then(desk: Desk, photo: Path, other: OtherSegmenter):
    session = desk.session()
    switch(desk, session, other)
    assert session.model_name == "other"
    session.open(photo)
    desk.click(session, A)
    assert (desk.segmenter.encoded, other.encoded) == (0, 1)


def test_a_scan_that_is_being_opened_gets_the_new_model(desk: Desk, photo: Path, other: OtherSegmenter):
    go = threading.Event()

    def slow() -> FakeSegmenter:
        assert go.wait(10)
        return desk.segmenter

    session = desk.session(segmenter=slow)
    session.open_async(photo)
    switch(desk, session, other)
    assert session.opening is not None
    go.set()
    desk.main.run_until(lambda: session.opening is None)
    desk.click(session, A)
    desk.settle(session)
    assert (desk.segmenter.encoded, other.encoded) == (0, 1)


def test_a_scan_that_came_while_the_model_was_loading_gets_it(desk: Desk, scan: Path, other: OtherSegmenter):
    session = desk.session(encode_ahead=False)
    session.open(scan)
    go = threading.Event()
    loads = []

    def slow() -> FakeSegmenter:
        assert go.wait(10)
        loads.append(1)
        return other

    session.use_model_async(slow, name="other")
    session.open(write_scan(scan.with_name("second.nrrd"), seed=5, shape=(3, 40, 50)))
    go.set()
    desk.main.run_until(lambda: session.model_name == "other")
    desk.click(session, A)
    assert session.volume is not None and session.volume.n_slices() == 3 and session.ready.tolist() == [0, 1, 0]
    assert (desk.segmenter.encoded, other.encoded, len(loads)) == (0, 1, 1)


def test_a_commit_that_waits_gets_the_mask_of_the_new_model(desk: Desk, photo: Path, other: OtherSegmenter):
    session = desk.session()
    desk.segmenter.gate.clear()
    session.open(photo)
    session.add_prompt(A)
    session.commit()
    assert not session.annotation.objects
    switch(desk, session, other)
    desk.segmenter.gate.set()
    desk.main.run_until(lambda: bool(session.annotation.objects))
    (one,) = session.annotation.objects
    (mask,) = one.masks.values()
    assert not mask.contains(20, 20) and mask.contains(70, 50)


def test_it_is_the_way_out_when_the_first_model_cannot_be_loaded(desk: Desk, photo: Path, other: OtherSegmenter):
    def broken() -> FakeSegmenter:
        raise ModelError("the encoder is missing")

    session = desk.session(segmenter=broken)
    changes = session.open(photo)
    assert changes.error is not None and session.model_card is None
    session.add_prompt(A)
    switch(desk, session, other)
    desk.main.run_until(lambda: session.preview_is_current)
    assert other.encoded == 1


def test_without_a_place_for_its_features_the_new_model_answers_all_the_same(
    desk: Desk, photo: Path, other: OtherSegmenter
):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    desk.changes.clear()
    desk.stores.trouble = StoreError("the disk is full")
    switch(desk, session, other)
    desk.main.run_until(lambda: session.preview_is_current)
    changes = desk.merged()
    assert changes.model and str(changes.error) == "the disk is full"
    assert other.segmented == 1


def test_nothing_arrives_after_the_end(desk: Desk, photo: Path, other: OtherSegmenter):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    go = threading.Event()

    def slow() -> FakeSegmenter:
        assert go.wait(10)
        return other

    session.use_model_async(slow, name="other")
    go.set()
    session.close()
    desk.changes.clear()
    assert session.model_name == "default" and not desk.merged()
