"""Published systems that can be fine-tuned, by the name of their family."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from maskwright_models.finetune.imis import ImisTuning
from maskwright_models.finetune.interformer import InterFormerTuning
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.start import Start
from maskwright_models.finetune.tuning import Tuning

SYSTEMS: Mapping[str, Callable[[Start, Pictures, Recipe, torch.device], Tuning]] = {
    "imis": ImisTuning,
    "interformer": InterFormerTuning,
}
"""Family -> its recipe."""
