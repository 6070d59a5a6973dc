"""Project: a folder with the journal of one or many scans, and where such folders are when nobody says."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.annotation import Annotation
from maskwright.core.errors import StoreError
from maskwright.io.journal import PROJECT, Journal
from maskwright.session import snapshot
from maskwright.session.steps import ScanState
from maskwright.session.worklist import ScanEntry, Status, Worklist

HOME = "MASKWRIGHT_HOME"
"""Environment variable: one folder for everything the app keeps, instead of the places of the system."""
JOURNAL = "journal.sqlite3"
BY_SCAN = "by-scan"
ELSEWHERE = "elsewhere"


def data_root() -> Path:
    """Folder for what must not be lost: projects and installed models."""
    if home := os.environ.get(HOME):
        return Path(home)
    from platformdirs import user_data_path

    return user_data_path("maskwright", appauthor=False)


def config_root() -> Path:
    """Folder for settings."""
    if home := os.environ.get(HOME):
        return Path(home)
    from platformdirs import user_config_path

    return user_config_path("maskwright", appauthor=False)


def cache_root() -> Path:
    """Folder for what can be computed again: features."""
    if home := os.environ.get(HOME):
        return Path(home)
    from platformdirs import user_cache_path

    return user_cache_path("maskwright", appauthor=False)


def projects_root() -> Path:
    """Folder of the projects that nobody chose a folder for."""
    return data_root() / "projects"


def default_store_root() -> Path:
    """Folder of the feature stores."""
    return cache_root() / "features"


def default_folder(path: Path) -> Path:
    """Project folder of a scan, or of a folder of scans: one for each absolute path.

    A scan that lies in a folder that was opened before belongs to the project of that folder, unless it was opened
    alone before. A scan that was moved belongs to the project it had before (`note_moved`).
    """
    folder = _own_folder(path)
    if Project.is_project(folder):
        return folder
    try:
        return Path((folder / ELSEWHERE).read_text("utf-8"))
    except OSError:
        above = _own_folder(Path(os.path.abspath(path)).parent)
        return above if Project.is_project(above) else folder


def _own_folder(path: Path) -> Path:
    whole = os.path.abspath(path)
    digest = hashlib.sha256(os.fsencode(os.path.normcase(whole))).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(whole).name)[:40].strip("-").lower()
    return projects_root() / (f"{name}-{digest}" if name else digest)


def note_scan(fingerprint: str, folder: Path) -> None:
    """Remember in which of the default project folders a scan is, so that it is found again after it was moved."""
    _note(projects_root() / BY_SCAN / fingerprint[:32], folder)


def note_moved(path: Path, folder: Path) -> None:
    """Remember that a path belongs to a project folder that was made for another one."""
    if folder != _own_folder(path):
        _note(_own_folder(path) / ELSEWHERE, folder)


def folder_of_scan(fingerprint: str) -> Path | None:
    """Project folder that `note_scan` remembered last for a scan, if it is still there."""
    try:
        folder = Path((projects_root() / BY_SCAN / fingerprint[:32]).read_text("utf-8"))
    except OSError:
        return None
    return folder if Project.is_project(folder) else None


def _note(file: Path, folder: Path) -> None:
    """Write a note; it is a convenience, so a disk that is full or read-only is not worth a word here."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(folder), "utf-8")
    except (OSError, UnicodeError):
        return


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """An open project; nobody else can open it until it is closed or the process ends."""

    folder: Path
    journal: Journal

    @classmethod
    def open(cls, folder: Path | str) -> Project:
        """Open or create the project in a folder.

        Raises
        ------
        StoreError
            If it is damaged, of a newer version, not writable, or open elsewhere. It is then unchanged.
        """
        folder = Path(os.path.abspath(folder))
        return cls(folder, Journal.open(folder / JOURNAL))

    @classmethod
    def for_path(cls, path: Path | str) -> Project:
        """Open or create the project that belongs to a scan or a folder of scans. Raises StoreError like `open`."""
        return cls.open(default_folder(Path(path)))

    @staticmethod
    def is_project(folder: Path) -> bool:
        """Whether there is a project in a folder."""
        return (folder / JOURNAL).is_file()

    def worklist(self) -> Worklist:
        """Scans of the project, none of them shown. Raises StoreError when it is damaged."""
        done = {scan for scan, key, _ in self.journal.find(snapshot.DONE) if key == snapshot.DONE}
        started = {scan for prefix in (snapshot.OBJECT, snapshot.DRAFT) for scan in self.journal.scans_with(prefix)}
        entries = []
        for scan, key, value in self.journal.find(snapshot.SCAN):
            if key == snapshot.SCAN:
                status: Status = "done" if scan in done else "started" if scan in started else "new"
                entries.append(ScanEntry.from_bytes(scan, value, status))
        return Worklist(tuple(entries))

    def state(self, scan: int) -> ScanState:
        """State of one scan; with `PROJECT` the labels alone. Raises StoreError when it is damaged."""
        labels, retired = snapshot.load_labels(self.journal.get(PROJECT))
        return snapshot.load_scan(self.journal.get(scan) if scan != PROJECT else {}, labels, retired)

    def active_label(self) -> int | None:
        """Label that was active last. Raises StoreError when what is kept about it is damaged."""
        return self._number(snapshot.ACTIVE_LABEL)

    def shown(self) -> int | None:
        """Scan that was shown last. Raises StoreError when what is kept about it is damaged."""
        return self._number(snapshot.SHOWN)

    def _number(self, key: str) -> int | None:
        value = self.journal.get(PROJECT).get(key)
        try:
            return None if value is None else int(value)
        except ValueError as error:
            raise StoreError("the journal is damaged", path=self.journal.path, hint="Put a copy of it back.") from error

    def annotations(self) -> Iterator[tuple[ScanEntry, Annotation]]:
        """Every scan with its annotation, read one at a time. Raises StoreError when one is damaged."""
        for entry in self.worklist():
            yield entry, self.state(entry.id).annotation

    def label_uses(self, label_id: int, *, except_scan: int = PROJECT) -> int:
        """Number of objects with this label in all scans but one."""
        found = self.journal.find(snapshot.OBJECT)
        return sum(1 for scan, _, value in found if scan != except_scan and snapshot.label_of(value) == label_id)

    def close(self) -> None:
        """Give the project back; closing twice is fine."""
        self.journal.close()
