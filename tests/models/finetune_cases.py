"""Small official-like checkpoints and tiny sets that fine-tuning is tested with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from maskwright_models.data.index import read_index
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.run import Run, resumed
from maskwright_models.finetune.start import from_checkpoint
from maskwright_models.registry import family
from tests.models.layout_cases import imed
from tests.models.training_cases import make_set

CPU = torch.device("cpu")
SMALL = {"interformer": "mini", "imis": "mini_128"}
SPEED = {"interformer": {"batch": 2, "rate": 1e-3}, "imis": {"batch": 1, "rate": 1e-3, "rounds": 2, "masks": 2}}


def checkpoint(name: str, path: Path, variant: str = "") -> Path:
    """Fresh weights under the official names; InterFormer's as mmcv wraps them."""
    torch.manual_seed(5)
    state = family(name).build(variant or SMALL[name]).state_dict()
    torch.save({"state_dict": state, "meta": {"iter": 320000}} if name == "interformer" else state, path)
    return path


def tiny_set(name: str, folder: Path) -> Path:
    """One image of bright disks for InterFormer, one slice with objects and regions for IMIS-Net."""
    if name == "imis":
        return imed(folder / "btcv")
    make_set(folder / "natural" / "Disks", images=1)
    return folder


def run_of(name: str, data: Path, out: Path, start: Path, **more: Any) -> Run:
    """A run as the command makes it, saved after every step."""
    begin = resumed(out, name=name, variant=SMALL[name]) or from_checkpoint(start, name=name, variant=SMALL[name])
    recipe = Recipe(**{**SPEED[name], "save_minutes": 0.0, "log_steps": 1, **more})
    return Run(out, begin, Pictures(read_index(data), data), recipe=recipe, device=CPU)
