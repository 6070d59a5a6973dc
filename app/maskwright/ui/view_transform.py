"""Where the pixels of a slice lie on the widget: zoom, pan, mirrors and fit as one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from PySide6.QtCore import QRect, QRectF
from PySide6.QtGui import QTransform

ZOOM_MIN, ZOOM_MAX = 0.02, 64.0  # widget px per image px along the finer axis


@dataclass(frozen=True, slots=True)
class ViewTransform:
    """Image pixels to widget pixels, axis by axis: ``widget = image * step + offset``.

    Image pixel centres lie on integers, so the picture reaches from -0.5 to n - 0.5; widget coordinates are those of
    Qt, where a pixel reaches from n to n + 1. `aspect_yx` stretches pixels that are not square in millimetres; `flip_x`
    and `flip_y` run columns from right to left and rows from bottom to top. Widget rectangles keep a positive size.
    """

    zoom: float = 1.0
    offset_x: float = 0.5
    offset_y: float = 0.5
    aspect_yx: tuple[float, float] = (1.0, 1.0)
    flip_x: bool = False
    flip_y: bool = False

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
        return cls(aspect_yx=aspect_yx).fitted(shape_yx, widget_wh, margin=margin)

    def fitted(
        self, shape_yx: tuple[int, int], widget_wh: tuple[float, float], *, margin: float = 0.0
    ) -> ViewTransform:
        """Zoomed and moved so that the whole slice shows, with pixels of the same shape and the same mirrors."""
        height, width = shape_yx[0] * self.aspect_yx[0], shape_yx[1] * self.aspect_yx[1]
        room_w, room_h = max(widget_wh[0] - 2 * margin, 1.0), max(widget_wh[1] - 2 * margin, 1.0)
        zoomed = replace(self, zoom=_clamped(min(room_w / width, room_h / height)), offset_x=0.0, offset_y=0.0)
        rect = zoomed.image_rect(shape_yx)
        return zoomed.panned(
            (widget_wh[0] - rect.width()) / 2 - rect.left(), (widget_wh[1] - rect.height()) / 2 - rect.top()
        )

    @property
    def scale_x(self) -> float:
        """Widget px per image column."""
        return self.zoom * self.aspect_yx[1]

    @property
    def scale_y(self) -> float:
        """Widget px per image row."""
        return self.zoom * self.aspect_yx[0]

    @property
    def step_x(self) -> float:
        """Widget px to the right from one image column to the next; negative when mirrored."""
        return -self.scale_x if self.flip_x else self.scale_x

    @property
    def step_y(self) -> float:
        """Widget px downwards from one image row to the next; negative when mirrored."""
        return -self.scale_y if self.flip_y else self.scale_y

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Image (x, y) under a widget position."""
        return (x - self.offset_x) / self.step_x, (y - self.offset_y) / self.step_y

    def to_widget(self, x: float, y: float) -> tuple[float, float]:
        """Widget position of an image (x, y)."""
        return x * self.step_x + self.offset_x, y * self.step_y + self.offset_y

    def zoomed(self, factor: float, at: tuple[float, float]) -> ViewTransform:
        """Larger or smaller, with the image point under the widget position `at` kept where it is."""
        x, y = self.to_image(*at)
        scaled = replace(self, zoom=_clamped(self.zoom * factor))
        return replace(scaled, offset_x=at[0] - x * scaled.step_x, offset_y=at[1] - y * scaled.step_y)

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
        return self.pixel_rect((0, 0, shape_yx[1], shape_yx[0]))

    def pixel_rect(self, box: tuple[int, int, int, int]) -> QRectF:
        """Widget rectangle of a half-open image box ``(x0, y0, x1, y1)``."""
        x, y = box[2] if self.flip_x else box[0], box[3] if self.flip_y else box[1]
        left, top = self.to_widget(x - 0.5, y - 0.5)
        return QRectF(left, top, (box[2] - box[0]) * self.scale_x, (box[3] - box[1]) * self.scale_y)

    def dirty_rect(self, box: tuple[int, int, int, int], *, pad: int = 3) -> QRect:
        """Smallest widget rectangle of whole pixels round an image box, with `pad` px for the contour's own width."""
        return self.pixel_rect(box).toAlignedRect().adjusted(-pad, -pad, pad, pad)

    def pixels_to_widget(self) -> QTransform:
        """Painter transform in which the corner of the first image pixel is the origin and a pixel is one unit."""
        x, y = self.to_widget(-0.5, -0.5)
        return QTransform(self.step_x, 0.0, 0.0, self.step_y, x, y)


def _clamped(zoom: float) -> float:
    return min(max(zoom, ZOOM_MIN), ZOOM_MAX)
