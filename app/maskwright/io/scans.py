"""Opens any scan or photo: looks at the first bytes of a file, never at its ending, and picks the reader."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskwright.core.errors import ScanError
from maskwright.core.volume import Volume
from maskwright.io import dicom, images, volumes
from maskwright.io.checks import COPY_AGAIN
from maskwright.io.dicom_header import Slice, read_slices
from maskwright.io.dicom_series import group_series

_HEAD = 1024  # bytes that are enough to tell every format
_FORMATS_HINT = "Open a PNG, JPEG, TIFF, BMP, WebP, NIfTI, NRRD, MetaImage or DICOM file, or a folder of them."


@dataclass(frozen=True, slots=True)
class Reader:
    """One kind of file: how its first bytes look (uncompressed where it may be gzipped), its endings, its reader."""

    kind: str
    matches: Callable[[bytes], bool]
    endings: tuple[str, ...]
    read: Callable[[Path], Volume]


def open_scan(path: Path | str) -> Volume:
    """Read the scan or photo at a path.

    A file is read by what it contains. One slice of a DICOM series stands for the whole series in its folder.
    A folder stands for the DICOM series in it; if there are several, the one with the most slices (of equals the
    first by series number and file name). A folder without DICOM must hold exactly one file that can be opened;
    subfolders count, as in `find_scans`.

    Raises
    ------
    ScanError
        Says what is wrong, in which file, and what to do: missing, not readable for this user, empty, not an image,
        damaged, cut off, too large, voxels without a value, slices missing or of different sizes, no scan in the
        folder, or more than one to choose from.
    """
    path = Path(path)
    with _plain_errors(path):
        if not _is_folder(path):
            head = _head(path)
            reader = _reader_of(head)
            if reader is None:
                raise _not_a_scan(path, head)
            return reader.read(path)
        broken: list[ScanError] = []
        scans = list(_scans_below(path, broken))
        if not scans:
            raise broken[0] if broken else _nothing_in(path)
        most = _main(scans)
        if most.slices:
            _refuse_broken(broken, most.folder)
            return dicom.read_scan(most.slices, source=most.path)
        if len(scans) > 1:
            raise ScanError(
                f"the folder holds {len(scans)} scans or photos", path=path, hint=f"Open one of them: {most.path.name}."
            )
        return open_scan(most.path)


def find_scans(path: Path | str) -> list[Path]:
    """List what there is to open at a path; each entry is an argument for `open_scan`.

    A file is itself. In a folder (and its subfolders, except hidden ones), in natural order (2 before 10): every
    photo and volume file; and per DICOM scan the folder where the scan is all the DICOM in it, else its first file by
    position. Files of other kinds, reports, segmentations and contours are left out.

    Raises
    ------
    ScanError
        If the path does not exist or cannot be read, or there is no scan in it.
    """
    return list_scans(path)[0]


def list_scans(path: Path | str) -> tuple[list[Path], Path]:
    """The list of `find_scans`, and the one of it to begin with: the DICOM series that `open_scan` opens, or the first.

    Raises ScanError like `find_scans`.
    """
    path = Path(path)
    with _plain_errors(path):
        if not _is_folder(path):
            return [path], path
        broken: list[ScanError] = []
        scans = list(_scans_below(path, broken))
        if not scans:
            raise broken[0] if broken else _nothing_in(path)
        return [scan.path for scan in scans], _main(scans).path


@dataclass(frozen=True, slots=True)
class _Found:
    """Something to open; `slices` is empty unless it is DICOM."""

    path: Path
    folder: Path
    slices: tuple[Slice, ...] = ()


def _main(scans: Sequence[_Found]) -> _Found:
    """The DICOM series with the most slices, the first of equals; without DICOM the first scan."""
    return max(scans, key=lambda scan: len(scan.slices))


def _scans_below(folder: Path, broken: list[ScanError]) -> Iterator[_Found]:
    """Yield the scans of a folder, then those of its subfolders; the errors of damaged DICOM go into `broken`."""
    with os.scandir(folder) as entries:
        visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: _natural(e.name))
        files = [Path(e.path) for e in visible if e.is_file()]
        folders = [Path(e.path) for e in visible if e.is_dir(follow_symlinks=False)]
    kinds = {file: _kind(file) for file in files}
    scans, damaged = group_series(file for file, kind in kinds.items() if kind == "DICOM")
    broken.extend(damaged)
    yield from (_Found(_name(scan, alone=len(scans) == 1), folder, tuple(scan)) for scan in scans)
    yield from (_Found(file, folder) for file, kind in kinds.items() if kind not in ("", "DICOM"))
    for below in folders:
        yield from _scans_below(below, broken)


def _name(scan: Sequence[Slice], *, alone: bool) -> Path:
    """Return the path that stands for a DICOM scan: its folder if it has many files and is alone there, else a file."""
    first = scan[0]
    return first.path.parent if alone and len(scan) > 1 and first.n_frames == 1 else first.path


def _read_dicom(path: Path) -> Volume:
    """Read the scan that a DICOM file belongs to: its series in its folder, or the picture alone."""
    (first, *rest) = read_slices(path)
    if rest or first.position is None or first.orientation is None:
        scans, _ = group_series([path])
        return dicom.read_scan(scans[0], source=path)
    with os.scandir(path.parent) as entries:
        files = [Path(e.path) for e in entries if e.is_file() and not e.name.startswith(".")]
    scans, broken = group_series([path, *(file for file in files if file != path and _kind(file) == "DICOM")])
    _refuse_broken(broken, path.parent)
    scan = next(s for s in scans if any(one.instance == first.instance for one in s))
    return dicom.read_scan(scan, source=_name(scan, alone=len(scans) == 1))


def _refuse_broken(broken: list[ScanError], folder: Path) -> None:
    """Raise the error of a damaged DICOM file in a folder: it may be a slice of the series to open."""
    for error in broken:
        if error.path is not None and error.path.parent == folder:
            raise error


def _is_dicom(head: bytes) -> bool:
    """Whether a file has the DICOM mark, or starts like one from before the mark: with group 0008, little endian."""
    old = head[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")
    return head[128:132] == b"DICM" or old


def _is_nifti(head: bytes) -> bool:
    if len(head) < 348:
        return False
    size = struct.unpack_from("<i", head)[0], struct.unpack_from(">i", head)[0]
    return (348 in size and head[344:347] in (b"n+1", b"ni1")) or (540 in size and head[4:7] == b"n+2")


def _is_bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and len(head) > 18 and struct.unpack_from("<I", head, 14)[0] in (12, 40, 52, 56, 108, 124)


def _is_meta_image(head: bytes) -> bool:
    return re.match(rb"\s*(ObjectType|NDims|Comment)\s*=[^\0]*(NDims|DimSize)\s*=", head) is not None


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_zipped_nifti(head: bytes) -> bool:
    if head[:2] != b"\x1f\x8b":
        return False
    try:
        return _is_nifti(zlib.decompressobj(wbits=31).decompress(head))
    except zlib.error:
        return False


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


READERS: tuple[Reader, ...] = (
    Reader("DICOM", _is_dicom, (".dcm", ".ima"), _read_dicom),
    Reader("PNG", _starts(b"\x89PNG\r\n\x1a\n"), (".png",), partial(images.read, kind="PNG")),
    Reader("JPEG", _starts(b"\xff\xd8\xff"), (".jpg", ".jpeg"), partial(images.read, kind="JPEG")),
    Reader(
        "TIFF", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (".tif", ".tiff"), partial(images.read, kind="TIFF")
    ),
    Reader("BMP", _is_bmp, (".bmp",), partial(images.read, kind="BMP")),
    Reader("WebP", _is_webp, (".webp",), partial(images.read, kind="WebP")),
    Reader("NIfTI.gz", _is_zipped_nifti, (".nii.gz",), partial(volumes.read, kind="NIfTI.gz")),
    Reader("NIfTI", _is_nifti, (".nii", ".hdr"), partial(volumes.read, kind="NIfTI")),
    Reader("NRRD", _starts(b"NRRD000"), (".nrrd", ".nhdr"), partial(volumes.read, kind="NRRD")),
    Reader("MetaImage", _is_meta_image, (".mha", ".mhd"), partial(volumes.read, kind="MetaImage")),
)
"""Every kind that opens, in the order in which the first bytes are tried."""


def _reader_of(head: bytes) -> Reader | None:
    return next((reader for reader in READERS if reader.matches(head)), None)


def _kind(path: Path) -> str:
    """Return the kind of a file in a folder, ``""`` if it is none that opens or it cannot be read."""
    try:
        reader = _reader_of(_head(path))
    except OSError:
        return ""
    return reader.kind if reader else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts 2 before 10."""
    parts = re.split(r"(\d+)", name)  # text and numbers in turn, text first
    return [(int(part), "") if i % 2 else (-1, part.casefold()) for i, part in enumerate(parts)]


def _is_folder(path: Path) -> bool:
    return bool(path.stat() and path.is_dir())  # stat first: it raises where is_dir only says no


def _not_a_scan(path: Path, head: bytes) -> ScanError:
    if not head:
        return ScanError("the file is empty (0 bytes)", path=path, hint=COPY_AGAIN)
    promised = next((r.kind for r in READERS if path.name.lower().endswith(r.endings)), "")
    if promised:
        return ScanError(
            f"this is not a {promised.partition('.')[0]} file, whatever its name says, or it is damaged",
            path=path,
            hint=COPY_AGAIN,
        )
    return ScanError("this is not an image or a scan", path=path, hint=_FORMATS_HINT)


def _nothing_in(folder: Path) -> ScanError:
    with os.scandir(folder) as entries:
        empty = next(entries, None) is None
    what = "the folder is empty" if empty else "there is no scan or photo in this folder"
    return ScanError(what, path=folder, hint=_FORMATS_HINT)


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says into a ScanError."""
    try:
        yield
    except FileNotFoundError as error:
        raise ScanError("there is no such file or folder", path=path, hint="Check the name and the drive.") from error
    except PermissionError as error:
        raise ScanError(
            "you have no permission to read this", path=error.filename or path, hint="Ask its owner for read access."
        ) from error
    except MemoryError as error:
        raise ScanError(
            "there is not enough memory to open this", path=path, hint="Close other programs, or open a smaller copy."
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ScanError(f"this cannot be read ({reason})", path=path, hint="Check the drive it lies on.") from error
