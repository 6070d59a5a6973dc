"""`maskwright evaluate`: how many clicks a model needs on a folder of images and masks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from maskwright.cli_verb import Verb, add_json, add_model, load_model, print_json, whole_number

EXAMPLES = """\
  maskwright evaluate val/berkeley
  maskwright evaluate val/berkeley --limit 25 --threads 2 --json
  maskwright evaluate val/medical --prompt box --model my-model/

The folder holds images/NAME.jpg|png and masks/NAME.png or NAME#K.png (255 object, 0 background, 128 ignored).
Each click is the point of the error farthest from its border; NoC@t is the mean number of clicks to an IoU of t,
with 20 where it is never reached; NoF@t counts those (Sofiiuk et al., RITM, 2021).
With --json, "details" has the mean curve, its largest fall, the figures by object size, and the reliability table.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with images/ and masks/")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="take N objects, spread over the folder")
    parser.add_argument("--clicks", type=whole_number, default=20, metavar="N", help="most clicks an object (20)")
    parser.add_argument(
        "--prompt", choices=("click", "box", "scribble", "text"), default="click", help="what comes first (click)"
    )
    add_model(parser)
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from maskwright.session.evaluate import evaluate_folder

    segmenter = load_model(arguments)
    with tqdm(unit="object", file=sys.stderr, disable=None, dynamic_ncols=True) as bar:

        def on_object(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        found = evaluate_folder(
            arguments.folder,
            segmenter=segmenter,
            prompt=arguments.prompt,
            clicks=arguments.clicks,
            limit=arguments.limit,
            on_object=on_object,
        )
    summary = found.summary()
    if arguments.json:
        print_json(
            {
                **summary,
                "details": found.details(),
                "curves": dict(zip(found.names, found.curves.round(4).tolist(), strict=True)),
            }
        )
    else:
        print("\n".join(_lines(summary, found.details())))
    return 0


def _lines(summary: dict[str, Any], details: dict[str, Any]) -> list[str]:
    def row(*keys: str) -> str:
        return "   ".join(f"{_name(key)} {summary[key]:g}" for key in keys if key in summary)

    sizes = "   ".join(
        f"{name} {part['iou@1']:.3f} to {part['curve'][-1]:.3f} ({part['objects']})"
        for name, part in details["sizes"].items()
    )
    fall = (
        f"it falls by {details['largest_drop']:.4f} at click {details['largest_drop_at']}"
        if details["largest_drop_at"]
        else "it never falls"
    )
    return [
        f"{summary['folder']}: {summary['objects']} objects in {summary['images']} images, "
        f"model {summary['model']}, {summary['prompt']} first",
        row("noc@80", "noc@85", "noc@90", "nof@80", "nof@85", "nof@90"),
        row("iou@1", "iou@2", "iou@3", "iou@5"),
        row("dice@1", "dice@3", "dice@5"),
        f"mean IoU over clicks: {' '.join(f'{v:.3f}' for v in details['curve'][:10])}; {fall}",
        f"IoU at first and at last, by share of the image (objects): {sizes}",
        f"predicted against real IoU: calibration error {details['ece']:.3f} over {details['answers']} answers",
        f"encode {summary['encode_ms_median']:g} ms, click {summary['click_ms_median']:g} ms (median), "
        f"{summary['click_ms_p95']:g} ms (95 %)",
    ]


def _name(key: str) -> str:
    return key.replace("noc", "NoC").replace("nof", "NoF").replace("iou", "IoU").replace("dice", "Dice")


VERB = Verb("evaluate", "count the clicks that a model needs on known masks", EXAMPLES, _arguments, _run)
