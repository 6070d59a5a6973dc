"""A small model of the default family with made-up weights, exported by the command from a trainer's checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from maskwright_models.nn.vit import ViT, ViTConfig
from maskwright_models.train.trainer import TrainConfig, Trainer
from maskwright_models.zoo.dinov2_imsa import TEXT_WIDTH, Trunk
from maskwright_models.zoo.efficient_stem import EfficientStem
from maskwright_models.zoo.minilm import MiniLM, MiniLMConfig
from tests.models.training_cases import CPU, SMALL
from tests.models.weights import fill

VIT = ViTConfig(depth=4, mlp=64, position_grid=32)
TOWER = MiniLMConfig(width=TEXT_WIDTH, depth=1, heads=4, hidden=16, vocabulary=40, length=16)


def small_trunk() -> Trunk:
    """A shallow trunk of the width that the neck takes."""
    return cast(Trunk, fill(Trunk(ViT(VIT, layers=(1, 2, 3, 4)))))


def small_stem() -> EfficientStem:
    """The stem with made-up weights."""
    return cast(EfficientStem, fill(EfficientStem()))


def small_tower() -> MiniLM:
    """A text tower of one layer, whose sentence vectors are as long as the published ones."""
    torch.manual_seed(0)
    return cast(MiniLM, fill(MiniLM(TOWER)))


def save_checkpoint(folder: Path) -> Path:
    """``last.pt`` as the trainer writes it; the averaged weights are made up, and exact in float16."""
    none: Any = None
    trainer = Trainer(folder, none, model=SMALL, recipe=TrainConfig(), device=CPU)
    fill(trainer.average)
    with torch.no_grad():
        for value in trainer.average.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half().float())
    trainer.save()
    return folder / "last.pt"


def with_small_parts(patch: pytest.MonkeyPatch) -> None:
    """Let the export command take these parts for the published ones."""
    from tests.models.test_minilm import tiny_tokenizer

    patch.setattr("maskwright_models.zoo.dinov2_imsa.pretrained_trunk", small_trunk)
    patch.setattr("maskwright_models.zoo.efficient_stem.pretrained_stem", small_stem)
    patch.setattr("maskwright_models.export.text_files.load_minilm", small_tower)
    patch.setattr("maskwright_models.export.text_files.load_tokenizer", tiny_tokenizer)


def export_small(root: Path) -> Path:
    """Checkpoint and model folder under ``root``; the latter is returned."""
    from maskwright_models.__main__ import main

    checkpoint = save_checkpoint(root / "run")
    with pytest.MonkeyPatch.context() as patch:
        with_small_parts(patch)
        assert main(["export", str(checkpoint), "--out", str(root / "small"), "--version", "9.8.7"]) == 0
    return root / "small"
