"""Compares an exported model, run by the app's own segmenter, with torch: the same prompts, the same masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.errors import ModelError
from maskwright.core.metrics import iou
from maskwright.core.preprocess import Intensity, SliceTransform, intensity_for, normalised
from maskwright.core.prompts import Box, Point, Prompts, Text
from maskwright.inference.segmenter import OnnxSegmenter, Segmentation, prompt_points
from maskwright.inference.text import TextTower
from maskwright_models.registry import Parts

TOLERANCES = {"fp32": (0.002, 0.001, 0.995), "fp16": (0.02, 0.02, 0.99), "int8": (0.3, 0.02, 0.85)}
"""Precision -> largest error of a feature and of a logit, each in parts of the largest one, and least IoU of a mask."""

WORDS = "left kidney"
"""Text that models that read are compared on."""
SLICES = 3
"""How many slices of each volume are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class ParityImage:
    """One slice or photo, (Y, X) or (Y, X, 3), with the intensity range of the scan it is from."""

    name: str
    pixels: np.ndarray
    intensity: Intensity


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found over ``images`` images with ``cases`` prompts in all.

    Errors are the largest, in parts of the largest value of torch. ``feature_error`` is that of the encoder,
    ``logit_error`` and ``score_error`` those of the head on the same features. ``mask_iou`` is the least IoU of a mask
    of the app with one of torch from the image to the mask, in which nothing is rounded.
    """

    precision: str
    images: int
    cases: int
    feature_error: float
    logit_error: float
    score_error: float
    mask_iou: float

    def check(self, path: Path) -> None:
        """Raises ModelError where a feature, a logit or a mask is over the tolerance of the precision."""
        feature, logit, least = TOLERANCES[self.precision]
        faults = []
        for name, found, most in (("feature", self.feature_error, feature), ("logit", self.logit_error, logit)):
            if not found <= most:  # not: NaN
                faults.append(f"a {name} differs by {found:.2g} of the largest, allowed are {most:g}")
        if not self.mask_iou >= least:
            faults.append(f"a mask agrees to IoU {self.mask_iou:.4f}, needed are {least:g}")
        if faults:
            raise ModelError(
                f"the exported model does not give the masks of the checkpoint ({'; '.join(faults)})",
                path=path,
                hint="Nothing was installed." + (" Try --precision fp16." if self.precision == "int8" else ""),
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


def images_of(paths: Sequence[Path]) -> list[ParityImage]:
    """Slices of volumes and photos, from files or folders. Raises ScanError for what cannot be read."""
    from maskwright.core.volume import Volume
    from maskwright.io.scans import find_scans, open_scan

    found = []
    for path in (scan for given in paths for scan in find_scans(given)):
        volume: Volume = open_scan(path)
        count = volume.n_slices()
        at = [0] if count == 1 else sorted({count * (i + 1) // (SLICES + 1) for i in range(SLICES)})
        intensity = intensity_for(volume.voxels, volume.modality)
        found += [ParityImage(f"{path.name} {i}", np.asarray(volume.slice_at(0, i)), intensity) for i in at]
    return found


def bundled_images() -> list[ParityImage]:
    """The photo and three slices of the volume that ship with the app."""
    from maskwright.assets import sample_photo, sample_volume

    return images_of([sample_photo(), sample_volume()])


def cases(shape_yx: tuple[int, int], kinds: Sequence[str]) -> Iterator[tuple[Prompts, bool]]:
    """Prompts, and whether they go on from the mask before: click, correction, box, box and click, text."""
    h, w = shape_yx
    click, wrong = Point(0.5 * w, 0.55 * h), Point(0.15 * w, 0.2 * h, positive=False)
    box = Box(0.25 * w, 0.3 * h, 0.75 * w, 0.8 * h)
    if "point" in kinds:
        yield Prompts((click,)), False
        yield Prompts((click, wrong)), True
    if "box" in kinds:
        yield Prompts((box,)), False
    if "point" in kinds and "box" in kinds:
        yield Prompts((box, click)), False
    if "text" in kinds:
        yield Prompts((Text(WORDS),)), False


def compare(parts: Parts, folder: Path, images: Sequence[ParityImage], *, precision: str) -> Parity:
    """Run every case on every image in torch and in the app.

    Raises ModelError where the app cannot run the model.
    """
    segmenter = OnnxSegmenter(folder)
    count, feature, logit, score, least = 0, 0.0, 0.0, 0.0, 1.0
    words: tuple[Tensor, Tensor] | None = None
    if parts.text_tower is not None:
        words = _words(parts.text_tower, TextTower(folder, segmenter.card))
        feature = _error(words[0].numpy(), words[1].numpy())
    for image in images:
        shape = (image.pixels.shape[0], image.pixels.shape[1])
        transform = SliceTransform(shape, parts.input_size, parts.preprocessing)
        features = segmenter.encode(image.pixels, intensity=image.intensity)
        theirs = _encode(parts, image, transform)
        ours = [torch.from_numpy(a).float() for a in features.arrays]
        feature = max(feature, *(_error(a.numpy(), b.numpy()) for a, b in zip(ours, theirs, strict=True)))
        previous: Segmentation | None = None
        for prompts, goes_on in cases(shape, parts.prompts):
            before = previous if goes_on else None
            found = segmenter.segment(features, prompts, previous=before)
            own, other = (None, None) if words is None or not prompts.text else words
            logits, value = _segment(parts, ours, prompts, transform, before, own)
            logit, score = max(logit, _error(found.logits, logits)), max(score, abs(found.score - value))
            logits, _ = _segment(parts, theirs, prompts, transform, before, other)
            least = min(least, iou(found.mask, transform.logits_to_slice(logits) > 0))
            previous = found
            count += 1
    return Parity(precision, len(images), count, feature, logit, score, least)


def _error(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12))


@torch.inference_mode()
def _encode(parts: Parts, image: ParityImage, transform: SliceTransform) -> list[Tensor]:
    rgb = transform.image_to_input(image.intensity.apply(image.pixels))
    x = normalised(rgb, transform.inner_yx, mean=parts.mean_rgb, std=parts.std_rgb)
    return list(parts.encoder(torch.from_numpy(x)))


@torch.inference_mode()
def _words(tower: nn.Module, app: TextTower) -> tuple[Tensor, Tensor]:
    """The head's text input by the app and by torch."""
    return torch.from_numpy(app.read(WORDS)), tower(torch.from_numpy(app.tokens(WORDS)))


@torch.inference_mode()
def _segment(
    parts: Parts,
    maps: Sequence[Tensor],
    prompts: Prompts,
    transform: SliceTransform,
    before: Segmentation | None,
    text: Tensor | None,
) -> tuple[np.ndarray, float]:
    """Logits (h, w) and score of the best candidate, by torch."""
    start = np.zeros(parts.logits_shape, np.float32) if before is None else before.logits
    inputs = [torch.from_numpy(a) for a in prompt_points(prompts, transform)]
    inputs += [torch.from_numpy(start)[None, None], torch.tensor([float(before is not None)])]
    if parts.state_shape is not None:
        state = None if before is None else before.state
        inputs += [torch.zeros(parts.state_shape) if state is None else torch.from_numpy(state)]
        inputs += [torch.tensor([float(state is not None)])]
    if parts.text_shape is not None:
        inputs += [torch.zeros(parts.text_shape) if text is None else text]
        inputs += [torch.tensor([float(text is not None)])]
    logits, scores = parts.head(*maps, *inputs)[:2]
    best = int(scores[0].argmax())
    return logits[0, best].numpy(), float(scores[0, best])
