"""A desk: a project with fakes for the slow parts, that can be closed or abandoned and opened again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.core.prompts import Point, Prompt
from maskwright.session import Changes, Project, Session
from tests.fakes import FakeSegmenter, MainThread, MemoryStores


class Desk:
    """Sessions one after the other over the same project, stores and segmenter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.main = MainThread()
        self.segmenter = FakeSegmenter()
        self.stores = MemoryStores()
        self.changes: list[Changes] = []
        self.opened: list[Session] = []

    def session(self, *, fixed: bool = True, **options: Any) -> Session:
        session = Session(
            project=Project.open(self.project) if fixed else None,
            segmenter=options.pop("segmenter", lambda: self.segmenter),
            store_root=self.folder / "features",
            post=self.main.post,
            on_changes=self.changes.append,
            open_store=options.pop("open_store", self.stores),
            **options,
        )
        self.opened.append(session)
        return session

    def settle(self, session: Session) -> None:
        """Run until nothing more is encoded or asked of the head."""
        self.main.run_until(
            lambda: (
                not (session._encode_lane.busy or session._head_lane.busy or session._read_lane.busy)
                and not session._look_lane.busy
                and session._next_to_encode() is None
            )
        )

    def click(self, session: Session, *prompts: Prompt) -> None:
        """Add prompts one by one, each answered before the next."""
        for prompt in prompts:
            session.add_prompt(prompt)
            self.main.run_until(lambda: session.preview_is_current)

    def merged(self) -> Changes:
        """All that arrived so far, as one; forgets it."""
        total = Changes()
        for one in self.changes:
            total |= one
        self.changes.clear()
        return total


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.segmenter.gate.set()
    desk.segmenter.head_gate.set()
    desk.segmenter.doubt_gate.set()
    for session in desk.opened:
        session.close()


def write_photo(path: Path, *, seed: int = 0, shape: tuple[int, int] = (60, 80)) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return path


def write_scan(path: Path, *, seed: int = 0, shape: tuple[int, int, int] = (7, 40, 50)) -> Path:
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(-500, 500, shape).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_photo(tmp_path / "bilder für alle" / "photo one.png")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scan.nrrd")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three photos, whose natural order is not that of their names."""
    for i in (1, 2, 10):
        write_photo(tmp_path / "photos" / f"{i}.png", seed=i)
    return tmp_path / "photos"


def statuses(session: Session) -> list[tuple[str, str]]:
    return [(one.name, one.status) for one in session.scans]


def commit(desk: Desk, session: Session) -> None:
    """Click once and make an object of it."""
    desk.click(session, Point(20, 20))
    session.commit()
