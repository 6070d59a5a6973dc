"""Runs the number-of-clicks protocol of :mod:`maskwright.core.protocol` with a segmenter."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.features import Features
from maskwright.core.mask import Mask
from maskwright.core.metrics import calibration_error, dice_of_iou, iou, reliability
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.core.protocol import (
    SIZE_CLASSES,
    EvaluationItem,
    clicks_to_reach,
    deepest_error,
    largest_drop,
    middle_stroke,
    size_class,
)
from maskwright.inference.segmentation import Segmentation
from maskwright.inference.segmenter import Segmenter

THRESHOLDS = (0.80, 0.85, 0.90)
PROMPTS = ("click", "box", "scribble", "text", "proposal", "checked")
"""What comes first: nothing, a box, a stroke, or words. ``proposal``: nothing, and later clicks go where the model
proposes; ``checked``: the same, but where the mask is right there the user clicks the centre of the error instead."""
ENOUGH_CLICKS = 5
"""A curve that has reached the last threshold is followed to this click, and then taken as level."""
MONOTONE_TOLERANCE = 0.002
"""A mean curve counts as monotone while it never falls this far below its best so far, within ten clicks."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a model did with the objects of a set.

    ``curves`` (objects, clicks) float64 IoU after each click, level after the last one that was needed; ``scores`` the
    IoU that the model predicted, NaN where no click was needed; ``shares`` of the image that each object takes;
    ``kept`` the masks after the clicks that were asked for, one dictionary an object; ``doubts`` what the model says of
    how bad its mask is after such clicks, (objects,) each, NaN where it does not say. Times in milliseconds.
    """

    folder: str
    model: str
    prompt: str
    modality: str
    names: tuple[str, ...]
    curves: np.ndarray
    scores: np.ndarray
    shares: tuple[float, ...]
    kept: tuple[Mapping[int, Mask], ...]
    doubts: Mapping[int, np.ndarray]
    encode_ms: tuple[float, ...]
    click_ms: tuple[float, ...]

    def summary(self) -> dict[str, Any]:
        """The figures of the protocol, rounded as papers do."""
        return {
            "folder": self.folder,
            "model": self.model,
            "prompt": self.prompt,
            "objects": len(self.curves),
            "images": len(self.encode_ms),
            **figures(self.curves),
            "encode_ms_median": round(statistics.median(self.encode_ms), 1),
            "click_ms_median": round(statistics.median(self.click_ms), 2),
            "click_ms_p95": round(float(np.percentile(self.click_ms, 95)), 2),
        }

    def details(self) -> dict[str, Any]:
        """What the protocol does not ask for: modality, mean curve and its largest fall, sizes, calibration.

        ``curve`` is the mean IoU after 1, 2, ... clicks; ``reliability`` has (count, mean predicted, mean real IoU)
        of 15 bins over all answers, ``ece`` their expected calibration error; ``doubt`` has (doubt, IoU) of each
        object after the clicks for which that was asked.
        """
        mean = self.curves.mean(0)
        fall, at = largest_drop(mean)
        scores, real = self.pairs()
        table = reliability(scores, real)
        classes = np.array([size_class(share) for share in self.shares])
        parts = {name: self.curves[classes == name] for name, _ in SIZE_CLASSES}
        return {
            "modality": self.modality,
            "curve": mean.round(4).tolist(),
            "largest_drop": round(fall, 4),
            "largest_drop_at": at,
            "monotone": fall <= MONOTONE_TOLERANCE,
            "answers": len(scores),
            "ece": round(calibration_error(table), 4),
            "reliability": [[n, round(s, 4), round(r, 4)] for n, s, r in table],
            "doubt": {
                str(k): [
                    [round(float(d), 4), round(float(v), 4)] for d, v in zip(doubts, self.curves[:, k - 1], strict=True)
                ]
                for k, doubts in self.doubts.items()
                if not np.isnan(doubts).any()
            },
            "sizes": {
                name: {"objects": len(part), **figures(part), "curve": part.mean(0).round(4).tolist()}
                for name, part in parts.items()
                if len(part)
            },
        }

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and real IoU of every answer that was given, (N,) float64 each."""
        answered = ~np.isnan(self.scores)
        return self.scores[answered], self.curves[answered]


def figures(curves: np.ndarray) -> dict[str, float]:
    """NoC, NoF, IoU and Dice of (objects, clicks) curves, rounded as papers do."""
    at = {k: curves[:, k - 1] for k in (1, 2, 3, 5) if k <= curves.shape[1]}
    return {
        **{f"noc@{_percent(t)}": round(float(np.mean(clicks_to_reach(curves, t))), 3) for t in THRESHOLDS},
        **{f"nof@{_percent(t)}": int((curves.max(1) < t).sum()) for t in THRESHOLDS},
        **{f"iou@{k}": round(float(v.mean()), 4) for k, v in at.items()},
        **{f"dice@{k}": round(float(np.mean(dice_of_iou(v))), 4) for k, v in at.items() if k != 2},
    }


def evaluate(
    items: Sequence[EvaluationItem],
    *,
    segmenter: Segmenter,
    name: str,
    prompt: str = "click",
    clicks: int = 20,
    on_object: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run the protocol over ``items`` of the set ``name``. ``on_object(done, total)`` reports progress.

    Raises ScanError where nothing is to be measured.
    """
    runs = evaluate_prompts(
        items, segmenter=segmenter, name=name, prompts=(prompt,), clicks=clicks, on_object=on_object
    )
    return runs[prompt]


def evaluate_prompts(
    items: Sequence[EvaluationItem],
    *,
    segmenter: Segmenter,
    name: str,
    prompts: Sequence[str],
    clicks: int = 20,
    keep: Collection[int] = (),
    doubt: Collection[int] = (),
    on_object: Callable[[int, int], None] | None = None,
    on_item: Callable[[Features, EvaluationItem], None] | None = None,
) -> dict[str, Evaluation]:
    """Run the protocol once for each kind of first prompt; an image is encoded once for all of them.

    ``keep`` are the clicks whose masks are kept, ``doubt`` those after which the model is asked how sure it is (a few
    head runs more each). ``on_item`` may ask something else of the same features. A kind of prompt for which there is
    no object is left out of the answer; ScanError where that is all of them.
    """
    for prompt in prompts:
        if prompt not in PROMPTS:
            raise ValueError(f"prompt is one of {PROMPTS}, not {prompt!r}")
    runs: dict[str, list[_Run]] = {prompt: [] for prompt in prompts}
    wanted = _Wanted(clicks, frozenset(keep), frozenset(k for k in doubt if k <= clicks))
    encode_ms: list[float] = []
    last: tuple[str, Features] | None = None
    for done, item in enumerate(items):
        if last is None or last[0] != item.image_name:
            image = item.image()
            start = time.perf_counter()
            last = item.image_name, segmenter.encode(image)
            encode_ms.append(1e3 * (time.perf_counter() - start))
        raw = item.mask()
        if (raw == 255).any():
            for prompt in prompts:
                if prompt != "text" or item.text:
                    runs[prompt].append(_run(segmenter, last[1], item, raw, prompt=prompt, wanted=wanted))
            if on_item is not None:
                on_item(last[1], item)
        if on_object is not None:
            on_object(done + 1, len(items))
    if not any(runs.values()):
        what = "no object with a label" if tuple(prompts) == ("text",) else "no object to measure"
        raise ScanError(what, path=name, hint="Masks are PNG files with 255 where the object is.")
    found = {}
    for prompt, done in runs.items():
        if done:
            found[prompt] = Evaluation(
                folder=name,
                model=segmenter.card.id,
                prompt=prompt,
                modality=items[0].modality,
                names=tuple(run.name for run in done),
                curves=np.array([run.curve + [run.curve[-1]] * (clicks - len(run.curve)) for run in done]),
                scores=np.array([run.scores + [np.nan] * (clicks - len(run.scores)) for run in done]),
                shares=tuple(run.share for run in done),
                kept=tuple(run.kept for run in done),
                doubts={k: np.array([run.doubts[k] for run in done]) for k in sorted(wanted.doubt)},
                encode_ms=tuple(encode_ms),
                click_ms=tuple(ms for run in done for ms in run.click_ms),
            )
    return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How many clicks, whose masks are kept, and after which the model is asked how sure it is."""

    clicks: int
    keep: frozenset[int]
    doubt: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One object: what was answered, click by click."""

    name: str
    share: float
    curve: list[float]
    scores: list[float]
    click_ms: list[float]
    kept: dict[int, Mask]
    doubts: dict[int, float]


def _run(
    segmenter: Segmenter, features: Features, item: EvaluationItem, raw: np.ndarray, *, prompt: str, wanted: _Wanted
) -> _Run:
    truth, valid = raw == 255, raw != 128
    run = _Run(item.mask_name, float(truth.mean()), [], [], [], {}, {})
    prediction, free = np.zeros_like(truth), np.ones(truth.shape, np.float32)
    prompts = first = first_prompt(prompt, truth, item.text)
    previous: Segmentation | None = None
    for k in range(wanted.clicks):
        if k or not first:
            click = deepest_error(prediction, truth, valid, free)
            if click is None:
                break
            if prompt in ("proposal", "checked") and previous is not None:
                wrong = (prediction != truth) & valid if prompt == "checked" else np.ones_like(valid)
                click = _proposed(previous, truth, wrong & (free > 0)) or click
            x, y, positive = click
            free[y, x] = 0
            prompts = prompts.add(Point(float(x), float(y), positive=positive))
        start = time.perf_counter()
        previous = segmenter.segment(features, prompts, previous=previous)
        run.click_ms.append(1e3 * (time.perf_counter() - start))
        prediction = np.asarray(previous.mask, bool)
        run.curve.append(iou(prediction, truth, valid))
        run.scores.append(previous.score)
        if k + 1 in wanted.keep:
            run.kept[k + 1] = Mask.from_array(prediction)
        if k + 1 in wanted.doubt:
            run.doubts[k + 1] = _doubt(previous)
        if run.curve[-1] >= THRESHOLDS[-1] and len(run.curve) >= ENOUGH_CLICKS:
            break
    # A click that was not needed leaves the mask as it was.
    run.kept.update({k: Mask.from_array(prediction) for k in wanted.keep if len(run.curve) < k <= wanted.clicks})
    late = [k for k in wanted.doubt if k > len(run.curve)]
    if late and previous is not None:
        run.doubts.update(dict.fromkeys(late, _doubt(previous)))
    return run


def _doubt(answer: Segmentation) -> float:
    found = answer.uncertainty
    return float("nan") if found is None else found.score


def _proposed(answer: Segmentation, truth: np.ndarray, taken: np.ndarray) -> tuple[int, int, bool] | None:
    """Where the model proposes a click, with the sign that a user gives it; None where none of ``taken`` is proposed.

    ``taken`` (Y, X) bool are the places that the user would click.
    """
    proposed = answer.next_click
    if proposed is None:
        return None
    x, y = (int(np.clip(round(v), 0, n - 1)) for v, n in zip(proposed[:2], truth.shape[::-1], strict=True))
    return (x, y, bool(truth[y, x])) if taken[y, x] else None


def first_prompt(kind: str, truth: np.ndarray, text: str) -> Prompts:
    """What comes before the clicks: nothing, the box of the (Y, X) bool ``truth``, a stroke in it, or its label."""
    if kind == "box":
        ys, xs = np.nonzero(truth)
        return Prompts().add(Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)))
    if kind == "scribble":
        return Prompts().add(Scribble(middle_stroke(truth)))
    return Prompts().add(Text(text)) if kind == "text" else Prompts()


def _percent(threshold: float) -> int:
    return int(threshold * 100)
