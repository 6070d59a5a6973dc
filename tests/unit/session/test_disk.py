"""A disk that is full, a folder that is read-only: said in plain words, nothing changed, and work goes on."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maskwright.core.errors import StoreError
from maskwright.core.mask import Mask
from maskwright.core.prompts import Point, Prompts
from maskwright.core.volume import View
from maskwright.session import Session
from tests.fakes import disks

from .conftest import Desk

A, B = Point(20, 20), Point(45, 30)


def fill_up(session: Session) -> None:
    """Let SQLite find no room for another page, as on a full disk, and use up what is left in the pages it has."""
    journal = session.project.journal  # type: ignore[union-attr]
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    for size in (3000, 300, 30, 0):
        for fill in (
            lambda i, n=size: journal.put({(99, f"filler {n} {i}"): b"x" * n}),
            lambda i, n=size: journal.append(99, verb="", text="", payload=b"x" * n, state={}),
        ):
            with pytest.raises(StoreError, match="the disk is full"):
                for i in range(1000):
                    fill(i)


def make_room(session: Session) -> None:
    session.project.journal._connection.execute("PRAGMA max_page_count = 1000000")  # type: ignore[union-attr]


VERBS: dict[str, Callable[[Session], object]] = {
    "add_prompt": lambda s: s.add_prompt(B),
    "remove_last_prompt": lambda s: s.remove_last_prompt(),
    "clear_prompts": lambda s: s.clear_prompts(),
    "commit": lambda s: s.commit(),
    "add_label": lambda s: s.add_label("A label with a rather long name "),
    "rename_label": lambda s: s.rename_label(1, "A label with a rather long name "),
    "set_mask": lambda s: s.set_mask(1, View(0, 0), Mask.from_array(disks(Prompts((B,)), (60, 80)))),
    "delete_object": lambda s: s.delete_object(1),
    "set_object_visible": lambda s: s.set_object_visible(1, visible=False),
    "set_scan_done": lambda s: s.set_scan_done(done=True),
    "undo": lambda s: s.undo(),
}


def everything(session: Session) -> tuple[object, ...]:
    return (session._state, session.undo_text, session.redo_text, session.preview, session.view, session.scans)


@pytest.mark.parametrize("verb", VERBS)
def test_on_a_full_disk_a_verb_is_refused_and_nothing_has_changed(desk: Desk, photo: Path, verb: str):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    session.commit()
    desk.click(session, A)
    fill_up(session)
    before = everything(session)
    for _ in range(2):
        with pytest.raises(StoreError, match="the disk is full") as caught:
            VERBS[verb](session)
        assert caught.value.path is not None and caught.value.hint == "Free some space and do it again."
        assert everything(session) == before
    make_room(session)
    VERBS[verb](session)
    assert everything(session) != before
    kept = session._state
    session.close()
    again = desk.session()
    again.open(photo)
    assert again._state == kept


def test_opening_another_scan_on_a_full_disk_leaves_the_first_open(desk: Desk, photo: Path, scan: Path):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    fill_up(session)
    with pytest.raises(StoreError, match="the disk is full"):
        session.open(scan)
    assert session.scan is not None and session.scan.path == photo and len(session.scans) == 1
    assert session.prompts == Prompts((A,)) and session.preview_is_current
    make_room(session)
    session.open(scan)
    assert session.scan.path == scan


def test_a_commit_that_waited_says_so_when_the_disk_is_full_by_then(desk: Desk, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.settle(session)
    desk.segmenter.head_gate.clear()
    session.add_prompt(A)
    session.commit()
    fill_up(session)
    desk.changes.clear()
    desk.segmenter.head_gate.set()
    desk.main.run_until(lambda: session.preview_is_current)
    failure = desk.merged()
    assert isinstance(failure.error, StoreError) and failure.preview is not None
    assert session.annotation.objects == () and session.prompts == Prompts((A,))


# Root may write anywhere, so a folder is read-only only for a process that is somebody else.

_AS_NOBODY = """
import os, sqlite3, sys
from pathlib import Path
from maskwright.core.errors import StoreError
from maskwright.session import Project
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    Project.open(Path(sys.argv[1])).close()
except StoreError as error:
    print(error)
else:
    print("opened")
"""


def open_as_nobody(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A folder that also somebody else can look into."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder.stat().st_mode & 0o005 != 0o005 and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders work otherwise there")
def test_a_read_only_project_is_refused_with_what_to_do(desk: Desk, photo: Path, reachable: Path):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    session.close()
    journal = desk.project / "journal.sqlite3"
    content = journal.read_bytes()
    journal.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    desk.project.chmod(0o555)
    try:
        said = open_as_nobody(desk.project)
    finally:
        desk.project.chmod(0o755)
        journal.chmod(0o644)
    assert said == (
        f"the project may not be written: {journal}. Change its permissions, or choose another folder with --project."
    )
    assert journal.read_bytes() == content


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders work otherwise there")
def test_a_project_cannot_be_made_in_a_read_only_folder(reachable: Path):
    parent = reachable / "nur lesen"
    parent.mkdir()
    parent.chmod(0o555)
    try:
        said = open_as_nobody(parent / "project")
    finally:
        parent.chmod(0o755)
    assert said == (f"the project folder cannot be made: {parent / 'project'}. Choose another folder with --project.")
    assert list(parent.iterdir()) == []
