"""Worklist: the scans of a project in order, which one is shown, and how far each one is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.core.geometry import Geometry

Status = Literal["new", "started", "done"]


@dataclass(frozen=True, slots=True)
class ScanEntry:
    """A scan of a project, open or not.

    Attributes
    ----------
    id
        Number of the scan in its project, from 1.
    path
        File or folder it is read from, absolute.
    name
        What it is called on screen.
    status
        ``new``: nothing is in it; ``started``: objects or prompts are; ``done``: the user said so.
    fingerprint
        Of the voxels and grid when it was last shown; empty before.
    geometry
        Grid when it was last shown, None before.
    modality
        As read from the file; empty before.
    earlier
        Fingerprints it had before the file changed.
    """

    id: int
    path: Path
    name: str
    status: Status = "new"
    fingerprint: str = ""
    geometry: Geometry | None = field(default=None, compare=False)
    modality: str = ""
    earlier: tuple[str, ...] = ()

    def with_status(self, *, done: bool, started: bool) -> ScanEntry:
        """Entry with the status that follows from these two."""
        status: Status = "done" if done else "started" if started else "new"
        return self if status == self.status else replace(self, status=status)

    def to_bytes(self) -> bytes:
        """Form for the journal; the status is not part of it."""
        grid = self.geometry
        return json.dumps(
            {
                "path": str(self.path),
                "name": self.name,
                "fingerprint": self.fingerprint,
                "modality": self.modality,
                "earlier": list(self.earlier),
                "shape_zyx": None if grid is None else list(grid.shape_zyx),
                "affine": None if grid is None else grid.affine.tolist(),
            }
        ).encode()

    @classmethod
    def from_bytes(cls, scan: int, data: bytes, status: Status) -> ScanEntry:
        """Entry from what `to_bytes` gave. Raises StoreError when it is damaged."""
        try:
            value = json.loads(data)
            grid = None
            if value["shape_zyx"] is not None:
                z, y, x = value["shape_zyx"]
                grid = Geometry((z, y, x), np.array(value["affine"], np.float64))
            path, earlier = Path(value["path"]), tuple(value["earlier"])
            return cls(scan, path, value["name"], status, value["fingerprint"], grid, value["modality"], earlier)
        except (ValueError, KeyError, TypeError, MaskwrightError) as error:
            raise StoreError(
                f"scan {scan} in the journal is damaged ({error})", hint="Put a copy of it back."
            ) from error


@dataclass(frozen=True, slots=True)
class Worklist:
    """Entries in the order of the list; ``shown`` is the position of the scan on screen, None when there is none."""

    entries: tuple[ScanEntry, ...] = ()
    shown: int | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[ScanEntry]:
        return iter(self.entries)

    @property
    def current(self) -> ScanEntry | None:
        """Entry of the scan on screen."""
        return None if self.shown is None else self.entries[self.shown]

    @property
    def next_id(self) -> int:
        """Number of the next scan that is added."""
        return max((one.id for one in self.entries), default=0) + 1

    def neighbour(self, step: int) -> int | None:
        """Position of the next (1) or previous (-1) scan; None at the ends of the list."""
        at = step - 1 if self.shown is None and step > 0 else (self.shown or 0) + step
        return at if 0 <= at < len(self.entries) else None

    def next_open(self) -> int | None:
        """Position of the next scan that is not done, after the shown one and then from the top; None when all are."""
        count, after = len(self.entries), -1 if self.shown is None else self.shown
        order = [(after + 1 + i) % count for i in range(count)]
        return next((i for i in order if self.entries[i].status != "done" and i != self.shown), None)

    def showing(self, scan: int) -> Worklist:
        """List in which the scan of this number is shown."""
        return replace(self, shown=next(i for i, one in enumerate(self.entries) if one.id == scan))

    def add(self, paths: Sequence[Path], *, root: Path) -> Worklist:
        """List with entries for those paths that it does not have yet, named relative to ``root``."""
        known = {one.path for one in self.entries}
        fresh = [path for path in dict.fromkeys(paths) if path not in known]
        new = tuple(ScanEntry(self.next_id + i, path, _name(path, root)) for i, path in enumerate(fresh))
        return replace(self, entries=self.entries + new)

    def with_entry(self, entry: ScanEntry) -> Worklist:
        """List in which this entry replaces the one of its number."""
        return replace(self, entries=tuple(entry if one.id == entry.id else one for one in self.entries))


def _name(path: Path, root: Path) -> str:
    try:
        relative = path.relative_to(root)
    except ValueError:
        return path.name
    return relative.as_posix() if relative.parts else path.name
