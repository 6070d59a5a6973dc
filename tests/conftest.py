"""What every test stands on: no display, no network, a home of its own, and the shared data where there is some."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.fakes import FakeSegmenter

# Before any test module imports Qt or numpy: an offscreen platform, one thread, and a home that is never the user's.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MASKWRIGHT_HOME"] = tempfile.mkdtemp(prefix="maskwright-tests-")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with `data/`, `eval/` and `vectors/`: MASKWRIGHT_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("MASKWRIGHT_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set MASKWRIGHT_SHARED to its folder")
    return folder


@pytest.fixture(scope="session")
def shared_data(shared_folder: Path) -> Path:
    """The shared images, volumes and DICOM files: holds `train/`, `val/` and `dicom/`."""
    folder = shared_folder / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}")
    return folder


@pytest.fixture(autouse=True)
def maskwright_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh MASKWRIGHT_HOME (settings, projects, features, caches) for each test."""
    home = tmp_path / "maskwright home"
    monkeypatch.setenv("MASKWRIGHT_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        if internet and str(address[0]) not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    yield


@pytest.fixture
def fake_segmenter(monkeypatch: pytest.MonkeyPatch) -> FakeSegmenter:
    """A segmenter that counts, given to whatever loads one by name."""
    from tests.fakes import FakeSegmenter

    segmenter = FakeSegmenter()
    monkeypatch.setattr("maskwright.inference.load_segmenter", lambda *arguments, **options: segmenter)
    return segmenter
