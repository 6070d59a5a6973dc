"""README.md of a trained model: terms first, then what it is, data with licences, recipe, figures, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.core.metrics import calibration_error
from maskwright.core.model_card import ModelCard
from maskwright.inference.evaluate import MONOTONE_TOLERANCE
from maskwright_models.data.index import Dataset
from maskwright_models.data.licences import LICENCES
from maskwright_models.evaluate.pool import Row, reliability_of
from maskwright_models.evaluate.report import by_prompt, heading, proposals
from maskwright_models.evaluate.tables import doubt_line, imis_table, markdown, sections, words_line

WORDS = {"point": "clicks", "box": "boxes", "scribble": "strokes", "text": "words"}
RECIPE = {
    "views": "images per step",
    "objects": "objects per image",
    "rate": "AdamW rate",
    "weight_decay": "weight decay",
    "average": "weight average",
    "seed": "seed",
}
"""Setting of a run -> how the card calls it; settings that are not here are told under their own name."""
UNTOLD = ("hours", "minutes", "steps", "save_minutes", "log_steps")
CALIBRATED = 0.08
"""Calibration error up to which a score may be read as an IoU."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run behind the weights: its name, steps, hours, and settings."""

    name: str
    steps: int
    hours: float
    recipe: Mapping[str, Any]


def card_text(
    card: ModelCard, datasets: Sequence[Dataset], runs: Sequence[TrainingRun], rows: Sequence[Row], *, about: str = ""
) -> str:
    """Markdown. ``rows`` are those of ``maskwright-models evaluate``, ``runs`` in the order in which they were trained.

    ``about`` is a paragraph on how the model is made.
    """
    lines = [f"# {card.name}", "", *_terms(datasets), "", card.notice, f"Please cite: {card.citation}.", ""]
    lines += ["## What it is", "", _what(card), *(["", about.strip()] if about.strip() else []), ""]
    lines += ["## Training", "", *_training(runs), ""]
    lines += _data_table(datasets)
    lines += ["", "## Figures", "", *_figures(rows)]
    lines += ["", "## Limits", "", _limits(rows), ""]
    return "\n".join(lines)


def _restricted(dataset: Dataset) -> bool:
    return dataset.name not in LICENCES or LICENCES[dataset.name].restricted


def _unstated(dataset: Dataset) -> bool:
    text = LICENCES[dataset.name].text if dataset.name in LICENCES else "none stated"
    return text.split(" (")[0] == "none stated"


def _terms(datasets: Sequence[Dataset]) -> list[str]:
    """First lines: what the terms of the training data mean, then which sets have which."""
    bound = [d for d in datasets if _restricted(d)]
    silent = [d.name for d in bound if _unstated(d)]
    limited = [d.name for d in bound if not _unstated(d)]
    free = [d.name for d in datasets if not _restricted(d)]
    if not bound:
        return [
            "**All training sets allow commercial use.** They are "
            + ", ".join(free)
            + "; the table below names the terms of each."
        ]
    parts = [
        f"- {what}: {', '.join(names)}."
        for what, names in (
            ("Non-commercial or research terms", limited),
            ("No terms stated", silent),
            ("Terms that allow commercial use", free),
        )
        if names
    ]
    first = (
        f"**These weights are for non-commercial research.** {len(bound)} of the {len(datasets)} training sets have "
        "non-commercial or research terms, or state none; the table below has the words of each."
    )
    return [first, "", *parts]


def _what(card: ModelCard) -> str:
    kinds = [WORDS[kind] for kind in card.prompts if kind in WORDS]
    kinds = ", ".join(kinds[:-1]) + " and " + kinds[-1] if len(kinds) > 1 else "".join(kinds)
    sizes = ", ".join("x".join(map(str, f.shape[1:])) + f" {f.dtype}" for f in card.features)
    words = "" if "text" in card.prompts else " It takes no words."
    return (
        f"An encoder is run once for a slice or photo ({card.input_size} x {card.input_size} pixels; features "
        f"{sizes}); a light head then answers {kinds}, with the mask before as a start: "
        f"{card.candidates} candidates of {card.logits_shape[0]} x {card.logits_shape[1]} logits, each with the IoU "
        f"that it expects.{words}"
    )


def _training(runs: Sequence[TrainingRun]) -> list[str]:
    settings = list(dict.fromkeys(k for run in runs for k in run.recipe if k not in UNTOLD))
    names = [RECIPE.get(k, k.replace("_", " ")) for k in settings]
    rows = [
        [run.name, str(run.steps), f"{run.hours:.2f}", *[str(run.recipe.get(k, "-")) for k in settings]] for run in runs
    ]
    total = f"{sum(run.hours for run in runs):.2f} hours, {sum(run.steps for run in runs)} steps"
    told = f"{total} in {len(runs)} runs, each from the weights of the one before." if len(runs) > 1 else f"{total}."
    return [
        "Masks of single objects and of all that a label names, simulated clicks on the model's own errors, boxes, "
        f"strokes, words and poor masks to start from; the best of the candidates is trained. {told}",
        "",
        *markdown(["run", "steps", "hours", *names], rows),
    ]


def _data_table(datasets: Sequence[Dataset]) -> list[str]:
    lines = ["| training set | kind | images | licence as found |", "|---|---|---:|---|"]
    for d in datasets:
        licence = LICENCES[d.name].text if d.name in LICENCES else "not in the table"
        lines.append(f"| {d.name} | {d.modality} | {len(d.images)} | {licence} |")
    return lines


def _figures(rows: Sequence[Row]) -> list[str]:
    lines = [
        "Number-of-clicks protocol (Sofiiuk et al., 2021), at most 20 clicks, on validation sets that were used to "
        "watch training; run through ONNX Runtime as shipped. `largest_drop` is how far the mean IoU falls below its "
        "best so far within ten clicks, `ece` the expected calibration error of the predicted IoU (15 bins, all "
        "answers). docs/evaluation.md of the source says how each figure is made.",
    ]
    for (prompt, labels_of), own in by_prompt(rows).items():
        lines += ["", f"### {heading(prompt, labels_of)}", "", *sections(own), "", _monotony(own), _calibration(own)]
        lines += filter(None, (doubt_line(own), words_line(own)))
    lines += proposals(rows, level="###")
    imis = [row for row in rows if row.get("protocol") == "imis"]
    if imis:
        lines += ["", "### IMIS-Net's protocol", "", *imis_table(imis)]
    return lines


def _monotony(rows: Sequence[Row]) -> str:
    steady = sum(bool(row["details"]["monotone"]) for row in rows)
    worst = max(rows, key=lambda row: row["details"]["largest_drop"])
    fall, at = worst["details"]["largest_drop"], worst["details"]["largest_drop_at"]
    told = f"More clicks do not make it worse (by more than {MONOTONE_TOLERANCE}) on {steady} of {len(rows)} sets"
    return told + (f"; the largest fall is {fall:.4f}, on {worst['folder']} at click {at}." if at else ".")


def _calibration(rows: Sequence[Row]) -> str:
    table = reliability_of(rows)
    return f"Calibration error over all {sum(row[0] for row in table)} answers: {calibration_error(table):.3f}."


def _limits(rows: Sequence[Row]) -> str:
    table = reliability_of([row for own in by_prompt(rows).values() for row in own])
    error = calibration_error(table)
    scores = (
        f"The predicted IoU is off by {error:.3f} in the mean"
        + (", good enough to rank and to warn." if error <= CALIBRATED else ": it is no promise.")
        if any(row[0] for row in table)
        else ""
    )
    return " ".join(
        part
        for part in (
            "Thin structures (vessels, membranes) and objects under about 1 % of the image are hard at this "
            "resolution; the tables by size and modality say how hard.",
            "Volumes are segmented slice by slice.",
            scores,
            "Sets with few objects have wide margins: read their figures as a hint. Not a medical device.",
        )
        if part
    )
