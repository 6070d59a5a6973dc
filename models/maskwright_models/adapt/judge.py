"""Compares the adapted head with its base on masks that were kept back, as the app runs them, and decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.features import Features
from maskwright.core.labels import LabelSet
from maskwright.core.metrics import dice_of_iou
from maskwright.core.preprocess import Intensity
from maskwright.core.protocol import EvaluationItem, clicks_to_reach
from maskwright.core.stop import Stop
from maskwright.inference import OnnxSegmenter
from maskwright.inference.evaluate import evaluate_prompts
from maskwright_models.adapt.items import Item, Place

CLICKS = 20
MOST = 40
"""Masks that are compared on at most, evenly spread over those that were kept back."""
FOLLOWED = 10
"""Clicks whose mean IoU decides where two figures do not agree: of a few masks the steadiest there is."""
SLACK = {"dice@1": 0.02, "box_dice": 0.01, "text_dice": 0.02}
"""How much the mean Dice of one click, of a box or of words alone may fall."""
NAMES = {"dice@1": "one click", "box_dice": "a box alone", "text_dice": "words alone"}


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """IoU of each mask after 1, 2, ... ``CLICKS`` clicks, and of a box and of its label alone, NaN where not asked."""

    labels: tuple[str, ...]
    click: np.ndarray
    box: np.ndarray
    text: np.ndarray

    def figures(self, label: str | None = None) -> dict[str, float]:
        """What a report says of all masks, or of those of a label."""
        rows = np.array([label is None or one == label for one in self.labels])
        curves = self.click[rows]
        out = {
            "masks": int(rows.sum()),
            "dice@1": float(np.mean(dice_of_iou(curves[:, 0]))),
            "dice@3": float(np.mean(dice_of_iou(curves[:, 2]))),
            "noc@90": float(np.mean(clicks_to_reach(curves, 0.9))),
            "mean_iou": float(np.mean(curves[:, :FOLLOWED])),
        }
        for name, values in (("box", self.box), ("text", self.text)):
            known = values[rows]
            known = known[~np.isnan(known)]
            if known.size:
                out[f"{name}_dice"] = float(np.mean(dice_of_iou(known)))
        return {k: v if isinstance(v, int) else round(v, 4) for k, v in out.items()}


class OnShelf(OnnxSegmenter):
    """A model that encodes nothing: an image is the number, (1, 1), of a slice whose features are at hand."""

    def __init__(self, folder: Path, features: Sequence[Features], *, threads: int | None = None) -> None:
        super().__init__(folder, threads=threads)
        self._shelf = features

    def encode(
        self,
        image: np.ndarray,
        *,
        modality: str | None = None,
        intensity: Intensity | None = None,
        stop: Stop | None = None,
    ) -> Features:
        """Features of the slice with this number."""
        return self._shelf[int(image[0, 0])]


def judge(
    folder: Path,
    items: Sequence[Item],
    features: Mapping[Place, Features],
    *,
    known: Sequence[Item],
    threads: int | None = None,
    is_late: Callable[[], bool] = lambda: False,
) -> Judged:
    """Run the protocol with the model in ``folder`` on each mask, without a closer look at small ones.

    What comes after ``is_late`` is left out, the first two are not. ``known`` are all masks there are: what a label
    names on a slice is all of them together.
    """
    places = sorted({item.place for item in items})
    segmenter = OnShelf(folder, [features[place] for place in places], threads=threads)
    asked = [kind for kind in ("click", "box", "text") if kind == "click" or kind in segmenter.card.prompts]
    labels: list[str] = []
    curves: dict[str, list[np.ndarray]] = {kind: [] for kind in asked}
    for done, item in enumerate(items):
        if done >= 2 and is_late():
            break
        number = places.index(item.place)
        for kind in asked:
            truth = _all_of(item, known) if kind == "text" else item
            curves[kind].append(_curve(segmenter, kind, _evaluated(truth, number)))
        labels.append(item.label)
    box, text = (
        np.array(curves[kind])[:, 0] if kind in curves else np.full(len(labels), np.nan) for kind in ("box", "text")
    )
    return Judged(tuple(labels), np.array(curves["click"]), box, text)


def _curve(segmenter: OnShelf, kind: str, item: EvaluationItem) -> np.ndarray:
    """IoU after each click, or after the box or the words alone; NaN where a label says nothing."""
    clicks = CLICKS if kind == "click" else 1
    if kind == "text" and not _says_something(item.text):
        return np.full(clicks, np.nan)
    found = evaluate_prompts([item], segmenter=segmenter, name=item.text, prompts=(kind,), clicks=clicks)
    return found[kind].curves[0]


def _says_something(label: str) -> bool:
    """Whether a label names anything: the one that a new project has does not."""
    return bool(label) and label not in {one.name for one in LabelSet.default()}


def _all_of(item: Item, items: Sequence[Item]) -> Item:
    """What a label names on a slice: all masks of it there."""
    mask = item.mask
    for other in items:
        if other.place == item.place and other.label == item.label:
            mask = mask | other.mask
    return Item(item.place, item.label, mask, item.ignored)


def _evaluated(item: Item, number: int) -> EvaluationItem:
    def raw() -> np.ndarray:
        values = item.mask.to_array().astype(np.uint8) * 255
        if item.ignored is not None:
            values[item.ignored.to_array()] = 128
        return values

    return EvaluationItem(str(number), item.label, lambda: np.array([[number]]), raw, item.label)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the adapted head is better, and why, in a sentence."""

    adopted: bool
    reason: str


def decide(before: Judged, after: Judged) -> Verdict:
    """The adapted head has to win, in Dice after one click and in clicks to IoU 0.9.

    Where it wins in only one of them, the mean IoU of the first :data:`FOLLOWED` clicks must not fall. One click, a
    box, and words must not lose more than :data:`SLACK`.
    """
    old, new = before.figures(), after.figures()
    told = (
        f"Dice after one click {old['dice@1']} -> {new['dice@1']}, clicks to IoU 0.9 {old['noc@90']} -> "
        f"{new['noc@90']}, mean IoU of {FOLLOWED} clicks {old['mean_iou']} -> {new['mean_iou']}"
    )
    gains = (new["dice@1"] - old["dice@1"], old["noc@90"] - new["noc@90"])
    if max(gains) <= 0:
        words = "no better" if min(gains) == 0 else "worse"
        return Verdict(False, f"The adapted head is {words} on masks it has not seen ({told}); the base stays.")
    if min(gains) <= 0 and new["mean_iou"] < old["mean_iou"]:
        return Verdict(False, f"The adapted head wins and loses on masks it has not seen ({told}); the base stays.")
    for name, slack in SLACK.items():
        if name in old and new.get(name, 0.0) < old[name] - slack:
            lost = f"from {old[name]} to {new[name]}"
            return Verdict(False, f"The Dice of {NAMES[name]} would fall {lost}; the base stays.")
    return Verdict(True, f"Better on masks it has not seen: {told}.")


def report_labels(before: Judged, after: Judged) -> dict[str, Any]:
    """Figures of each label, before and after."""
    out: dict[str, Any] = {}
    for label in sorted(set(before.labels)):
        out[label] = {"before": before.figures(label), "after": after.figures(label)}
    return out
