"""A model folder on disk: found by id, its card read, its files checked against the hashes in the card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from maskwright.core.errors import ModelError
from maskwright.core.model_card import ModelCard, card_from_json
from maskwright.inference.external_data import external_files

CARD = "model.json"
REINSTALL = "Install the model again."


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_card(folder: Path) -> ModelCard:
    """Card of the model in ``folder``. Raises ModelError where there is none or it cannot be used."""
    path = folder / CARD
    try:
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
    except FileNotFoundError as error:
        raise ModelError(
            "there is no model here (no model.json)", path=folder, hint="Name an installed model or a model folder."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"the model card cannot be read ({error})", path=path, hint=REINSTALL) from error
    card = card_from_json(value, path=path)
    for role in ("encoder", "head"):
        if role not in card.files:
            raise ModelError(f"the card names no {role}", path=path, hint=REINSTALL)
    for role, name in card.files.items():
        if name in ("", "..") or Path(name).name != name:
            raise ModelError(f"the {role} file lies outside the model folder ({name})", path=path, hint=REINSTALL)
        if name not in card.sha256:
            raise ModelError(f"the card has no hash of {name}", path=path, hint=REINSTALL)
    return card


def checked_graph(folder: Path, card: ModelCard, role: str) -> Path:
    """Path of an ONNX file of the model, after :func:`checked_file` for it and for the files that its weights lie in.

    Raises ModelError also where weights lie in a file that the card does not know, wherever that is.
    """
    path = checked_file(folder, card, role)
    roles = {name: other for other, name in card.files.items()}
    for location in external_files(path):
        if location not in roles:
            raise ModelError(
                f"the {role} of model {card.id} takes weights from a file that is no part of it ({location})",
                path=path,
                hint=REINSTALL,
            )
        checked_file(folder, card, roles[location])
    return path


def checked_file(folder: Path, card: ModelCard, role: str) -> Path:
    """Path of one file of the model after comparing its hash. Raises ModelError where it is missing or differs."""
    if role not in card.files:
        raise ModelError(f"model {card.id} has no {role}", path=folder, hint=REINSTALL)
    path = folder / card.files[role]
    if not path.is_file():
        raise ModelError(f"the {role} of model {card.id} is missing", path=path, hint=REINSTALL)
    try:
        found = sha256_of(path)
    except OSError as error:
        raise ModelError(f"the {role} of model {card.id} cannot be read ({error.strerror})", path=path) from error
    if found != card.sha256[card.files[role]]:
        raise ModelError(f"the {role} of model {card.id} does not match its hash", path=path, hint=REINSTALL)
    return path


def check_files(folder: Path, card: ModelCard) -> None:
    """Compare every file of a model with its hash. Raises ModelError like :func:`checked_graph`."""
    for role, name in card.files.items():
        (checked_graph if name.endswith(".onnx") else checked_file)(folder, card, role)


def installed_folders(user_models: Path | None = None) -> dict[str, Path]:
    """Folders with a card, by id: the bundled ones, then those in ``user_models`` (which win)."""
    from maskwright.assets import models_folder

    found: dict[str, Path] = {}
    for root in (models_folder(), user_models):
        if root is not None and root.is_dir():
            found |= {p.name: p for p in sorted(root.iterdir()) if (p / CARD).is_file()}
    return found


def find_folder(model: str | Path, user_models: Path | None = None) -> Path:
    """Folder of an installed model id, or ``model`` itself where it is a folder.

    Raises ModelError that names what is installed.
    """
    installed = installed_folders(user_models)
    if isinstance(model, str) and model in installed:
        return installed[model]
    if Path(model).is_dir():
        return Path(model)
    names = ", ".join(sorted(installed)) or "none"
    raise ModelError(
        f"there is no model {str(model)!r} (installed: {names})", hint="Name an installed model or a model folder."
    )
