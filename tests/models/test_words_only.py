"""Training what only words go through leaves every answer without words as it is, to the bit."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

from maskwright_models.data.index import read_index
from maskwright_models.data.samples import Mix, SampleSource
from maskwright_models.train.trainer import TrainConfig, Trainer
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, TEXT_WIDTH
from tests.models.training_cases import CPU, SMALL, frozen_parts, words


def test_answers_without_words_do_not_change(data: Path, store: Path, tmp_path: Path) -> None:
    mix = Mix(text=1.0, absent=0.3, windows=0.0)
    given = words(left=("on the left",))
    source = SampleSource(read_index(data), store, frozen_parts(), words=given, objects=2, mix=mix)
    recipe = TrainConfig(hours=1e6, views=2, objects=2, warmup_steps=1, words_only=True)
    trainer = Trainer(tmp_path, source, model=SMALL, recipe=recipe, device=CPU)
    before = copy.deepcopy(trainer.net).eval()
    batches = source.batches(recipe.views, seed=0)
    rng = np.random.default_rng(0)
    trainer.net.eval()
    for _ in range(3):
        trainer._one_step(next(batches), rng)
    after = trainer.net.eval()
    changed = {n for n, p in after.state_dict().items() if not torch.equal(p, before.state_dict()[n])}
    assert "head.text_match.1.weight" in changed and "head.match_out.weight" in changed
    assert all(n.startswith(("head.text_", "head.named", "head.match_out.weight")) for n in changed)
    generator = torch.Generator().manual_seed(0)
    maps = (
        torch.randn(1, SMALL.stored, 32, 32, generator=generator),
        torch.randn(1, SMALL.fine, 128, 128, generator=generator),
    )
    prompts = (torch.rand(1, 3, 2, generator=generator) * INPUT_SIZE, torch.tensor([[1.0, 0.0, -1.0]]))
    start = (torch.randn(1, 1, LOGITS, LOGITS, generator=generator), torch.ones(1))
    vector = torch.nn.functional.normalize(torch.randn(1, TEXT_WIDTH, generator=generator), dim=-1)
    with torch.no_grad():
        for has, same in ((torch.zeros(1), True), (torch.ones(1), False)):
            old, new = (net.head(*maps, *prompts, *start, vector, has)[0] for net in (before, after))
            assert torch.equal(old, new) is same
