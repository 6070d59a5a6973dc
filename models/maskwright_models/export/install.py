"""A model folder comes into being as a whole or not at all: made beside its place, checked there, then renamed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskwright.core.errors import ModelError
from maskwright.core.model_card import ModelCard, card_to_json
from maskwright.inference.model_folder import CARD


@contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """An empty folder with the name of ``out`` that takes its place when the block ends without an error.

    Raises ModelError where something is at ``out`` that may not be replaced (anything without ``overwrite``; with it
    anything that is not a model), or where the disk refuses.
    """
    out = out.absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not (out / CARD).is_file():
            raise ModelError("there is something else here", path=out, hint="Name a new folder with --out.")
        if not overwrite:
            raise ModelError(
                "there is a model here", path=out, hint="Replace it with --overwrite, or name a new folder."
            )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".import-", ignore_cleanup_errors=True) as scratch:
            made = Path(scratch) / out.name
            made.mkdir()
            yield made
            if out.exists():
                os.rename(out, Path(scratch) / "replaced")
            os.rename(made, out)
    except OSError as error:
        raise ModelError(f"the model folder cannot be written ({error.strerror or error})", path=out) from error


def write_card(card: ModelCard, folder: Path) -> None:
    """Write or replace ``model.json``."""
    (folder / CARD).write_text(json.dumps(card_to_json(card), indent=2) + "\n", "utf-8")
