"""The worklist: order, names, neighbours, and entries that come back from bytes as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import StoreError
from maskwright.core.geometry import Geometry
from maskwright.session.worklist import ScanEntry, Worklist

ROOT = Path("/data/bilder")


def listed(*names: str) -> Worklist:
    return Worklist().add([ROOT / name for name in names], root=ROOT)


def test_scans_are_numbered_in_order_and_named_from_the_root():
    work = listed("a.png", "sub/b.png", "a.png")
    assert [(one.id, one.name, one.status) for one in work] == [(1, "a.png", "new"), (2, "sub/b.png", "new")]
    more = work.add([ROOT / "a.png", Path("/elsewhere/c.png")], root=ROOT)
    assert [(one.id, one.name) for one in more] == [(1, "a.png"), (2, "sub/b.png"), (3, "c.png")]
    assert Worklist().add([ROOT], root=ROOT).entries[0].name == "bilder"


def test_neighbours_stop_at_the_ends():
    work = listed("a", "b", "c")
    assert (work.neighbour(1), work.neighbour(-1), work.current) == (0, None, None)
    work = work.showing(2)
    assert (work.neighbour(1), work.neighbour(-1)) == (2, 0)
    assert work.current is not None and work.current.name == "b"
    assert work.showing(3).neighbour(1) is None and work.showing(1).neighbour(-1) is None
    assert Worklist().neighbour(1) is None


def test_the_next_open_scan_is_not_done_and_comes_round_from_the_top():
    work = listed("a", "b", "c").showing(2)
    assert work.next_open() == 2
    work = work.with_entry(work.entries[2].with_status(done=True, started=True))
    assert work.next_open() == 0
    work = work.with_entry(work.entries[0].with_status(done=True, started=False))
    assert work.next_open() is None
    assert Worklist().next_open() is None and listed("a").next_open() == 0


@pytest.mark.parametrize(
    ("done", "started", "status"),
    [(False, False, "new"), (False, True, "started"), (True, True, "done"), (True, False, "done")],
)
def test_status(done: bool, started: bool, status: str):
    entry = ScanEntry(1, ROOT, "x", "started")
    assert entry.with_status(done=done, started=started).status == status
    assert entry.with_status(done=False, started=True) is entry


def test_bytes_give_the_same_entry():
    affine = np.array([[0.1, 0.2, 0, -5], [0.3, -0.7, 0, 1 / 3], [0, 0, 2.5, 1e-7], [0, 0, 0, 1]])
    plain = ScanEntry(4, ROOT / "größe \udcff.png", "größe", "done")
    full = replace(plain, fingerprint="f" * 64, geometry=Geometry((3, 4, 5), affine), modality="ct", earlier=("a", "b"))
    for entry in (plain, full):
        back = ScanEntry.from_bytes(4, entry.to_bytes(), "done")
        assert back == entry
    assert back.geometry is not None and back.geometry.shape_zyx == (3, 4, 5)
    assert np.array_equal(back.geometry.affine, affine)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"path": 3}', b"\xff"])
def test_a_damaged_entry_is_refused(data: bytes):
    with pytest.raises(StoreError, match="scan 4 in the journal is damaged"):
        ScanEntry.from_bytes(4, data, "new")
