"""Project: a folder with the journal of one or many scans."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.annotation import Annotation
from maskwright.core.errors import StoreError
from maskwright.io.annotated import OBJECT, SCAN, load_labels
from maskwright.io.journal import PROJECT, Journal
from maskwright.io.places import (
    JOURNAL,
    cache_root,
    config_root,
    data_root,
    default_folder,
    default_store_root,
    folder_of_scan,
    is_project,
    note_moved,
    note_scan,
    projects_root,
)
from maskwright.session import snapshot
from maskwright.session.steps import ScanState
from maskwright.session.worklist import ScanEntry, Status, Worklist

__all__ = [
    "JOURNAL",
    "Project",
    "cache_root",
    "config_root",
    "data_root",
    "default_folder",
    "default_store_root",
    "folder_of_scan",
    "note_moved",
    "note_scan",
    "projects_root",
]


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
        return is_project(folder)

    def worklist(self) -> Worklist:
        """Scans of the project, none of them shown. Raises StoreError when it is damaged."""
        done = {scan for scan, key, _ in self.journal.find(snapshot.DONE) if key == snapshot.DONE}
        started = {scan for prefix in (OBJECT, snapshot.DRAFT) for scan in self.journal.scans_with(prefix)}
        entries = []
        for scan, key, value in self.journal.find(SCAN):
            if key == SCAN:
                status: Status = "done" if scan in done else "started" if scan in started else "new"
                entries.append(ScanEntry.from_bytes(scan, value, status))
        return Worklist(tuple(entries))

    def state(self, scan: int) -> ScanState:
        """State of one scan; with `PROJECT` the labels alone. Raises StoreError when it is damaged."""
        labels, retired = load_labels(self.journal.get(PROJECT))
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
        found = self.journal.find(OBJECT)
        return sum(1 for scan, _, value in found if scan != except_scan and snapshot.label_of(value) == label_id)

    def close(self) -> None:
        """Give the project back; closing twice is fine."""
        self.journal.close()
