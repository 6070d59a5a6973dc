"""Edits: forwards, backwards, small, and never applied to the wrong mask."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.edits import Edit
from maskwright.core.errors import AnnotationError
from maskwright.core.mask import Mask
from maskwright.core.volume import View

VIEW = View(0, 4)


def random_mask(rng: np.random.Generator) -> Mask:
    return Mask.from_array(rng.random((9, 12)) < rng.choice([0.0, 0.05, 0.5]))


@pytest.mark.parametrize("seed", range(40))
def test_apply_and_revert_lead_from_one_mask_to_the_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = random_mask(rng), random_mask(rng)
    edit = Edit.between(old, new, object_id=3, view=VIEW)
    assert edit.apply(old) == new
    assert edit.revert(new) == old
    assert edit.inverse().apply(new) == old
    assert Edit.from_bytes(edit.to_bytes()) == edit


def test_only_the_rectangle_that_changed_is_kept() -> None:
    array = np.zeros((500, 500), np.bool_)
    array[50:450, 50:450] = True
    old = Mask.from_array(array)
    array[100:110, 200:220] = False
    edit = Edit.between(old, Mask.from_array(array), object_id=1, view=VIEW)
    assert edit.box == (100, 200, 110, 220)
    assert edit.nbytes == 2 * 10 * 20
    assert len(edit.to_bytes()) < 100


def test_none_stands_for_no_mask() -> None:
    mask = Mask.from_array(np.eye(5, dtype=np.bool_))
    made = Edit.between(None, mask, object_id=1, view=VIEW)
    assert made.apply(None) == mask
    assert made.revert(mask).is_empty
    gone = Edit.between(mask, None, object_id=1, view=VIEW)
    assert gone == made.inverse()
    with pytest.raises(ValueError, match="at least one mask"):
        Edit.between(None, None, object_id=1, view=VIEW)


def test_an_edit_without_change_is_empty_and_does_nothing() -> None:
    mask = Mask.from_array(np.eye(5, dtype=np.bool_))
    edit = Edit.between(mask, mask, object_id=1, view=VIEW)
    assert edit.is_empty
    assert edit.nbytes == 0
    assert edit.apply(mask) == mask
    assert Edit.from_bytes(edit.to_bytes()) == edit


def test_the_wrong_mask_is_refused() -> None:
    mask = Mask.from_array(np.eye(5, dtype=np.bool_))
    edit = Edit.between(None, mask, object_id=1, view=VIEW)
    with pytest.raises(ValueError, match="not the one"):
        edit.apply(mask)
    with pytest.raises(ValueError, match="not the one"):
        edit.revert(None)
    with pytest.raises(ValueError, match="not the one"):
        edit.apply(Mask.empty((6, 6)))


def test_damaged_bytes_are_told_from_good_ones() -> None:
    good = Edit.between(None, Mask.from_array(np.eye(5, dtype=np.bool_)), object_id=1, view=VIEW).to_bytes()
    altered = bytearray(good)
    altered[-1] ^= 1
    for bad in (b"", good[:4], good[:-2], bytes(altered)):
        with pytest.raises(AnnotationError, match="damaged"):
            Edit.from_bytes(bad)
    with pytest.raises(AnnotationError, match="unknown version 7"):
        Edit.from_bytes(b"\x07" + good[1:])
