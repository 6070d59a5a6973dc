"""Making a part of a trained model useless changes what goes through it and nothing else."""

from __future__ import annotations

import copy

import pytest
import torch

from benchmarks.knockouts import KNOCKOUTS, table
from maskwright_models.train.trainer import Trainable
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, TEXT_WIDTH, HeadConfig

CONFIG = HeadConfig(coarse=16, fine=8, width=16, match=8, named=8, depth=1, heads=2, hidden=16, middle=8, drawn=8)


@pytest.fixture(scope="module")
def net() -> Trainable:
    torch.manual_seed(0)
    net = Trainable(CONFIG).eval().requires_grad_(requires_grad=False)
    for parameter in net.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return net


def answers(net: Trainable, name: str, *, mask: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    neck, head = KNOCKOUTS[name](copy.deepcopy(net))
    tokens, stem = noise(1, 1536, 32, 32), (noise(1, 24, 128, 128), noise(1, 40, 64, 64))
    points = torch.tensor([[[100.0, 120.0], [300.0, 400.0]]]) % INPUT_SIZE
    logits, _ = head(
        *neck(tokens, stem),
        points,
        torch.tensor([[1.0, 0.0]]),
        noise(1, 1, 256, 256),
        torch.full((1,), float(mask)),
        torch.zeros(1, TEXT_WIDTH),
        torch.zeros(1),
    )
    return logits


@pytest.mark.parametrize("name", list(KNOCKOUTS)[1:])
def test_every_part_that_is_made_useless_is_missed(net: Trainable, name: str) -> None:
    whole, without = answers(net, "nothing"), answers(net, name)
    assert without.shape == whole.shape and without.isfinite().all()
    assert not torch.allclose(without, whole, atol=1e-4)


def test_only_the_part_itself_is_missed(net: Trainable) -> None:
    assert torch.equal(answers(net, "nothing", mask=False), answers(net, "the earlier mask", mask=False))
    assert torch.equal(answers(net, "the earlier mask"), answers(net, "the earlier mask", mask=False))


def test_the_table_says_how_far_the_model_falls() -> None:
    rows = table({"nothing": [0.5, 0.6, 0.7, 0.75, 0.8], "x": [0.4, 0.6, 0.65, 0.7, 0.81]}).splitlines()
    assert rows[2:] == [
        "| nothing | 0.500 | 0.700 | 0.800 |",
        "| x | 0.400 (-0.100) | 0.650 (-0.050) | 0.810 (+0.010) |",
    ]
