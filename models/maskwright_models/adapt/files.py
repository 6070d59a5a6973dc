"""The model folder of an adapted head: the base's own files, with other numbers in the graph of its head."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from maskwright.core.errors import ModelError
from maskwright.core.model_card import ModelCard
from maskwright.inference.model_folder import check_files, checked_file, checked_graph, read_card, sha256_of
from maskwright_models.export.install import write_card
from maskwright_models.export.read_back import TRAINED_WITH
from maskwright_models.export.weights import HALF

README = "README.md"
REPORT = "report.json"
TEXTS = ("licence", "license", "notice")


def write_head(head: nn.Module, source: Path, target: Path) -> None:
    """Write the graph of the head in ``source`` with the weights of ``head``; the reverse of reading a head back.

    Raises ModelError where the graph lacks a weight, or has it in another shape.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(source))
    stored = {t.name.removesuffix(HALF).removeprefix("head."): t for t in model.graph.initializer}
    for name, value in head.state_dict().items():
        if name.endswith("num_batches_tracked") or name in TRAINED_WITH:
            continue
        tensor = stored.get(name)
        if tensor is None or tuple(tensor.dims) != tuple(value.shape):
            raise ModelError(f"the head has no weight {name} of this shape", path=source, hint="Export the base again.")
        old = numpy_helper.to_array(tensor)
        new = value.detach().cpu().numpy().astype(old.dtype)
        if not np.isfinite(new).all():
            raise ModelError(f"the adapted weight {name} is no number", path=source, hint="Adapt with a lower --rate.")
        tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def write_folder(head: nn.Module, base: Path, folder: Path, *, name: str, about: Mapping[str, Any]) -> ModelCard:
    """Fill the empty ``folder`` with the base model and the adapted head, and check it as the app does.

    ``name`` says whose masks these are, ``about`` goes into the card. All files but the head are copied, so that
    features that were stored for the base stay valid.
    """
    card = read_card(base)
    for role, file in card.files.items():
        if role != "head":
            checked_file(base, card, role)
            shutil.copyfile(base / file, folder / file)
    for text in base.iterdir():
        if text.name.lower().startswith(TEXTS) and text.is_file():
            shutil.copyfile(text, folder / text.name)
    file = card.files["head"]
    write_head(head, checked_graph(base, card, "head"), folder / file)
    notice = f"The head was adapted to the masks of {name} from model {card.id}. {card.notice}".strip()
    adapted = replace(
        card,
        id=folder.name,
        name=f"{card.name}, adapted to {name}",
        sha256={**card.sha256, file: sha256_of(folder / file)},
        notice=notice,
        extra={**card.extra, "features_of": card.features_id, **about},
    )
    write_card(adapted, folder)
    check_files(folder, read_card(folder))
    return adapted


def readme(card: ModelCard, report: Mapping[str, Any]) -> str:
    """Text beside an adapted model: terms first, then what it was made of and what it is worth."""
    base, masks, name = report["base"], report["masks"], report["project"]
    columns = list(report["before"])
    rows = [("before", report["before"]), ("after", report["after"])]
    lines = [
        f"# {card.name}",
        "",
        f"**The terms of the base model hold: {card.licence}.** The masks of {name}, and the scans they lie on, are "
        "their owner's: weights can give away what they were trained on, so pass this model on only where you may "
        "pass on those.",
        "",
        f"Base: {base['id']} {base['version']}, head sha256 {base['head_sha256']}. The base model is unchanged and can "
        "be used at any time. The encoder is the same file, so stored features hold for both.",
        "",
        f"Trained on {masks['trained']} masks, compared on {masks['compared']} others, "
        f"parted by {report['split']}; {report['steps']} steps, {report['minutes']} minutes in all. The head lies at "
        f"{100 * report['share']:.0f} % of the way from the base to what was trained.",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
        *(f"| {word} | " + " | ".join(str(row.get(c, "")) for c in columns) + " |" for word, row in rows),
        "",
        "Not a medical device. Outside what these masks show, nothing was measured.",
        "",
    ]
    return "\n".join(lines)
