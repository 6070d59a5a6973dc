"""What the commands do that needs a dialog: open, export, import, labels, shortcuts, about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QDialog, QFileDialog

from maskwright.assets import sample_photo, sample_volume
from maskwright.core.errors import MaskwrightError
from maskwright.core.labels import next_color
from maskwright.session.session import Session
from maskwright.ui.dialogs.about import AboutDialog
from maskwright.ui.dialogs.dataset import Choice, DatasetDialog, Done, Request
from maskwright.ui.dialogs.label import LabelDialog
from maskwright.ui.dialogs.shortcuts import ShortcutsDialog
from maskwright.ui.facts import model_facts, system_facts
from maskwright.ui.shortcuts import changes
from maskwright.ui.theme import apply_theme, tokens_of

if TYPE_CHECKING:
    from maskwright.io.datasets import Item
    from maskwright.ui.main_window import MainWindow

_SAYS = {
    "coco": "One JSON file with every object as run lengths, and the pictures beside it.",
    "png": "One picture of label numbers a slice, with a table of the labels.",
    "nifti": "One label map a scan, on the grid of the scan, in millimetres.",
}
_FILES = (
    "Scans and photos (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.dicom *.ima *.png *.jpg *.jpeg *.tif *.tiff "
    "*.bmp *.webp);;All files (*)"
)


class Flows:
    """Dialogs of one window. Each is opened without blocking and kept in `dialog` while it is on the screen."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._bridge = window.bridge
        self.dialog: QDialog | None = None

    @property
    def _session(self) -> Session:
        return self._bridge.session

    def open_file(self) -> None:
        """Ask for files and open them."""
        names, _ = QFileDialog.getOpenFileNames(self._window, "Open a scan or photos", self._folder(), _FILES)
        self._open([Path(name) for name in names])

    def open_folder(self) -> None:
        """Ask for a folder and open it."""
        name = QFileDialog.getExistingDirectory(self._window, "Open a folder of slices or photos", self._folder())
        self._open([Path(name)] if name else [])

    def open_sample(self, kind: str) -> None:
        """Open the bundled photo or volume."""
        self._bridge.open([sample_photo() if kind == "photo" else sample_volume()])

    def _open(self, paths: list[Path]) -> None:
        if paths:
            self._window.settings.keep_folder(paths[0].parent)
            self._bridge.open(paths)

    def _folder(self) -> str:
        return str(self._window.settings.folder())

    # labels

    def add_label(self) -> None:
        """Ask for a name and a colour; the new label becomes the active one."""
        labels = self._session.labels
        dialog = LabelDialog(labels, next_color(tuple(label.color for label in labels)), self._window)
        dialog.accepted.connect(lambda: self._bridge.act(lambda s: s.add_label(dialog.name, dialog.color)))
        self.show(dialog)

    def edit_label(self, label_id: int) -> None:
        """Ask for another name or colour of a label."""
        label = self._session.labels.get(label_id)
        dialog = LabelDialog(self._session.labels, label.color, self._window, label=label)

        def save() -> None:
            if dialog.name != label.name:
                self._bridge.act(lambda s: s.rename_label(label_id, dialog.name))
            if dialog.color != label.color:
                self._bridge.act(lambda s: s.recolor_label(label_id, dialog.color))

        dialog.accepted.connect(save)
        self.show(dialog)

    # datasets

    def export(self) -> None:
        """Ask for format and folder, then write the annotations of the project."""
        from maskwright.io.datasets import FORMATS

        try:
            items = self._items()
        except MaskwrightError as error:
            self._window.show_error(error)
            return
        choices = []
        for name, kind in FORMATS.items():
            refusals = [refusal for refusal in (kind.accepts(item) for item in items) if refusal]
            choices.append(Choice(name, kind.title, _SAYS.get(name, ""), refusals[0] if refusals else ""))
        count = sum(len(item.annotation.objects) for item in items)
        images = "1 image" if len(items) == 1 else f"{len(items)} images"
        objects = "1 object" if count == 1 else f"{count} objects"
        says = f"{objects} on {images}. The dataset is read back and compared before it appears in the folder."
        if not items:
            says = "Nothing is annotated yet. Click on the picture and press Enter to make the first object."
            choices = [Choice(c.name, c.title, c.says, "Nothing to export yet.") for c in choices]
        scan = self._session.scan
        base = self._window.settings.folder() if scan is None else scan.path.parent
        name = "annotations" if scan is None else f"{scan.path.name.split('.')[0]} annotations"
        dialog = DatasetDialog(
            choices,
            lambda request, done: self._run_export(items, request, done),
            self._window,
            title="Export annotations",
            verb="Export",
            folder=base / name,
            says=says,
            may_overwrite=True,
        )
        self.show(dialog)

    def _items(self) -> list[Item]:
        from maskwright.io.datasets import Item

        project = self._session.project
        if project is None:
            return []
        return [
            Item(entry.name, entry.path, entry.geometry, annotation, modality=entry.modality)
            for entry, annotation in project.annotations()
            if annotation.objects and entry.geometry is not None
        ]

    def _run_export(self, items: list[Item], request: Request, done: Done) -> None:
        from maskwright.session.export_job import export

        def work() -> Any:  # noqa: ANN401 (the report of the job)
            return export(items, format=request.format, out=request.folder, overwrite=request.overwrite)

        self._bridge.run_in_background(work, lambda report, error: done("" if error else report.sentence, error))

    def import_annotations(self) -> None:
        """Ask for format and folder, then add what belongs to the shown scan."""
        from maskwright.io.datasets import FORMATS

        choices = [Choice(name, kind.title, _SAYS.get(name, "")) for name, kind in FORMATS.items()]
        scan = self._session.scan
        dialog = DatasetDialog(
            choices,
            self._run_import,
            self._window,
            title="Import annotations",
            verb="Import",
            folder=self._window.settings.folder() if scan is None else scan.path.parent,
            says="Objects of the dataset that belong to the shown image are added to it. One undo takes them all back.",
            may_overwrite=False,
        )
        self.show(dialog)

    def _run_import(self, request: Request, done: Done) -> None:
        from maskwright.io.datasets import Loaded
        from maskwright.session.import_job import load_for, read_dataset

        session = self._session
        scan, volume = session.scan, session.volume
        if scan is None or volume is None:
            return
        geometry = volume.geometry

        def work() -> Loaded:
            _, items = read_dataset(request.folder, format=request.format)
            return load_for(items, name=scan.name, geometry=geometry, path=request.folder)

        def arrived(loaded: Loaded | None, error: MaskwrightError | None) -> None:
            if error is None and loaded is not None and self._session.scan == scan:
                try:
                    self._bridge.carry_out(lambda s: s.import_objects(loaded.objects, labels=loaded.labels))
                except MaskwrightError as refused:
                    error = refused
            notes = " ".join(loaded.notes) if loaded is not None else ""
            count = len(loaded.objects) if loaded is not None else 0
            done(f"{count} objects added to {scan.name}. {notes}".strip(), error)

        self._bridge.run_in_background(work, arrived)

    # help

    def change_shortcuts(self) -> None:
        """Show every command with its keys, and let them be changed."""
        window = self._window
        dialog = ShortcutsDialog(window.actions_.shortcuts, window)

        def save() -> None:
            try:
                window.settings.keep_shortcuts(changes(dialog.shortcuts))
            except MaskwrightError as error:
                window.show_error(error)
            window.actions_.set_shortcuts(dialog.shortcuts)
            window.labels_changed()

        dialog.accepted.connect(save)
        self.show(dialog)

    def choose_theme(self, name: str) -> None:
        """Show all windows in another theme, now and from now on."""
        self._window.settings.keep_theme(name)
        apply_theme(tokens_of(name))
        self._window.retheme()

    def about(self) -> None:
        """Show version, model and system."""
        from maskwright import __version__

        dialog = AboutDialog(__version__, model_facts(self._bridge.card), system_facts(self._session), self._window)
        self.show(dialog)

    def show(self, dialog: QDialog) -> None:
        """Open a dialog without blocking and keep it in `dialog` while it is on the screen."""
        self.dialog = dialog
        dialog.finished.connect(lambda _: self._closed(dialog))
        dialog.open()

    def _closed(self, dialog: QDialog) -> None:
        if self.dialog is dialog:
            self.dialog = None
        dialog.deleteLater()
        self._window.slice_view.setFocus()
