"""Segmenter: prompts on the features of a slice -> mask. OnnxSegmenter runs any model of the contract."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from maskwright.core.errors import ModelError
from maskwright.core.features import CropBox, Features
from maskwright.core.model_card import ModelCard
from maskwright.core.preprocess import Intensity, SliceTransform, intensity_for, normalised
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.core.stop import Stop
from maskwright.inference.closer import CropEncoder, look_closer
from maskwright.inference.model_folder import checked_graph, read_card
from maskwright.inference.not_found import asked, judged
from maskwright.inference.ort import make_session, run_session
from maskwright.inference.segmentation import Segmentation
from maskwright.inference.steady import steadied
from maskwright.inference.text import TextTower
from maskwright.inference.uncertainty import Asked, PoolPolicy, Uncertainty, doubt
from maskwright.inference.zoom import ZoomPolicy, pasted, prompts_in

STROKE_STEP_PX = 16.0
"""Distance of the points a stroke is resampled to, in encoder-input pixels."""
SETTLED_POINTS = 2
"""Points (a box has two) that say what is meant: from then on a correction is for what it touches."""


KINDS = {
    "point": (Point, "clicks"),
    "box": (Box, "a box"),
    "scribble": (Scribble, "a scribble"),
    "text": (Text, "text"),
}
"""Kind of prompt, as a card names it -> what it is here and in a sentence."""


class Segmenter(Protocol):
    """What the session needs of a model. Thread-safe: ``encode`` and ``segment`` may run at the same time."""

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        ...

    def encode(
        self,
        image: np.ndarray,
        *,
        modality: str | None = None,
        intensity: Intensity | None = None,
        stop: Stop | None = None,
    ) -> Features:
        """Features of one slice, (Y, X) of any number type or (Y, X, 3) uint8 RGB; raises Stopped for ``stop``."""
        ...

    def segment(
        self,
        features: Features,
        prompts: Prompts,
        *,
        previous: Segmentation | None = None,
        stop: Stop | None = None,
    ) -> Segmentation:
        """Mask for ``prompts``; ``previous`` is the answer before the newest prompt. Raises Stopped for ``stop``."""
        ...

    def uncertainty(
        self, features: Features, prompts: Prompts, segmentation: Segmentation, *, stop: Stop | None = None
    ) -> Uncertainty:
        """Where the model is unsure of an answer to ``prompts``; a few head runs. Raises Stopped for ``stop``."""
        ...


def _check_kinds(card: ModelCard, prompts: Prompts) -> None:
    for kind, (type_, words) in KINDS.items():
        if kind not in card.prompts and any(isinstance(p, type_) and p != Text("") for p in prompts):
            known = [KINDS[k][1] for k in card.prompts if k in KINDS]
            use = " or ".join(", ".join(part) for part in (known[:-1], known[-1:]) if part)
            raise ModelError(f"model {card.id} does not take {words}", hint=f"Use {use}.")


def prompt_points(prompts: Prompts, transform: SliceTransform) -> tuple[np.ndarray, np.ndarray]:
    """Prompts as the contract's tensors: coords (1, N, 2) and labels (1, N) float32, N >= 1.

    Without prompts N is one pad. The newest box counts; strokes become points at equal arc length.
    """
    coords: list[np.ndarray] = []
    labels: list[float] = []
    boxes = [i for i, prompt in enumerate(prompts) if isinstance(prompt, Box)]
    for i, prompt in enumerate(prompts):
        if isinstance(prompt, Point):
            coords.append(np.array([[prompt.x, prompt.y]], np.float32))
            labels.append(float(prompt.positive))
        elif isinstance(prompt, Scribble):
            points = prompt.resampled(STROKE_STEP_PX / transform.scale)
            coords.append(points)
            labels += [float(prompt.positive)] * len(points)
        elif isinstance(prompt, Box) and i == boxes[-1]:
            # half-open edges lie half a pixel before the centre of the pixel they name
            coords.append(
                np.array([[prompt.x0 - 0.5, prompt.y0 - 0.5], [prompt.x1 - 0.5, prompt.y1 - 0.5]], np.float32)
            )
            labels += [2.0, 3.0]
    if not labels:
        return np.zeros((1, 1, 2), np.float32), np.full((1, 1), -1, np.float32)
    return transform.points_to_input(np.concatenate(coords))[None], np.array([labels], np.float32)


class OnnxSegmenter:
    """A model folder, run by ONNX Runtime. The head opens at once, the encoder at the first ``encode``."""

    def __init__(self, folder: Path, *, threads: int | None = None, zoom: ZoomPolicy | None = None) -> None:
        """Open the model in ``folder``; with ``zoom`` small objects are looked at more closely.

        Raises ModelError where card, hash or file do not fit.
        """
        self.folder = folder
        self._card = read_card(folder)
        self._threads = threads
        self._zoom = zoom if self._card.state_shape is None else None  # a memory belongs to one view
        self._head = make_session(checked_graph(folder, self._card, "head"), threads=threads, awake=True)
        self._head_inputs = {i.name for i in self._head.get_inputs()}
        self._encoder: Any = None
        self._text: TextTower | None = None
        self._opening = threading.Lock()
        self._opening_text = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return self._card

    def encode(
        self,
        image: np.ndarray,
        *,
        modality: str | None = None,
        intensity: Intensity | None = None,
        stop: Stop | None = None,
    ) -> Features:
        """Features of one slice. ``intensity`` is the scan's; without it the slice's own range is used.

        With a zoom they remember the picture, so that `segment` can encode a crop of it by itself. Raises ValueError
        for a shape that is neither (Y, X) nor (Y, X, 3), ModelError where the encoder cannot run, Stopped where
        ``stop`` was set first.
        """
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
            raise ValueError(f"an image is (Y, X) or (Y, X, 3), got {image.shape}")
        intensity = intensity or intensity_for(image, modality)
        features = self._encoded(image, intensity, stop)
        if self._zoom is None:
            return features
        kept = image.copy()  # the caller may go on to use its array for something else

        def crop(box: CropBox) -> Features:
            return self._encoded(kept[box[0] : box[2], box[1] : box[3]], intensity, None)

        return features.with_crops(CropEncoder(crop))

    def _encoded(self, image: np.ndarray, intensity: Intensity, stop: Stop | None) -> Features:
        card, shape = self._card, (image.shape[0], image.shape[1])
        transform = self._frame(shape)
        x = normalised(
            transform.image_to_input(intensity.apply(image)), transform.inner_yx, mean=card.mean_rgb, std=card.std_rgb
        )
        outputs = run_session(self._encoder_session(), [f.name for f in card.features], {"image": x}, stop=stop)
        arrays = tuple(o.astype(f.dtype, copy=False) for o, f in zip(outputs, card.features, strict=True))
        return Features(arrays, shape)

    def segment(
        self,
        features: Features,
        prompts: Prompts,
        *,
        previous: Segmentation | None = None,
        stop: Stop | None = None,
    ) -> Segmentation:
        """Mask for ``prompts`` on ``features``. One head run and no encode, unless a small object is looked at closely.

        The closer look is taken where the segmenter has a zoom and ``features`` have crops (see `closer.look_closer`).
        Text that names nothing gives an empty mask that says so (see `not_found`).
        Raises ModelError for a kind of prompt the model does not take, or where the head cannot run, Stopped where
        ``stop`` was set first.
        """
        _check_kinds(self._card, prompts)
        said, previous, left_out = asked(prompts, previous)
        answer = self._answer(features, said, previous, stop)
        answer = judged(answer, said, floor=self._card.text_floor, left_out=left_out)
        return replace(answer, ask=Asked(partial(self.uncertainty, features, said, answer)))

    def uncertainty(
        self, features: Features, prompts: Prompts, segmentation: Segmentation, *, stop: Stop | None = None
    ) -> Uncertainty:
        """Where the model is unsure of the answer to ``prompts``; at most three head runs, on its crop if it has one.

        Raises ModelError where the head cannot run, Stopped where ``stop`` was set first.
        """
        prompts, _, _ = asked(prompts, segmentation)  # words that the answer left out
        zoom, shape = segmentation.zoom, features.shape_yx
        part = features.crops(zoom.box) if zoom is not None and zoom.used and features.crops is not None else None
        if zoom is None or part is None or zoom.logits is None:
            return self._doubt(features, prompts, segmentation.logits, segmentation.score, stop)
        found = self._doubt(part, prompts_in(prompts, zoom.box), zoom.logits, zoom.score, stop)
        click = found.next_click
        return Uncertainty(
            pasted(np.zeros(shape, np.float32), found.map, zoom.box),
            found.score,
            None if click is None else (click[0] + zoom.box[1], click[1] + zoom.box[0], click[2]),
        )

    def _doubt(
        self, features: Features, prompts: Prompts, logits: np.ndarray, score: float, stop: Stop | None
    ) -> Uncertainty:
        def run(varied: Prompts, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
            out = self._run(features, varied, start, stop=stop)
            return out["logits"][0], out["scores"][0]

        return doubt(run, prompts, logits, score, frame=self._frame(features.shape_yx), policy=PoolPolicy())

    def _answer(
        self, features: Features, prompts: Prompts, previous: Segmentation | None, stop: Stop | None
    ) -> Segmentation:
        if self._zoom is None or features.crops is None:
            return self._look(features, prompts, previous, stop=stop)
        look = partial(self._look, stop=stop)
        return look_closer(look, features, prompts, previous, frame=self._frame, policy=self._zoom)

    def _frame(self, shape_yx: tuple[int, int]) -> SliceTransform:
        return SliceTransform(shape_yx, self._card.input_size, self._card.preprocessing)

    def _look(
        self,
        features: Features,
        prompts: Prompts,
        previous: Segmentation | np.ndarray | None,
        *,
        stop: Stop | None = None,
    ) -> Segmentation:
        """One view's answer: one head run, and where there is no mask to go on from as many as the card asks for."""
        transform, out = self._frame(features.shape_yx), self._run(features, prompts, previous, stop=stop)
        card, best = self._card, int(out["scores"][0].argmax())
        placed = any(not isinstance(p, Text) for p in prompts)  # what words alone found is not gone on from
        for _ in range(card.first_passes - 1 if previous is None and placed else 0):
            out = self._run(features, prompts, out["logits"][0, best], stop=stop)
            best = int(out["scores"][0].argmax())
        logits = self._steadied(np.ascontiguousarray(out["logits"][0, best]), prompts, previous, transform)
        return Segmentation(
            mask=transform.logits_to_slice(logits) > 0,
            logits=logits,
            score=float(out["scores"][0, best]),
            state=out.get("state_out"),
            label=card.categories[int(out["category"][0, best])] if card.categories else "",
        )

    def _steadied(
        self,
        logits: np.ndarray,
        prompts: Prompts,
        previous: Segmentation | np.ndarray | None,
        transform: SliceTransform,
    ) -> np.ndarray:
        """Logits with less of a change that the newest click or stroke does not touch, where the card wants that.

        A single click leaves open what is meant, and the next one may change everything; a box does not.
        """
        kept, earlier = self._card.kept_elsewhere, Prompts(prompts.items[:-1])
        if not kept or previous is None or not isinstance(prompts.items[-1] if prompts else None, Point | Scribble):
            return logits
        if (prompt_points(earlier, transform)[1] >= 0).sum() < SETTLED_POINTS:
            return logits
        before = previous if isinstance(previous, np.ndarray) else previous.logits
        newest = prompt_points(Prompts(prompts.items[-1:]), transform)[0][0]
        cells = (newest + 0.5) * np.array(logits.shape[::-1]) / transform.size
        return steadied(logits, before, cells, kept=kept)

    def _run(
        self,
        features: Features,
        prompts: Prompts,
        previous: Segmentation | np.ndarray | None,
        *,
        stop: Stop | None = None,
    ) -> dict[str, Any]:
        """What the head says, by name; ``previous`` is an answer or its logits."""
        card = self._card
        coords, labels = prompt_points(prompts, self._frame(features.shape_yx))
        feed = {f.name: a for f, a in zip(card.features, features.arrays, strict=True)}
        start = np.zeros((1, 1, *card.logits_shape), np.float32)
        if previous is not None:
            start[0, 0] = previous if isinstance(previous, np.ndarray) else previous.logits
        feed |= {
            "point_coords": coords,
            "point_labels": labels,
            "mask_input": start,
            "has_mask_input": np.array([previous is not None], np.float32),
        }
        names = ["logits", "scores"]
        if card.state_shape is not None:
            state = previous.state if isinstance(previous, Segmentation) else None
            feed["state_in"] = state if state is not None else np.zeros(card.state_shape, np.float32)
            feed["has_state"] = np.array([state is not None], np.float32)
            names.append("state_out")
        if card.text_shape is not None:
            text = prompts.text.strip()
            feed["text_embedding"] = self._text_tower().read(text) if text else np.zeros(card.text_shape, np.float32)
            feed["has_text"] = np.array([bool(text)], np.float32)
        if card.categories:
            names.append("category")
        inputs = {k: v for k, v in feed.items() if k in self._head_inputs}
        return dict(zip(names, run_session(self._head, names, inputs, stop=stop), strict=True))

    def open_encoder(self) -> None:
        """Open the encoder before the first ``encode``. Raises ModelError where hash or file do not fit."""
        self._encoder_session()

    def _text_tower(self) -> TextTower:
        with self._opening_text:  # a lock of its own: a click never waits for the encoder
            if self._text is None:
                self._text = TextTower(self.folder, self._card, threads=self._threads)
            return self._text

    def _encoder_session(self) -> Any:  # noqa: ANN401  (onnxruntime has no public type that is cheap to import)
        with self._opening:
            if self._encoder is None:
                self._encoder = make_session(checked_graph(self.folder, self._card, "encoder"), threads=self._threads)
            return self._encoder
