"""Peers in the published order of computation: what the benchmark times gives the answers of our classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.published import PUBLISHED, InterFormerClick, SamClick, refined, upper
from maskwright_models.zoo.interformer import InterFormer, adapt, build
from maskwright_models.zoo.interformer_config import STRIDES
from maskwright_models.zoo.interformer_map import UNKNOWN, resized_logits, with_clicks, with_prediction
from maskwright_models.zoo.sam import SamHead
from maskwright_models.zoo.sam_decoder import MaskDecoder
from maskwright_models.zoo.sam_prompts import PromptEncoder

WORST = 1e-4
"""Largest difference, relative to the largest value."""

CLICKS = ((40, 50, True), (90, 70, True), (43, 52, False), (3, 2, False))
"""(x, y, positive); the third lies on the first."""


def error(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max())


@pytest.fixture
def model() -> InterFormer:
    torch.manual_seed(3)
    model = build("mini")
    for name, value in model.named_parameters():  # with the weights it starts from every answer is the same
        torch.nn.init.normal_(value, std=0.3 if name == "neck.patch_embed" else 0.1)
    return model.eval().requires_grad_(requires_grad=False)


def features_of(model: InterFormer, height: int, width: int) -> list[torch.Tensor]:
    torch.manual_seed(4)
    return [torch.randn(1, d, height // s, width // s) for d, s in zip(model.config.dims, STRIDES, strict=True)]


@pytest.mark.parametrize(("height", "width"), [(128, 128), (96, 160)])
def test_interformers_published_click_gives_the_mask_and_the_memory_of_our_class(
    model: InterFormer, height: int, width: int
) -> None:
    features = features_of(model, height, width)
    unknown = torch.full((1, 1, height, width), UNKNOWN)
    both = model.logits(features, unknown)
    bias = model.decode_head.conv_seg.bias
    assert bias is not None
    bias[1] -= (both[:, 1] - both[:, 0]).median()  # object and background to begin with
    click = InterFormerClick(model.neck, model.decode_head, features, radius=5)
    states, seen = unknown, set()
    for x, y, positive in CLICKS:
        before = click.states
        mask = click(x, y, positive=positive)
        states = with_clicks(states, torch.tensor([[[x, y]]]).float(), torch.tensor([[float(positive)]]), radius=5)
        with torch.inference_mode():
            ours = model.logits(features, states)
            assert error(upper(model.decode_head, refined(model.neck, features, states)), ours) < WORST
        both = resized_logits(ours)
        certain = (both[:, 1:] - both[:, :1]).abs() > WORST / 10 * both.abs().max()
        want = both[:, 1:] > both[:, :1]
        assert torch.equal(torch.from_numpy(mask)[None, None][certain], want[certain])
        assert float(certain.float().mean()) > 0.99
        states = with_prediction(states, torch.from_numpy(mask)[None, None])
        assert torch.equal(click.states, states) and not torch.equal(states, before)
        seen |= set(states.unique().tolist())
    assert {0.0, 1.0, 3.0, 4.0} <= seen  # clicks and predictions of both kinds are in the map


def test_interformers_published_click_gives_the_official_masks(shared_folder: Path) -> None:
    files = [shared_folder / "vectors" / f"interformer_mini{part}.npz" for part in ("", "_state")]
    if not all(file.is_file() for file in files):
        pytest.skip(f"no test vectors in {files[0].parent}")
    vectors, state = (dict(np.load(file)) for file in files)
    model = build("mini").eval().requires_grad_(requires_grad=False)
    model.load_state_dict(adapt({k: torch.from_numpy(v) for k, v in state.items()}, "mini"), strict=True)
    features = [torch.from_numpy(vectors[f"out/feat{i}"]) for i in range(4)]
    click = InterFormerClick(model.neck, model.decode_head, features, radius=5)
    for step in range(2):  # from the third click on the official run zoomed in
        y, x, positive = (int(v) for v in vectors[f"step{step}/click"])
        mask = click(x, y, positive=bool(positive))
        np.testing.assert_array_equal(mask, vectors[f"step{step}/pred"][0, 0] == 1)
        np.testing.assert_array_equal(click.states.numpy(), vectors[f"step{step}/ref_label_after"])


def test_sams_published_click_gives_the_logits_of_our_class_and_the_mask_of_its_predictor() -> None:
    torch.manual_seed(5)
    prompts, decoder = PromptEncoder(64, size=128, grid=8), MaskDecoder(64, heads=4, hidden=64)
    features, previous = torch.randn(1, 64, 8, 8), torch.randn(1, 1, 32, 32)
    mask, low = SamClick(prompts, decoder, features)(CLICKS[:3], previous, (256, 256))
    coords = (torch.tensor([[(x, y) for x, y, _ in CLICKS[:3]]]) / 2).float()
    labels = torch.tensor([[float(p) for *_, p in CLICKS[:3]]])
    with torch.inference_mode():
        logits, scores = SamHead(prompts, decoder, "ambiguous")(features, coords, labels, previous, torch.ones(1))
    assert int(scores.argmax()) == 0  # several clicks: the mask that is not ambiguous
    assert error(low, logits[:, :1]) < WORST
    wide = torch.nn.functional.interpolate(logits[:, :1], (256, 256), mode="bilinear", align_corners=False)
    assert mask.shape == (256, 256) and 0 < mask.mean() < 1
    assert (mask == (wide[0, 0] > 0).numpy()).mean() > 0.95  # by way of the input size, as published


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "side"), [("interformer/light", 512, 512), ("sam/vit_b", 1024, 1024)])
def test_what_is_timed_answers_at_the_published_size(name: str, size: int, side: int) -> None:
    input_size, click = PUBLISHED[name](((500.0, 400.0, True), (440.0, 560.0, True), (80.0, 80.0, False)), 1024)
    answer = click()
    mask = answer[0] if isinstance(answer, tuple) else answer
    assert input_size == size and isinstance(mask, np.ndarray)
    assert mask.shape == (side, side) and mask.dtype == bool
