"""Evaluate an installed model by a protocol of the papers on one or more folders, one JSON line a folder and prompt.

ritm: the number-of-clicks protocol (RITM, InterFormer); --prompt click, box, scribble or text says what comes before
the clicks, proposal that the model proposes where clicks after the first go, checked that the user clicks there only
where the mask is wrong.
imis: IMIS-Net's; --prompt point, box, text, point+box or text+point, then one random wrong pixel a round.

examples: maskwright-models evaluate ../shared/data/val/berkeley ../shared/data/val/coco_mval --limit 50
          maskwright-models evaluate ../shared/data/val/medical_* --prompt click,box,text --report work/report
          maskwright-models evaluate ../shared/data/val/medical_* --prompt text --labels-of ../shared/data/train
          maskwright-models evaluate ../shared/data/val/medical_* --protocol imis --prompt point,box,text --table
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from maskwright.core.protocol import EvaluationItem
    from maskwright.inference import Segmenter
    from maskwright_models.evaluate.gallery import Failure

PROTOCOLS = {
    "ritm": ("click", "box", "scribble", "text", "proposal", "checked"),
    "imis": ("point", "box", "text", "point+box", "text+point"),
}
DEFAULTS = {"ritm": (("click",), 20), "imis": (("point", "box"), 9)}
"""Protocol -> first prompts and number of clicks or rounds where none are named."""
DOUBT_AT = (1, 3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with images/ and masks/, or of a published set")
    parser.add_argument("--split", choices=("train", "val"), default="val", help="part of a published set (val)")
    parser.add_argument("--model", default="default")
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default="ritm")
    parser.add_argument("--prompt", metavar="A[,B...]", help="what comes first (ritm: click; imis: point,box)")
    parser.add_argument("--clicks", type=int, help="most clicks an object (ritm: 20), rounds (imis: 9)")
    parser.add_argument("--resend", action="store_true", help="imis: send earlier prompts again, as the window does")
    parser.add_argument("--limit", type=int, help="take this many objects, spread over the folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--labels-of", type=Path, metavar="DATA", help="only objects whose label this data has")
    parser.add_argument("--table", action="store_true", help="print the papers' table rows in Markdown, not JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="ritm: write tables, curves and failures there")
    parser.add_argument("--gallery", type=int, default=6, metavar="N", help="failures a set and prompt (6)")
    parser.add_argument("--doubt", action="store_true", help="ritm: ask how sure the model is after clicks 1 and 3")
    parser.add_argument("--absent", action="store_true", help="ritm, text: also ask for what is not in the picture")
    parser.add_argument("--no-zoom", action="store_true", help="the whole image alone, no closer look at small objects")
    parser.add_argument("--pairs", type=Path, metavar="FILE.npz", help="ritm: write predicted and real IoU there")


def run(args: argparse.Namespace) -> int:
    """Print a row for each folder and prompt, or the table of all."""
    from maskwright.core.errors import ModelError, ScanError
    from maskwright.inference import load_segmenter
    from maskwright.io.evaluation_set import labels_under
    from maskwright_models.evaluate.sets import read_sets
    from maskwright_models.evaluate.tables import imis_table, ritm_table

    prompts, clicks = _asked(args)
    segmenter = load_segmenter(args.model, threads=args.threads, zoom=not args.no_zoom)
    if any("text" in prompt for prompt in prompts) and "text" not in segmenter.card.prompts:
        raise ModelError(f"model {segmenter.card.id} does not take text", hint="Leave text out of --prompt.")
    labels = None if args.labels_of is None else labels_under(args.labels_of)
    work = _Ritm(args, segmenter, clicks) if args.protocol == "ritm" else _Imis(args, segmenter, clicks)
    rows: list[dict[str, Any]] = []
    sets = (s for f in args.folders for s in read_sets(f, limit=args.limit, labels=labels, split=args.split))
    for name, items in sets:
        here = [p for p in prompts if "text" not in p or any(item.text for item in items)]
        if not items or not here:
            sys.stderr.write(f"{name}: no object with a label that is asked for, left out\n")
            continue
        for row in work.evaluated(name, items, here):
            if args.labels_of is not None:
                row["labels_of"] = args.labels_of.resolve().name
            if args.no_zoom:
                row["zoom"] = False
            rows.append(row)
            if not args.table:
                sys.stdout.write(json.dumps(row) + "\n")
                sys.stdout.flush()
    if not rows:
        raise ScanError("nothing to measure", path=args.folders[0], hint="Name folders whose masks have such labels.")
    if args.table:
        sys.stdout.write("\n".join((ritm_table if args.protocol == "ritm" else imis_table)(rows)) + "\n")
    work.finish(rows)
    return 0


def _asked(args: argparse.Namespace) -> tuple[tuple[str, ...], int]:
    """First prompts and clicks. Raises ModelError for what the protocol does not have."""
    from maskwright.core.errors import ModelError

    prompts, clicks = DEFAULTS[args.protocol]
    if args.prompt:
        prompts = tuple(dict.fromkeys(part.strip() for part in args.prompt.split(",")))
    known = PROTOCOLS[args.protocol]
    for prompt in prompts:
        if prompt not in known:
            raise ModelError(f"protocol {args.protocol} has no prompt {prompt!r}", hint=f"Use {', '.join(known)}.")
    return prompts, args.clicks or clicks


class _Ritm:
    """The number-of-clicks protocol, with what a report needs of it."""

    def __init__(self, args: argparse.Namespace, segmenter: Segmenter, clicks: int) -> None:
        self.report, self.gallery, self.pairs_file = args.report, args.gallery, args.pairs
        self.doubt = DOUBT_AT if args.doubt else ()
        self.absent = bool(args.absent)
        self.segmenter, self.clicks = segmenter, clicks
        self.galleries: dict[tuple[str, str], Sequence[Failure]] = {}
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def evaluated(self, name: str, items: Sequence[EvaluationItem], prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of one folder."""
        from maskwright.inference.evaluate import evaluate_prompts
        from maskwright_models.evaluate.absent import AbsentWords
        from maskwright_models.evaluate.gallery import SHOWN, write_gallery

        gallery = self.report / "failures" / name if self.report is not None and self.gallery else None
        keep = SHOWN if gallery is not None else ()
        words = AbsentWords(self.segmenter) if self.absent and "text" in prompts else None
        with _bar(name) as on_object:
            runs = evaluate_prompts(
                items,
                segmenter=self.segmenter,
                name=name,
                prompts=prompts,
                clicks=self.clicks,
                keep=keep,
                doubt=self.doubt,
                on_object=on_object,
                on_item=None if words is None else words.ask,
            )
        for prompt, run in runs.items():
            self.pairs.append(run.pairs())
            if gallery is not None:
                self.galleries[name, prompt] = write_gallery(gallery / prompt, run, items, worst=self.gallery)
        rows = [{**run.summary(), "details": run.details()} for run in runs.values()]
        for row in rows:
            if words is not None and row["prompt"] == "text":
                row["details"]["words"] = words.row()
        return rows

    def finish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write what was asked for beside the rows."""
        import numpy as np

        from maskwright_models.evaluate.report import write_report

        if self.pairs_file is not None:
            scores, real = (np.concatenate([pair[k] for pair in self.pairs]) for k in (0, 1))
            np.savez(self.pairs_file, scores=scores, real=real)
        if self.report is not None:
            write_report(self.report, rows, galleries=self.galleries)


class _Imis:
    """IMIS-Net's protocol."""

    def __init__(self, args: argparse.Namespace, segmenter: Segmenter, clicks: int) -> None:
        self.segmenter, self.clicks, self.resend = segmenter, clicks, args.resend

    def evaluated(self, name: str, items: Sequence[EvaluationItem], prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of one folder."""
        from maskwright_models.evaluate.imis import interact

        with _bar(name) as on_object:
            runs = interact(
                items,
                segmenter=self.segmenter,
                name=name,
                prompts=prompts,
                rounds=self.clicks,
                resend=self.resend,
                on_object=on_object,
            )
        return [run.row() for run in runs.values()]

    def finish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Nothing beside the rows."""


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Progress on standard error where that is a terminal."""
    from tqdm import tqdm

    with tqdm(desc=name, unit="object", file=sys.stderr, disable=None, dynamic_ncols=True, leave=False) as bar:

        def on_object(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield on_object
