"""From the session's values to what the slice view shows: window and level, rendering, overlays, outlines."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QPainterPath

from maskwright.core.geometry import Geometry
from maskwright.core.mask import Mask
from maskwright.core.orientation import slice_orientation
from maskwright.core.volume import View, Volume
from maskwright.core.window import PRESETS, Window, default_window, to_uint8
from maskwright.ui.bridge import Bridge
from maskwright.ui.layers import DoubtShape, Outline, PreviewShape
from maskwright.ui.picture import Color, Picture, heat_of, outline_of, overlay_of, overlay_of_mask
from maskwright.ui.slice_view import SliceView

if TYPE_CHECKING:
    from maskwright.inference import Segmentation, Uncertainty

_BACKGROUND_PIXELS = 4_000_000  # slices larger than this are rendered on a thread of their own
_KEPT_PATHS = 256
_NO_LABEL: Color = (230, 159, 0)


class Display(QObject):
    """Keeps the slice view in step with the session; each part is made once per change of that part."""

    window_changed = Signal()

    def __init__(self, view: SliceView, bridge: Bridge, *, opacity: float) -> None:
        super().__init__(view)
        self._opacity = opacity
        self._view = view
        self._bridge = bridge
        self._window = Window(128, 256)
        self._window_of: Volume | None = None
        self._generation = 0
        self._preview: tuple[Segmentation, Color, PreviewShape | None] | None = None
        self._doubt: tuple[Uncertainty, DoubtShape] | None = None
        self._paths: OrderedDict[int, tuple[Mask, QPainterPath]] = OrderedDict()

    @property
    def window(self) -> Window:
        """Level and width that are shown."""
        return self._window

    def presets(self) -> dict[str, Window]:
        """Named windows that fit what is open."""
        volume = self._volume()
        return dict(PRESETS.get(volume.modality, {})) if volume is not None else {}

    def set_window(self, window: Window) -> None:
        """Show with another window; masks and prompts stay as they are, and so does what the model sees."""
        self._window = window
        self._render(keep_zoom=True)
        self.window_changed.emit()

    def reset_window(self) -> None:
        """Show with the window that the scan opened with."""
        volume = self._volume()
        if volume is not None:
            self.set_window(default_window(volume))

    def drag_window(self, dx: float, dy: float) -> None:
        """Widen by `dx` and brighten by `dy` widget px, in proportion to the present width."""
        volume = self._volume()
        if volume is not None and not volume.is_rgb:
            step = max(self._window.width, 1e-6) / 256
            width = max(self._window.width + dx * step * 2, 1e-6 if volume.voxels.dtype.kind == "f" else 1.0)
            self.set_window(Window(self._window.level - dy * step, width))

    def show_scan(self) -> None:
        """Another scan is shown: its own window, fitted."""
        volume = self._volume()
        if volume is None:
            self._generation += 1
            self._view.set_slice(None)
            self._view.set_masks(None, ())
            self._view.set_preview(None)
            self._view.set_doubt(None)
            self._view.set_prompts(())
            return
        if volume is not self._window_of:
            self._window, self._window_of = default_window(volume), volume
            self.window_changed.emit()
        self._view.wheel_zooms = volume.n_slices() == 1
        self._render(keep_zoom=False)
        self.show_annotations()

    def show_slice(self) -> None:
        """Another slice of the same scan is shown, at the same place and zoom."""
        self._render(keep_zoom=True)
        self.show_annotations()

    def show_annotations(self) -> None:
        """Objects, prompts and preview of the slice."""
        self.show_objects()
        self.show_prompts()
        self.show_preview()

    def show_objects(self) -> None:
        """Committed objects of the slice."""
        session = self._bridge.session
        if session is None or session.view is None or session.volume is None:
            return
        labels = session.annotation.labels
        shown = [
            (mask, labels.get(one.label_id).color, one.id == session.active_object)
            for one, mask in session.annotation.at(session.view)
            if one.visible
        ]
        shape = session.volume.slice_shape(session.view.axis)
        outlines = tuple(Outline(self._path(mask), color, current) for mask, color, current in shown)
        self._view.set_masks(overlay_of(shape, shown, opacity=self._opacity), outlines)

    def show_prompts(self) -> None:
        """Prompts of the slice, and where they wait for it."""
        session = self._bridge.session
        if session is None:
            return
        self._view.set_prompts(session.prompts.items)
        self._view.set_waiting(waiting_point(session.prompts.items) if session.waiting else None)

    def show_preview(self) -> None:
        """The mask that the prompts gave."""
        session = self._bridge.session
        preview = None if session is None else session.preview
        self._show_doubt(None if session is None else session.uncertainty)
        if session is None or preview is None:
            self._view.set_preview(None)
            return
        color = self._color()
        kept = self._preview
        if kept is None or kept[0] is not preview or kept[1] != color:
            kept = self._preview = (preview, color, preview_shape(preview.mask, color, opacity=self._opacity))
        self._view.set_preview(kept[2])

    def _show_doubt(self, found: Uncertainty | None) -> None:
        kept = self._doubt
        if found is None:
            kept = None
        elif kept is None or kept[0] is not found:
            kept = (found, DoubtShape(heat_of(found.map), found.next_click))
        self._doubt = kept
        self._view.set_doubt(None if kept is None else kept[1])

    def _color(self) -> Color:
        session = self._bridge.session
        if session is None:
            return _NO_LABEL
        label_id = session.active_label
        if session.active_object is not None and session.active_object in session.annotation:
            label_id = session.annotation.get(session.active_object).label_id
        if label_id is None or label_id not in session.labels:
            return _NO_LABEL
        return session.labels.get(label_id).color

    def _path(self, mask: Mask) -> QPainterPath:
        kept = self._paths.get(id(mask))
        if kept is None:
            kept = self._paths[id(mask)] = (mask, outline_of(mask))
            if len(self._paths) > _KEPT_PATHS:
                self._paths.popitem(last=False)
        else:
            self._paths.move_to_end(id(mask))
        return kept[1]

    def _volume(self) -> Volume | None:
        return None if self._bridge.session is None else self._bridge.session.volume

    def _render(self, *, keep_zoom: bool) -> None:
        session = self._bridge.session
        if session is None or session.volume is None or session.view is None:
            return
        self._generation += 1
        volume, view, window, generation = session.volume, session.view, self._window, self._generation
        aspect, orientation = pixel_aspect(volume.geometry, view), slice_orientation(volume.geometry, view.axis)
        rows, columns = volume.slice_shape(view.axis)
        if rows * columns <= _BACKGROUND_PIXELS:
            self._view.set_slice(rendered(volume, view, window), orientation, aspect_yx=aspect, keep_zoom=keep_zoom)
            return

        def arrived(picture: Picture) -> None:
            if generation == self._generation:
                self._view.set_slice(picture, orientation, aspect_yx=aspect, keep_zoom=keep_zoom)

        _in_background(lambda: rendered(volume, view, window), arrived, self._bridge.post)


def rendered(volume: Volume, view: View, window: Window) -> Picture:
    """Picture of one slice through a window."""
    pixels = volume.slice_at(view.axis, view.index)
    return Picture.from_pixels(pixels if pixels.ndim == 3 else to_uint8(pixels, window))


def preview_shape(mask: np.ndarray, color: Color, *, opacity: float) -> PreviewShape | None:
    """Overlay and outline of a (Y, X) bool mask, or None when it is empty."""
    tight = Mask.from_array(mask)
    if tight.is_empty:
        return None
    y0, x0, y1, x1 = tight.box
    return PreviewShape((x0, y0, x1, y1), overlay_of_mask(tight, color, opacity=opacity), outline_of(tight), color)


def pixel_aspect(geometry: Geometry, view: View) -> tuple[float, float]:
    """Height and width of a pixel of a slice relative to the smaller of the two."""
    rows, columns = [mm for axis, mm in enumerate(geometry.spacing_zyx_mm) if axis != view.axis]
    small = min(rows, columns)
    return rows / small, columns / small


def waiting_point(prompts: tuple[object, ...]) -> tuple[float, float] | None:
    """Where the newest prompt lies: its point, the middle of its box, the end of its stroke."""
    from maskwright.core.prompts import Box, Point, Scribble

    for prompt in reversed(prompts):
        if isinstance(prompt, Point):
            return prompt.x, prompt.y
        if isinstance(prompt, Box):
            return (prompt.x0 + prompt.x1 - 1) / 2, (prompt.y0 + prompt.y1 - 1) / 2
        if isinstance(prompt, Scribble):
            return float(prompt.xy[-1, 0]), float(prompt.xy[-1, 1])
    return None


def _in_background(
    work: Callable[[], Picture], done: Callable[[Picture], None], post: Callable[[Callable[[], None]], None]
) -> None:
    def run() -> None:
        value = work()
        post(lambda: done(value))

    threading.Thread(target=run, name="render", daemon=True).start()
