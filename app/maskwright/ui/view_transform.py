"""Where the pixels of a slice lie on the widget: zoom, pan and fit as one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from PySide6.QtCore import QRect, QRectF
from PySide6.QtGui import QTransform

ZOOM_MIN, ZOOM_MAX = 0.02, 64.0  # widget px per image px along the finer axis


@dataclass(frozen=True, slots=True)
class ViewTransform:
    """Image pixels to widget pixels, axis by axis: ``widget = image * scale + offset``.

    Image pixel centres lie on integers, so the picture reaches from -0.5 to n - 0.5; widget coordinates are those of
    Qt, where a pixel reaches from n to n + 1. `aspect_yx` stretches pixels that are not square in millimetres.
    """

    zoom: float = 1.0
    offset_x: float = 0.5
    offset_y: float = 0.5
    aspect_yx: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not (self.zoom > 0 and min(self.aspect_yx) > 0 and math.isfinite(self.zoom)):
            raise ValueError(f"zoom and aspect must be positive: {self.zoom}, {self.aspect_yx}")

    @classmethod
    def fit(
        cls,
        shape_yx: tuple[int, int],
        widget_wh: tuple[float, float],
        *,
        aspect_yx: tuple[float, float] = (1.0, 1.0),
        margin: float = 0.0,
    ) -> ViewTransform:
        """The whole slice, as large as it goes, in the middle of the widget with a margin round it."""
        height, width = shape_yx[0] * aspect_yx[0], shape_yx[1] * aspect_yx[1]
        room_w, room_h = max(widget_wh[0] - 2 * margin, 1.0), max(widget_wh[1] - 2 * margin, 1.0)
        zoom = _clamped(min(room_w / width, room_h / height))
        fitted = cls(zoom, 0.0, 0.0, aspect_yx)
        return replace(
            fitted,
            offset_x=(widget_wh[0] - width * zoom) / 2 + 0.5 * fitted.scale_x,
            offset_y=(widget_wh[1] - height * zoom) / 2 + 0.5 * fitted.scale_y,
        )

    @property
    def scale_x(self) -> float:
        """Widget px per image column."""
        return self.zoom * self.aspect_yx[1]

    @property
    def scale_y(self) -> float:
        """Widget px per image row."""
        return self.zoom * self.aspect_yx[0]

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Image (x, y) under a widget position."""
        return (x - self.offset_x) / self.scale_x, (y - self.offset_y) / self.scale_y

    def to_widget(self, x: float, y: float) -> tuple[float, float]:
        """Widget position of an image (x, y)."""
        return x * self.scale_x + self.offset_x, y * self.scale_y + self.offset_y

    def zoomed(self, factor: float, at: tuple[float, float]) -> ViewTransform:
        """Larger or smaller, with the image point under the widget position `at` kept where it is."""
        x, y = self.to_image(*at)
        scaled = replace(self, zoom=_clamped(self.zoom * factor))
        return replace(scaled, offset_x=at[0] - x * scaled.scale_x, offset_y=at[1] - y * scaled.scale_y)

    def panned(self, dx: float, dy: float) -> ViewTransform:
        """Moved by widget pixels."""
        return replace(self, offset_x=self.offset_x + dx, offset_y=self.offset_y + dy)

    def kept_in_reach(
        self, shape_yx: tuple[int, int], widget_wh: tuple[float, float], *, edge: float = 48
    ) -> ViewTransform:
        """Moved back as little as needed so that at least `edge` widget px of the slice stay on the widget."""
        rect = self.image_rect(shape_yx)
        edge_x, edge_y = min(edge, rect.width()), min(edge, rect.height())
        dx = max(edge_x - rect.right(), 0.0) + min(widget_wh[0] - edge_x - rect.left(), 0.0)
        dy = max(edge_y - rect.bottom(), 0.0) + min(widget_wh[1] - edge_y - rect.top(), 0.0)
        return self.panned(dx, dy)

    def image_rect(self, shape_yx: tuple[int, int]) -> QRectF:
        """Widget rectangle that the whole slice covers."""
        left, top = self.to_widget(-0.5, -0.5)
        return QRectF(left, top, shape_yx[1] * self.scale_x, shape_yx[0] * self.scale_y)

    def pixel_rect(self, box: tuple[int, int, int, int]) -> QRectF:
        """Widget rectangle of a half-open image box ``(x0, y0, x1, y1)``."""
        left, top = self.to_widget(box[0] - 0.5, box[1] - 0.5)
        return QRectF(left, top, (box[2] - box[0]) * self.scale_x, (box[3] - box[1]) * self.scale_y)

    def dirty_rect(self, box: tuple[int, int, int, int], *, pad: int = 3) -> QRect:
        """Smallest widget rectangle of whole pixels round an image box, with `pad` px for the contour's own width."""
        return self.pixel_rect(box).toAlignedRect().adjusted(-pad, -pad, pad, pad)

    def pixels_to_widget(self) -> QTransform:
        """Painter transform in which the corner of the first image pixel is the origin and a pixel is one unit."""
        left, top = self.to_widget(-0.5, -0.5)
        return QTransform(self.scale_x, 0.0, 0.0, self.scale_y, left, top)


def _clamped(zoom: float) -> float:
    return min(max(zoom, ZOOM_MIN), ZOOM_MAX)
