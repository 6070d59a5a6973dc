"""The main window: lays out the parts, passes what the user does to the session and what changed to the parts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QByteArray, QMimeData, QSize, Qt
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QFrame, QMainWindow, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from maskwright.core.errors import MaskwrightError
from maskwright.session.session import Session
from maskwright.ui.action_set import ActionSet
from maskwright.ui.bridge import Bridge
from maskwright.ui.chrome import ToolBars
from maskwright.ui.commands import Commands
from maskwright.ui.dialogs.error import ErrorDialog
from maskwright.ui.display import Display
from maskwright.ui.flows import Flows
from maskwright.ui.model_flow import ModelFlow
from maskwright.ui.panels.labels_panel import LabelsPanel
from maskwright.ui.panels.notice import Notice
from maskwright.ui.panels.objects_panel import ObjectsPanel
from maskwright.ui.panels.panel import named
from maskwright.ui.panels.prompt_bar import PromptBar
from maskwright.ui.panels.scans_panel import ScansPanel
from maskwright.ui.panels.slice_bar import SliceBar
from maskwright.ui.panels.status_line import StatusLine
from maskwright.ui.panels.welcome import Welcome
from maskwright.ui.readout import place_text, scan_lines, state_text, value_text
from maskwright.ui.shortcuts import merged
from maskwright.ui.slice_view import SliceView
from maskwright.ui.theme import UNIT
from maskwright.ui.window_settings import WindowSettings

SIDEBAR = 37 * UNIT


class MainWindow(QMainWindow):
    """One window on one session; ACTIONS call its `commands`, `flows` and `models`."""

    def __init__(self, bridge: Bridge, settings: WindowSettings) -> None:
        super().__init__()
        self.bridge = bridge
        self.settings = settings
        self.setObjectName("mainWindow")
        self.setAccessibleName("maskwright")
        self.setWindowTitle("maskwright")
        self.setAcceptDrops(True)
        self.setMinimumSize(720, 480)
        self.resize(1280, 820)
        self._errors: list[ErrorDialog] = []

        self.actions_ = ActionSet(self, merged(settings.shortcuts()))
        self.slice_view = SliceView()
        self.display = Display(self.slice_view, bridge, opacity=settings.mask_opacity())
        self.slice_bar = SliceBar()
        self.labels_panel = LabelsPanel()
        self.objects_panel = ObjectsPanel()
        self.scans_panel = ScansPanel()
        self.status_line = StatusLine()
        self.welcome = Welcome()
        self.prompt_bar = PromptBar(self.slice_view)
        self.commands = Commands(self)
        self.flows = Flows(self)
        self.models = ModelFlow(self)
        self._lay_out()
        self.notice = Notice(self.stack)
        self.tool_bars = ToolBars(self)
        self._connect()
        self.commands.choose_tool("smart")
        self._show_everything()
        geometry = settings.geometry()
        if geometry:
            self.restoreGeometry(QByteArray(geometry))
        self.welcome.show_recent(settings.recent())
        self.actions_[f"theme.{settings.theme()}"].setChecked(True)

    def _lay_out(self) -> None:
        work = named(QWidget(), "workspace")
        column = QVBoxLayout(work)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.slice_view, 1)
        column.addWidget(self.slice_bar)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.welcome)
        self.stack.addWidget(work)
        self.sidebar = named(QWidget(), "sidebar")
        self.sidebar.setAccessibleName("Side bar")
        self.sidebar.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        panels = QVBoxLayout(self.sidebar)
        panels.setContentsMargins(1, 0, 0, 0)
        panels.setSpacing(0)
        self.scans_rule, rule = named(QFrame(), "rule"), named(QFrame(), "rule")
        for part in (self.scans_panel, self.scans_rule, self.labels_panel, rule):
            panels.addWidget(part)
        panels.addWidget(self.objects_panel, 1)
        self.sidebar.setMinimumWidth(30 * UNIT)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(1)
        self.split.addWidget(self.stack)
        self.split.addWidget(self.sidebar)
        self.split.setStretchFactor(0, 1)
        self.split.setStretchFactor(1, 0)
        self.split.setSizes([1280 - SIDEBAR, SIDEBAR])
        self.setCentralWidget(self.split)
        self.setStatusBar(self.status_line)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt)
        """A size that fits a laptop."""
        return QSize(1280, 820)

    def _connect(self) -> None:
        bridge, view = self.bridge, self.slice_view
        bridge.scan_changed.connect(self._show_everything)
        bridge.scans_changed.connect(self._show_scans)
        bridge.view_changed.connect(self._show_view)
        bridge.labels_changed.connect(self.labels_changed)
        bridge.objects_changed.connect(self._show_objects)
        bridge.prompts_changed.connect(self._show_prompts)
        bridge.preview_changed.connect(self._show_preview)
        bridge.features_changed.connect(self._show_features)
        bridge.history_changed.connect(self.show_commands)
        bridge.busy_changed.connect(self._show_busy)
        bridge.model_changed.connect(self._show_model)
        bridge.said.connect(self.notice.say)
        bridge.done.connect(lambda text: self.status_line.set_news(text))
        bridge.failed.connect(self.show_error)
        view.prompt_made.connect(lambda prompt: bridge.act(lambda s: s.add_prompt(prompt)))
        view.prompt_taken_back.connect(self.commands.take_back)
        view.object_picked.connect(self.commands.pick_object)
        view.window_dragged.connect(self.display.drag_window)
        view.slices_scrolled.connect(self.commands.scroll_slices)
        view.pointer_moved.connect(self._show_pointer)
        view.zoom_changed.connect(lambda zoom: self.status_line.set_zoom(zoom))
        self.display.window_changed.connect(self._show_window)
        self.slice_bar.slice_chosen.connect(self.commands.show_slice)
        self.prompt_bar.commit_wanted.connect(self.commands.commit)
        self.prompt_bar.clear_wanted.connect(self.commands.clear)
        self.prompt_bar.label_wanted.connect(self.commands.use_suggested_label)
        self.prompt_bar.text_said.connect(self.commands.say)
        self.prompt_bar.text_left.connect(self.slice_view.setFocus)
        self.scans_panel.chosen.connect(lambda i: bridge.act(lambda s: s.show_scan_async(i)))
        labels, objects = self.labels_panel, self.objects_panel
        labels.chosen.connect(lambda i: bridge.act(lambda s: s.set_active_label(i)))
        labels.add_wanted.connect(self.flows.add_label)
        labels.edit_wanted.connect(self.flows.edit_label)
        labels.remove_wanted.connect(lambda i: bridge.act(lambda s: s.remove_label(i)))
        objects.chosen.connect(self.commands.choose_object)
        objects.visible_wanted.connect(lambda i, on: bridge.act(lambda s: s.set_object_visible(i, visible=on)))
        objects.delete_wanted.connect(lambda i: bridge.act(lambda s: s.delete_object(i)))
        objects.label_wanted.connect(lambda i, label: bridge.act(lambda s: s.set_object_label(i, label)))
        objects.new_wanted.connect(lambda: bridge.act(lambda s: s.set_active_object(None)))
        self.welcome.open_file_wanted.connect(self.flows.open_file)
        self.welcome.open_folder_wanted.connect(self.flows.open_folder)
        self.welcome.sample_wanted.connect(self.flows.open_sample)
        self.welcome.recent_wanted.connect(lambda path: bridge.open([path]))

    # what changed

    @property
    def session(self) -> Session:
        """The session behind the window, to read from."""
        return self.bridge.session

    def _show_everything(self) -> None:
        session = self.session
        volume, scan = session.volume, session.scan
        self.stack.setCurrentIndex(0 if volume is None else 1)
        self.sidebar.setVisible(volume is not None)
        self.setWindowTitle("maskwright" if scan is None else f"{scan.name} – maskwright")
        self.slice_bar.setVisible(volume is not None and volume.n_slices() > 1)
        if volume is not None and volume.is_photo and self.slice_view.tool.id == "window":
            self.commands.choose_tool("smart")
        self.display.show_scan()
        self._show_slices()
        self._show_scans()
        self.labels_changed()
        self._show_objects()
        self._show_prompts()
        self._show_features()
        self._show_busy()
        self._show_window()
        self.status_line.set_click_ms(None)
        self.status_line.set_zoom(None if volume is None else self.slice_view.transform.zoom)
        self.tool_bars.show_scan()
        if volume is not None:
            self.slice_view.setFocus()
        if self.bridge.asked_for is not None and volume is not None:
            self.settings.keep_recent(self.bridge.asked_for)
            self.bridge.asked_for = None

    def _show_model(self) -> None:
        self.settings.keep_model(self.session.model_name)
        self._show_preview()
        self.show_commands()  # not every model reads
        self.show_commands()

    def _show_slices(self) -> None:
        session = self.session
        if session.volume is not None and session.view is not None:
            self.slice_bar.set_slices(session.volume.n_slices(session.view.axis), session.view.index)
            self.slice_view.setAccessibleName(f"Slice {session.view.index + 1}")

    def _show_view(self) -> None:
        self.display.show_slice()
        self._show_slices()
        self._show_prompts()
        self._show_objects_list()
        self.slice_view.refresh_pointer()

    def _show_scans(self) -> None:
        session = self.session
        self.scans_panel.setVisible(len(session.scans) > 1)
        self.scans_rule.setVisible(len(session.scans) > 1)
        self.scans_panel.show_scans(scan_lines(session), session.worklist.shown)
        self.tool_bars.show_scans(len(session.scans))
        entry = session.scan
        self.actions_["view.scan_done"].setChecked(entry is not None and entry.status == "done")
        self.show_commands()

    def labels_changed(self) -> None:
        """Show the labels, and everything in their colours."""
        session = self.session
        keys = {
            label.id: self.actions_.key_text(f"label.{n}") for n, label in enumerate(session.labels, start=1) if n < 10
        }
        self.labels_panel.show_labels(session.labels, session.active_label, keys)
        self._show_objects()
        self._show_prompts()

    def _show_objects(self) -> None:
        self._show_objects_list()
        self.slice_bar.set_annotated({view.index for view in self.session.annotation.views() if view.axis == 0})
        self.display.show_objects()
        self.display.show_preview()
        self._show_prompt_bar()
        self.show_commands()

    def _show_objects_list(self) -> None:
        session = self.session
        many = session.volume is not None and session.volume.n_slices() > 1
        self.objects_panel.show_objects(session.annotation, session.active_object, view=session.view, is_volume=many)

    def _show_prompts(self) -> None:
        self.display.show_prompts()
        self._show_prompt_bar()
        self.show_commands()

    def _show_preview(self) -> None:
        self.display.show_preview()
        self._show_prompt_bar()
        self.status_line.set_click_ms(self.session.last_click_ms)
        self.status_line.set_state(state_text(self.session))

    def _show_prompt_bar(self) -> None:
        session = self.session
        active = session.active_object
        label_id = session.active_label if active is None else session.annotation.get(active).label_id
        label = session.labels.get(label_id) if label_id is not None and label_id in session.labels else None
        waiting = ""
        if session.waiting and session.view is not None:
            many = session.volume is not None and session.volume.n_slices() > 1
            waiting = f"Preparing slice {session.view.index + 1}…" if many else "Preparing the picture…"
        adds_to = "" if active is None or label is None else f"{label.name} {active}"
        self.prompt_bar.show_state(
            count=len(session.prompts),
            label=label,
            ready=session.preview is not None and not session.not_found,
            waiting=waiting or session.not_found,
            adds_to=adds_to,
            words=session.prompts.text,
            suggested=session.suggested_label,
        )

    def _show_features(self) -> None:
        session = self.session
        encoding = session.encoding.index if session.encoding is not None and session.encoding.axis == 0 else None
        self.slice_bar.set_features(session.ready, encoding)
        self._show_busy()

    def _show_busy(self) -> None:
        self.status_line.set_state(state_text(self.session))
        opening = self.session.opening
        self.welcome.set_busy("" if opening is None else f"Opening {opening.name} …")
        self.display.show_prompts()
        self._show_prompt_bar()

    def show_commands(self) -> None:
        """Switch commands on and off, and name what undo and redo would do."""
        session = self.session
        now = self.bridge.situation()
        self.actions_.update(now)
        self.actions_.set_title("edit.undo", f"Undo {session.undo_text}".strip())
        self.actions_.set_title("edit.redo", f"Redo {session.redo_text}".strip())
        self.actions_["view.masks"].setChecked(self.slice_view.scene.show_masks and bool(session.annotation.objects))
        self.actions_["view.uncertainty"].setChecked(session.shows_uncertainty)
        self.actions_["tool.sign"].setChecked(not self.slice_view.sign)
        self.actions_["tool.text"].setVisible(now.takes_text)

    def _show_pointer(self, at: tuple[float, float] | None) -> None:
        self.status_line.set_pointer(place_text(self.session, at), value_text(self.session, at))

    def _show_window(self) -> None:
        volume = self.session.volume
        shows = volume is not None and not volume.is_photo and not volume.is_rgb
        window = self.display.window
        self.status_line.set_window(f"L {window.level:.4g}  W {window.width:.4g}" if shows else "")

    def show_error(self, error: MaskwrightError) -> None:
        """Show a failure, once however often it comes while it is on the screen."""
        self._show_busy()
        if any(str(dialog.error) == str(error) for dialog in self._errors):
            return
        dialog = ErrorDialog(error, self)
        self._errors.append(dialog)
        dialog.finished.connect(partial(self._error_closed, dialog))
        dialog.open()

    @property
    def errors(self) -> tuple[ErrorDialog, ...]:
        """Failures on the screen."""
        return tuple(self._errors)

    def _error_closed(self, dialog: ErrorDialog, *_: object) -> None:
        self._errors.remove(dialog)
        dialog.deleteLater()

    def retheme(self) -> None:
        """Take over another theme."""
        self.slice_view.retheme()
        self.welcome.retheme()
        self.update()

    # files dropped, and the end

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 (Qt)
        """Take files and folders."""
        if dropped_paths(event.mimeData()):
            event.acceptProposedAction()
            self.welcome.set_drag_over(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:  # noqa: N802 (Qt)
        """Nothing will be dropped."""
        self.welcome.set_drag_over(False)

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802 (Qt)
        """Open what was dropped."""
        self.welcome.set_drag_over(False)
        paths = dropped_paths(event.mimeData())
        if paths:
            event.acceptProposedAction()
            self.bridge.open(paths)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 (Qt)
        """Remember place and size; the annotation is on the disk already."""
        self.settings.keep_geometry(bytes(self.saveGeometry().data()))
        self.bridge.close()
        super().closeEvent(event)


def dropped_paths(data: QMimeData) -> list[Path]:
    """Local files and folders among what is dragged."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
