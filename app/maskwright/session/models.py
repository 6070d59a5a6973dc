"""Installed models: which there are, whether each can be used, and how one is taken into use or installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.core.errors import MaskwrightError, ModelError
from maskwright.core.model_card import ModelCard
from maskwright.session.project import data_root

if TYPE_CHECKING:
    from maskwright.inference import OnnxSegmenter


@dataclass(frozen=True, slots=True, eq=False)
class InstalledModel:
    """A model folder as it was found.

    Attributes
    ----------
    id
        What `--model` and the settings call it: the name of its folder.
    card
        None where it cannot be read, or speaks a contract that this app does not know.
    nbytes
        Size of its files; None where one is missing.
    checked
        Whether all files were compared with their hashes, and were equal.
    trouble
        Why it cannot be used; None where nothing speaks against it.
    """

    id: str
    folder: Path
    card: ModelCard | None = None
    nbytes: int | None = None
    checked: bool = False
    trouble: MaskwrightError | None = None


def user_models() -> Path:
    """Folder of the models that the user installed; it need not exist."""
    return data_root() / "models"


def model_folders(*, also: str = "") -> Mapping[str, Path]:
    """Folders of the installed models by id, and the folder ``also`` where that is one that is not installed."""
    from maskwright.inference import installed_folders

    found = installed_folders(user_models())
    extra = Path(also) if also and also not in found else None
    if extra is None or not extra.is_dir() or any(extra.samefile(folder) for folder in found.values()):
        return found
    return {**found, str(extra): extra}


def folder_of(model: str) -> Path | None:
    """Folder of a model by its id, or the folder itself; None where there is none."""
    from maskwright.inference.model_folder import find_folder

    try:
        return find_folder(model, user_models())
    except ModelError:
        return None


def describe(model: str, folder: Path, *, check: bool) -> InstalledModel:
    """What lies in a model folder, with all files compared with their hashes where ``check`` says so."""
    from maskwright.inference.model_folder import check_files, read_card

    card, nbytes, checked = None, None, False
    try:
        card = read_card(folder)
        missing = [file for file in card.files.values() if not (folder / file).is_file()]
        if missing:
            raise ModelError(f"{missing[0]} of model {model} is missing", path=folder, hint="Install the model again.")
        nbytes = sum((folder / file).stat().st_size for file in card.files.values())
        if check:
            check_files(folder, card)
            checked = True
    except ModelError as error:
        return InstalledModel(model, folder, card, nbytes, trouble=error)
    return InstalledModel(model, folder, card, nbytes, checked)


def install(source: Path) -> str:
    """Copy a model folder to the user's models and return its id. Raises ModelError like `install_model`."""
    from maskwright.inference.model_install import install_model

    return install_model(source, user_models()).name


def load_whole(model: str, *, threads: int | None = None) -> OnnxSegmenter:
    """Open a model by id or folder with all its files checked and its encoder open, so that it can take over.

    Raises ModelError where anything about it does not fit: better now than at the first slice.
    """
    from maskwright.inference import load_segmenter
    from maskwright.inference.model_folder import check_files, find_folder, read_card

    folder = find_folder(model, user_models())
    check_files(folder, read_card(folder))
    segmenter = load_segmenter(folder, threads=threads)
    segmenter.open_encoder()
    return segmenter
