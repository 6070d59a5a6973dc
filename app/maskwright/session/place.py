"""Place: where a scan that was read belongs in the list of a project: known, new, moved, or changed on disk."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.core.errors import ScanError
from maskwright.session.opened import Opened
from maskwright.session.worklist import ScanEntry, Worklist


@dataclass(frozen=True, slots=True)
class Placed:
    """List in which the scan is shown, the entries that differ, and a sentence if something is not as it was."""

    worklist: Worklist
    changed: tuple[ScanEntry, ...]
    message: str

    @property
    def entry(self) -> ScanEntry:
        """Entry of the scan that was read."""
        assert self.worklist.current is not None
        return self.worklist.current


def place(worklist: Worklist, opened: Opened, *, root: Path, touched: Set[int], scan: int | None = None) -> Placed:
    """Find or make the entry of a scan that was read. Annotation is never dropped, nor put on a grid it does not fit.

    ``root`` is the path that was asked for, which names are relative to; ``touched`` are scans to which something was
    ever done; ``scan`` is the entry that was asked for, if any.

    Raises
    ------
    ScanError
        If the entry that was asked for belongs to what was at this path before.
    """
    before = worklist
    message = ""
    same = [one for one in worklist if one.path == opened.path and one.fingerprint == opened.fingerprint]
    at_path = [one for one in worklist if one.path == opened.path]
    known = same[-1] if same else at_path[-1] if at_path else None
    if scan is not None and (known is None or known.id != scan):
        raise ScanError(
            "the scan that this annotation was made on is no longer there",
            path=opened.path,
            hint="Put it back at this place; the annotation is kept.",
        )
    if known is None:
        known = next((one for one in worklist if _moved(one, opened)), None)
        if known is not None:
            message = f"{known.name} was moved since last time; its annotation is kept."
            worklist = _follow(worklist, known.path, opened.path)
            known = next(one for one in worklist if one.id == known.id)
    if known is not None and known.fingerprint not in ("", opened.fingerprint) and known.id in touched:
        grid = opened.volume.geometry
        if known.geometry is not None and known.geometry.shape_zyx == grid.shape_zyx:
            message = (
                f"{known.name} changed on disk since last time; its annotation is kept as it was. Please check it."
            )
            known = replace(known, earlier=(*known.earlier, known.fingerprint))
        else:
            kept = replace(known, name=_free_name(worklist, f"{known.name} (before it changed)"))
            worklist = worklist.with_entry(kept)
            message = (
                f"{known.name} is another scan than last time, of another size. "
                f'The annotation of the earlier one is kept as "{kept.name}".'
            )
            known = ScanEntry(worklist.next_id, known.path, known.name)
            worklist = replace(worklist, entries=(*worklist.entries, known))
    if scan is None:
        worklist = worklist.add(opened.found, root=root)
    if known is None:
        known = next(one for one in worklist if one.path == opened.path)
    entry = replace(
        known,
        path=opened.path,
        fingerprint=opened.fingerprint,
        geometry=opened.volume.geometry,
        modality=opened.volume.modality,
    )
    worklist = worklist.with_entry(entry).showing(entry.id)
    old = {one.id: one.to_bytes() for one in before}
    changed = tuple(one for one in worklist if old.get(one.id) != one.to_bytes())
    return Placed(worklist, changed, message)


def _moved(entry: ScanEntry, opened: Opened) -> bool:
    return entry.fingerprint == opened.fingerprint and not entry.path.exists()


def _follow(worklist: Worklist, old: Path, new: Path) -> Worklist:
    """List in which a scan, and those that lay beside it and are gone from there, are looked for at the new place."""
    old_root, new_root = old, new
    while old_root.name and old_root.name == new_root.name:
        old_root, new_root = old_root.parent, new_root.parent
    for one in worklist:
        if one.path == old:
            worklist = worklist.with_entry(replace(one, path=new))
        elif one.path.is_relative_to(old_root) and not one.path.exists():
            there = new_root / one.path.relative_to(old_root)
            if there.exists():
                worklist = worklist.with_entry(replace(one, path=there))
    return worklist


def _free_name(worklist: Worklist, name: str) -> str:
    names = {one.name for one in worklist}
    count, free = 2, name
    while free in names:
        free, count = f"{name} {count}", count + 1
    return free
