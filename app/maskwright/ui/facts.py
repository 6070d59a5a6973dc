"""Plain facts for the About dialog: the model that answers, and the system it runs on."""

from __future__ import annotations

import os
import platform
import textwrap
from importlib.metadata import PackageNotFoundError, version

from maskwright.core.model_card import ModelCard
from maskwright.session.models import InstalledModel
from maskwright.session.session import Session

_PACKAGES = ("PySide6-Essentials", "onnxruntime", "numpy", "opencv-python-headless", "SimpleITK", "pydicom", "zarr")


def model_facts(card: ModelCard | None) -> list[tuple[str, str]]:
    """Name, licence and origin of the model, as its card says."""
    if card is None:
        return [("Model", "It is loaded when the first image is opened.")]
    facts = [
        ("Name", f"{card.name} ({card.id})"),
        ("Version", card.version),
        ("Family", card.family),
        ("Licence", card.licence),
        ("Citation", card.citation),
        ("Notice", card.notice),
        ("Input", f"{card.input_size} × {card.input_size} px"),
        ("Prompts", ", ".join(card.prompts)),
        ("Encoder sha256", "\n".join(textwrap.wrap(card.encoder_sha256, 32))),
    ]
    return [(name, value) for name, value in facts if value]


def installed_facts(model: InstalledModel) -> list[tuple[str, str]]:
    """The same for a model that is installed, with its folder and size, and why it cannot be used if so."""
    facts = [] if model.card is None else model_facts(model.card)
    if model.nbytes is not None:
        facts.append(("Size", f"{model.nbytes / 1e6:,.1f} MB"))
    return [*facts, ("Folder", str(model.folder))]


def system_facts(session: Session) -> list[tuple[str, str]]:
    """Versions, processor and the folders in use."""
    facts = [
        ("System", platform.platform(terse=True)),
        ("Python", platform.python_version()),
        ("Processor cores", str(os.cpu_count() or 1)),
    ]
    facts += [(name, _version(name)) for name in _PACKAGES]
    if session.project is not None:
        facts.append(("Project", str(session.project.folder)))
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not found"
