"""Export = write beside the target, read back, compare, rename: a dataset is there whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maskwright.core.errors import ExportError
from maskwright.io.datasets import FORMATS, Format, Item, Options
from maskwright.session.part_folder import PartFolder

RECORD = "export.json"
"""Name of the file in every exported folder that says what made it and which files belong to it."""

_ENOUGH_BYTES = 64 * 1024  # a disk with less than this left counts as full when something went wrong
_DEFAULT = Options()
_HINTS = {
    errno.ENOSPC: "Free some space or choose another drive.",
    errno.EDQUOT: "Free some space or choose another drive.",
    errno.EFBIG: "Choose a drive that takes larger files.",
    errno.EACCES: "Choose a folder you may write to.",
    errno.EPERM: "Choose a folder you may write to.",
    errno.EROFS: "Choose a folder you may write to.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Parameters
    ----------
    format
        Key in FORMATS.
    out
        Folder of the dataset.
    scans, objects, files
        How many were written.
    notes
        Sentences on scans that were left out and on what the format could not hold.
    """

    format: str
    out: Path
    scans: int
    objects: int
    files: int
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """All of it for a person, in one line."""
        objects = "1 object" if self.objects == 1 else f"{self.objects} objects"
        scans = "1 scan" if self.scans == 1 else f"{self.scans} scans"
        files = "1 file" if self.files == 1 else f"{self.files} files"
        title = FORMATS[self.format].title
        done = f"Exported {objects} of {scans} as {title} to {self.out}: {files}, read back and equal."
        return " ".join((done, *(note if note.endswith(".") else f"{note}." for note in self.notes)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a script."""
        return {**asdict(self), "out": str(self.out), "notes": list(self.notes)}


def export(
    items: Sequence[Item], *, format: str, out: Path, overwrite: bool = False, options: Options = _DEFAULT
) -> ExportReport:
    """Write a dataset, read it back with an independent library, compare every pixel, and only then give it its name.

    Parameters
    ----------
    items
        Annotated scans of one project. Those without an object, and those the format cannot hold, are left out, and the
        report says so.
    format
        Key in FORMATS.
    out
        Folder to make. It may exist when it is empty, or, with `overwrite`, when it holds an earlier export and
        nothing else. Its parent must exist.
    overwrite
        Replace an earlier export.
    options
        Choices of the format.

    Raises
    ------
    ExportError
        With the cause and the file, whatever went wrong: full disk, no permission, a difference. Nothing new is left
        then, and what was at `out` is untouched.
    """
    kind = FORMATS[format]
    chosen, notes = _choose(items, kind)
    out = Path(os.path.abspath(out))
    _refuse_target(out, overwrite=overwrite)
    part: PartFolder | None = None
    made: Path | None = None
    try:
        part = PartFolder(out)
        made = part.path
        notes += kind.write(chosen, made, options)
        kind.check(chosen, made, options)
        files = _files(made)
        _write_record(made, kind, files)
        _flush(made)
        _put_in_place(made, out)
    except OSError as error:
        raise _from_system(error, out=out, made=made) from error
    except ExportError as error:
        raise _explained(error, out=out, made=made) from error
    finally:
        if part is not None:
            part.close()
    objects = sum(1 for item in chosen for one in item.annotation.objects if not one.is_empty)
    return ExportReport(format, out, len(chosen), objects, len(files) + 1, tuple(notes))


def _choose(items: Sequence[Item], kind: Format) -> tuple[list[Item], list[str]]:
    """Items that will be written, and sentences on the others; ExportError when none is left."""
    chosen: list[Item] = []
    refused: list[str] = []
    n_empty = 0
    for item in items:
        reason = kind.accepts(item)
        if all(one.is_empty for one in item.annotation.objects):
            n_empty += 1
        elif reason:
            refused.append(f"{item.name} was left out: {reason}")
        else:
            chosen.append(item)
    if not chosen and refused:
        raise ExportError(f"nothing can be exported as {kind.title}: {refused[0]}")
    if not chosen:
        raise ExportError("there is nothing to export", hint="Annotate an object first: click on it and press Enter.")
    if n_empty:
        refused.append(f"{n_empty} without an object {'was' if n_empty == 1 else 'were'} left out")
    return chosen, refused


def _refuse_target(out: Path, *, overwrite: bool) -> None:
    """ExportError unless `out` can become the dataset without loss of anything but an earlier export."""
    if not out.name:
        raise ExportError("a dataset needs a folder of its own", path=out, hint="Name a new folder.")
    if not out.parent.is_dir():
        raise ExportError("the folder to export into does not exist", path=out.parent, hint="Make it first.")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise ExportError("there is already a file of this name", path=out, hint="Choose another name.")
    try:
        known = _read_record(out)
        strange = next((path for path in _files(out) if path not in known), None)
        anything = next(out.iterdir(), None)
    except OSError as error:
        raise _from_system(error, out=out, made=None) from error
    if anything is None:
        return
    if strange is not None or not known:
        raise ExportError(
            "the folder holds files that no export made",
            path=out / (strange or anything.name),
            hint="Choose a new folder, so that they are not lost.",
        )
    if not overwrite:
        raise ExportError("there is already an export", path=out, hint="Choose another name, or overwrite it.")


def _write_record(folder: Path, kind: Format, files: Sequence[str]) -> None:
    record = {"made_by": "maskwright", "format": kind.name, "files": [*files, RECORD]}
    (folder / RECORD).write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _read_record(folder: Path) -> set[str]:
    """Files that an earlier export wrote into a folder; empty when there was none."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["made_by"] == "maskwright":
            return {str(name) for name in record["files"]}
    return set()


def _files(folder: Path) -> list[str]:
    """Files below a folder, as posix paths relative to it; a link counts as a file."""
    found = []
    for place, folders, names in os.walk(folder):
        below = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name).relative_to(folder).as_posix() for name in (*names, *below)]
    return sorted(found)


def _flush(folder: Path) -> None:
    """Have the system write every file to the disk; a late error (quota, network drive) stops the export."""
    for name in _files(folder):
        with (folder / name).open("r+b") as stream:
            os.fsync(stream.fileno())


def _put_in_place(made: Path, out: Path) -> None:
    """Give the finished folder its name; an earlier one is moved aside first, and back if that fails."""
    if not out.exists():
        os.rename(made, out)
        return
    aside = made.with_suffix(".old")
    os.rename(out, aside)
    try:
        os.rename(made, out)
    except OSError:
        os.rename(aside, out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _from_system(error: OSError, *, out: Path, made: Path | None) -> ExportError:
    """ExportError that says what the system says; the path is that of the target, not of the temporary folder."""
    hint = _HINTS.get(error.errno or 0, "Nothing was changed.")
    return ExportError(
        f"the export failed: {error.strerror or error}", path=_shown(error.filename, out, made), hint=hint
    )


def _explained(error: ExportError, *, out: Path, made: Path | None) -> ExportError:
    """The same failure with the path of the target, and with its cause where that is a full disk.

    SimpleITK does not notice a full disk: it leaves a short file, and only reading it back tells.
    """
    with contextlib.suppress(OSError):
        if made is not None and shutil.disk_usage(made).free < _ENOUGH_BYTES:
            what = f"the disk is full ({error.what})"
            return ExportError(what, path=_shown(error.path, out, made), hint=_HINTS[errno.ENOSPC])
    hint = error.hint or "Nothing was written. Please report this."
    return ExportError(error.what, path=None if error.path is None else _shown(error.path, out, made), hint=hint)


def _shown(path: Any, out: Path, made: Path | None) -> Path:
    if path is None or made is None:
        return out if path is None else Path(path)
    with contextlib.suppress(ValueError, TypeError):
        return out / Path(path).relative_to(made)
    return Path(path)
