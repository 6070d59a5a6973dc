"""Features of scans in torch: batches, half precision on a GPU, all GPUs there are, into the app's own store."""

from __future__ import annotations

import contextlib
import copy
import queue
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from maskwright.core.features import Features
from maskwright.core.fingerprint import fingerprint
from maskwright.core.model_card import ModelCard
from maskwright.core.preprocess import SliceTransform, intensity_for, normalised
from maskwright.core.volume import View, Volume
from maskwright.io.feature_store import FeatureStore, signature
from maskwright_models.zoo.dinov2_imsa import Encoder


class ScanEncoder:
    """An encoder on one or more devices; results do not depend on how many."""

    def __init__(self, encoder: Encoder, card: ModelCard, devices: list[torch.device], *, batch: int) -> None:
        self.card = card
        self.batch = batch
        self._replicas = [(copy.deepcopy(encoder).to(d).eval(), d) for d in devices]

    def fill(
        self, volume: Volume, root: Path, *, on_slice: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[FeatureStore, int]:
        """Encode what the store under ``root`` does not have yet; returns the store and how many slices ran.

        ``on_slice(ready, total)`` is called after every batch. Raises StoreError where the disk refuses.
        """
        intensity = intensity_for(volume.voxels, volume.modality)
        sign = signature(fingerprint(volume), self.card, intensity)
        store = FeatureStore.open(root, sign, shape_zyx=volume.geometry.shape_zyx)
        todo = np.flatnonzero(~store.ready_flags(0))
        total, shape = volume.n_slices(0), volume.slice_at(0, 0).shape
        transform = SliceTransform((shape[0], shape[1]), self.card.input_size, self.card.preprocessing)

        def inputs(indices: np.ndarray) -> np.ndarray:
            slices = (transform.image_to_input(intensity.apply(volume.slice_at(0, int(i)))) for i in indices)
            card = self.card
            return np.concatenate(
                [normalised(s, transform.inner_yx, mean=card.mean_rgb, std=card.std_rgb) for s in slices]
            )

        parts = [todo[i : i + self.batch] for i in range(0, len(todo), self.batch)]
        done = total - len(todo)
        results = _Results(self._replicas, parts, inputs, self.card)
        try:
            for indices, arrays in results:
                for k, i in enumerate(indices):
                    features = Features(tuple(a[k : k + 1] for a in arrays), (shape[0], shape[1]))
                    store.write(View(0, int(i)), features)
                done += len(indices)
                on_slice(done, total)
        finally:
            results.close()
        return store, len(todo)


class _Results:
    """Iterates over (slice indices, feature arrays) as the devices finish them: one worker each, in any order."""

    def __init__(
        self,
        replicas: list[tuple[Encoder, torch.device]],
        parts: list[np.ndarray],
        inputs: Callable[[np.ndarray], np.ndarray],
        card: ModelCard,
    ) -> None:
        self._todo: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
        for part in parts:
            self._todo.put(part)
        self._count = len(parts)
        self._ready: queue.Queue[tuple[np.ndarray, list[np.ndarray]] | BaseException] = queue.Queue(2 * len(replicas))
        self._inputs, self._card, self._stop = inputs, card, threading.Event()
        self._workers = [threading.Thread(target=self._work, args=r, daemon=True) for r in replicas]

    def __iter__(self) -> _Results:
        for worker in self._workers:
            worker.start()
        return self

    def __next__(self) -> tuple[np.ndarray, list[np.ndarray]]:
        if self._count == 0:
            raise StopIteration
        result = self._ready.get()
        if isinstance(result, BaseException):
            raise result
        self._count -= 1
        return result

    def close(self) -> None:
        """Let the workers end, and wait for them; what they still hand over is dropped."""
        self._stop.set()
        for worker in self._workers:
            while worker.is_alive():
                with contextlib.suppress(queue.Empty):
                    self._ready.get(timeout=0.05)

    def _work(self, encoder: Encoder, device: torch.device) -> None:
        try:
            while not self._stop.is_set():
                try:
                    part = self._todo.get_nowait()
                except queue.Empty:
                    return
                x = torch.from_numpy(self._inputs(part)).to(device)
                # half precision pays on a GPU; on a CPU the features shall be those of the app's own encoder
                with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
                    maps = encoder(x)
                dtypes = [f.dtype for f in self._card.features]
                self._ready.put((part, [m.float().cpu().numpy().astype(d) for m, d in zip(maps, dtypes, strict=True)]))
        except BaseException as error:  # handed to the thread that iterates, which raises it
            self._ready.put(error)
