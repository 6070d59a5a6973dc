from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QComboBox,
    QKeySequenceEdit,
    QLineEdit,
    QMenu,
    QMenuBar,
    QScrollBar,
    QTableView,
    QToolBar,
    QWidget,
)

from maskwright.core.errors import ScanError
from maskwright.core.labels import LabelSet
from maskwright.session.settings import Settings
from maskwright.ui.dialogs.about import AboutDialog
from maskwright.ui.dialogs.dataset import Choice, DatasetDialog
from maskwright.ui.dialogs.error import ErrorDialog
from maskwright.ui.dialogs.label import LabelDialog
from maskwright.ui.dialogs.shortcuts import ShortcutsDialog
from maskwright.ui.shortcuts import default_shortcuts
from tests.unit.ui.conftest import named_widgets, until

CONTROLS = (QAbstractButton, QAbstractSlider, QComboBox, QKeySequenceEdit, QLineEdit, QTableView, QToolBar, QMenu)


def nameless(root: QWidget) -> list[str]:
    """Controls under a widget that a screen reader could not name. Qt's own inner parts begin with ``qt_``."""
    found = []
    for widget in named_widgets(root):
        parent = widget.parentWidget()
        inner = widget.objectName().startswith("qt_") or isinstance(parent, (QLineEdit, QKeySequenceEdit, QTableView))
        inner = inner or isinstance(widget, QScrollBar)  # the area that it scrolls has the name
        inner = inner or (isinstance(widget, QMenu) and isinstance(parent, QMenuBar) and not widget.title())  # overflow
        reachable = isinstance(widget, CONTROLS) or widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        says = isinstance(widget, QAbstractButton) and widget.text() or isinstance(widget, QMenu) and widget.title()
        if reachable and not inner and not widget.accessibleName() and not says:
            found.append(f"{type(widget).__name__} {widget.objectName()!r} in {type(parent).__name__}")
    return found


def test_every_control_of_the_window_has_a_name(driver, volume, photos):
    assert nameless(driver.window) == []
    driver.open(volume)
    driver.click(30, 20)
    driver.key(Qt.Key.Key_Return)
    driver.click(20, 20)
    assert nameless(driver.window) == []
    driver.window.bridge.open([photos])
    until(lambda: len(driver.session.scans) == 3)
    assert nameless(driver.window) == []


@pytest.mark.parametrize("what", ["export", "import_annotations", "add_label", "change_shortcuts", "about"])
def test_every_control_of_the_dialogs_has_a_name(driver, photo, what):
    driver.open(photo)
    getattr(driver.window.flows, what)()
    dialog = driver.window.flows.dialog
    assert dialog is not None and dialog.isVisible()
    assert nameless(dialog) == []
    assert dialog.windowTitle()
    dialog.reject()
    assert driver.window.flows.dialog is None


def test_an_error_says_what_where_and_what_to_do(qt):
    error = ScanError("the file is cut short", path="/scans/größe 1.nii", hint="Copy it again.")
    dialog = ErrorDialog(error)
    texts = {widget.accessibleName() for widget in named_widgets(dialog)}
    assert {"What happened: The file is cut short.", "What to do: Copy it again."} <= texts
    assert f"Which file: {Path('/scans/größe 1.nii')}" in texts
    assert nameless(dialog) == []
    assert "\n" not in dialog.accessibleDescription()


def test_a_label_needs_a_name_of_its_own(qt):
    labels = LabelSet.default()
    dialog = LabelDialog(labels, (1, 2, 3))
    ok = next(b for b in dialog.findChildren(QAbstractButton) if b.text() == "Add")
    assert not ok.isEnabled()
    dialog.set_name("  object ")
    assert not ok.isEnabled()
    assert dialog.problem == "There is already a label “object”."
    dialog.set_name(" Left  kidney ")
    assert ok.isEnabled()
    assert (dialog.name, dialog.color, dialog.problem) == ("Left kidney", (1, 2, 3), "")


def test_a_label_may_keep_its_own_name(qt):
    labels, liver = LabelSet.default().add("Liver")
    dialog = LabelDialog(labels, liver.color, label=liver)
    assert (dialog.name, dialog.color, dialog.problem) == ("Liver", liver.color, "")


def test_a_new_label_becomes_active_and_can_be_changed(driver, photo):
    driver.open(photo)
    driver.window.flows.add_label()
    dialog = driver.window.flows.dialog
    dialog.set_name("Liver")
    dialog.accept()
    assert driver.session.labels.get(driver.session.active_label).name == "Liver"
    driver.window.flows.edit_label(2)
    driver.window.flows.dialog.set_name("Spleen")
    driver.window.flows.dialog.color = (9, 8, 7)
    driver.window.flows.dialog.accept()
    assert (driver.session.labels.get(2).name, driver.session.labels.get(2).color) == ("Spleen", (9, 8, 7))
    assert [row.accessibleName() for row in driver.window.labels_panel.rows()] == ["Label Object", "Label Spleen"]


def test_a_label_in_use_is_not_removed_and_the_reason_is_told(driver, photo):
    driver.open(photo)
    driver.click(100, 75)
    driver.key(Qt.Key.Key_Return)
    driver.window.labels_panel.remove_wanted.emit(1)
    until(lambda: driver.window.errors)
    assert "in use" in str(driver.window.errors[0].error)
    assert len(driver.session.labels) == 1


def test_a_key_that_is_taken_is_refused_and_its_owner_named(qt):
    dialog = ShortcutsDialog(default_shortcuts())
    assert dialog.assign("tool.box", "Ctrl+Z") == "Ctrl+Z already belongs to “Undo”. Remove it there first."
    assert dialog.shortcuts == default_shortcuts()
    assert dialog.assign("tool.box", "") == "Press the keys first."
    assert dialog.assign("tool.box", "K") == ""
    assert dialog.shortcuts["tool.box"] == ("K",)


def test_changed_keys_work_at_once_and_after_a_restart(driver, photo):
    driver.open(photo)
    driver.window.flows.change_shortcuts()
    dialog = driver.window.flows.dialog
    dialog.assign("edit.commit", "C")
    dialog.accept()
    driver.click(100, 75)
    driver.key(Qt.Key.Key_Return)
    assert driver.session.annotation.objects == ()
    driver.key(Qt.Key.Key_C)
    assert len(driver.session.annotation.objects) == 1
    assert json.loads(Settings().path.read_text("utf-8"))["shortcuts"] == {"edit.commit": ["C"]}


def test_a_dataset_is_exported_and_imported_again(driver, photo, tmp_path):
    driver.open(photo)
    driver.click(100, 75)
    driver.key(Qt.Key.Key_Return)
    mask = driver.session.annotation.objects[0].masks[driver.session.view]
    out = tmp_path / "out"
    driver.window.flows.export()
    dialog = driver.window.flows.dialog
    dialog.choose("coco", out)
    dialog.go()
    until(lambda: dialog.report)
    assert "1 object" in dialog.report and str(out) in dialog.report
    assert out.is_dir()
    dialog.go()  # once more, where there is something already
    until(lambda: dialog.report and "1 object" not in dialog.report)
    assert str(out) in dialog.report
    dialog.reject()

    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert driver.session.annotation.objects == ()
    driver.window.flows.import_annotations()
    dialog = driver.window.flows.dialog
    dialog.choose("coco", out)
    dialog.go()
    until(lambda: dialog.report)
    assert dialog.report.startswith("1 object")
    (one,) = driver.session.annotation.objects
    assert np.array_equal(one.masks[driver.session.view].to_array(), mask.to_array())


def test_importing_what_is_no_dataset_is_told_in_the_dialog(driver, photo, tmp_path):
    driver.open(photo)
    (tmp_path / "nothing").mkdir()
    driver.window.flows.import_annotations()
    dialog = driver.window.flows.dialog
    dialog.choose("coco", tmp_path / "nothing")
    dialog.go()
    until(lambda: dialog.report)
    assert "nothing" in dialog.report
    assert driver.session.annotation.objects == ()
    assert driver.window.errors == ()


def test_with_nothing_annotated_there_is_nothing_to_export(driver, photo):
    driver.open(photo)
    driver.window.flows.export()
    assert driver.window.flows.dialog.request is None


def test_a_refused_format_cannot_be_chosen(qt):
    choices = [Choice("a", "A", "says", "It cannot hold a photo."), Choice("b", "B", "says")]
    dialog = DatasetDialog(
        choices, lambda request, done: None, title="T", verb="Go", folder=Path("/x"), says="", may_overwrite=True
    )
    assert dialog.request is not None
    assert (dialog.request.format, dialog.request.folder) == ("b", Path("/x"))


def test_about_names_version_model_and_licence(driver, photo):
    from maskwright import __version__

    driver.open(photo)
    driver.window.flows.about()
    dialog = driver.window.flows.dialog
    assert isinstance(dialog, AboutDialog)
    texts = " ".join(widget.accessibleName() for widget in named_widgets(dialog))
    assert "Name: Fake (fake)" in texts and "Licence: Apache-2.0" in texts
    assert any(__version__ in getattr(widget, "text", lambda: "")() for widget in named_widgets(dialog))


def test_the_theme_that_was_chosen_stays(driver, qt):
    from maskwright.ui.theme import DARK, LIGHT, apply_theme, current_tokens

    try:
        driver.window.actions_["theme.dark"].trigger()
        assert current_tokens() is DARK
        assert driver.view.scene.background.name() == DARK.canvas
        assert Settings().get("theme") == "dark"
    finally:
        apply_theme(LIGHT)
