"""IMIS-Net's interaction protocol: a first prompt of some kind, then one random wrong pixel a round.

Source: the test script of uni-medical/IMIS-Bench (CVPR 2025). The first point is one of the half of the object's
pixels nearest its centroid; a round sends its one new point with the logits of the round before, and not the earlier
points, nor the box or the words. Dice and IoU at the size of the image, averaged over the objects of each image and
then over images ("image level"), and over all objects ("mask level"). Its random numbers cannot be had again; here they
come from the seed and the name of the mask, so that a figure does not depend on what else is measured.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.features import Features
from maskwright.core.metrics import dice_of_iou, iou
from maskwright.core.prompts import Point, Prompts
from maskwright.core.protocol import EvaluationItem, central_point, random_error
from maskwright.inference import Segmenter
from maskwright.inference.evaluate import first_prompt

FIRST_PROMPTS = {
    "point": ("point",),
    "box": ("box",),
    "text": ("text",),
    "point+box": ("box", "point"),
    "text+point": ("text", "point"),
}
"""Name of a first round -> what it sends."""
SEED = 42


@dataclass(frozen=True, slots=True, eq=False)
class Interaction:
    """``curves`` (objects, rounds) IoU of the objects ``names`` of the images ``images``."""

    folder: str
    model: str
    prompt: str
    modality: str
    names: tuple[str, ...]
    images: tuple[str, ...]
    curves: np.ndarray

    def row(self) -> dict[str, Any]:
        """After each round: ``dice`` and ``iou`` at image level, ``mask_dice`` and ``mask_iou`` over all objects."""
        dice = np.asarray(dice_of_iou(self.curves))
        return {
            "folder": self.folder,
            "model": self.model,
            "protocol": "imis",
            "prompt": self.prompt,
            "modality": self.modality,
            "objects": len(self.names),
            "images": len(set(self.images)),
            "dice": self._by_image(dice),
            "iou": self._by_image(self.curves),
            "mask_dice": dice.mean(0).round(4).tolist(),
            "mask_iou": self.curves.mean(0).round(4).tolist(),
        }

    def _by_image(self, values: np.ndarray) -> list[float]:
        names = np.array(self.images)
        return np.mean([values[names == name].mean(0) for name in dict.fromkeys(self.images)], 0).round(4).tolist()


def interact(
    items: Sequence[EvaluationItem],
    *,
    segmenter: Segmenter,
    name: str,
    prompts: Sequence[str] = ("point",),
    rounds: int = 9,
    resend: bool = False,
    seed: int = SEED,
    on_object: Callable[[int, int], None] | None = None,
) -> dict[str, Interaction]:
    """Run the protocol once for each kind of first prompt; an image is encoded once for all of them.

    ``resend`` sends all earlier prompts again with each new point, as the window does. A kind of prompt for which
    there is no object (words without a label) is left out of the answer; ScanError where that is all of them.
    """
    for prompt in prompts:
        if prompt not in FIRST_PROMPTS:
            raise ValueError(f"prompt is one of {tuple(FIRST_PROMPTS)}, not {prompt!r}")
    found: dict[str, list[tuple[str, str, list[float]]]] = {prompt: [] for prompt in prompts}
    last: tuple[str, Features] | None = None
    for done, item in enumerate(items):
        raw = item.mask()
        if (raw == 255).any():
            if last is None or last[0] != item.image_name:
                last = item.image_name, segmenter.encode(item.image())
            for prompt in prompts:
                if item.text or "text" not in FIRST_PROMPTS[prompt]:
                    rng = np.random.default_rng([seed, zlib.crc32(f"{item.mask_name}:{prompt}".encode())])
                    first = _first(prompt, raw == 255, item.text, rng)
                    curve = _curve(segmenter, last[1], raw, first=first, rounds=rounds, resend=resend, rng=rng)
                    found[prompt].append((item.mask_name, item.image_name, curve))
        if on_object is not None:
            on_object(done + 1, len(items))
    if not any(found.values()):
        raise ScanError("no object to measure", path=name, hint="Masks are PNG files with 255 where the object is.")
    return {
        prompt: Interaction(
            name,
            segmenter.card.id,
            prompt,
            items[0].modality,
            tuple(mask for mask, _, _ in rows),
            tuple(image for _, image, _ in rows),
            np.array([curve for _, _, curve in rows]),
        )
        for prompt, rows in found.items()
        if rows
    }


def _first(kind: str, truth: np.ndarray, text: str, rng: np.random.Generator) -> Prompts:
    prompts = Prompts()
    for part in FIRST_PROMPTS[kind]:
        if part == "point":
            x, y = central_point(truth, rng)
            prompts = prompts.add(Point(float(x), float(y)))
        else:
            (prompt,) = first_prompt(part, truth, text)
            prompts = prompts.add(prompt)
    return prompts


def _curve(
    segmenter: Segmenter,
    features: Features,
    raw: np.ndarray,
    *,
    first: Prompts,
    rounds: int,
    resend: bool,
    rng: np.random.Generator,
) -> list[float]:
    truth, valid = raw == 255, raw != 128
    prompts, previous, curve = first, None, []
    for _ in range(rounds):
        if previous is not None:
            error = random_error(np.asarray(previous.mask, bool), truth, valid, rng)
            if error is None:
                break
            x, y, positive = error
            prompts = (prompts if resend else Prompts()).add(Point(float(x), float(y), positive=positive))
        previous = segmenter.segment(features, prompts, previous=previous)
        curve.append(iou(np.asarray(previous.mask, bool), truth, valid))
    return curve + [curve[-1]] * (rounds - len(curve))
