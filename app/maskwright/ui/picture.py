"""Pixels to `QImage`: the windowed slice (rendered once per change) and masks as 8-bit indexed overlays over numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QByteArray, QDataStream
from PySide6.QtGui import QColor, QImage, QPainterPath

from maskwright.core.mask import Mask

Color = tuple[int, int, int]
OPACITY = 0.45
_ELEMENT = np.dtype([("kind", ">i4"), ("x", ">f8"), ("y", ">f8")])  # of a QPainterPath in a QDataStream
# of where the model is unsure: no label has it, and it shows on grey, on skin and on every mask
HEAT: tuple[Color, Color] = ((255, 150, 230), (214, 0, 170))
HEAT_STEPS = 31
OTHERS = 0.65  # how opaque objects are beside the active one and the preview


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A slice ready to be painted, with smaller copies for when it is shown smaller.

    `levels[k]` is the slice at 1 / 2**k of its size; each is a QImage and the bytes under it, which must live as long.
    """

    shape_yx: tuple[int, int]
    levels: tuple[tuple[QImage, np.ndarray], ...]

    @classmethod
    def from_pixels(cls, pixels: np.ndarray) -> Picture:
        """Picture of (Y, X) or (Y, X, 3) uint8 display pixels."""
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
            raise ValueError(f"display pixels are uint8 (Y, X) or (Y, X, 3), not {pixels.dtype} {pixels.shape}")
        levels = []
        shape = (int(pixels.shape[0]), int(pixels.shape[1]))
        while True:
            levels.append(_image_over(np.ascontiguousarray(pixels)))
            if min(pixels.shape[:2]) < 512 or len(levels) == 6:
                return cls(shape, tuple(levels))
            pixels = _halved(pixels)

    def level_for(self, scale: float) -> QImage:
        """The copy to paint from at `scale` widget px per pixel: never more than twice too large."""
        k = 0
        while scale < 0.5 and k + 1 < len(self.levels):
            k, scale = k + 1, scale * 2
        return self.levels[k][0]


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """Masks as one indexed image: 0 is clear, every other index one colour with its transparency."""

    image: QImage
    indices: np.ndarray  # uint8 (Y, X) under the image


def alpha_of(opacity: float, *, is_current: bool) -> int:
    """Alpha, 0 to 255, of a fill; the active object and the preview stand out."""
    return round(255 * min(opacity * (1.0 if is_current else OTHERS), 0.9))


def overlay_of(
    shape_yx: tuple[int, int], masks: Iterable[tuple[Mask, Color, bool]], *, opacity: float = OPACITY
) -> Overlay | None:
    """Overlay of (mask, colour, is current) from bottom to top, or None when there is nothing to show."""
    indices = np.zeros(_padded(shape_yx), np.uint8)
    slots: dict[tuple[Color, bool], int] = {}
    table = [QColor(0, 0, 0, 0).rgba()]
    for mask, color, is_current in masks:
        key = (color, is_current)
        if key not in slots:
            slots[key] = min(len(table), 255)
            if len(table) < 256:
                alpha = alpha_of(opacity, is_current=is_current)
                table.append(QColor(*color, alpha).rgba())
        y0, x0, y1, x1 = mask.box
        indices[y0:y1, x0:x1][mask.bits] = slots[key]
    return _indexed(indices, shape_yx, table) if slots else None


def overlay_of_mask(mask: Mask, color: Color, *, opacity: float = OPACITY) -> Overlay:
    """Overlay of the box of one mask; its first pixel is the corner of the box."""
    height, width = mask.bits.shape
    indices = np.zeros(_padded((height, width)), np.uint8)
    indices[:height, :width] = mask.bits
    return _indexed(
        indices, (height, width), [QColor(0, 0, 0, 0).rgba(), QColor(*color, alpha_of(opacity, is_current=True)).rgba()]
    )


def heat_of(values: np.ndarray) -> Overlay:
    """Overlay of a (Y, X) map of 0 to 1: clear at 0, a strong magenta at 1."""
    indices = np.zeros(_padded((values.shape[0], values.shape[1])), np.uint8)
    indices[:, : values.shape[1]] = np.rint(np.clip(values, 0, 1) * HEAT_STEPS).astype(np.uint8)
    table = [QColor(0, 0, 0, 0).rgba()]
    for step in range(1, HEAT_STEPS + 1):
        share = step / HEAT_STEPS
        red, green, blue = (round(low + share * (high - low)) for low, high in zip(HEAT[0], HEAT[1], strict=True))
        table.append(QColor(red, green, blue, round(200 * share)).rgba())
    return _indexed(indices, (values.shape[0], values.shape[1]), table)


def outline_of(mask: Mask) -> QPainterPath:
    """Outline along the pixel edges, for stroking; its coordinates put the corner of the first pixel at (0, 0).

    Every straight run of the outline is a piece of its own. Qt takes the path as one block of bytes, in the form in
    which it streams paths: 15,000 runs take a few ms instead of 40 ms point by point.
    """
    top, left = mask.box[:2]
    bits = np.pad(mask.bits, 1).view(np.uint8)
    rows = _runs(bits[1:, :] ^ bits[:-1, :])  # horizontal edges: (y, x0, x1)
    columns = _runs((bits[:, 1:] ^ bits[:, :-1]).T)  # vertical edges: (x, y0, y1)
    ends = np.empty((len(rows) + len(columns), 2, 2))
    ends[: len(rows), :, 0] = rows[:, 1:] + (left - 1)
    ends[: len(rows), :, 1] = rows[:, :1] + top
    ends[len(rows) :, :, 0] = columns[:, :1] + left
    ends[len(rows) :, :, 1] = columns[:, 1:] + (top - 1)
    elements = np.empty(2 * len(ends), _ELEMENT)
    elements["kind"] = np.tile([0, 1], len(ends))  # move to, line to
    elements["x"], elements["y"] = ends[..., 0].ravel(), ends[..., 1].ravel()
    count, tail = len(elements).to_bytes(4, "big"), bytes(8)  # start of the open piece, fill rule
    path = QPainterPath()
    if len(elements):
        QDataStream(QByteArray(count + elements.tobytes() + tail)) >> path  # pyright: ignore[reportUnusedExpression]
    return path


def _runs(edges: np.ndarray) -> np.ndarray:
    """Runs of ones along the rows of a 0/1 array: (n, 3) of row, first column, column after the last."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).view(np.int8), axis=1)
    row, first = np.nonzero(steps == 1)
    _, after = np.nonzero(steps == -1)
    return np.stack([row, first, after], axis=1)


def _indexed(indices: np.ndarray, shape_yx: tuple[int, int], table: list[int]) -> Overlay:
    height, width = shape_yx
    image = QImage(indices.data, width, height, indices.strides[0], QImage.Format.Format_Indexed8)
    image.setColorTable(table)
    return Overlay(image, indices)


def _padded(shape_yx: tuple[int, int]) -> tuple[int, int]:
    """QImage reads rows of a multiple of four bytes."""
    return shape_yx[0], (shape_yx[1] + 3) // 4 * 4


def _image_over(pixels: np.ndarray) -> tuple[QImage, np.ndarray]:
    height, width = pixels.shape[:2]
    grey = pixels.ndim == 2
    form = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
    image = QImage(pixels.data, width, height, pixels.strides[0], form)
    if not grey:  # painting RGB888 converts on every repaint; once is enough
        return image.convertToFormat(QImage.Format.Format_RGB32), np.empty(0, np.uint8)
    return image, pixels


def _halved(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    even = pixels[:height, :width].astype(np.uint16)
    total = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)
