"""The command "Models": lists them, compares files with hashes, imports a folder, takes one into use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFileDialog

from maskwright.core.errors import MaskwrightError
from maskwright.session.models import InstalledModel, describe, folder_of, install, model_folders
from maskwright.ui.dialogs.models import ModelLine, ModelsDialog
from maskwright.ui.facts import installed_facts

if TYPE_CHECKING:
    from maskwright.ui.main_window import MainWindow


@dataclass(slots=True)
class _Open:
    """The dialog while it is on the screen, and what is known of each model."""

    dialog: ModelsDialog
    models: dict[str, InstalledModel]
    copying: str = ""  # name of the folder that is being copied


class ModelFlow:
    """The dialog of models of one window; hashes are compared one model after the other while it is open."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._bridge = window.bridge
        self._open: _Open | None = None
        self._bridge.busy_changed.connect(self._show_busy)
        self._bridge.model_changed.connect(self._taken_into_use)

    def show(self) -> None:
        """Open the dialog."""
        opened = self._open = _Open(ModelsDialog(self._window), {})
        opened.dialog.use_wanted.connect(self._bridge.use_model)
        opened.dialog.import_wanted.connect(self._ask_for_folder)
        opened.dialog.finished.connect(lambda _: self._closed(opened))
        self._list()
        self._show_busy()
        self._window.flows.show(opened.dialog)

    def import_folder(self, folder: Path) -> None:
        """Copy a model folder to the installed ones, in the background."""
        opened = self._open
        if opened is None:
            return
        opened.copying = folder.name
        self._show_busy()

        def done(model: str | None, error: MaskwrightError | None) -> None:
            if opened is not self._open:
                return
            opened.copying = ""
            self._show_busy()
            if error is not None or model is None:
                opened.dialog.say(str(error), is_error=True)
                return
            self._list(choose=model)
            opened.dialog.say(f"{model} is installed.")

        self._bridge.run_in_background(partial(install, folder), done)

    def _ask_for_folder(self) -> None:
        if self._open is not None:
            folder = QFileDialog.getExistingDirectory(self._open.dialog, "Import a model folder")
            if folder:
                self.import_folder(Path(folder))

    def _list(self, *, choose: str = "") -> None:
        opened = self._open
        if opened is None:
            return
        folders = model_folders(also=self._bridge.session.model_name)
        found = {model: describe(model, folder, check=False) for model, folder in folders.items()}
        for model, one in opened.models.items():  # what was compared once is not compared again while this is open
            if model in found and found[model].card == one.card and one.checked:
                found[model] = replace(found[model], checked=True)
        opened.models = found
        self._show_lines()
        opened.dialog.choose(choose or self._in_use())
        self._check_next(opened)

    def _check_next(self, opened: _Open) -> None:
        waiting = next((one for one in opened.models.values() if not one.checked and one.trouble is None), None)
        if waiting is None:
            return

        def done(model: InstalledModel | None, error: MaskwrightError | None) -> None:
            if opened is not self._open or opened.models.get(waiting.id) is not waiting:
                return  # closed, or listed anew, which also began to compare anew
            opened.models[waiting.id] = model or replace(waiting, trouble=error)
            self._show_lines()
            self._check_next(opened)

        self._bridge.run_in_background(partial(describe, waiting.id, waiting.folder, check=True), done)

    def _show_lines(self) -> None:
        if self._open is not None:
            used = self._in_use()
            self._open.dialog.show_lines([_line(one, is_used=one.id == used) for one in self._open.models.values()])

    def _in_use(self) -> str:
        """Id of the model in use among those that are listed."""
        name = self._bridge.session.model_name
        models = {} if self._open is None else self._open.models
        folder = None if name in models else folder_of(name)
        same = [model for model, one in models.items() if folder is not None and one.folder.samefile(folder)]
        return same[0] if same else name

    def _show_busy(self) -> None:
        if self._open is not None:
            copying, loading = self._open.copying, self._bridge.session.loading_model
            text = f"Copying {copying} …" if copying else f"Loading {loading} …" if loading else ""
            self._open.dialog.set_busy(text)

    def _taken_into_use(self) -> None:
        if self._open is not None:
            self._open.dialog.accept()

    def _closed(self, opened: _Open) -> None:
        if self._open is opened:
            self._open = None


def _line(model: InstalledModel, *, is_used: bool) -> ModelLine:
    state = "Usable" if model.checked else "Comparing its files with their hashes …"
    if model.trouble is not None:
        state = f"Refused: {model.trouble.what}"
    elif is_used:
        state = "In use"
    facts = installed_facts(model)
    if model.trouble is not None:
        facts.insert(0, ("Refused", str(model.trouble)))
    return ModelLine(
        id=model.id,
        name="" if model.card is None else model.card.name,
        size="" if model.nbytes is None else f"{model.nbytes / 1e6:,.0f} MB",
        state=state,
        facts=facts,
        usable=model.trouble is None and not is_used,
        refused=model.trouble is not None,
    )
