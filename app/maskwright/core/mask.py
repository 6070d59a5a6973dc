"""Mask = bounding box + bits: the pixels of one object on one slice, cheap to keep, compare, store and combine.

Coordinates are (y, x) for arrays and boxes (half-open), (x, y) for the points of a ring; pixel centres lie on integers,
so the outline of a pixel runs at -0.5 and +0.5 around it. ``core.outline`` traces and fills
polygons, ``core.rle`` counts runs.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from maskwright.core.errors import AnnotationError
from maskwright.core.outline import fill_rings, trace_rings
from maskwright.core.rle import decode_counts, encode_counts

_HEADER = struct.Struct("<B6I")  # version, shape_yx, box
_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Foreground pixels of one slice, held as a tight crop.

    Attributes
    ----------
    shape_yx : tuple of int
        Size of the slice in pixels.
    box : tuple of int
        (y0, x0, y1, x1), half-open, tight around the foreground; (0, 0, 0, 0) when the mask is empty.
    bits : numpy.ndarray
        bool, (y1 - y0, x1 - x0), read-only. Build masks with the ``from_*`` methods, which keep the box tight.
    """

    shape_yx: tuple[int, int]
    box: tuple[int, int, int, int]
    bits: np.ndarray

    def __post_init__(self) -> None:
        y0, x0, y1, x1 = self.box
        height, width = self.shape_yx
        if not (0 <= y0 <= y1 <= height and 0 <= x0 <= x1 <= width):
            raise ValueError(f"box {self.box} does not lie inside a slice of {height} x {width}")
        if self.bits.dtype != np.bool_ or self.bits.shape != (y1 - y0, x1 - x0):
            raise ValueError(f"bits must be bool and fill the box {self.box}, not {self.bits.dtype} {self.bits.shape}")
        bits = self.bits.view()
        bits.flags.writeable = False
        object.__setattr__(self, "bits", bits)

    @classmethod
    def empty(cls, shape_yx: tuple[int, int]) -> Mask:
        """Mask without a single foreground pixel."""
        return cls((int(shape_yx[0]), int(shape_yx[1])), (0, 0, 0, 0), np.zeros((0, 0), np.bool_))

    @classmethod
    def from_array(cls, array: np.ndarray) -> Mask:
        """Mask of the non-zero pixels of a (Y, X) array of any dtype; the array is copied, never kept."""
        if array.ndim != 2:
            raise ValueError(f"a mask is made from a (Y, X) array, not from shape {array.shape}")
        return cls.from_crop(array.shape, (0, 0), array)

    @classmethod
    def from_crop(cls, shape_yx: tuple[int, ...], corner_yx: tuple[int, int], crop: np.ndarray) -> Mask:
        """Mask of the non-zero pixels of a crop whose first pixel lies at `corner_yx` of the slice."""
        shape = (int(shape_yx[0]), int(shape_yx[1]))
        bits = crop if crop.dtype == np.bool_ else crop != 0
        box = _tight_box(bits)
        if box is None:
            return cls.empty(shape)
        y0, x0, y1, x1 = box
        dy, dx = int(corner_yx[0]), int(corner_yx[1])
        return cls(shape, (y0 + dy, x0 + dx, y1 + dy, x1 + dx), np.array(bits[y0:y1, x0:x1], order="C", copy=True))

    def to_array(self) -> np.ndarray:
        """Whole slice as a fresh bool array (Y, X)."""
        array = np.zeros(self.shape_yx, np.bool_)
        y0, x0, y1, x1 = self.box
        array[y0:y1, x0:x1] = self.bits
        return array

    def crop(self, box: tuple[int, int, int, int]) -> np.ndarray:
        """Pixels inside a half-open (y0, x0, y1, x1) box as a fresh bool array, zero outside the foreground."""
        y0, x0, y1, x1 = box
        out = np.zeros((y1 - y0, x1 - x0), np.bool_)
        top, left, bottom, right = self.box
        ya, xa, yb, xb = max(y0, top), max(x0, left), min(y1, bottom), min(x1, right)
        if ya < yb and xa < xb:
            out[ya - y0 : yb - y0, xa - x0 : xb - x0] = self.bits[ya - top : yb - top, xa - left : xb - left]
        return out

    @property
    def area(self) -> int:
        """Number of foreground pixels."""
        return int(np.count_nonzero(self.bits))

    @property
    def is_empty(self) -> bool:
        """True when there is no foreground pixel."""
        return self.bits.size == 0

    @property
    def nbytes(self) -> int:
        """Memory that the bits take, in bytes."""
        return self.bits.nbytes

    def contains(self, x: float, y: float) -> bool:
        """Whether the pixel under the point (x, y) is foreground; points outside the slice are not."""
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        y0, x0, y1, x1 = self.box
        return y0 <= row < y1 and x0 <= column < x1 and bool(self.bits[row - y0, column - x0])

    def to_bytes(self) -> bytes:
        """Compact, checksummed form for the journal; `from_bytes` is its inverse."""
        packed = np.packbits(self.bits)
        return _HEADER.pack(_VERSION, *self.shape_yx, *self.box) + zlib.compress(packed.tobytes(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Mask:
        """Mask from what `to_bytes` gave.

        Raises
        ------
        AnnotationError
            When the bytes are cut short, altered, or of a version this program does not know.
        """
        try:
            version, height, width, *edges = _HEADER.unpack_from(data)
            if version != _VERSION:
                raise AnnotationError(
                    f"a stored mask has the unknown version {version}", hint="Open it with a newer maskwright."
                )
            y0, x0, y1, x1 = edges
            n_bits = max(y1 - y0, 0) * max(x1 - x0, 0)
            packed = np.frombuffer(zlib.decompress(data[_HEADER.size :]), np.uint8)
            if packed.size != (n_bits + 7) // 8:
                raise ValueError("wrong number of bits")
            bits = np.unpackbits(packed, count=n_bits).view(np.bool_).reshape(y1 - y0, x1 - x0)
            return cls((height, width), (y0, x0, y1, x1), bits)
        except (struct.error, zlib.error, ValueError) as error:
            raise AnnotationError("a stored mask is damaged", hint="Undo to before it was made.") from error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.shape_yx == other.shape_yx and self.box == other.box and np.array_equal(self.bits, other.bits)

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Mask) -> Mask:
        """Pixels in either mask."""
        if other.is_empty or self.is_empty:
            self._check_shape(other)
            return self if other.is_empty else other
        box = self._union_box(other)
        return Mask.from_crop(self.shape_yx, box[:2], self.crop(box) | other.crop(box))

    def __and__(self, other: Mask) -> Mask:
        """Pixels in both masks."""
        self._check_shape(other)
        return Mask.from_crop(self.shape_yx, self.box[:2], self.bits & other.crop(self.box))

    def __sub__(self, other: Mask) -> Mask:
        """Pixels in this mask that are not in the other."""
        self._check_shape(other)
        return Mask.from_crop(self.shape_yx, self.box[:2], self.bits & ~other.crop(self.box))

    def __xor__(self, other: Mask) -> Mask:
        """Pixels in exactly one of the two masks."""
        if other.is_empty or self.is_empty:
            return self | other
        box = self._union_box(other)
        return Mask.from_crop(self.shape_yx, box[:2], self.crop(box) ^ other.crop(box))

    def _check_shape(self, other: Mask) -> None:
        if self.shape_yx != other.shape_yx:
            raise ValueError(f"masks of different slices: {self.shape_yx} and {other.shape_yx}")

    def _union_box(self, other: Mask) -> tuple[int, int, int, int]:
        self._check_shape(other)
        a, b = self.box, other.box
        return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def polygons(mask: Mask) -> list[np.ndarray]:
    """Outline along the pixel edges, as closed rings without a repeated last point.

    Returns
    -------
    list of numpy.ndarray
        (N, 2) float64 xy rings on half-integers. Outer rings have positive shoelace area (clockwise on screen), holes
        negative; the areas add up to ``mask.area``. Pixels that touch only at a corner do not connect, so a
        ring may touch itself there but never crosses itself.
    """
    y0, x0, _, _ = mask.box
    offset = np.array([x0 - 0.5, y0 - 0.5])
    return [ring + offset for ring in trace_rings(mask.bits)]


def from_polygons(shape_yx: tuple[int, int], rings: list[np.ndarray]) -> Mask:
    """Mask of the pixels whose centre lies inside the rings (even-odd rule, so a ring inside another is a hole).

    Exact inverse of `polygons`. Rings may have any number of points; what leaves the slice is cut off.
    """
    bits, corner_yx = fill_rings(shape_yx, rings)
    return Mask.from_crop(shape_yx, corner_yx, bits)


def rle(mask: Mask) -> list[int]:
    """Uncompressed COCO run lengths: column by column, starting with a (possibly zero) run of background."""
    return encode_counts(mask.bits, shape_yx=mask.shape_yx, corner_yx=mask.box[:2])


def from_rle(shape_yx: tuple[int, int], counts: list[int]) -> Mask:
    """Mask from uncompressed COCO run lengths.

    Raises
    ------
    AnnotationError
        When a run is negative or the runs do not add up to the size of the slice.
    """
    return Mask.from_array(decode_counts(counts, shape_yx=shape_yx))


def components(mask: Mask, *, diagonal: bool = True) -> list[Mask]:
    """Connected parts of a mask, largest first; `diagonal` says whether touching corners connect."""
    import cv2

    if mask.is_empty:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.bits.view(np.uint8), connectivity=8 if diagonal else 4
    )
    order = sorted(range(1, count), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA]))
    top, left = mask.box[:2]
    parts = []
    for i in order:
        x, y, w, h = (int(v) for v in stats[i, :4])
        parts.append(Mask.from_crop(mask.shape_yx, (top + y, left + x), labels[y : y + h, x : x + w] == i))
    return parts


def fill_holes(mask: Mask) -> Mask:
    """Mask with its holes closed: background that foreground cuts off from the outside (4-connected)."""
    import cv2

    if mask.is_empty:
        return mask
    outside = np.pad(~mask.bits, 1, constant_values=True).view(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return Mask.from_crop(mask.shape_yx, mask.box[:2], labels[1:-1, 1:-1] != labels[0, 0])


def holes(mask: Mask) -> Mask:
    """Pixels that `fill_holes` adds."""
    return fill_holes(mask) - mask


def _tight_box(bits: np.ndarray) -> tuple[int, int, int, int] | None:
    rows = np.flatnonzero(bits.any(axis=1))
    if rows.size == 0:
        return None
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(bits[y0:y1].any(axis=0))
    return y0, int(columns[0]), y1, int(columns[-1]) + 1
