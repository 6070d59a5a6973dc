"""Edit = the rectangle of one mask that changed, with its bits before and after: what undo and the journal keep."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from maskwright.core.errors import AnnotationError
from maskwright.core.mask import Mask
from maskwright.core.volume import View

_HEADER = struct.Struct("<BI")  # version, length of the JSON head
_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """Change of one object's mask on one slice.

    Parameters
    ----------
    object_id
        Object that changed.
    view
        Slice that changed.
    shape_yx
        Size of the slice in pixels.
    box
        (y0, x0, y1, x1), half-open, tight around the pixels that changed; (0, 0, 0, 0) when none did.
    old
        bool (y1 - y0, x1 - x0), the pixels before.
    new
        bool of the same shape, the pixels after.
    """

    object_id: int
    view: View
    shape_yx: tuple[int, int]
    box: tuple[int, int, int, int]
    old: np.ndarray
    new: np.ndarray

    def __post_init__(self) -> None:
        y0, x0, y1, x1 = self.box
        for name in ("old", "new"):
            bits = getattr(self, name).view()
            if bits.dtype != np.bool_ or bits.shape != (y1 - y0, x1 - x0):
                raise ValueError(f"an edit of {self.box} needs bool bits of that size, not {bits.dtype} {bits.shape}")
            bits.flags.writeable = False
            object.__setattr__(self, name, bits)

    @classmethod
    def between(cls, old: Mask | None, new: Mask | None, *, object_id: int, view: View) -> Edit:
        """Edit that turns one mask into another; None stands for no mask on the slice.

        Raises
        ------
        ValueError
            If both are None, or of slices of different size.
        """
        known = old if old is not None else new
        if known is None:
            raise ValueError("an edit needs at least one mask")
        before = old if old is not None else Mask.empty(known.shape_yx)
        after = new if new is not None else Mask.empty(known.shape_yx)
        box = (before ^ after).box
        return cls(object_id, view, known.shape_yx, box, before.crop(box), after.crop(box))

    @property
    def is_empty(self) -> bool:
        """True when no pixel changed."""
        return self.old.size == 0

    @property
    def nbytes(self) -> int:
        """Memory that the edit takes, in bytes."""
        return self.old.nbytes + self.new.nbytes

    def apply(self, mask: Mask | None) -> Mask:
        """Mask after the edit; empty when nothing is left on the slice.

        Raises
        ------
        ValueError
            If the mask is not the one that the edit was made from.
        """
        return self._exchange(mask, self.old, self.new)

    def revert(self, mask: Mask | None) -> Mask:
        """Mask before the edit; empty when there was none.

        Raises
        ------
        ValueError
            If the mask is not the one that the edit led to.
        """
        return self._exchange(mask, self.new, self.old)

    def inverse(self) -> Edit:
        """Edit that takes this one back."""
        return Edit(self.object_id, self.view, self.shape_yx, self.box, self.new, self.old)

    def _exchange(self, mask: Mask | None, expected: np.ndarray, replacement: np.ndarray) -> Mask:
        current = mask if mask is not None else Mask.empty(self.shape_yx)
        if current.shape_yx != self.shape_yx or not np.array_equal(current.crop(self.box), expected):
            raise ValueError(f"the mask of object {self.object_id} on {self.view} is not the one this edit belongs to")
        if self.is_empty:
            return current
        y0, x0, y1, x1 = self.box
        top, left, bottom, right = self.box if current.is_empty else current.box
        box = (min(y0, top), min(x0, left), max(y1, bottom), max(x1, right))
        bits = current.crop(box)
        bits[y0 - box[0] : y1 - box[0], x0 - box[1] : x1 - box[1]] = replacement
        return Mask.from_crop(self.shape_yx, box[:2], bits)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Edit):
            return NotImplemented
        mine = (self.object_id, self.view, self.shape_yx, self.box)
        theirs = (other.object_id, other.view, other.shape_yx, other.box)
        return mine == theirs and np.array_equal(self.old, other.old) and np.array_equal(self.new, other.new)

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self) -> bytes:
        """Compact, checksummed form for the journal; `from_bytes` is its inverse."""
        head = json.dumps([self.object_id, self.view.axis, self.view.index, *self.shape_yx, *self.box]).encode()
        packed = np.packbits(np.concatenate([self.old.ravel(), self.new.ravel()]))
        return _HEADER.pack(_VERSION, len(head)) + zlib.compress(head + packed.tobytes(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Edit:
        """Edit from what `to_bytes` gave.

        Raises
        ------
        AnnotationError
            When the bytes are cut short, altered, or of a version this program does not know.
        """
        try:
            version, head_size = _HEADER.unpack_from(data)
            if version != _VERSION:
                raise AnnotationError(
                    f"a stored edit has the unknown version {version}", hint="Open it with a newer maskwright."
                )
            body = zlib.decompress(data[_HEADER.size :])
            object_id, axis, index, height, width, y0, x0, y1, x1 = json.loads(body[:head_size])
            shape = (y1 - y0, x1 - x0)
            n_bits = shape[0] * shape[1]
            packed = np.frombuffer(body[head_size:], np.uint8)
            if packed.size != (2 * n_bits + 7) // 8:
                raise ValueError("wrong number of bits")
            bits = np.unpackbits(packed, count=2 * n_bits).view(np.bool_)
            old, new = bits[:n_bits].reshape(shape).copy(), bits[n_bits:].reshape(shape).copy()
            return cls(object_id, View(axis, index), (height, width), (y0, x0, y1, x1), old, new)
        except (struct.error, zlib.error, ValueError) as error:
            raise AnnotationError("a stored edit is damaged", hint="Undo to before it was made.") from error
