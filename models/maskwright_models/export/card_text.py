"""README.md of a trained model: terms first, then data with licences, recipe, figures, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maskwright.core.model_card import ModelCard
from maskwright_models.data.index import Dataset
from maskwright_models.data.licences import LICENCES

COLUMNS = ("folder", "prompt", "objects", "noc@85", "noc@90", "nof@90", "iou@1", "iou@3", "iou@5", "dice@1", "dice@3")


def card_text(
    card: ModelCard, datasets: Sequence[Dataset], recipe: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]
) -> str:
    """Markdown. ``recipe`` are the settings and hours of the run, ``figures`` summaries of evaluations."""
    restricted = [d.name for d in datasets if d.name not in LICENCES or LICENCES[d.name].restricted]
    terms = (
        f"**These weights are for non-commercial research.** {len(restricted)} of the {len(datasets)} training sets "
        "have non-commercial or research terms, or state none; the table below names each."
        if restricted
        else "**All training sets allow commercial use**; the table below names the terms of each."
    )
    lines = [f"# {card.name}", "", terms, "", card.notice, f"Please cite: {card.citation}.", ""]
    lines += ["## What it is", ""]
    lines += [
        "A frozen DINOv2 ViT-S/14 trunk (layers 3, 6, 9, 12) with a trained neck and detail branch at stride 4 is the "
        "encoder; a light I-MSA head answers clicks, boxes, strokes and earlier masks. Input "
        f"{card.input_size} x {card.input_size}, mask logits {card.logits_shape[0]} x {card.logits_shape[1]}, "
        f"{card.candidates} candidates with predicted IoU. Weights are stored as float16 and computed as float32. "
        "It takes no text.",
        "",
        "## Training",
        "",
        "Masks of single objects, iterative simulated clicks on the model's own errors, boxes, strokes and poor masks "
        "to start from; normalised focal loss and Dice, best of K. Recipe: "
        + ", ".join(f"{k} {v}" for k, v in recipe.items())
        + ".",
        "",
        "| training set | kind | images | licence as found |",
        "|---|---|---:|---|",
    ]
    for d in datasets:
        licence = LICENCES[d.name].text if d.name in LICENCES else "not in the table"
        lines.append(f"| {d.name} | {d.modality} | {len(d.images)} | {licence} |")
    lines += ["", "## Figures", ""]
    lines += [
        "Number-of-clicks protocol (Sofiiuk et al., 2021), at most 20 clicks, on validation sets that were used to "
        "watch training; run through ONNX Runtime as shipped.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * 2 + "---:|" * (len(COLUMNS) - 2),
    ]
    lines += ["| " + " | ".join(str(f.get(c, "")) for c in COLUMNS) + " |" for f in figures]
    lines += [
        "",
        "## Limits",
        "",
        "Thin structures (vessels, membranes) and objects under about 1 % of the image are hard at this resolution. "
        "Volumes are segmented slice by slice. The predicted IoU was not calibrated. Not a medical device.",
        "",
    ]
    return "\n".join(lines)
