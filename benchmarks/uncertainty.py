"""What the model's uncertainty is worth on evaluation sets: clicks at its proposals, and masks ranked by it. JSON.

Three users click through the same objects (see `maskwright.inference.uncertainty_eval`): the oracle of the
number-of-clicks protocol, one who follows every proposal, and one who follows those where something is wrong. For each
set and for all objects together: mean clicks to an IoU, the ratio to the oracle's, and how well the uncertainty after
the first click finds the worst tenth of the masks (AUROC).

usage: python -m benchmarks.uncertainty FOLDER ... [--model ID] [--limit N] [--clicks 10] [--threads 2] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.protocol import clicks_to_reach
from maskwright.inference import load_segmenter
from maskwright.inference.uncertainty_eval import USERS, UserCurves, auroc_of_worst, evaluate_user, more_clicks
from maskwright.io.evaluation_set import read_evaluation_set

THRESHOLDS = (0.85, 0.90)
MOST_MORE = 1.15
LEAST_AUROC = 0.85


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, help="objects of each set")
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-zoom", action="store_true", help="leave small objects to the full view")
    parser.add_argument("--users", nargs="*", choices=USERS, default=USERS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    segmenter = load_segmenter(args.model, threads=args.threads, zoom=not args.no_zoom)
    parts: dict[str, list[UserCurves]] = {user: [] for user in args.users}
    report: dict[str, Any] = {"model": segmenter.card.id, "clicks": args.clicks, "sets": {}}
    for folder in args.folders:
        items = read_evaluation_set(folder, limit=args.limit)
        for user in args.users:
            parts[user].append(evaluate_user(items, segmenter=segmenter, user=user, clicks=args.clicks))
        report["sets"][folder.name] = figures({user: joined(found[-1:]) for user, found in parts.items()})
    report["all"] = figures({user: joined(found) for user, found in parts.items()})
    text = json.dumps(report, indent=1)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n", "utf-8")
    print(text)
    return 0


def joined(found: list[UserCurves]) -> UserCurves:
    """Several sets as one."""
    return UserCurves(
        found[0].user,
        np.concatenate([one.curves for one in found]),
        np.concatenate([one.scores for one in found]),
        np.concatenate([one.ious for one in found]),
        proposed=sum(one.proposed for one in found),
        in_error=sum(one.in_error for one in found),
    )


def figures(users: Mapping[str, UserCurves]) -> dict[str, Any]:
    """Clicks of every user, ratios to the oracle's, and the AUROC, with what was asked for."""
    out: dict[str, Any] = {"objects": len(next(iter(users.values())).curves)}
    for name, one in users.items():
        out[name] = {f"noc@{round(100 * t)}": clicks_to_reach(one.curves, t).mean().round(3) for t in THRESHOLDS}
        out[name] |= {f"nof@{round(100 * t)}": int((one.curves.max(1) < t).sum()) for t in THRESHOLDS}
        out[name]["iou"] = one.curves.mean(0).round(4).tolist()
        if one.proposed:
            out[name] |= {"proposed": one.proposed, "in_error": round(one.in_error / one.proposed, 3)}
        if "oracle" in users and name != "oracle":
            ratios = {t: more_clicks(one.curves, users["oracle"].curves, t) for t in THRESHOLDS}
            out[name] |= {f"ratio@{round(100 * t)}": round(value, 3) for t, value in ratios.items()}
            reached = all((users["oracle"].curves.max(1) >= t).any() for t in THRESHOLDS)
            out[name]["within_15_percent"] = max(ratios.values()) <= MOST_MORE if reached else None  # None: no telling
    doubted = next((one for one in users.values() if len(one.scores) > 1), None)
    if doubted is not None:
        value = auroc_of_worst(doubted.scores, doubted.ious)
        out["auroc_worst_tenth"] = round(value, 3)
        out["auroc_at_least_0.85"] = bool(value >= LEAST_AUROC)
        out["doubted"] = len(doubted.scores)
    return out


if __name__ == "__main__":
    sys.exit(main())
