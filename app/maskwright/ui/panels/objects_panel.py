"""The objects of the scan: choose, show or hide, relabel, delete."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLabel, QMenu

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.volume import View
from maskwright.ui.icons import icon
from maskwright.ui.panels.panel import Panel, Row, Swatch, elided_label


class ObjectsPanel(Panel):
    """One row an object, the newest first; the active one grows when a further slice is committed."""

    chosen = Signal(int)  # object id
    visible_wanted = Signal(int, bool)
    delete_wanted = Signal(int)
    label_wanted = Signal(int, int)  # object id, label id
    new_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("Objects", "Nothing segmented yet. Click on the picture, then press Enter to keep the result.")
        self._new = self.add_button("plus", "Begin a new object")
        self._new.clicked.connect(self.new_wanted)
        self._annotation = Annotation()
        self._active: int | None = None
        self._shown: tuple[object, ...] = ()

    def show_objects(self, annotation: Annotation, active: int | None, *, view: View | None, is_volume: bool) -> None:
        """Show the objects; those without a part on the present slice are marked as elsewhere."""
        self._annotation, self._active = annotation, active
        self._new.setEnabled(active is not None)
        shown = (annotation.labels, annotation.objects, active, view, is_volume)
        if _same(shown, self._shown):
            return
        self._shown = shown
        rows = [self._row(one, view=view, is_volume=is_volume) for one in reversed(annotation.objects)]
        self.set_rows(rows)
        for row, one in zip(rows, reversed(annotation.objects), strict=True):
            if one.id == active:
                self.reveal(row)

    def _row(self, one: AnnotationObject, *, view: View | None, is_volume: bool) -> Row:
        label = self._annotation.labels.get(one.label_id)
        name = f"{label.name} {one.id}"
        row = Row(f"Object {name}")
        row.line.addWidget(Swatch(label.color))
        title = elided_label(name)
        row.line.addWidget(title, 1)
        detail = QLabel(_detail(one, view=view, is_volume=is_volume))
        detail.setProperty("kind", "muted")
        row.line.addWidget(detail)
        if not one.visible:
            title.setProperty("kind", "muted")
        delete = row.add_button("trash-2", f"Delete {name}")
        eye = row.add_button(
            "eye" if one.visible else "eye-off", f"{'Hide' if one.visible else 'Show'} {name}", fleeting=False
        )
        row.set_current(one.id == self._active)
        row.chosen.connect(partial(self.chosen.emit, one.id))
        row.delete_pressed.connect(partial(self.delete_wanted.emit, one.id))
        delete.clicked.connect(partial(self.delete_wanted.emit, one.id))
        eye.clicked.connect(partial(self.visible_wanted.emit, one.id, not one.visible))
        row.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        row.customContextMenuRequested.connect(partial(self._menu, one.id, row))
        return row

    def menu_for(self, object_id: int) -> QMenu:
        """Menu of one object: relabel, show or hide, delete."""
        one = self._annotation.get(object_id)
        menu = QMenu(self)
        relabel = menu.addMenu(icon("tag"), "Change label to")
        for label in self._annotation.labels:
            action = QAction(label.name, relabel)
            action.setCheckable(True)
            action.setChecked(label.id == one.label_id)
            action.triggered.connect(partial(self._emit_label, object_id, label.id))
            relabel.addAction(action)
        hide = menu.addAction(icon("eye-off" if one.visible else "eye"), "Hide" if one.visible else "Show")
        hide.triggered.connect(partial(self._emit_visible, object_id, not one.visible))
        menu.addSeparator()
        menu.addAction(icon("trash-2"), "Delete").triggered.connect(partial(self._emit_delete, object_id))
        return menu

    def _menu(self, object_id: int, row: Row, at: QPoint) -> None:
        menu = self.menu_for(object_id)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(row.mapToGlobal(at))

    def _emit_label(self, object_id: int, label_id: int, *_: object) -> None:
        self.label_wanted.emit(object_id, label_id)

    def _emit_visible(self, object_id: int, visible: bool, *_: object) -> None:  # noqa: FBT001 (a Qt slot)
        self.visible_wanted.emit(object_id, visible)

    def _emit_delete(self, object_id: int, *_: object) -> None:
        self.delete_wanted.emit(object_id)


def _detail(one: AnnotationObject, *, view: View | None, is_volume: bool) -> str:
    if not is_volume:
        return f"{one.area:,} px"
    count = len(one.masks)
    slices = f"{count} slice" if count == 1 else f"{count} slices"
    return slices if view in one.masks else f"{slices} ·"


def _same(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    """Equality without comparing masks pixel by pixel: values are frozen, so the same object is the same value."""
    if len(a) != len(b) or a[0] != b[0] or a[2:] != b[2:]:
        return False
    mine, theirs = a[1], b[1]
    assert isinstance(mine, tuple) and isinstance(theirs, tuple)
    return len(mine) == len(theirs) and all(x is y for x, y in zip(mine, theirs, strict=True))
