"""Installs a model folder: checked, copied, checked again, and only then there under its name."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

from maskwright.core.errors import ModelError
from maskwright.inference.model_folder import CARD, check_files, installed_folders, read_card

TEXTS = ("licence", "license", "notice", "readme")
"""Files beside those of the card that belong to a model, by the beginning of their names."""
MOST_TEXT_BYTES = 2**20


def install_model(source: Path, user_models: Path) -> Path:
    """Copy the model in a folder into the folder of the user's models; nothing is left when it cannot be done.

    Its id is the name of the folder. Only the files that its card names go along, and texts such as its licence.

    Returns
    -------
    Path
        The new folder, or that of the model of this id and these hashes that is installed already.

    Raises
    ------
    ModelError
        If the folder holds no model, one that this app does not know how to run, or a file that differs from its hash;
        if another model of this id is installed; if the copy cannot be written.
    """
    source = Path(os.path.abspath(source))
    card = read_card(source)
    check_files(source, card)
    name = source.name
    if not name or name.startswith("."):
        raise ModelError("this name cannot be the id of a model", path=source, hint="Rename the folder first.")
    there = installed_folders(user_models).get(name)
    if there is not None:
        if os.path.samefile(there, source) or _same(there, source):
            return there
        raise ModelError(
            f"another model {name} is installed already", path=there, hint="Rename the folder that you import."
        )
    target = user_models / name
    if os.path.lexists(target):
        raise ModelError("there is something else of this name", path=target, hint="Move it away first.")
    made = user_models / f".maskwright-{secrets.token_hex(6)}.part"
    try:
        made.mkdir(parents=True)
        for one in (CARD, *card.files.values(), *_texts(source, known=card.files.values())):
            shutil.copyfile(source / one, made / one)
        check_files(made, read_card(made))
        made.rename(target)
    except OSError as error:
        raise ModelError(
            f"the model cannot be copied ({error.strerror or error})",
            path=target,
            hint="Free some space, or change the permissions of this folder.",
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same model."""
    try:
        return read_card(one) == read_card(other)
    except ModelError:
        return False


def _texts(source: Path, *, known: Collection[str]) -> list[str]:
    return [
        path.name
        for path in sorted(source.iterdir())
        if path.name.lower().startswith(TEXTS)
        and path.name not in known
        and path.is_file()
        and path.stat().st_size <= MOST_TEXT_BYTES
    ]
