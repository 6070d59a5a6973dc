"""Curves as SVG and PNG. matplotlib is imported inside; without it there is a plain error, never half a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("svg", "png")
DASHES = ("-", "--", ":", "-.")
COLOURS = 10
FEW = 40
"""A line of fewer values has a dot for each."""
OVERLAPS = ("iou", "chosen", "held")
"""How names of overlaps begin in a training log; all others are losses."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay letters: small, and found by a search
    "svg.hashsalt": "maskwright",  # the same curves give the same file
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_curves(
    path: Path, lines: Mapping[str, Sequence[float]], *, title: str, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """IoU against clicks, a line for each name, into ``path`` with each suffix; the legend goes from best to worst.

    Raises ModelError where matplotlib is not installed.
    """
    with _figure(height=max(3.6, 0.75 + 0.19 * len(lines))) as figure:
        axes = figure.add_subplot()
        for n, (name, curve) in enumerate(sorted(lines.items(), key=lambda kv: -float(np.mean(kv[1])))):
            clicks = np.arange(1, len(curve) + 1)
            axes.plot(clicks, curve, label=name, color=f"C{n % COLOURS}", linestyle=DASHES[n // COLOURS % len(DASHES)])
        longest = max(len(curve) for curve in lines.values())
        axes.set(title=title, xlabel="clicks", ylabel="mean IoU", ylim=(0, 1), xlim=(1, max(2, longest)))
        axes.set_xticks([n for n in (1, 2, 3, 5, 10, 15, 20, 30, 50) if n <= longest])
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
        return _save(figure, path, formats)


def draw_reliability(
    path: Path, tables: Mapping[str, Sequence[Sequence[float]]], *, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Mean real against mean predicted IoU, a line for each first prompt; dots grow with the number of answers."""
    with _figure(height=3.8, width=4.6) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="as predicted")
        for n, (name, table) in enumerate(tables.items()):
            rows = np.array([row for row in table if row[0]])
            axes.plot(rows[:, 1], rows[:, 2], color=f"C{n}", linewidth=1, label=name)
            axes.scatter(rows[:, 1], rows[:, 2], s=4 + 120 * rows[:, 0] / rows[:, 0].sum(), color=f"C{n}")
        axes.set(xlabel="predicted IoU", ylabel="real IoU", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(frameon=False, fontsize=8)
        return _save(figure, path, formats)


def draw_learning(
    path: Path, runs: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], *, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Losses and overlaps over hours: a panel for each kind of figure, a line for each name and run.

    ``runs`` maps a run to its figures, each a name and its (hours, value) pairs, as
    :func:`maskwright_models.evaluate.learning.read_log` gives them.
    """
    overlaps = {name for figures in runs.values() for name in figures if is_overlap(name)}
    losses = {name for figures in runs.values() for name in figures if not is_overlap(name)}
    panels = [(names, label) for names, label in ((losses, "loss"), (overlaps, "IoU")) if names]
    with _figure(height=2.7 * len(panels)) as figure:
        places = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (names, label) in zip(places, panels, strict=True):
            for r, (run, figures) in enumerate(runs.items()):
                for n, name in enumerate(sorted(names & set(figures))):
                    hours, values = zip(*figures[name], strict=True)
                    text = name if len(runs) == 1 else f"{run}: {name}"
                    style = {"color": f"C{n % COLOURS}", "linestyle": DASHES[r % len(DASHES)]}
                    axes.plot(hours, values, label=text, marker="." if len(values) < FEW else "", **style)
            axes.set(ylabel=label, xlabel="hours of training" if axes is places[-1] else "")
            axes.set_yscale("log" if names is losses else "linear")
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
        return _save(figure, path, formats)


def is_overlap(name: str) -> bool:
    """Whether a figure of a training log is an overlap, not a loss."""
    return name.startswith(OVERLAPS)


@contextmanager
def _figure(*, height: float, width: float = 7.2) -> Iterator[Any]:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModelError("curves are drawn with matplotlib", hint="pip install 'maskwright[models]'") from error
    with rc_context(STYLE):
        yield Figure(figsize=(width, height))


def _save(figure: Any, path: Path, formats: Sequence[str]) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.{kind}") for kind in formats]
    for file, kind in zip(written, formats, strict=True):
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(file, format=kind, dpi=120, bbox_inches="tight", metadata=metadata)
    return written
