"""The widget that shows one slice, turns pointer events into gestures and repaints only what changed."""

from __future__ import annotations

import time
from dataclasses import replace

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from maskwright.core.orientation import AS_STORED, SliceOrientation
from maskwright.core.prompts import Box, Point, Prompt
from maskwright.ui.layers import WAIT_RADIUS, DoubtShape, Outline, PreviewShape, Scene, paint, prompt_rect
from maskwright.ui.picture import Overlay, Picture
from maskwright.ui.theme import current_tokens
from maskwright.ui.tools.gesture import Gesture, Pointer, Start
from maskwright.ui.tools.pan import pan
from maskwright.ui.tools.table import TOOLS, Tool
from maskwright.ui.view_transform import ViewTransform

_BUTTONS = {
    Qt.MouseButton.LeftButton: "left",
    Qt.MouseButton.RightButton: "right",
    Qt.MouseButton.MiddleButton: "middle",
}
_WHEEL_STEP = 120  # eighths of a degree: one notch
_ZOOM_PER_NOTCH = 1.18
_FIT_MARGIN = 16


class SliceView(QWidget):
    """Shows a scene; says what the user did through signals and never changes data itself.

    `last_event_to_paint_ms` is the time from the press (for a box: the release) that said the last prompt to the end of
    the repaint that showed its mask; `event_to_paint` carries the same number.
    """

    prompt_made = Signal(object)  # Prompt
    prompt_taken_back = Signal(object)  # Prompt
    object_picked = Signal(float, float)  # image x, y
    window_dragged = Signal(float, float)  # widget px right, widget px up
    slices_scrolled = Signal(int)
    pointer_moved = Signal(object)  # (x, y) in image px, or None outside
    zoom_changed = Signal(float)
    event_to_paint = Signal(float)  # ms

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("sliceView")
        self.setAccessibleName("Slice")
        self.setAccessibleDescription("Click what belongs to the object. Enter commits, Escape clears.")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.scene = Scene(ViewTransform(), QColor(current_tokens().canvas))
        self.sign = True
        self.wheel_zooms = False
        self.last_event_to_paint_ms: float | None = None
        self._tool: Tool = TOOLS[0]
        self._shape_yx: tuple[int, int] | None = None
        self._fitted = True
        self._gesture: Gesture | None = None
        self._gesture_button = Qt.MouseButton.NoButton
        self._space_held = False
        self._wheel_rest = 0
        self._pointer_at: QPointF | None = None
        self._event_at = 0.0
        self._pressed_at: float | None = None
        self._answer_to: float | None = None
        self._spin = QTimer(self, interval=40)
        self._spin.timeout.connect(self._turn)

    # what to show

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt)
        """Room for a slice of common size."""
        return QSize(720, 560)

    def set_slice(
        self,
        picture: Picture | None,
        orientation: SliceOrientation = AS_STORED,
        *,
        aspect_yx: tuple[float, float] = (1.0, 1.0),
        keep_zoom: bool = False,
    ) -> None:
        """Show another slice; zoom and pan stay when `keep_zoom` and its size and shape on the screen are the same."""
        shape = None if picture is None else picture.shape_yx
        flips = {"flip_x": orientation.flip_x, "flip_y": orientation.flip_y}
        transform = replace(self.transform, aspect_yx=aspect_yx, **flips)
        same = keep_zoom and shape == self._shape_yx and transform == self.transform
        self._shape_yx = shape
        self.scene = replace(self.scene, picture=picture, transform=transform, edges=orientation.edges)
        if not same:
            self.fit()
        self.update()

    def set_masks(self, masks: Overlay | None, outlines: tuple[Outline, ...]) -> None:
        """Show the committed objects of this slice."""
        self.scene = replace(self.scene, masks=masks, outlines=outlines)
        self.update()

    def set_show_masks(self, show: bool) -> None:  # noqa: FBT001 (a Qt slot)
        """Show or hide all committed objects at once."""
        self.scene = replace(self.scene, show_masks=show)
        self.update()

    def set_preview(self, preview: PreviewShape | None) -> None:
        """Show the mask that answers the prompts; only the old and the new box are repainted."""
        old = self.scene.preview
        if preview is old:
            return
        self.scene = replace(self.scene, preview=preview)
        for shape in (old, preview):
            if shape is not None:
                self.update(self.scene.transform.dirty_rect(shape.box, pad=5))
        if preview is not None and self._pressed_at is not None:
            self._answer_to, self._pressed_at = self._pressed_at, None

    def set_doubt(self, doubt: DoubtShape | None) -> None:
        """Show where the model is unsure of that mask."""
        if doubt is not self.scene.doubt:
            self.scene = replace(self.scene, doubt=doubt)
            self.update()

    def set_prompts(self, prompts: tuple[Prompt, ...]) -> None:
        """Show the prompts; only where they are or were is repainted."""
        old = self.scene.prompts
        self.scene = replace(self.scene, prompts=prompts)
        for prompt in {*old} ^ {*prompts}:
            self.update(self._prompt_rect(prompt))

    def set_waiting(self, at: tuple[float, float] | None) -> None:
        """Show at an image point that its slice is being prepared, or stop showing it."""
        if at == self.scene.waiting_at:
            return
        self._update_waiting()
        self.scene = replace(self.scene, waiting_at=at)
        self._update_waiting()
        self._spin.start() if at is not None else self._spin.stop()

    def set_tool(self, tool: Tool) -> None:
        """Use another tool from the next press on."""
        self.cancel_gesture()
        self._tool = tool
        self._update_cursor()

    def retheme(self) -> None:
        """Take the ground colour of the present theme."""
        self.scene = replace(self.scene, background=QColor(current_tokens().canvas))
        self.update()

    @property
    def tool(self) -> Tool:
        """The tool in use."""
        return self._tool

    # zoom and pan

    @property
    def transform(self) -> ViewTransform:
        """Where the slice lies on the widget."""
        return self.scene.transform

    def fit(self) -> None:
        """Show the whole slice."""
        self._fitted = True
        if self._shape_yx is not None:
            size = (self.width(), self.height())
            self._set_transform(self.transform.fitted(self._shape_yx, size, margin=_FIT_MARGIN))

    def zoom(self, factor: float, at: tuple[float, float] | None = None) -> None:
        """Zoom about a widget position, the middle of the widget by default."""
        if self._shape_yx is not None:
            self._fitted = False
            at = at or (self.width() / 2, self.height() / 2)
            self._set_transform(self._kept(self.transform.zoomed(factor, at)))

    def pan(self, dx: float, dy: float) -> None:
        """Move the picture by widget px; a part of it always stays on the widget."""
        if self._shape_yx is not None:
            self._fitted = False
            self._set_transform(self._kept(self.transform.panned(dx, dy)))

    def _kept(self, transform: ViewTransform) -> ViewTransform:
        assert self._shape_yx is not None
        return transform.kept_in_reach(self._shape_yx, (self.width(), self.height()))

    def _set_transform(self, transform: ViewTransform) -> None:
        self.scene = replace(self.scene, transform=transform, widget_wh=(self.width(), self.height()))
        self.zoom_changed.emit(transform.zoom)
        self.update()

    # what gestures may do (tools.gesture.Host)

    def is_inside(self, image_xy: tuple[float, float]) -> bool:
        """Whether an image point lies on the slice."""
        if self._shape_yx is None:
            return False
        height, width = self._shape_yx
        return -0.5 <= image_xy[0] < width - 0.5 and -0.5 <= image_xy[1] < height - 0.5

    def clamped(self, image_xy: tuple[float, float]) -> tuple[float, float]:
        """Nearest image point on the slice."""
        height, width = self._shape_yx or (1, 1)
        return min(max(image_xy[0], -0.5), width - 0.5), min(max(image_xy[1], -0.5), height - 0.5)

    def prompt(self, prompt: Point | Box) -> None:
        """Report a prompt; its mask answers the event that is being handled."""
        self._pressed_at, self._answer_to = self._event_at, None
        self.prompt_made.emit(prompt)

    def take_back(self, prompt: Point | Box) -> None:
        """Report that the last prompt was not meant."""
        self._pressed_at = None
        self.prompt_taken_back.emit(prompt)

    def show_box(self, box: Box | None) -> None:
        """Show the box under the finger."""
        old = self.scene.drag_box
        self.scene = replace(self.scene, drag_box=box)
        for one in (old, box):
            if one is not None:
                self.update(self._prompt_rect(one))

    def change_window(self, dx: float, dy: float) -> None:
        """Report a drag of the window tool."""
        self.window_dragged.emit(dx, -dy)

    def pick_object(self, image_xy: tuple[float, float]) -> None:
        """Report which point was picked."""
        self.object_picked.emit(*image_xy)

    def cancel_gesture(self) -> None:
        """Drop the gesture under the finger, if there is one."""
        if self._gesture is not None:
            self._gesture.close()
            self._gesture = None
            self._update_cursor()

    def refresh_pointer(self) -> None:
        """Say again where the pointer is, after the slice under it changed."""
        at = None if self._pointer_at is None else self.transform.to_image(self._pointer_at.x(), self._pointer_at.y())
        self.pointer_moved.emit(at if at is not None and self.is_inside(at) else None)

    @property
    def in_gesture(self) -> bool:
        """Whether a button is down and means something."""
        return self._gesture is not None

    # events

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """Begin a gesture."""
        self._event_at = time.perf_counter()
        button = event.button()
        if self._gesture is not None or self._shape_yx is None or button not in _BUTTONS:
            return
        start: Start = self._tool.start
        if button == Qt.MouseButton.MiddleButton or self._space_held:
            start = pan
        elif button == Qt.MouseButton.RightButton and self._tool.id in ("window", "pan"):
            return
        self._gesture_button = button
        gesture = start(self, self._pointer(event, "press"))
        self._gesture = gesture
        self._step(None)
        if self._gesture is not None and start is pan:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """Go on with the gesture, and say where the pointer is."""
        self._pointer_at = event.position()
        self.refresh_pointer()
        if self._gesture is not None:
            self._step(self._pointer(event, "move"))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """End the gesture."""
        self._event_at = time.perf_counter()
        if self._gesture is not None and event.button() == self._gesture_button:
            self._step(self._pointer(event, "release"))
            self.cancel_gesture()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """A quick second click is a click like any other."""
        self.mousePressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 (Qt)
        """Say that the pointer is gone."""
        self._pointer_at = None
        self.refresh_pointer()
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 (Qt)
        """Ctrl + wheel zooms to the pointer, the plain wheel too on a photo; on a volume it goes through the slices."""
        notches = event.angleDelta().y() or event.angleDelta().x()
        at = (event.position().x(), event.position().y())
        if self._shape_yx is None or notches == 0:
            return
        if self.wheel_zooms or event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(_ZOOM_PER_NOTCH ** (notches / _WHEEL_STEP), at)
        else:
            self._wheel_rest += notches
            steps = int(self._wheel_rest / _WHEEL_STEP)
            self._wheel_rest -= steps * _WHEEL_STEP
            if steps:
                self.slices_scrolled.emit(-steps)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt)
        """Space held turns a drag into a move of the picture."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space_held = True
            self._update_cursor()
            return
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt)
        """Space is up again."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space_held = False
            self._update_cursor()
            return
        super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802 (Qt)
        """A space bar released elsewhere is not held here."""
        self._space_held = False
        self._update_cursor()
        super().focusOutEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt)
        """Keep a fitted slice fitted."""
        super().resizeEvent(event)
        if self._fitted:
            self.fit()
        elif self._shape_yx is not None:
            self._set_transform(self._kept(self.transform))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt)
        """Paint the layers into what is dirty."""
        painter = QPainter(self)
        painter.setClipRegion(event.region())
        paint(painter, self.scene, QRectF(event.rect()))
        painter.end()
        if self._answer_to is not None:
            self.last_event_to_paint_ms = (time.perf_counter() - self._answer_to) * 1000
            self._answer_to = None
            self.event_to_paint.emit(self.last_event_to_paint_ms)

    def _step(self, pointer: Pointer | None) -> None:
        gesture = self._gesture
        if gesture is None:
            return
        try:
            next(gesture) if pointer is None else gesture.send(pointer)
        except StopIteration:
            if self._gesture is gesture:
                self._gesture = None
                self._update_cursor()

    def _pointer(self, event: QMouseEvent, phase: str) -> Pointer:
        x, y = event.position().x(), event.position().y()
        held = event.modifiers()
        return Pointer(
            phase,  # type: ignore[arg-type]
            (x, y),
            self.transform.to_image(x, y),
            _BUTTONS.get(self._gesture_button, "left"),  # type: ignore[arg-type]
            shift=bool(held & Qt.KeyboardModifier.ShiftModifier),
            ctrl=bool(held & Qt.KeyboardModifier.ControlModifier),
        )

    def _update_cursor(self) -> None:
        if self._shape_yx is None:
            self.unsetCursor()
        else:
            self.setCursor(Qt.CursorShape.OpenHandCursor if self._space_held else self._tool.cursor)

    def _prompt_rect(self, prompt: Prompt) -> QRect:
        reach = prompt_rect(self.transform, prompt)
        return self.rect() if reach is None else reach

    def _update_waiting(self) -> None:
        if self.scene.waiting_at is not None:
            x, y = self.transform.to_widget(*self.scene.waiting_at)
            reach = WAIT_RADIUS + 4
            self.update(QRectF(x - reach, y - reach, 2 * reach, 2 * reach).toAlignedRect())

    def _turn(self) -> None:
        self.scene = replace(self.scene, waiting_angle=(self.scene.waiting_angle + 14) % 360)
        self._update_waiting()
