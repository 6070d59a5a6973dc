"""Writes the report of an evaluation: rows, tables, curves and the gallery of failures, into one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskwright.core.errors import ScanError
from maskwright_models.evaluate.figures import FORMATS, draw_curves, draw_reliability
from maskwright_models.evaluate.gallery import SHOWN, Failure
from maskwright_models.evaluate.pool import Row, by_modality, by_size, newest, reliability_of
from maskwright_models.evaluate.tables import doubt_line, proposal_table, reliability_table, sections, words_line

PROPOSED = {
    "proposal": "Clicks where the model proposes, beside clicks at the centre of the error",
    "checked": "Clicks where the model proposes if the mask is wrong there, beside clicks at the centre of the error",
}
FIRST = {
    "click": "clicks",
    "box": "a box, then clicks",
    "scribble": "a stroke, then clicks",
    "text": "words, then clicks",
    "proposal": "clicks, later ones as proposed",
    "checked": "clicks, later ones as proposed where the mask is wrong",
}


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """Rows that ``maskwright-models evaluate`` printed or wrote, the newest of each set and prompt.

    Lines that are no rows are passed over. Raises ScanError where a file cannot be read.
    """
    rows: list[Row] = []
    for path in paths:
        try:
            rows += [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.startswith("{")]
        except (OSError, ValueError) as error:
            raise ScanError(
                f"no readable figures ({error})", path=path, hint="Run maskwright-models evaluate."
            ) from error
    return newest(rows)


def by_prompt(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows of the number-of-clicks protocol by first prompt and by the data whose labels were kept (mostly none).

    Without those of proposed clicks, which are only told beside the others, and of those without the closer look where
    there are others.
    """
    out: dict[tuple[str, str], list[Row]] = {}
    zoomed = any(row.get("zoom", True) for row in rows)
    for row in rows:
        if "details" in row and row["prompt"] not in PROPOSED and row.get("zoom", True) == zoomed:
            out.setdefault((row["prompt"], row.get("labels_of") or ""), []).append(row)
    return out


def write_curves(folder: Path, rows: Sequence[Row], *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """IoU against clicks by set, by modality and by size for each first prompt, and the calibration of all."""
    written: list[Path] = []
    groups = by_prompt(rows)
    for (prompt, labels_of), own in groups.items():
        name = _name(prompt, labels_of)
        counts = sum(row["objects"] for row in own)
        title = f"{FIRST[prompt].capitalize()}: {counts} objects"
        sets = {f"{row['folder'].removeprefix('medical_')} ({row['objects']})": row["details"]["curve"] for row in own}
        written += draw_curves(folder / f"{name}-sets", sets, title=title, formats=formats)
        for kind, parts in (("modality", by_modality(own)), ("size", by_size(own))):
            lines = {f"{p['folder']} ({p['objects']})": p.get("curve") or p["details"]["curve"] for p in parts}
            written += draw_curves(folder / f"{name}-{kind}", lines, title=title, formats=formats)
    tables = {_name(*key): reliability_of(own) for key, own in groups.items()}
    if tables:
        written += draw_reliability(folder / "reliability", tables, formats=formats)
    return written


def write_report(
    folder: Path, rows: Sequence[Row], *, galleries: Mapping[tuple[str, str], Sequence[Failure]] | None = None
) -> Path:
    """Write ``rows.jsonl``, ``curves/``, ``report.md``; ``galleries`` by (set, prompt) are linked. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = newest(rows)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    write_curves(folder / "curves", rows)
    lines = _lines(rows, curves="curves/")
    for (name, prompt), failures in (galleries or {}).items():
        lines += ["", f"## Worst of {name}, first {FIRST[prompt]}", ""]
        lines += ["Green: truth; red: answer. IoU after " + ", ".join(str(k) for k in SHOWN) + " clicks."]
        for failure in failures:
            what = f"{failure.mask_name} {failure.text}".strip()
            values = ", ".join(f"{v:.3f}" for v in failure.values)
            lines += ["", f"{what}: {values}", "", f"![{what}](<{failure.path.relative_to(folder).as_posix()}>)"]
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def write_figures(folder: Path, rows: Sequence[Row]) -> Path:
    """Write the curves as SVG and a README.md with them and the tables: no picture of a data set. Returns its path."""
    rows = newest(rows)
    write_curves(folder, rows, formats=("svg",))
    path = folder / "README.md"
    path.write_text("\n".join(_lines(rows, curves="")) + "\n", "utf-8")
    return path


def _lines(rows: Sequence[Row], *, curves: str) -> list[str]:
    """Headings, tables and links to the curves in ``curves``."""
    models = ", ".join(dict.fromkeys(str(row["model"]) for row in rows))
    lines = [f"# Evaluation of {models}", "", "Number-of-clicks protocol (Sofiiuk et al., 2021), at most 20 clicks."]
    for (prompt, labels_of), own in by_prompt(rows).items():
        name = _name(prompt, labels_of)
        lines += ["", f"## {heading(prompt, labels_of)}", "", *sections(own)]
        lines += ["", f"![IoU against clicks by set]({curves}{name}-sets.svg)", ""]
        lines += [f"![by modality]({curves}{name}-modality.svg) ![by size]({curves}{name}-size.svg)"]
        lines += ["", "Predicted against real IoU:", "", *reliability_table(reliability_of(own))]
        for told in filter(None, (doubt_line(own), words_line(own))):
            lines += ["", told]
    lines += proposals(rows, level="##")
    return [*lines, "", f"![Calibration]({curves}reliability.svg)"] if by_prompt(rows) else lines


def proposals(rows: Sequence[Row], *, level: str) -> list[str]:
    """Sections on clicks that the model proposed, for sets that were also measured without; [] if none."""
    tables = {title: proposal_table(rows, prompt) for prompt, title in PROPOSED.items()}
    return [line for title, table in tables.items() if table for line in ("", f"{level} {title}", "", *table)]


def heading(prompt: str, labels_of: str) -> str:
    """Title of what is said about one first prompt."""
    return f"First {FIRST[prompt]}" + (f"; only labels that {labels_of} has" if labels_of else "")


def _name(prompt: str, labels_of: str) -> str:
    return f"{prompt}-labels-of-{labels_of}" if labels_of else prompt
