"""Models trained without a part: the part has no say, the rest is what it was, and averages are changed as well."""

from __future__ import annotations

import copy
from dataclasses import fields

import pytest
import torch

from benchmarks.ablations import VARIANTS
from maskwright_models.data.samples import Mix
from maskwright_models.train.trainer import Trainable
from maskwright_models.zoo.dinov2_imsa import LOGITS, TEXT_WIDTH, Answer, HeadConfig
from tests.models.training_cases import SMALL


@pytest.fixture(scope="module")
def net() -> Trainable:
    torch.manual_seed(0)
    return Trainable(SMALL).eval()


@pytest.fixture(scope="module")
def inputs() -> list[torch.Tensor]:
    torch.manual_seed(1)
    maps = [torch.randn(1, SMALL.stored, 32, 32), torch.randn(1, SMALL.fine, 128, 128)]
    clicks = [torch.tensor([[[200.0, 260.0]]]), torch.tensor([[1.0]])]
    mask = torch.randn(1, 1, LOGITS, LOGITS)
    return [*maps, *clicks, mask, torch.ones(1), torch.zeros(1, TEXT_WIDTH), torch.zeros(1)]


@pytest.mark.parametrize(("name", "given"), [("detail branch", (1,)), ("earlier mask", (4, 5))])
def test_what_is_left_out_has_no_say(
    name: str, given: tuple[int, ...], net: Trainable, inputs: list[torch.Tensor]
) -> None:
    without = copy.deepcopy(net)
    VARIANTS[name].change(without)
    other = list(inputs)
    for k in given:
        other[k] = inputs[k].roll(9, -1) if inputs[k].dim() == 4 else 1 - inputs[k]  # a map with the same mean
    with torch.no_grad():
        mine, theirs = (without.head.answer(*some) for some in (inputs, other))
        whole = net.head.answer(*inputs)
    assert isinstance(mine, Answer) and torch.allclose(mine.logits, theirs.logits, atol=1e-4)
    assert not torch.allclose(mine.logits, whole.logits, atol=1e-3)
    assert list(without.state_dict()) == list(net.state_dict()), "weights keep their names, so a run can go on"


def test_a_neck_may_read_fewer_layers(net: Trainable) -> None:
    without = copy.deepcopy(net)
    VARIANTS["layers 3 6 9"].change(without)
    tokens = torch.randn(1, 1536, 32, 32)
    moved = tokens.clone()
    moved[:, :1152] = moved[:, :1152].roll((5, 9), (-2, -1))  # the same mean, other places
    last = tokens.clone()
    last[:, 1152:] = last[:, 1152:].roll((5, 9), (-2, -1))
    with torch.no_grad():
        maps = [without.neck.joined(x) for x in (tokens, moved, last)]
    assert torch.allclose(maps[0], maps[1], atol=1e-4) and not torch.allclose(maps[0], maps[2], atol=1e-2)


def test_every_variant_can_be_built() -> None:
    for variant in VARIANTS.values():
        HeadConfig(**variant.sizes)
        assert set(variant.mix) <= {one.name for one in fields(Mix)}
