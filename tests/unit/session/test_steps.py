"""Steps: applied and taken back they cancel out, and bytes give the same step."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.edits import Edit
from maskwright.core.errors import AnnotationError, StoreError
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.core.volume import View
from maskwright.io.annotated import load_labels
from maskwright.session.snapshot import changed, labels_to_bytes, load_scan
from maskwright.session.steps import (
    DoneChange,
    DraftChange,
    Head,
    LabelChange,
    ObjectChange,
    ScanState,
    Step,
    apply,
)

SHAPE = (20, 30)
HERE, THERE = View(0, 3), View(0, 4)
LIVER = Label(2, "Liver", (1, 2, 3), "SCT:10200004", (("side", "left"),))


def square(y: int, x: int, size: int = 5) -> Mask:
    array = np.zeros(SHAPE, bool)
    array[y : y + size, x : x + size] = True
    return Mask.from_array(array)


def edit(old: Mask | None, new: Mask | None, object_id: int = 1, view: View = HERE) -> Edit:
    return Edit.between(old, new, object_id=object_id, view=view)


PROMPTS = Prompts(
    (Point(1.5, 2.25), Box(9, 8, 1, 2), Scribble(np.array([[0, 0], [3, 4]])), Text("größe"), Point(3, 4, False))
)
COMMIT = Step(
    (
        LabelChange(None, LIVER),
        ObjectChange(None, Head(1, 2, True, 0.87)),
        edit(None, square(2, 3)),
        edit(None, square(4, 4), view=THERE),
        DraftChange(HERE, PROMPTS, Prompts()),
        DoneChange(False, True),
    )
)
BEFORE = ScanState(Annotation(LabelSet.default()), drafts={HERE: PROMPTS, THERE: Prompts((Point(1, 1),))})


def test_a_step_and_its_inverse_cancel_out():
    after = apply(BEFORE, COMMIT)
    one = after.annotation.get(1)
    assert one == AnnotationObject(1, 2, {HERE: square(2, 3), THERE: square(4, 4)}, True, 0.87)
    assert after.drafts == {THERE: Prompts((Point(1, 1),))} and after.done
    assert [label.name for label in after.annotation.labels] == ["Object", "Liver"]

    back = apply(after, COMMIT.inverse())
    assert (back.annotation, back.drafts, back.done) == (BEFORE.annotation, BEFORE.drafts, BEFORE.done)
    assert back.retired == (LIVER,)  # its number is not given again
    again = apply(back, COMMIT)
    assert again == after


def test_bytes_give_the_same_step():
    for step in (COMMIT, COMMIT.inverse(), Step(())):
        assert Step.from_bytes(step.to_bytes()) == step


@pytest.mark.parametrize("cut", [0, 3, 10, 200, -1])
def test_damaged_bytes_are_refused(cut: int):
    with pytest.raises(StoreError, match="a recorded step is damaged"):
        Step.from_bytes(COMMIT.to_bytes()[:cut])


def test_what_two_drafts_share_is_written_once():
    long = Prompts(tuple(Point(i, i) for i in range(100)))
    data = Step((DraftChange(HERE, long, long.add(Point(5, 5))),)).to_bytes()
    assert data.count(b'"point"') == 101
    shrunk = Step((DraftChange(HERE, long, Prompts((Point(0, 0), Point(7, 7)))),))
    assert Step.from_bytes(shrunk.to_bytes()) == shrunk


def test_the_snapshot_holds_the_state_that_a_step_leads_to():
    kept: dict[str, bytes] = {}
    project: dict[str, bytes] = {}
    state = BEFORE

    def take(step: Step) -> None:
        nonlocal state
        after = apply(state, step)
        for (scan, key), value in changed(7, state, after, step).items():
            into = project if scan == 0 else kept
            assert scan in (0, 7)
            if value is None:
                into.pop(key, None)
            else:
                into[key] = value
        state = after
        labels, retired = load_labels(project)
        assert load_scan(kept, labels, retired) == after

    take(Step((DraftChange(HERE, Prompts(), PROMPTS), DraftChange(THERE, Prompts(), Prompts((Point(1, 1),))))))
    take(COMMIT)
    assert set(kept) == {"object/1", "mask/1/0/3", "mask/1/0/4", "draft/0/4", "done"}
    take(Step((edit(square(2, 3), square(2, 4)), ObjectChange(Head(1, 2, True, 0.87), Head(1, 1, False, None)))))
    take(Step((edit(square(2, 4), None), edit(square(4, 4), None, view=THERE), ObjectChange(Head(1, 1, False), None))))
    assert set(kept) == {"draft/0/4", "done"}


def test_labels_of_a_new_project_are_the_default_ones():
    assert load_labels({}) == (LabelSet.default(), ())
    value = labels_to_bytes(LabelSet((LIVER,)), (Label(1, "Object", (0, 0, 0)),))
    assert load_labels({"labels": value}) == (LabelSet((LIVER,)), (Label(1, "Object", (0, 0, 0)),))


@pytest.mark.parametrize("key", ["object/1", "mask/1/0/3", "draft/0/3", "mask/x/0/3", "mask/1/0"])
def test_a_damaged_snapshot_is_refused_in_plain_words(key: str):
    with pytest.raises(StoreError, match="the annotation in the journal is damaged"):
        load_scan({key: b"\xff{"}, LabelSet.default())
    with pytest.raises(StoreError, match="the labels in the journal are damaged"):
        load_labels({"labels": b'{"labels": [{}]}'})


@pytest.mark.parametrize(
    "step",
    [
        Step((edit(None, square(0, 0), object_id=9),)),
        Step((ObjectChange(Head(9, 1), None),)),
        Step((ObjectChange(None, Head(1, 1)),)),
        Step((edit(square(9, 9), square(0, 0)),)),
        Step((LabelChange(None, LIVER),)),
        Step((LabelChange(Label(9, "None", (0, 0, 0)), None),)),
        Step((LabelChange(LIVER, None),)),  # in use
        Step((ObjectChange(None, Head(2, 9)),)),
    ],
)
def test_a_step_that_does_not_fit_is_refused(step: Step):
    state = apply(BEFORE, COMMIT)
    with pytest.raises(AnnotationError):
        apply(state, step)


def test_an_object_that_comes_back_brings_its_label_along():
    delete = Step(
        (edit(square(2, 3), None), edit(square(4, 4), None, view=THERE), ObjectChange(Head(1, 2, True, 0.87), None))
    )
    state = apply(apply(BEFORE, COMMIT), delete)
    state = apply(state, Step((LabelChange(LIVER, None),)))
    taken = Label(3, "liver", (9, 9, 9))
    state = apply(state, Step((LabelChange(None, taken),)))
    back = apply(state, delete.inverse())
    assert back.annotation.get(1).label_id == 2
    assert [(label.id, label.name) for label in back.annotation.labels] == [(1, "Object"), (2, "Liver 2"), (3, "liver")]
    assert back.retired == ()


def test_the_first_slice_that_changes_is_where_to_look():
    assert COMMIT.view == HERE
    assert Step((DoneChange(False, True),)).view is None
    assert COMMIT.touches(LabelChange) and not Step(()).touches(LabelChange)
