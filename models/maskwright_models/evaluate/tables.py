"""Tables in Markdown: rows as the papers print them, and the tables of a report and of a model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwright_models.evaluate.pool import INSTANCE_SETS, Row, by_modality, by_size, over_sets, worst_found
from maskwright_models.evaluate.published import IMIS_PUBLISHED, PUBLISHED, paper_set

CLICKS_PER_ENCODE = 20
"""Seconds per click, as the papers count: one click and this part of the one encode."""
IMIS_ROUNDS = (1, 2, 3, 5, 7, 9)
FIGURES = ("noc@85", "noc@90", "nof@90", "iou@1", "iou@3", "iou@5", "dice@1", "dice@3")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Lines of a table; the first ``left`` columns are words, the others numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def ritm_table(rows: Sequence[Row]) -> list[str]:
    """The papers' row for each model and prompt: seconds per click, then NoC@85 and NoC@90 of each set.

    Under it the published rows of the sets that a folder holds.
    """
    folders = list(dict.fromkeys(row["folder"] for row in rows))
    head = ["method", "SPC, s", *[f"{f} NoC@{t}" for f in folders for t in (85, 90)]]
    lines = []
    for model, prompt in dict.fromkeys((row["model"], row["prompt"]) for row in rows):
        own = {row["folder"]: row for row in rows if (row["model"], row["prompt"]) == (model, prompt)}
        spc = np.mean([r["click_ms_median"] + r["encode_ms_median"] / CLICKS_PER_ENCODE for r in own.values()]) / 1e3
        cells = [_number(own.get(f, {}).get(f"noc@{t}"), 2) for f in folders for t in (85, 90)]
        lines.append([model if prompt == "click" else f"{model}, {prompt} first", f"{spc:.3f}", *cells])
    known = {f: paper_set(f) for f in folders}
    for system in PUBLISHED:
        pairs = [system.clicks.get(name or "", (None, None)) for name in known.values()]
        if any(at90 is not None for _, at90 in pairs):
            cells = [_number(value, 2) for pair in pairs for value in pair]
            lines.append([f"{system.name} (published)", system.seconds or "-", *cells])
    return markdown(head, lines)


def imis_table(rows: Sequence[Row]) -> list[str]:
    """The paper's rows: Dice in percent by first prompt and after more rounds, for each set and as their mean."""
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    folders = list(dict.fromkeys(row["folder"] for row in rows))
    model = rows[0]["model"]
    of = {(row["folder"], row["prompt"]): row for row in rows}

    def cell(folder: str, prompt: str, level: str) -> float | None:
        row = of.get((folder, prompt))
        return None if row is None else 100 * row[level][0]

    lines = []
    for level, name in (("dice", "image level"), ("mask_dice", "mask level")):
        for folder in folders:
            lines.append([f"{model}, {folder}", name, *[_number(cell(folder, p, level), 2) for p in prompts]])
        if len(folders) > 1:
            means = [[v for f in folders if (v := cell(f, p, level)) is not None] for p in prompts]
            lines.append([f"{model}, mean of sets", name, *[_number(float(np.mean(m)), 2) for m in means]])
    for system, dice in IMIS_PUBLISHED.items():
        published = [_number(dice.get(p), 2) for p in prompts]
        lines.append([f"{system} (published, on IMed-361M)", "image level", *published])
    out = markdown(["method", "Dice, %", *prompts], lines, left=2)
    shown = [n for n in IMIS_ROUNDS if n <= len(rows[0]["dice"])]
    more = []
    for prompt in prompts:
        own = [row for row in rows if row["prompt"] == prompt]
        for row in own:
            more.append(
                [row["folder"], prompt, str(row["objects"]), *[f"{100 * row['dice'][n - 1]:.2f}" for n in shown]]
            )
        if len(own) > 1:
            mean = 100 * np.mean([row["dice"] for row in own], 0)
            total = str(sum(row["objects"] for row in own))
            more.append(["mean of sets", prompt, total, *[f"{mean[n - 1]:.2f}" for n in shown]])
    head = ["set", "first prompt", "objects", *[f"{n} round{'s' * (n > 1)}" for n in shown]]
    return [*out, "", "Dice in percent at image level after so many rounds:", "", *markdown(head, more, left=2)]


def figure_table(rows: Sequence[Row], first: str = "set", *, more: Sequence[str] = ()) -> list[str]:
    """Figures of rows that share a prompt; ``more`` are keys of ``details``."""
    head = [first, "objects", *FIGURES, *more]
    lines = []
    for row in rows:
        cells = [_number(row.get(key), None) for key in FIGURES]
        extra = [_said(row.get("details", {}).get(key)) for key in more]
        lines.append([str(row["folder"]), str(row["objects"]), *cells, *extra])
    return markdown(head, lines)


def sections(rows: Sequence[Row]) -> list[str]:
    """Everything about one first prompt: sets, means, modalities, sizes, calibration and monotony."""
    medical = [row for row in rows if row["details"]["modality"] != "photo"]
    sets = [dict(row) for row in rows]
    if rows[0]["prompt"] == "text":
        whole = [row for row in medical if row["folder"] not in INSTANCE_SETS]
        if whole and len(whole) < len(medical):
            sets.append(over_sets(whole, f"**medical, masks hold all of a label, mean of {len(whole)} sets**"))
    if len(medical) > 1:
        sets.append(over_sets(medical, f"**medical, mean of {len(medical)} sets**"))
    if len(rows) > len(medical) > 0:
        sets.append(over_sets(rows, f"**mean of {len(rows)} sets**"))
    out = figure_table(sets, more=("largest_drop", "ece"))
    kinds = by_modality(rows)
    if len(kinds) > 1:
        out += ["", *figure_table(kinds, "modality", more=("largest_drop", "ece"))]
    return out + ["", *figure_table(by_size(rows), "share of the image")]


def proposal_table(rows: Sequence[Row], prompt: str) -> list[str]:
    """Clicks as ``prompt`` places them beside those at the centre of the error, for sets that have both; [] if none."""
    of = {(row["folder"], row["prompt"]): row for row in rows if not row.get("labels_of")}
    both = [(of[name, "click"], row) for (name, kind), row in of.items() if kind == prompt and (name, "click") in of]
    if not both:
        return []
    if len(both) > 1:
        title = f"**mean of {len(both)} sets**"
        plain, proposed = zip(*both, strict=True)
        both.append((over_sets(plain, title), over_sets(proposed, title)))
    lines = []
    for plain, proposed in both:
        cells = [str(plain["folder"]), str(plain["objects"])]
        for key in ("noc@85", "noc@90"):
            more = 100 * (proposed[key] / plain[key] - 1)
            cells += [f"{plain[key]:.3f}", f"{proposed[key]:.3f}", f"{more:+.1f} %"]
        lines.append(cells)
    return markdown(["set", "objects", "NoC@85", "proposed", "more", "NoC@90", "proposed", "more"], lines)


def doubt_line(rows: Sequence[Row]) -> str:
    """A sentence on how well the model's doubt finds the worst objects; empty where it was not asked."""
    found = worst_found(rows)
    told = ", ".join(f"{value:.3f} after {click} click{'s' * (click != '1')}" for click, value in found.items())
    return f"The model's doubt finds the worst tenth of the masks with an AUROC of {told}." if told else ""


def words_line(rows: Sequence[Row]) -> str:
    """A sentence on words that name nothing in the picture, and on those that do; empty where it was not asked."""
    parts = [row["details"]["words"] for row in rows if "words" in row["details"]]

    def counts(kind: str) -> tuple[int, int]:
        own = [part[kind] for part in parts if kind in part]
        return sum(p["no_mask"] for p in own), sum(p["asked"] for p in own)

    (right, absent), (wrong, there) = counts("not_there"), counts("there")
    if not absent:
        return ""
    return (
        f"Of {absent} words that name nothing in the picture {right} got no mask ({100 * right / absent:.0f} %); "
        f"of {there} that name something {wrong} got none ({100 * wrong / max(there, 1):.0f} %)."
    )


def reliability_table(table: Sequence[tuple[int, float, float]]) -> list[str]:
    """Predicted against real IoU, a line for each bin that has answers."""
    bins = len(table)
    rows = [
        [f"{i / bins:.2f} - {(i + 1) / bins:.2f}", str(n), f"{score:.3f}", f"{real:.3f}"]
        for i, (n, score, real) in enumerate(table)
        if n
    ]
    return markdown(["predicted IoU", "answers", "mean predicted", "mean real"], rows)


def _number(value: Any, digits: int | None) -> str:
    if value is None:
        return "-"
    return str(value) if digits is None else f"{value:.{digits}f}"


def _said(value: Any) -> str:
    return "" if value is None else str(value)
