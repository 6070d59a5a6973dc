"""Errors read as one line: what, which file, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.core import errors
from maskwright.core.errors import MaskwrightError, ScanError


def test_the_line_has_what_path_and_hint():
    error = ScanError("the file is empty", path=Path("/scans/a b.nii"), hint="Copy it again.")
    assert str(error) == "the file is empty: /scans/a b.nii. Copy it again."
    assert (error.what, error.path, error.hint) == ("the file is empty", Path("/scans/a b.nii"), "Copy it again.")


def test_parts_that_are_absent_leave_no_punctuation():
    assert str(ScanError("nothing is open")) == "nothing is open"
    assert str(ScanError("nothing is open.", hint="Open a scan.")) == "nothing is open. Open a scan."
    assert str(ScanError("it is gone", path="x.png")) == "it is gone: x.png"


def test_line_breaks_never_reach_the_user():
    error = ScanError("first\nsecond", path="odd\nname.png", hint="do\r\nthis")
    assert str(error) == "first second: odd name.png. do this"


@pytest.mark.parametrize(
    "name", ["ScanError", "GeometryError", "ModelError", "StoreError", "AnnotationError", "ExportError"]
)
def test_every_kind_is_caught_as_one_family(name):
    kind = getattr(errors, name)
    assert issubclass(kind, MaskwrightError)
    assert not issubclass(kind, ValueError)  # a ValueError is a programmer's mistake and must not be shown as a user's
