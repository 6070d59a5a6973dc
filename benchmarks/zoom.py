"""What the closer look at small objects is worth on evaluation sets, for one or several policies. JSON.

All policies click through the same objects on the same features, and share the crops that they have in common, so that
a policy more costs hardly an encode more. For each: mean IoU after 1, 2, 3, 5, ... clicks, how many objects got better
or worse than without, how often a closer look was taken and believed, and crops an object.

usage: python -m benchmarks.zoom FOLDER ... [--policy expand=1.4,trust=0] ... [--limit N] [--clicks 8] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.features import CropBox, Features
from maskwright.core.prompts import Prompts
from maskwright.core.protocol import EvaluationItem
from maskwright.inference import OnnxSegmenter, Segmentation, ZoomPolicy, load_segmenter
from maskwright.inference.evaluate import evaluate
from maskwright.io.evaluation_set import read_evaluation_set

AT = (1, 2, 3, 5, 8, 10, 20)
MARGIN = 0.01
"""An object is better or worse from this difference of IoU on."""


@dataclass
class Counted:
    """A segmenter on features that were made before; counts what is looked at."""

    segmenter: OnnxSegmenter
    features: Features | None = None
    boxes: set[CropBox] = field(default_factory=set)
    answers: int = 0
    looked: int = 0
    believed: int = 0
    crops: int = 0

    @property
    def card(self) -> Any:  # noqa: ANN401  (as the segmenter's)
        """What the model is."""
        return self.segmenter.card

    def encode(self, image: np.ndarray, **_: Any) -> Features:  # noqa: ANN401
        """The features at hand."""
        assert self.features is not None and self.features.shape_yx == image.shape[:2]
        return self.features

    def segment(self, features: Features, prompts: Prompts, *, previous: Segmentation | None = None) -> Segmentation:
        """The segmenter's answer."""
        answer = self.segmenter.segment(features, prompts, previous=previous)
        self.answers += 1
        if answer.zoom is not None:
            self.looked += 1
            self.believed += answer.zoom.used
            self.boxes.add(answer.zoom.box)
        return answer

    def next_object(self) -> None:
        """Crops count once an object."""
        self.crops += len(self.boxes)
        self.boxes.clear()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--policy", action="append", default=[], metavar="NAME=VALUE,...", help="may be repeated")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, help="objects of each set")
    parser.add_argument("--clicks", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    policies: dict[str, ZoomPolicy | bool] = {"off": False, "default": ZoomPolicy()}
    policies |= {text: policy_of(text) for text in args.policy}
    segmenters = {name: load_segmenter(args.model, args.threads, zoom=policy) for name, policy in policies.items()}
    report: dict[str, Any] = {"model": args.model, "sets": {}}
    for folder in args.folders:
        items = read_evaluation_set(folder, limit=args.limit)
        report["sets"][folder.name] = measured(items, segmenters, clicks=args.clicks)
        print(json.dumps({folder.name: report["sets"][folder.name]}, indent=1), flush=True)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 0


def policy_of(text: str) -> ZoomPolicy:
    """A policy from ``name=value,...``; what is not named is as usual."""
    known = {one.name: type(one.default) for one in fields(ZoomPolicy)}
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in known:
            raise SystemExit(f"a policy has {', '.join(known)}, not {name!r}")
        values[name] = bool(int(value)) if known[name] is bool else known[name](value)
    return ZoomPolicy(**values)


def measured(
    items: Sequence[EvaluationItem], segmenters: dict[str, OnnxSegmenter], *, clicks: int
) -> dict[str, dict[str, Any]]:
    """Figures of every policy; the first one is what the others are compared with."""
    counted = {name: Counted(segmenter) for name, segmenter in segmenters.items()}
    curves: dict[str, list[np.ndarray]] = {name: [] for name in segmenters}
    encoder = list(segmenters.values())[-1]  # one whose features can be looked at closely
    last: tuple[str, Features] | None = None
    for item in items:
        if not (item.mask() == 255).any():
            continue
        if last is None or last[0] != item.image_name:
            last = item.image_name, encoder.encode(item.image())
        for name, one in counted.items():
            one.features = last[1]
            found = evaluate([item], segmenter=one, name=item.image_name, clicks=clicks)  # type: ignore[arg-type]
            one.next_object()
            curves[name].append(found.curves[0])
    base = np.array(next(iter(curves.values())))
    out: dict[str, dict[str, Any]] = {}
    for name, one in counted.items():
        mine = np.array(curves[name])
        at = [k for k in AT if k <= clicks]
        out[name] = {
            "objects": len(mine),
            "iou": {k: round(float(mine[:, k - 1].mean()), 4) for k in at},
            "better": {k: int((mine[:, k - 1] > base[:, k - 1] + MARGIN).sum()) for k in at},
            "worse": {k: int((mine[:, k - 1] < base[:, k - 1] - MARGIN).sum()) for k in at},
            "looked": round(one.looked / max(1, one.answers), 3),
            "believed": round(one.believed / max(1, one.looked), 3),
            "crops_per_object": round(one.crops / max(1, len(mine)), 2),
        }
    return out


if __name__ == "__main__":
    sys.exit(main())
