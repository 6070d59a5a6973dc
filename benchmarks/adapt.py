"""Does adapting to a few images help on the others? One JSON line a set: figures of the base and of the adapted head.

Each set of a folder of evaluation sets is parted by image: 20 to adapt to, or three quarters where there are fewer than
27, and others to compare on, at most 40. A head is written only where it is better, so the figures of the model in use
("in_use") are never worse than those of the base on these masks.

usage: python -m benchmarks.adapt ../shared/data/val [--only berkeley] [--model default] [--minutes 8] [--images 20]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

IMAGES = 20
COMPARED = ("dice@1", "noc@90", "mean_iou", "dice@3", "box_dice", "text_dice")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of sets, each with images/ and masks/")
    parser.add_argument("--only", nargs="+", default=(), metavar="SET")
    parser.add_argument("--model", default="default")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="keep the adapted models there, one folder a set")
    args = parser.parse_args()
    from maskwright_models.devices import prepare_cpu

    prepare_cpu(args.threads)
    sets = sorted(p.parent for p in args.root.glob("*/masks"))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="adapt-") as scratch:
        for folder in sets:
            if not args.only or folder.name in args.only:
                rows.append(measure(folder, args.out or Path(scratch), args))
                print(json.dumps(rows[-1]), flush=True)
    done = [row for row in rows if "before" in row]
    print(json.dumps({"sets": len(rows), "measured": len(done), "better": sum(row["better"] for row in done)}))
    return 0


def measure(folder: Path, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    """One set; a set that is too small says why."""
    from maskwright.core.errors import MaskwrightError
    from maskwright.inference.model_folder import find_folder
    from maskwright_models.adapt.items import folder_material
    from maskwright_models.adapt.run import ADAPTED, Options, adapt

    def say(sentence: str) -> None:
        sys.stderr.write(f"\r{folder.name}: {sentence}\033[K")
        sys.stderr.flush()

    material = folder_material(folder)
    count = len({item.place.scan for item in material.items})
    images = min(args.images, (3 * count) // 4)
    options = Options(args.minutes, args.views, args.threads, images, overwrite=True, seed=args.seed)
    row: dict[str, Any] = {"set": folder.name, "images": count, "adapted_to": images, "model": args.model}
    try:
        report = adapt(material, find_folder(args.model), out / f"adapted-{folder.name}", options=options, say=say)
    except MaskwrightError as error:
        return row | {"left_out": str(error)}
    finally:
        sys.stderr.write("\r\033[K")
    after = report.get("after", {})
    better = report["decision"] == ADAPTED
    row |= {
        "decision": report["decision"],
        "better": better,
        "minutes": report["minutes"],
        "steps": report["steps"],
        "masks": report["masks"],
        "before": {k: report["before"][k] for k in COMPARED if k in report["before"]},
        "adapted": {k: after[k] for k in COMPARED if k in after},
    }
    return row | {"in_use": row["adapted"] if better else row["before"]}


if __name__ == "__main__":
    sys.exit(main())
