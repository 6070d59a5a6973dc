"""Finds what ships with the app: icons, models and samples (wheel, editable install, frozen app)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from maskwright.core.errors import ModelError


def assets_folder() -> Path:
    """Folder that holds `icons/`, `models/` and `samples/`.

    A wheel carries it as `maskwright/_assets`, a frozen app unpacks the same folder, an editable install reads
    `assets/` at the top of the repository.

    Returns
    -------
    Path
        An existing folder.

    Raises
    ------
    FileNotFoundError
        The installation has lost its files.
    """
    package = Path(__file__).resolve().parent
    places = [package / "_assets", package.parents[1] / "assets"]
    frozen = getattr(sys, "_MEIPASS", None)
    if frozen is not None:
        places.insert(0, Path(frozen) / "maskwright" / "_assets")
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"maskwright's own files are missing: {places[0]}. Install maskwright again.")


def icons_folder() -> Path:
    """Folder of the icon set, one SVG an icon."""
    return assets_folder() / "icons"


def models_folder() -> Path:
    """Folder of the bundled models, one folder an id, each with a `model.json`."""
    return assets_folder() / "models"


def user_models_folder() -> Path:
    """Folder of the models that the user installed; it need not exist."""
    if home := os.environ.get("MASKWRIGHT_HOME"):
        return Path(home) / "models"
    from platformdirs import user_data_path

    return user_data_path("maskwright", appauthor=False) / "models"


def model_folders() -> dict[str, Path]:
    """Folders of all installed models by id, the user's before the bundled ones; their files are not looked at."""
    found: dict[str, Path] = {}
    for place in (user_models_folder(), models_folder()):
        if place.is_dir():
            for folder in sorted(place.iterdir()):
                if (folder / "model.json").is_file():
                    found.setdefault(folder.name, folder)
    return found


def model_folder(model: str | Path) -> Path:
    """Folder of an installed model by its id, or the folder itself when a path is given.

    Raises
    ------
    ModelError
        There is neither a model of that id nor such a folder.
    """
    installed = model_folders()
    if str(model) in installed:
        return installed[str(model)]
    if Path(model).is_dir():
        return Path(model)
    known = ", ".join(sorted(installed)) or "none"
    raise ModelError(f"there is no model {model}", hint=f"Name a model folder or an installed model ({known}).")


def samples_folder() -> Path:
    """Folder of the bundled sample files; its README names source, licence and changes of each."""
    return assets_folder() / "samples"


def sample_photo() -> Path:
    """The bundled photo: a cup of coffee on a saucer, with a spoon."""
    return samples_folder() / "coffee.png"


def sample_volume() -> Path:
    """The bundled brain volume (NIfTI, T1 MR)."""
    return samples_folder() / "mni152_t1.nii.gz"
