"""Computes frozen-trunk features of training views once, into the same FeatureStore as the app's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from maskwright.core.features import Features
from maskwright.core.model_card import FeatureSpec
from maskwright.core.preprocess import PREPROCESSING_VERSION, normalised
from maskwright.core.volume import View
from maskwright.io.feature_store import FeatureStore, Signature
from maskwright_models.data.index import Dataset
from maskwright_models.data.views import ROUNDS, input_of, view_index
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LAYERS, TOKENS, Trunk

TRUNK_ID = "dinov2-vits14-trunk"


def trunk_sha256(trunk: Trunk) -> str:
    """Hash of the frozen weights, what training features are signed with."""
    digest = hashlib.sha256()
    for name, tensor in sorted(trunk.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def open_store(root: Path, dataset: Dataset, sha256: str) -> FeatureStore:
    """Feature store of a training set: index along axis 0 = round * images + image."""
    spec = FeatureSpec("tokens", (1, 384 * len(LAYERS), TOKENS, TOKENS), "float16")
    sign = Signature(dataset.fingerprint, TRUNK_ID, sha256, PREPROCESSING_VERSION, (0.0, 255.0), (spec,))
    return FeatureStore.open(root, sign, shape_zyx=(len(dataset.images) * ROUNDS, INPUT_SIZE, INPUT_SIZE))


def compute(
    trunk: Trunk,
    datasets: Sequence[Dataset],
    root: Path,
    *,
    round_: int,
    device: torch.device,
    batch: int = 4,
    on_batch: Callable[[str, int, int], None] | None = None,
) -> int:
    """Fill the stores of ``datasets`` for one round of views, passing over what is done. Returns how many ran."""
    trunk = trunk.to(device).eval()
    sha256, ran = trunk_sha256(trunk), 0
    half = torch.bfloat16 if device.type == "cpu" else torch.float16
    for dataset in datasets:
        store = open_store(root, dataset, sha256)
        flags = store.ready_flags(0)
        todo = [n for n in range(len(dataset.images)) if not flags[view_index(dataset, n, round_)]]
        for start in range(0, len(todo), batch):
            numbers = todo[start : start + batch]
            inputs = []
            for n in numbers:
                rgb, _, transform = input_of(dataset, n, round_, INPUT_SIZE)
                inputs.append(normalised(rgb, transform.inner_yx))
            with torch.inference_mode(), torch.autocast(device.type, half):
                tokens = trunk(torch.from_numpy(np.concatenate(inputs)).to(device))
            for n, t in zip(numbers, tokens.float().cpu().numpy().astype(np.float16), strict=True):
                store.write(View(0, view_index(dataset, n, round_)), Features((t[None],), (INPUT_SIZE, INPUT_SIZE)))
            ran += len(numbers)
            if on_batch is not None:
                on_batch(dataset.name, start + len(numbers), len(todo))
    return ran
