"""Precompute: nearest first, one slice at a time, written then flagged, resumed where it stopped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import StoreError
from maskwright.core.fingerprint import fingerprint
from maskwright.core.geometry import Geometry
from maskwright.core.volume import View, Volume
from maskwright.session.precompute import nearest, open_store, precompute
from tests.fakes import FAKE_CARD, FakeSegmenter, MemoryStore

SHAPE = (9, 12, 10)


def volume(seed: int = 0) -> Volume:
    voxels = np.random.default_rng(seed).integers(0, 200, SHAPE).astype(np.int16)
    return Volume(voxels, Geometry(SHAPE, np.eye(4)), "mr", Path("scan"))


@pytest.mark.parametrize(
    ("ready", "index", "expected"),
    [
        ([0, 0, 0, 0, 0], 2, 2),
        ([0, 0, 1, 0, 0], 2, 3),
        ([0, 0, 1, 1, 0], 2, 1),
        ([0, 1, 1, 1, 0], 2, 4),
        ([0, 1, 1, 1, 1], 4, 0),
        ([1, 1, 1, 1, 1], 2, None),
        ([1, 1, 0], 0, 2),
    ],
)
def test_the_nearest_slice_comes_next_and_the_one_above_before_the_one_below(ready, index, expected):
    assert nearest(np.array(ready, bool), index) == expected


def test_all_slices_are_encoded_once_nearest_first():
    segmenter, store, seen = FakeSegmenter(), MemoryStore(SHAPE), []
    count = precompute(
        volume(),
        segmenter=segmenter,
        store=store,
        first=View(0, 6),
        on_slice=lambda view, ready, total: seen.append((view.index, ready, total)),
    )
    assert count == segmenter.encoded == 9
    assert [view.index for view in store.writes] == [6, 7, 5, 8, 4, 3, 2, 1, 0]
    assert seen == [(index, i + 1, 9) for i, index in enumerate([6, 7, 5, 8, 4, 3, 2, 1, 0])]
    assert precompute(volume(), segmenter=segmenter, store=store) == 0
    assert segmenter.encoded == 9


def test_it_begins_in_the_middle_and_stops_when_asked():
    segmenter, store = FakeSegmenter(), MemoryStore(SHAPE)
    assert precompute(volume(), segmenter=segmenter, store=store, should_stop=lambda: len(store.writes) == 3) == 3
    assert [view.index for view in store.writes] == [4, 5, 3]


def test_another_axis_has_slices_of_its_own():
    segmenter, store = FakeSegmenter(), MemoryStore(SHAPE)
    assert precompute(volume(), segmenter=segmenter, store=store, first=View(2, 0)) == 10
    assert store.ready_flags(2).all() and not store.ready_flags(0).any()
    assert store.read(View(2, 0)).shape_yx == (9, 12)


def test_a_store_that_cannot_be_written_ends_it_with_its_own_words():
    store = MemoryStore(SHAPE)
    store.full = True
    with pytest.raises(StoreError, match="the disk is full"):
        precompute(volume(), segmenter=FakeSegmenter(), store=store)
    assert not store.ready_flags().any()


def test_features_on_disk_are_resumed_only_for_the_same_scan_and_model(tmp_path: Path):
    def run(scan: Volume, sha: str) -> tuple[int, str]:
        from dataclasses import replace

        segmenter = FakeSegmenter(replace(FAKE_CARD, sha256={**FAKE_CARD.sha256, "encoder.onnx": sha * 64}))
        store = open_store(scan, fingerprint(scan), segmenter=segmenter, root=tmp_path)
        return precompute(scan, segmenter=segmenter, store=store), store.notice

    assert run(volume(), "a") == (9, "")
    assert run(volume(), "a") == (0, "")
    count, notice = run(volume(), "b")
    assert count == 9 and "set aside because the model changed" in notice
    assert run(volume(seed=1), "b") == (9, "")


_LOOP = """
import sys, time
from pathlib import Path
from maskwright.core.fingerprint import fingerprint
from maskwright.session.precompute import open_store, precompute
from tests.fakes import FakeSegmenter
from tests.unit.session.test_precompute import volume
class Slow(FakeSegmenter):
    def encode(self, *arguments, **options):
        time.sleep(0.05)
        return super().encode(*arguments, **options)
scan, segmenter = volume(), Slow()
store = open_store(scan, fingerprint(scan), segmenter=segmenter, root=Path(sys.argv[1]))
precompute(scan, segmenter=segmenter, store=store, on_slice=lambda view, ready, total: print(view.index, flush=True))
"""


def test_a_killed_run_goes_on_with_the_slices_it_had_not_acknowledged(tmp_path: Path, repository: Path):
    told: list[int] = []
    for count in (2, 3):
        process = subprocess.Popen(
            [sys.executable, "-c", _LOOP, str(tmp_path)], cwd=repository, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told += [int(process.stdout.readline()) for _ in range(count)]
        process.kill()
        told += [int(line) for line in process.stdout.read().splitlines()]
        process.stdout.close()
        assert process.wait() != 0
    assert len(told) == len(set(told)) < 9  # nothing that was acknowledged was done twice

    scan, segmenter = volume(), FakeSegmenter()
    store = open_store(scan, fingerprint(scan), segmenter=segmenter, root=tmp_path)
    flags = store.ready_flags().copy()
    assert store.notice == "" and flags[told].all()
    assert len(told) <= flags.sum() <= len(told) + 2  # each kill may fall between a flag and its word
    assert precompute(scan, segmenter=segmenter, store=store) == 9 - flags.sum()
    for index in range(9):
        values = store.read(View(0, index)).arrays[0]
        assert np.allclose(values, scan.voxels[index].mean(), atol=0.06)
