"""Preview: an answer depends on its prompts alone, and is never computed twice while it is remembered."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.errors import StoreError
from maskwright.core.features import Features
from maskwright.core.prompts import Point, Prompts
from maskwright.core.volume import View
from maskwright.inference import Segmentation
from maskwright.session.preview import Head, Preview, PreviewKey, Previews, Request
from tests.fakes import FakeSegmenter, MemoryStore, disks

VIEW = View(0, 1)
FEATURES = Features((np.zeros((1, 2, 4, 4), np.float16),), (40, 50))
POINTS = tuple(Point(10 + 5 * i, 12 + 3 * i, i % 2 == 0) for i in range(6))


def key(count: int, view: View = VIEW, scan: str = "f") -> PreviewKey:
    return PreviewKey(scan, view, Prompts(POINTS[:count]))


def preview(side: int = 4) -> Preview:
    mask = np.zeros((40, 50), bool)
    mask[2 : 2 + side, 3 : 3 + side] = True
    return Preview.of(Segmentation(mask, np.zeros((16, 16), np.float32), 0.5))


def test_the_box_of_a_preview_is_tight_and_none_when_it_is_empty():
    assert preview(4).box == (3, 2, 7, 6)
    assert preview(0).box is None
    assert preview().nbytes == 40 * 50 + 16 * 16 * 4


def test_previews_give_the_answer_to_the_most_of_the_first_prompts():
    previews = Previews()
    one, three = preview(), preview()
    previews.put(key(1), one)
    previews.put(key(3), three)
    assert previews.nearest(key(5)) == (key(3), three)
    assert previews.nearest(key(2)) == (key(1), one)
    assert previews.nearest(key(2, View(0, 2))) is None
    assert previews.nearest(key(2, scan="g")) is None
    assert previews.get(key(2)) is None and previews.nearest(key(0)) is None


def test_the_least_recently_used_answer_is_forgotten_first():
    each = preview().nbytes
    previews = Previews(kept_bytes=3 * each)
    for count in (1, 2, 3):
        previews.put(key(count), preview())
    previews.get(key(1))
    previews.put(key(4), preview())
    assert [previews.get(key(count)) is not None for count in (1, 2, 3, 4)] == [True, False, True, True]
    Previews(kept_bytes=1).put(key(1), preview())  # one is kept however large it is


def test_each_new_prompt_is_one_run_that_goes_on_from_the_answer_before():
    segmenter = FakeSegmenter()
    head, known = Head(lambda: segmenter), None
    for count in range(1, 5):
        answer = head.run(Request(key(count), known, FEATURES, None))
        (known,) = answer.previews
        assert known[0] == key(count)
        assert np.array_equal(known[1].segmentation.mask, disks(Prompts(POINTS[:count]), (40, 50)))
    assert segmenter.chain == [(1, 0), (2, 1), (3, 2), (4, 3)]


def test_without_memory_the_whole_chain_is_run_again_to_the_same_answer():
    segmenter = FakeSegmenter()
    answer = Head(lambda: segmenter).run(Request(key(4), None, FEATURES, None))
    assert segmenter.chain == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert [one for one, _ in answer.previews] == [key(1), key(2), key(3), key(4)]


def test_a_request_that_was_frozen_too_early_goes_on_from_what_the_lane_found_meanwhile():
    segmenter = FakeSegmenter()
    head = Head(lambda: segmenter)
    head.run(Request(key(1), None, FEATURES, None))
    answer = head.run(Request(key(2), None, FEATURES, None))  # asked for before the first was answered
    assert segmenter.chain == [(1, 0), (2, 1)]
    assert [one for one, _ in answer.previews] == [key(2)]
    again = head.run(Request(key(2), None, FEATURES, None))
    assert segmenter.segmented == 2 and again.previews[-1][0] == key(2)
    head.run(Request(key(2, View(0, 3)), None, FEATURES, None))  # another slice begins anew
    assert segmenter.chain[2:] == [(1, 0), (2, 1)]


def test_features_are_read_once_per_slice():
    segmenter, store = FakeSegmenter(), MemoryStore((4, 40, 50))
    store.write(VIEW, FEATURES)
    reads = []
    real = store.read
    store.read = lambda view: reads.append(view) or real(view)  # type: ignore[method-assign]
    head = Head(lambda: segmenter)
    for count in (1, 2, 3):
        head.run(Request(key(count), None, None, store))
    assert reads == [VIEW]


def test_features_that_cannot_be_read_are_an_answer_of_their_own():
    segmenter, store = FakeSegmenter(), MemoryStore((4, 40, 50))
    store.write(VIEW, FEATURES)
    store.damaged.add(VIEW)
    head = Head(lambda: segmenter)
    answer = head.run(Request(key(1), None, None, store))
    assert answer.previews == () and isinstance(answer.lost, StoreError) and segmenter.segmented == 0
    assert head.run(Request(key(1), None, None, None)).lost is not None
    assert head.run(Request(key(1), None, FEATURES, store)).lost is None


def test_a_head_that_fails_raises():
    segmenter = FakeSegmenter()
    segmenter.trouble = RuntimeError("no")
    with pytest.raises(RuntimeError):
        Head(lambda: segmenter).run(Request(key(1), None, FEATURES, None))
