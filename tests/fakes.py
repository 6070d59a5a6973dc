"""Fakes that behave like the real thing in what tests look at: a segmenter, feature stores, a main thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from maskwright.core.errors import StoreError
from maskwright.core.features import CropBox, Features
from maskwright.core.model_card import FeatureSpec, ModelCard
from maskwright.core.preprocess import Intensity
from maskwright.core.prompts import Point, Prompts
from maskwright.core.stop import Stop, Stopped
from maskwright.core.volume import View, Volume
from maskwright.inference import Segmentation, Segmenter, Uncertainty, Zoomed

FAKE_CARD = ModelCard(
    id="fake",
    name="Fake",
    family="fake",
    version="1",
    licence="Apache-2.0",
    citation="",
    contract=1,
    input_size=64,
    logits_shape=(16, 16),
    candidates=1,
    features=(FeatureSpec("feat_0", (1, 2, 4, 4), "float16"),),
    files={"encoder": "encoder.onnx", "head": "head.onnx"},
    sha256={"encoder.onnx": "e" * 64, "head.onnx": "h" * 64},
)
RADIUS = 12.0


class FakeSegmenter:
    """Mask = disks of radius 12 px round positive points less those round negative ones; a box is all of it.

    Counts calls and keeps how many prompts each call had and how many its ``previous`` was the answer to.
    ``gate`` holds back every encode until it is set, ``head_gate`` every answer and ``doubt_gate`` every uncertainty,
    or until the call is asked to give way, which ``gave_way`` counts; the encode number ``close_after`` closes ``gate``
    behind itself. ``trouble`` is raised by every call while it is set.
    With ``zoom_at`` a box, that part of the slice is to be looked at more closely, and is a part of the mask then.
    """

    def __init__(self, card: ModelCard = FAKE_CARD) -> None:
        self.card = card
        self.encoded = 0
        self.segmented = 0
        self.chain: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.close_after = 0
        self.head_gate = threading.Event()
        self.head_gate.set()
        self.doubt_gate = threading.Event()
        self.doubt_gate.set()
        self.trouble: Exception | None = None
        self.gave_way = 0
        self.doubted = 0
        self.zoom_at: CropBox | None = None
        self.shapes: list[tuple[int, ...]] = []

    def _wait(self, gate: threading.Event, stop: Stop | None) -> None:
        end = time.monotonic() + 10
        while not (stop is not None and stop.is_set) and not gate.wait(0.002):
            assert time.monotonic() < end, "nobody opened the gate"
        if stop is not None and stop.is_set:
            self.gave_way += 1
            raise Stopped

    def encode(
        self,
        image: np.ndarray,
        *,
        modality: str | None = None,
        intensity: Intensity | None = None,
        stop: Stop | None = None,
    ) -> Features:
        """Features that hold the mean of the slice."""
        self._wait(self.gate, stop)
        if self.trouble is not None:
            raise self.trouble
        self.encoded += 1
        if self.encoded == self.close_after:
            self.gate.clear()
        self.shapes.append(image.shape[:2])
        arrays = tuple(np.full(f.shape, float(image.mean()), f.dtype) for f in self.card.features)
        return Features(arrays, (image.shape[0], image.shape[1]))

    def segment(
        self,
        features: Features,
        prompts: Prompts,
        *,
        previous: Segmentation | None = None,
        stop: Stop | None = None,
    ) -> Segmentation:
        """The disks; ``logits`` hold the number of prompts, so that the next call can tell what it goes on from."""
        self._wait(self.head_gate, stop)
        if self.trouble is not None:
            raise self.trouble
        self.segmented += 1
        self.chain.append((len(prompts), 0 if previous is None else int(previous.logits[0, 0])))
        mask, logits = disks(prompts, features.shape_yx), np.full(self.card.logits_shape, len(prompts), np.float32)
        zoom = None if self.zoom_at is None else Zoomed(self.zoom_at)
        if zoom is not None and features.crops is not None and features.crops(zoom.box) is not None:
            zoom = Zoomed(zoom.box, logits, 0.9, used=True)
            y0, x0, y1, x1 = zoom.box
            mask[y0:y1, x0:x1] = True
        return Segmentation(mask, logits, 0.9, zoom=zoom)

    def uncertainty(
        self, features: Features, prompts: Prompts, segmentation: Segmentation, *, stop: Stop | None = None
    ) -> Uncertainty:
        """Half in doubt inside the mask, and a click wanted at the corner."""
        self._wait(self.doubt_gate, stop)
        if self.trouble is not None:
            raise self.trouble
        self.doubted += 1
        return Uncertainty(segmentation.mask * np.float32(0.5), 0.25, (3.0, 4.0, True))


def disks(prompts: Prompts, shape_yx: tuple[int, int]) -> np.ndarray:
    """Mask that the fake gives, ``(Y, X)`` bool."""
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
    mask = np.zeros(shape_yx, bool)
    box = prompts.box
    if box is not None:
        mask |= (x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)
    for sign in (True, False):
        for point in prompts:
            if isinstance(point, Point) and point.positive == sign:
                disk = (x - point.x) ** 2 + (y - point.y) ** 2 <= RADIUS**2
                mask = mask | disk if sign else mask & ~disk
    return mask


class MemoryStore:
    """A feature store in memory; ``full`` makes every write fail as on a full disk."""

    def __init__(self, shape_zyx: tuple[int, int, int]) -> None:
        self.notice = ""
        self.folder = Path("memory")
        self.full = False
        self.writes: list[View] = []
        self.damaged: set[View] = set()
        self._shape = shape_zyx
        self._kept: dict[View, Features] = {}

    def ready_flags(self, axis: int = 0) -> np.ndarray:
        """Which slices are done."""
        flags = np.zeros(self._shape[axis], bool)
        flags[[view.index for view in self._kept if view.axis == axis]] = True
        return flags

    def ready(self, view: View) -> bool:
        """Whether one slice is done."""
        return view in self._kept

    def read(self, view: View) -> Features:
        """Features of a slice that is done."""
        if view not in self._kept or view in self.damaged:
            raise StoreError(f"the stored features of slice {view.index} are damaged", path=self.folder)
        return self._kept[view]

    def write(self, view: View, features: Features) -> None:
        """Keep features."""
        if self.full:
            raise StoreError("the disk is full", path=self.folder, hint="Free some space.")
        self.writes.append(view)
        self._kept[view] = features
        self.damaged.discard(view)

    def refresh(self) -> None:
        """Nothing is cached."""


class MemoryStores:
    """Opens memory stores, one per scan and model, the same one each time: pass it as ``open_store``."""

    def __init__(self) -> None:
        self.opened: dict[tuple[str, str], MemoryStore] = {}
        self.trouble: StoreError | None = None

    def __call__(
        self,
        volume: Volume,
        fingerprint: str,
        *,
        segmenter: Segmenter,
        root: Path,
        intensity: Intensity,
        budget_bytes: int | None,
    ) -> MemoryStore:
        """Store of a scan."""
        if self.trouble is not None:
            raise self.trouble
        key = (fingerprint, segmenter.card.encoder_sha256)
        return self.opened.setdefault(key, MemoryStore(volume.geometry.shape_zyx))

    @property
    def only(self) -> MemoryStore:
        """The one store that was opened."""
        (store,) = self.opened.values()
        return store


class MainThread:
    """Stands for the main thread's event loop: pass ``post``, then run what workers sent."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._came = threading.Condition()

    def post(self, call: Callable[[], None]) -> None:
        """Take a call from any thread."""
        with self._came:
            self._waiting.append(call)
            self._came.notify()

    def run_until(self, done: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
        """Run calls as they come until ``done`` holds; fails when it never does."""
        end = time.monotonic() + timeout_s
        while not done():
            with self._came:
                if not self._came.wait_for(lambda: bool(self._waiting), max(0.0, end - time.monotonic())):
                    raise AssertionError("the workers never came to that")
                call = self._waiting.popleft()
            call()

    def run_one(self) -> None:
        """Wait for one call and run it."""
        ran = False

        def once() -> bool:
            nonlocal ran
            ran, before = True, ran
            return before

        self.run_until(once)
