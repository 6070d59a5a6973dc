"""Encode and click of every family beside the default model, on two threads, all in one run: JSON with ratios.

Weights are random unless a model folder is given: they do not change the time. Each model is exported in one process
and measured in another one, without torch, so that its peak memory is its own. There it takes turns with the default
model, encode by encode and click by click, so that a ratio is of two times under the same load. Peers that a claim is
about are measured a second time as they were published, in torch (`benchmarks.published`): the click alone, in turns
with that of the default model. Runs under six minutes on two free cores; what does not fit into --seconds is left out
and named.

usage: python -m benchmarks.families [--seconds 330] [--out build/families.json] [--markdown] [MODEL_FOLDER ...]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

THREADS = 2
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

MODELS = (
    "mobile_sam/vit_t",
    "interformer/light",
    "sam2/hiera_tiny",
    "sam/vit_b",
    "sam_med2d/vit_b",
    "interformer/tiny",
    "imis/vit_b",
)
"""Family and variant, those that a claim is about first."""

AS_PUBLISHED = "{} as published (torch)"
"""Row of a peer in the order of computation of its authors."""

KINDS = ("encode", "click")
CLAIMS = (
    ("click", AS_PUBLISHED.format("interformer/light"), 10.0, "interformer/light as published (torch)"),
    ("click", AS_PUBLISHED.format("sam/vit_b"), 3.0, "sam/vit_b as published (torch)"),
    ("click", "interformer/light", 10.0, "our export of interformer/light"),
    ("click", "sam/vit_b", 3.0, "our export of sam/vit_b"),
    ("encode", "sam/vit_b", 8.0, "our export of sam/vit_b"),
    ("encode", "mobile_sam/vit_t", 1.0, "our export of mobile_sam/vit_t"),
)
"""The default model is to be at least this many times faster: what, than which row, how many times, in words."""

ENCODE_SECONDS, CLICK_SECONDS = 9.0, 4.0
"""Measured that long at most, after one warm-up, and at least twice."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="installed models to measure as well")
    parser.add_argument("--seconds", type=float, default=330.0)
    parser.add_argument("--out", type=Path, default=Path("build/families.json"))
    parser.add_argument("--models", nargs="*", default=MODELS, help="family/variant, ...")
    parser.add_argument("--markdown", action="store_true", help="print a table instead of JSON")
    parser.add_argument("--export", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--published", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.export:
        export(args.export[0], Path(args.export[1]))
    elif args.measure:
        print(json.dumps(measure(args.measure)))
    elif args.published:
        print(json.dumps(measure_published(args.published)))
    else:
        report = compare(args.models, args.folders, seconds=args.seconds)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        print(table(report) if args.markdown else json.dumps(report, indent=1))
    return 0


def compare(models: list[str] | tuple[str, ...], folders: list[Path], *, seconds: float) -> dict[str, Any]:
    """Figures of all models. Raises SystemExit where even the default model cannot be measured in time."""
    from benchmarks.unit import unit_ms
    from maskwright.assets import models_folder

    end = time.monotonic() + seconds
    units = [unit_ms()]
    ours = _child(["--measure", str(models_folder() / "default")], end)
    if ours is None:
        raise SystemExit(f"the default model cannot be measured in {seconds:g} s")
    found: dict[str, Mapping[str, Any]] = {"default": {"weights": "trained", **ours}}
    left_out = []
    for folder in folders:
        figures = _child(["--measure", str(folder)], end)
        if figures is None:
            left_out.append(str(folder))
        else:
            found[folder.name] = {"weights": "installed", **figures}
    claimed = {row for _, row, _, _ in CLAIMS}
    for name, row in ((name, AS_PUBLISHED.format(name)) for name in models):
        if row in claimed:
            figures = _child(["--published", name], end)
            if figures is None:
                left_out.append(row)
            else:
                found[row] = {"weights": "random", **figures}
    with tempfile.TemporaryDirectory(prefix="families-") as scratch:
        for name in models:
            folder = Path(scratch) / name.replace("/", "_")
            figures = None
            if _child(["--export", name, str(folder)], end) is not None:
                figures = _child(["--measure", str(folder)], end)
            if figures is None:
                left_out.append(name)
            else:
                found[name] = {"weights": "random", **figures}
            for file in folder.glob("*"):
                file.unlink()
    units.append(unit_ms())
    unit = statistics.mean(units)
    return {
        "cpu_count": os.cpu_count(),
        "threads": THREADS,
        "unit_ms": [round(u, 1) for u in units],
        "note": "random weights do not change the time; ratio: time by that of the default model in turns with it",
        "models": {name: {**figures, **_in_units(figures, unit)} for name, figures in found.items()},
        "left_out": left_out,
        "claims": claims(found),
    }


def _in_units(figures: Mapping[str, Any], unit: float) -> dict[str, float]:
    return {f"{kind}_units": round(figures[f"{kind}_ms"] / unit, 3) for kind in KINDS if f"{kind}_ms" in figures}


def claims(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every claim with the ratio that was measured and whether it holds; None where the row is missing."""
    out = []
    for kind, row, times, words in CLAIMS:
        ratio = found[row][f"{kind}_ratio"] if row in found else None
        holds = None if ratio is None else ratio >= times
        out.append({"claim": f"{kind} at least {times:g} x faster than {words}", "ratio": ratio, "holds": holds})
    return out


def _child(arguments: list[str], end: float) -> dict[str, Any] | None:
    """What a process of this file prints; None where it does not end in time or fails."""
    left = end - time.monotonic()
    if left <= 0:
        return None
    command = [sys.executable, "-m", "benchmarks.families", *arguments]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=left, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{' '.join(arguments)}: {error}\n")
        return None
    return json.loads(done.stdout or "{}")


def export(name: str, folder: Path) -> None:
    """Export a variant with random weights, float32, without comparing it."""
    import torch

    from maskwright_models.export.family_files import export_parts
    from maskwright_models.registry import family

    kind, variant = name.split("/")
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    one = family(kind)
    model = one.build(variant).eval().requires_grad_(requires_grad=False)
    words = {"licence": one.licence, "citation": one.citation, "notice": one.notice}
    export_parts(
        one.parts(model), folder, about={"id": folder.name, "name": name, "family": kind, "version": "0", **words}
    )


def measure(folder: Path) -> dict[str, Any]:
    """Medians in milliseconds on the bundled photo at 1024 x 1024, in turns with the default model; sizes and peak."""
    from benchmarks.turns import click_of, in_turns, photo
    from maskwright.assets import models_folder
    from maskwright.inference import load_segmenter

    image = photo()
    segmenter = load_segmenter(folder, threads=THREADS, zoom=False)
    features = segmenter.encode(image)
    click = click_of(segmenter, features)
    click()
    peak = _peak_mb()
    default = load_segmenter(models_folder() / "default", threads=THREADS, zoom=False)
    default_click = click_of(default, default.encode(image))
    encodes = in_turns(lambda: segmenter.encode(image), lambda: default.encode(image), seconds=ENCODE_SECONDS, most=7)
    clicks = in_turns(click, default_click, seconds=CLICK_SECONDS, most=60)
    return {
        "input_size": segmenter.card.input_size,
        "encode_ms": round(encodes[0], 1),
        "encode_ratio": round(encodes[0] / encodes[1], 2),
        "default_encode_ms": round(encodes[1], 1),
        **_click_figures(clicks),
        "features_mb": round(features.nbytes / 1e6, 2),
        "files_mb": round(sum(p.stat().st_size for p in folder.iterdir()) / 1e6, 1),
        "peak_mb": round(peak, 1),
    }


def measure_published(name: str) -> dict[str, Any]:
    """Median milliseconds of a click of a peer as published, in torch, in turns with the default model's."""
    import torch

    from benchmarks.published import PUBLISHED
    from benchmarks.turns import CLICKS, SIDE, click_of, in_turns, photo
    from maskwright.assets import models_folder
    from maskwright.inference import load_segmenter

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    default = load_segmenter(models_folder() / "default", threads=THREADS, zoom=False)
    default_click = click_of(default, default.encode(photo()))
    size, click = PUBLISHED[name](CLICKS, SIDE)
    return {"input_size": size, **_click_figures(in_turns(click, default_click, seconds=CLICK_SECONDS, most=60))}


def _click_figures(clicks: tuple[float, float]) -> dict[str, float]:
    return {
        "click_ms": round(clicks[0], 2),
        "click_ratio": round(clicks[0] / clicks[1], 2),
        "default_click_ms": round(clicks[1], 2),
    }


def _peak_mb() -> float:
    """Largest resident memory of this process so far; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def table(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "| model | weights | input | encode, ms | x default | click, ms | x default | features, MB | peak, MB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    columns = (("encode_ms", 0), ("encode_ratio", 2), ("click_ms", 1), ("click_ratio", 2), ("features_mb", 2))
    for name, m in report["models"].items():
        cells = [f"{m[key]:.{digits}f}" if key in m else "" for key, digits in (*columns, ("peak_mb", 0))]
        lines.append(f"| {name} | {m['weights']} | {m['input_size']} | {' | '.join(cells)} |")
    words = {True: "holds", False: "DOES NOT HOLD", None: "not measured"}
    lines += ["", *(f"- {c['claim']}: {c['ratio']} ({words[c['holds']]})" for c in report["claims"])]
    lines += [f"- left out, no time: {name}" for name in report["left_out"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
