"""FeatureStore: encoder features of one scan on disk (zarr 3), one chunk per slice view, signed.

Layout of one store folder: a zarr group whose attributes are the manifest, written first; per axis a group with one
array per feature (n, ...), chunks (1, ...), guarded by CRC32C, and ``done`` (n,) uint8, chunks (1,), whose flag is
written after the features of that slice. A slice counts only when its flag is there. A folder whose manifest does not
match is renamed, never resumed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.core.errors import StoreError
from maskwright.core.features import Features
from maskwright.core.model_card import FeatureSpec, ModelCard
from maskwright.core.preprocess import PREPROCESSING_VERSION, Intensity

if TYPE_CHECKING:
    import zarr

    from maskwright.core.volume import View

STORE_VERSION = 1
USED = "used"
"""Empty file whose modification time says when the store was last read or written."""
ASIDE = ".aside-"
"""In the name of a folder that was set aside."""
IN_USE_SECONDS = 120.0
"""A store used within this time may belong to another running process and is not evicted."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What features depend on; two stores with equal signatures are interchangeable."""

    fingerprint: str
    model_id: str
    model_sha256: str
    preprocessing_version: int
    intensity: tuple[float, float]
    features: tuple[FeatureSpec, ...]

    @property
    def key(self) -> str:
        """Folder name: one per scan and model, so that features of an older model are found and set aside."""
        return f"{self.fingerprint[:24]}-{self.model_id}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, the manifest's content."""
        out = asdict(self)
        out["features"] = [[f.name, list(f.shape), f.dtype] for f in self.features]
        out["intensity"] = list(self.intensity)
        out["store_version"] = STORE_VERSION
        return out


def signature(fingerprint: str, card: ModelCard, intensity: Intensity) -> Signature:
    """Signature of the features that ``card``'s encoder makes of a scan."""
    return Signature(
        fingerprint=fingerprint,
        model_id=card.features_id,
        model_sha256=card.encoder_sha256,
        preprocessing_version=PREPROCESSING_VERSION,
        intensity=(intensity.low, intensity.high),
        features=card.features,
    )


class FeatureStore:
    """Features of one scan. Open it with :meth:`open`; reading and writing are safe from one thread at a time."""

    def __init__(self, folder: Path, group: zarr.Group, sign: Signature, shape_zyx: tuple[int, int, int]) -> None:
        self.folder = folder
        self.signature = sign
        self.shape_zyx = shape_zyx
        self.notice = ""
        self._group = group
        self._axes: dict[int, tuple[list[zarr.Array], zarr.Array]] = {}
        self._done: dict[int, np.ndarray] = {}

    @classmethod
    def open(
        cls,
        root: Path,
        sign: Signature,
        *,
        shape_zyx: tuple[int, int, int],
        budget_bytes: int | None = None,
    ) -> FeatureStore:
        """Open or create the store of ``sign`` under ``root``.

        A folder there that does not match, or cannot be read, is renamed to ``<key>.aside-<time>`` and ``notice`` says
        so in a sentence. ``budget_bytes`` evicts least recently used other stores first.
        Raises StoreError where the folder cannot be written.
        """
        folder = root / sign.key
        notice = ""
        with _disk_errors(folder):
            root.mkdir(parents=True, exist_ok=True)
            if budget_bytes is not None:
                evict(root, budget_bytes=budget_bytes, keep=folder)
            found = _manifest(folder)
            wanted = {**sign.to_json(), "shape_zyx": list(shape_zyx)}
            if folder.exists() and found != wanted:
                notice = _set_aside(folder, _difference(found, wanted))
                found = None
            store = cls(folder, _open_group(folder, wanted if found is None else None), sign, shape_zyx)
            if found is not None and not store._is_sound():
                notice = _set_aside(folder, "its files are damaged")
                store = cls(folder, _open_group(folder, wanted), sign, shape_zyx)
        store.notice = notice
        store.touch()
        return store

    def ready_flags(self, axis: int = 0) -> np.ndarray:
        """(n,) bool, read-only: which slices along ``axis`` are done."""
        flags = self._done.get(axis)
        if flags is None:
            flags = self._done[axis] = self._flags_on_disk(axis)
        view = flags.view()
        view.setflags(write=False)
        return view

    def _flags_on_disk(self, axis: int) -> np.ndarray:
        """The flags that are set. Only their files are read: zarr takes a millisecond for each flag, set or not."""
        flags = np.zeros(self.shape_zyx[axis], bool)
        if f"{axis}/done" not in self._group:
            return flags
        done = self._axis(axis)[1]
        folder = (self.folder / done.path / done.metadata.encode_chunk_key((0,))).parent
        for name in os.listdir(folder) if folder.is_dir() else ():
            if name.isdecimal() and int(name) < len(flags):
                value = (folder / name).read_bytes()
                if len(value) != 1:
                    raise ValueError(f"flag {name} has {len(value)} bytes")
                flags[int(name)] = value != b"\0"
        return flags

    def ready(self, view: View) -> bool:
        """Whether the features of ``view`` are complete."""
        self._check(view)
        return bool(self.ready_flags(view.axis)[view.index])

    def read(self, view: View) -> Features:
        """Features of a ready slice. Raises StoreError where they are missing, or damaged and so no longer ready."""
        if not self.ready(view):
            raise StoreError(f"no features of slice {view.index}", path=self.folder, hint="Encode this slice first.")
        try:
            arrays = tuple(self._chunk(a, view.index) for a in self._axis(view.axis)[0])
        except (
            Exception
        ) as error:  # zarr raises what its codecs raise: damaged chunks give ValueError, RuntimeError, OSError
            if (flags := self._done.get(view.axis)) is not None:
                flags[view.index] = False
            raise StoreError(
                f"the stored features of slice {view.index} are damaged ({error})",
                path=self.folder,
                hint="The slice will be encoded again.",
            ) from error
        shape = tuple(n for axis, n in enumerate(self.shape_zyx) if axis != view.axis)
        return Features(arrays, (shape[0], shape[1]))

    def write(self, view: View, features: Features) -> None:
        """Store the features of ``view``, then set its flag.

        Raises ValueError where shapes do not fit the signature and StoreError where the disk refuses.
        """
        self._check(view)
        specs = self.signature.features
        shapes = [(a.shape, tuple(s.shape)) for a, s in zip(features.arrays, specs, strict=True)]
        if any(got != want for got, want in shapes):
            raise ValueError(f"features do not have the shapes of the signature: {shapes}")
        with _disk_errors(self.folder):
            if self._group.read_only:
                raise OSError(errno.EROFS, "read-only")
            arrays, done = self._axis(view.axis, create=True)
            for array, values in zip(arrays, features.arrays, strict=True):
                array[view.index : view.index + 1] = values.astype(array.dtype, copy=False)
            done[view.index] = 1
        self.ready_flags(view.axis)
        self._done[view.axis][view.index] = True

    def refresh(self) -> None:
        """Forget cached flags: another process may have written since. Another thread may be reading meanwhile."""
        self._done.clear()

    def touch(self) -> None:
        """Mark the store as used now (for eviction)."""
        try:
            (self.folder / USED).touch()
        except OSError:
            return  # a read-only store is still a good store

    def _check(self, view: View) -> None:
        if not (0 <= view.axis < 3 and 0 <= view.index < self.shape_zyx[view.axis]):
            raise ValueError(f"{view} is outside the scan {self.shape_zyx}")

    def _is_sound(self) -> bool:
        """Whether the arrays that are there can be opened and have the shapes of the signature."""
        try:
            for axis, count in enumerate(self.shape_zyx):
                self.ready_flags(axis)
                arrays, done = self._axes.get(axis, ([], None))
                if done is not None and done.shape != (count,):
                    return False
                for array, spec in zip(arrays, self.signature.features, strict=False):
                    if (array.shape, array.dtype) != ((count, *spec.shape[1:]), np.dtype(spec.dtype)):
                        return False
        except OSError:
            raise
        except Exception:  # zarr raises what its parsers and codecs raise
            return False
        return True

    def _chunk(self, array: Any, index: int) -> np.ndarray:  # noqa: ANN401  (zarr types are not imported at run time)
        """One slice of an array. zarr takes a chunk that is missing for zeros; here it is an error."""
        key = array.metadata.encode_chunk_key((index,) + (0,) * (array.ndim - 1))
        if not (self.folder / array.path / key).is_file():
            raise ValueError(f"{array.path}/{key} is missing")
        return np.asarray(array[index : index + 1])

    def _axis(self, axis: int, *, create: bool = False) -> tuple[list[zarr.Array], zarr.Array]:
        if axis not in self._axes:
            group: Any = self._group.require_group(str(axis)) if create else self._group[str(axis)]
            count, names = self.shape_zyx[axis], [f.name for f in self.signature.features]
            if create and "done" not in group:
                from zarr.codecs import Crc32cCodec

                for spec in self.signature.features:
                    tail = tuple(spec.shape[1:])
                    group.require_array(
                        spec.name,
                        shape=(count, *tail),
                        chunks=(1, *tail),
                        dtype=spec.dtype,
                        compressors=[Crc32cCodec()],
                    )
                group.require_array("done", shape=(count,), chunks=(1,), dtype="uint8", compressors=None, fill_value=0)
            # a slice of zeros is a slice too
            arrays = [group[name].with_config({"write_empty_chunks": True}) for name in names]
            self._axes[axis] = (arrays, group["done"])
        return self._axes[axis]


def evict(root: Path, *, budget_bytes: int, keep: Path | None = None) -> list[Path]:
    """Remove least recently used store folders until all under ``root`` fit ``budget_bytes``; returns what went.

    Stores that were set aside go first. ``keep`` and stores used within the last two minutes stay.
    """
    stores = [p for p in root.iterdir() if p.is_dir() and (ASIDE in p.name or (p / "zarr.json").exists())]
    sizes = {p: _bytes_in(p) for p in stores}
    total, now, removed = sum(sizes.values()), time.time(), []

    def last_used(p: Path) -> float:
        marker = p / USED
        return 0.0 if ASIDE in p.name else (marker if marker.exists() else p).stat().st_mtime

    for p in sorted(stores, key=last_used):
        if total <= budget_bytes:
            break
        if p == keep or now - last_used(p) < IN_USE_SECONDS:
            continue
        shutil.rmtree(p, ignore_errors=True)
        total -= sizes[p]
        removed.append(p)
    return removed


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another process is writing there
                total += (Path(parent) / name).stat().st_size
    return total


def _open_group(folder: Path, attributes: dict[str, Any] | None) -> zarr.Group:
    import zarr

    if attributes is not None:
        return zarr.create_group(str(folder), attributes={"maskwright": attributes}, zarr_format=3)
    mode = "r+" if os.access(folder, os.W_OK) else "r"
    return zarr.open_group(str(folder), mode=mode, zarr_format=3)


def _manifest(folder: Path) -> dict[str, Any] | None:
    import json

    try:
        attributes = json.loads((folder / "zarr.json").read_text("utf-8"))["attributes"]
        return dict(attributes["maskwright"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _difference(found: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
    if found is None:
        return "its manifest cannot be read"
    names = {
        "fingerprint": "the scan changed",
        "model_sha256": "the model changed",
        "preprocessing_version": "the preprocessing changed",
        "intensity": "the intensity range changed",
        "shape_zyx": "the scan has another size",
    }
    return next((text for key, text in names.items() if found.get(key) != wanted[key]), "its layout changed")


def _set_aside(folder: Path, why: str) -> str:
    """Rename a store folder; returns the sentence for the user."""
    aside = folder.with_name(f"{folder.name}{ASIDE}{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**6:06d}")
    folder.rename(aside)
    return f"Stored features were set aside because {why}; this scan is encoded again (old folder: {aside.name})."


class _disk_errors:  # noqa: N801  (reads as a statement: with _disk_errors(folder): ...)
    """Turns OSError into a StoreError that says what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        hints = {
            errno.ENOSPC: ("the disk is full", "Free some space or choose another feature folder."),
            errno.EDQUOT: ("the disk quota is used up", "Free some space or choose another feature folder."),
            errno.EROFS: ("the folder is read-only", "Choose another feature folder."),
            errno.EACCES: ("the folder may not be written", "Change its permissions or choose another feature folder."),
            errno.EPERM: ("the folder may not be written", "Change its permissions or choose another feature folder."),
        }
        other = (f"features cannot be stored ({error.strerror or error})", "Choose another feature folder.")
        what, hint = hints.get(error.errno or 0, other)
        raise StoreError(what, path=self.folder, hint=hint) from error
