"""The window as a user meets it, over a fake model: objects, lists of files, what is dropped, failures."""

from __future__ import annotations

from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication

from tests.unit.ui.conftest import CTRL, LEFT, NONE, until

Key = Qt.Key


def test_objects_can_be_hidden_relabelled_and_deleted(driver, photo):
    driver.open(photo)
    driver.window.bridge.act(lambda s: s.add_label("Liver"))
    driver.key(Key.Key_1)
    clear = driver.pixel(100, 67)
    driver.click(100, 75)
    driver.key(Key.Key_Return)
    shown = driver.pixel(100, 67)
    assert shown != clear
    panel = driver.window.objects_panel
    panel.visible_wanted.emit(1, False)
    assert driver.pixel(100, 67) == clear
    panel.visible_wanted.emit(1, True)
    assert driver.pixel(100, 67) == shown
    relabel = panel.menu_for(1).actions()[0].menu().actions()
    assert [action.text() for action in relabel] == ["Object", "Liver"]
    relabel[1].trigger()
    assert driver.session.annotation.get(1).label_id == 2
    assert driver.pixel(100, 67) not in (clear, shown)
    panel.rows()[0].delete_pressed.emit()
    assert driver.session.annotation.objects == ()
    assert panel.rows() == []


def test_choosing_an_object_shows_a_slice_on_which_it_is(driver, volume):
    driver.open(volume)
    driver.click(30, 20)
    driver.key(Key.Key_Return)
    driver.key(Key.Key_Home)
    driver.window.objects_panel.rows()[0].chosen.emit()
    assert driver.session.view.index == 4
    assert driver.session.active_object == 1


def test_ctrl_click_chooses_the_object_under_the_pointer(driver, photo):
    driver.open(photo)
    driver.click(100, 75)
    driver.key(Key.Key_Return)
    driver.click(100, 75, modifier=CTRL)
    assert driver.session.active_object == 1
    driver.click(20, 20, modifier=CTRL)
    assert driver.session.active_object is None
    assert not driver.session.prompts


def test_v_hides_and_shows_all_objects(driver, photo):
    driver.open(photo)
    clear = driver.pixel(100, 67)
    driver.click(100, 75)
    driver.key(Key.Key_Return)
    driver.key(Key.Key_V)
    assert driver.pixel(100, 67) == clear
    driver.key(Key.Key_V)
    assert driver.pixel(100, 67) != clear


def test_d_and_a_go_through_a_folder_of_photos(driver, photos):
    driver.window.bridge.open([photos])
    until(lambda: driver.session.volume is not None)
    assert driver.window.scans_panel.isVisible()
    names = []
    for key in (None, Key.Key_D, Key.Key_D, Key.Key_D, Key.Key_A):
        if key is not None:
            driver.key(key)
            until(lambda: driver.session.opening is None)
        names.append(driver.session.scan.name)
    assert names == ["p1.png", "p2.png", "p10.png", "p10.png", "p2.png"]
    driver.window.scans_panel.rows()[0].chosen.emit()
    until(lambda: driver.session.scan.name == "p1.png")


def test_a_bad_file_is_told_and_what_was_open_stays(driver, photo, tmp_path):
    driver.open(photo)
    driver.click(100, 75)
    bad = tmp_path / "broken.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    driver.window.bridge.open([bad])
    until(lambda: driver.window.errors)
    (dialog,) = driver.window.errors
    assert dialog.error.path == bad
    assert dialog.error.hint
    assert "broken.png" in dialog.accessibleDescription()
    dialog.accept()
    until(lambda: not driver.window.errors)
    assert driver.session.scan.path == photo
    assert len(driver.session.prompts) == 1
    driver.click(50, 75)
    assert len(driver.session.prompts) == 2


def test_a_failure_that_repeats_is_shown_once(driver, photo):
    from maskwright.core.errors import StoreError

    driver.open(photo)
    for _ in range(3):
        driver.window.show_error(StoreError("the disk is full", hint="Free some space."))
    assert len(driver.window.errors) == 1


def test_a_model_that_fails_is_told_and_the_window_goes_on(driver, photo):
    from maskwright.core.errors import ModelError

    driver.open(photo)
    driver.segmenter.trouble = ModelError("the head does not run", hint="Install the model again.")
    driver.click(100, 75, wait=False)
    until(lambda: driver.window.errors)
    driver.segmenter.trouble = None
    driver.window.errors[0].accept()
    driver.click(60, 75)
    assert driver.session.preview is not None


def test_files_and_folders_can_be_dropped(driver, photos):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(photos))])
    enter = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, data, LEFT, NONE)
    QApplication.sendEvent(driver.window, enter)
    assert enter.isAccepted()
    drop = QDropEvent(QPointF(50, 50), Qt.DropAction.CopyAction, data, LEFT, NONE)
    QApplication.sendEvent(driver.window, drop)
    until(lambda: driver.session.volume is not None)
    assert len(driver.session.scans) == 3


def test_several_files_become_one_list(driver, photos):
    driver.window.bridge.open([photos / "p10.png", photos / "p1.png"])
    until(lambda: driver.session.volume is not None)
    assert [scan.name for scan in driver.session.scans] == ["p10.png", "p1.png"]
    assert driver.session.scan.name == "p10.png"
    driver.key(Key.Key_D)
    until(lambda: driver.session.scan.name == "p1.png")


def test_what_is_no_file_is_not_taken(driver):
    data = QMimeData()
    data.setUrls([QUrl("https://example.org/scan.nii")])
    enter = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, data, LEFT, NONE)
    enter.ignore()
    QApplication.sendEvent(driver.window, enter)
    assert not enter.isAccepted()
