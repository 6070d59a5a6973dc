"""Changes add up without losing a flag, a pixel or a sentence."""

from __future__ import annotations

from maskwright.core.errors import ScanError
from maskwright.session.changes import Changes, union


def test_flags_of_either_and_the_rectangle_around_both():
    one = Changes(prompts=True, preview=(10, 20, 30, 40), message="One.")
    other = Changes(history=True, preview=(5, 25, 12, 60), message="Two.")
    assert one | other == Changes(prompts=True, history=True, preview=(5, 20, 30, 60), message="One. Two.")


def test_nothing_is_false_and_changes_nothing():
    assert not Changes()
    assert Changes() | Changes() == Changes()
    some = Changes(view=True, preview=(1, 2, 3, 4))
    assert some | Changes() == some == Changes() | some
    for one in (
        Changes(scan=True),
        Changes(scans=True),
        Changes(view=True),
        Changes(features=True),
        Changes(busy=True),
    ):
        assert one and Changes() | one == one
    assert Changes(message="x") and Changes(preview=(0, 0, 1, 1))


def test_the_same_sentence_is_said_once():
    assert (Changes(message="Full.") | Changes(message="Full.")).message == "Full."


def test_union_takes_none_as_no_pixels():
    assert union(None, None) is None
    assert union((1, 2, 3, 4), None) == (1, 2, 3, 4) == union(None, (1, 2, 3, 4))


def test_a_failure_carries_its_error_and_the_first_one_stays():
    first, second = ScanError("a", hint="b."), ScanError("c")
    both = Changes.failure(first) | Changes.failure(second)
    assert both.error is first and both.message == "a. b. c"
