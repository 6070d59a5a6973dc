"""Finds what ships with the app: icons, models and samples (wheel, editable install, frozen app)."""

from __future__ import annotations

import sys
from pathlib import Path


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


def samples_folder() -> Path:
    """Folder of the bundled sample files; its README names source, licence and changes of each."""
    return assets_folder() / "samples"


def sample_photo() -> Path:
    """The bundled photo: a cup of coffee on a saucer, with a spoon."""
    return samples_folder() / "coffee.png"


def sample_volume() -> Path:
    """The bundled brain volume (NIfTI, T1 MR)."""
    return samples_folder() / "mni152_t1.nii.gz"
