"""Frozen features of training views, computed once: trunk tokens and stem maps, in the app's FeatureStore."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from maskwright.core.features import Features
from maskwright.core.model_card import FeatureSpec
from maskwright.core.preprocess import PREPROCESSING_VERSION, normalised
from maskwright.core.volume import View
from maskwright.io.feature_store import FeatureStore, Signature
from maskwright_models.data.index import Dataset
from maskwright_models.data.views import ROUNDS, VIEWS_VERSION, input_of, view_index
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LAYERS, TOKENS, Trunk, pretrained_trunk
from maskwright_models.zoo.efficient_stem import STEM_WIDTHS, EfficientStem, pretrained_stem


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """A frozen part: its name and hash sign what it computed, ``specs`` say what that is."""

    name: str
    module: nn.Module
    specs: tuple[FeatureSpec, ...]
    sha256: str


def frozen_trunk(trunk: Trunk) -> Frozen:
    """Tokens of the trunk, (1, 1536, 32, 32)."""
    spec = FeatureSpec("tokens", (1, 384 * len(LAYERS), TOKENS, TOKENS), "float16")
    return Frozen("dinov2-vits14-trunk", trunk, (spec,), module_sha256(trunk))


def frozen_stem(stem: EfficientStem) -> Frozen:
    """Maps of the stem at stride 4 and 8."""
    sizes = zip(STEM_WIDTHS, (INPUT_SIZE // 4, INPUT_SIZE // 8), strict=True)
    specs = tuple(FeatureSpec(f"edges_{i}", (1, c, n, n), "float16") for i, (c, n) in enumerate(sizes))
    return Frozen("efficientnet-lite0-stem", stem, specs, module_sha256(stem))


def pretrained_parts() -> tuple[Frozen, ...]:
    """Trunk and stem with their weights. Raises ModelError where a package with weights is not installed."""
    return frozen_trunk(pretrained_trunk()), frozen_stem(pretrained_stem())


def module_sha256(module: nn.Module) -> str:
    """Hash of the frozen weights, what training features are signed with."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def open_store(root: Path, dataset: Dataset, part: Frozen) -> FeatureStore:
    """Feature store of a training set: index along axis 0 = round * images + image."""
    views = f"{dataset.fingerprint}-views-{VIEWS_VERSION}"
    sign = Signature(views, part.name, part.sha256, PREPROCESSING_VERSION, (0.0, 255.0), part.specs)
    return FeatureStore.open(root, sign, shape_zyx=(len(dataset.images) * ROUNDS, INPUT_SIZE, INPUT_SIZE))


def compute(
    part: Frozen,
    datasets: Sequence[Dataset],
    root: Path,
    *,
    round_: int,
    device: torch.device,
    batch: int = 4,
    on_batch: Callable[[str, int, int], None] | None = None,
) -> int:
    """Fill the stores of ``datasets`` for one round of views, passing over what is done. Returns how many ran."""
    module, ran = part.module.to(device).eval(), 0
    half = torch.bfloat16 if device.type == "cpu" else torch.float16
    for dataset in datasets:
        store = open_store(root, dataset, part)
        flags = store.ready_flags(0)
        todo = [n for n in range(len(dataset.images)) if not flags[view_index(dataset, n, round_)]]
        for start in range(0, len(todo), batch):
            numbers = todo[start : start + batch]
            inputs = []
            for n in numbers:
                rgb, _, transform = input_of(dataset, n, round_, INPUT_SIZE)
                inputs.append(normalised(rgb, transform.inner_yx))
            image = torch.from_numpy(np.concatenate(inputs)).to(device, memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast(device.type, half):
                maps = module(image)
            arrays = [
                m.float().cpu().numpy().astype(np.float16) for m in (maps if isinstance(maps, tuple) else (maps,))
            ]
            for k, n in enumerate(numbers):
                features = Features(tuple(a[k : k + 1] for a in arrays), (INPUT_SIZE, INPUT_SIZE))
                store.write(View(0, view_index(dataset, n, round_)), features)
            ran += len(numbers)
            if on_batch is not None:
                on_batch(dataset.name, start + len(numbers), len(todo))
    return ran
