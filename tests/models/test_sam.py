"""SAM families: the official names, shapes and sizes, and the numbers of the official classes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright_models.registry import families, family
from maskwright_models.zoo.sam import NOT_OFFERED, Sam, choose, sam_parts
from maskwright_models.zoo.sam2 import Sam2, Sam2Config, sam2_parts, stability
from tests.models.sam_cases import CASES, SMALL, image, mask
from tests.models.weights import fill, listing

# Parameters and the sha256 of the listed names and shapes of the official classes.
OFFICIAL = {
    "sam/vit_b": (93_735_472, "2a326f8855d290e081116dbf100a235308e9f12b6c76b54759db0f806cc5ea48"),
    "sam/vit_l": (312_342_832, "872b3a587ece72dcfc9f14397c2dd2b79e3d589f9ef018cdf3a57c933bccee4e"),
    "sam/vit_h": (641_090_608, "903f3a74ff76f5c2dcd70b1f75adc2bc7e624c0c71361dcabba2b88eb62bd931"),
    "mobile_sam/vit_t": (10_130_092, "d794ba6abcfafd91e08aa7d88d0d262661527cf678468f1d83fc4ade45680356"),
    "medsam/vit_b": (93_735_472, "2a326f8855d290e081116dbf100a235308e9f12b6c76b54759db0f806cc5ea48"),
    "sam_med2d/vit_b": (271_241_776, "6da7d9c1fdb28fba8ed904abb580744b69cc314491adb0eccb7d10e3337668be"),
    "sam_med2d/vit_b_without_adapters": (
        90_737_200,
        "8112055f2744b7c6bbd6a596e502063a763f121a29b8ef55d6e29c1c879c6f40",
    ),
}
# Parameters of the official SAM 2.1 models; 7,521,777 of each are for video alone.
OFFICIAL_SAM2 = {
    "hiera_tiny": 38_962_498,
    "hiera_small": 46_060_354,
    "hiera_base_plus": 80_850_178,
    "hiera_large": 224_446_642,
}
VIDEO_PARAMETERS = 7_521_777


@pytest.fixture(scope="module")
def references(repository: Path) -> dict[str, np.ndarray]:
    with np.load(repository / "tests/data/sam_references.npz") as file:
        return dict(file)


def small(name: str) -> Sam | Sam2:
    """In double precision: with random weights single precision strays a few 1e-4, whoever computes."""
    config = SMALL[name]
    model = Sam2(config) if isinstance(config, Sam2Config) else Sam(config)
    fill(model)
    return model.double()


def small_sam() -> Sam:
    model = small("sam")
    assert isinstance(model, Sam)
    return model


def thin(array: torch.Tensor) -> np.ndarray:
    step = max(1, array.shape[-1] // 16)
    return array.float().numpy()[..., ::step, ::step]


def assert_close(ours: np.ndarray, official: np.ndarray) -> None:
    assert ours.shape == official.shape
    assert np.abs(ours - official).max() <= 1e-6 * np.abs(official).max()


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_variant_has_the_official_names_shapes_and_size(name: str) -> None:
    parameters, digest = OFFICIAL[name]
    kind, variant = name.split("/")
    with torch.device("meta"):
        model = family(kind).build(variant)
    assert sum(p.numel() for p in model.parameters()) == parameters
    state = model.state_dict()
    assert hashlib.sha256(listing(state).encode()).hexdigest() == digest
    assert family(kind).detect(state) == variant


@pytest.mark.parametrize("variant", OFFICIAL_SAM2)
def test_sam2_has_the_official_size_less_the_video_memory(variant: str) -> None:
    with torch.device("meta"):
        model = family("sam2").build(variant)
    assert sum(p.numel() for p in model.parameters()) + VIDEO_PARAMETERS == OFFICIAL_SAM2[variant]
    assert family("sam2").detect(model.state_dict()) == variant


def test_each_family_knows_only_its_own_checkpoints() -> None:
    for name, one in families().items():
        if name not in {"sam", "mobile_sam", "sam_med2d", "sam2"}:
            continue
        with torch.device("meta"):
            state = one.build(one.variants[0]).state_dict()
        found = {other for other, entry in families().items() if entry.detect(state) is not None}
        assert found == ({"sam", "medsam"} if name == "sam" else {name})


@pytest.mark.parametrize("name", SMALL)
def test_features_and_masks_are_those_of_the_official_classes(name: str, references: dict[str, np.ndarray]) -> None:
    model = small(name)
    size = SMALL[name].encoder.size
    parts = sam2_parts(model) if name == "sam2" else sam_parts(model)
    with torch.no_grad():
        features = parts.encoder(torch.from_numpy(image(size)).double())
        assert [tuple(f.shape) for f in features] == [f.shape for f in parts.features]
        for i, feature in enumerate(features):
            assert_close(thin(feature[:, :: max(1, feature.shape[1] // 8)]), references[f"{name}/feat_{i}"])
        for case, points in CASES.items():
            coords, labels, start, has = prompts_of(case, points, size, parts.logits_shape[0])
            prompts = model.sam_prompt_encoder if isinstance(model, Sam2) else model.prompt_encoder
            decoder = model.sam_mask_decoder if isinstance(model, Sam2) else model.mask_decoder
            dense = features[0] + prompts.dense(start, has)
            logits, iou = decoder(dense, prompts.positions(), prompts.sparse(coords, labels), tuple(features[1:]))
            assert_close(thin(logits), references[f"{name}/{case}/logits"])
            assert_close(iou.numpy(), references[f"{name}/{case}/iou"])


def test_sam2_chooses_the_mask_that_the_official_predictor_chooses(references: dict[str, np.ndarray]) -> None:
    model = small("sam2")
    size = SMALL["sam2"].encoder.size
    parts = sam2_parts(model)
    with torch.no_grad():
        features = parts.encoder(torch.from_numpy(image(size)).double())
        for case, points in CASES.items():
            logits, scores = parts.head(*features, *prompts_of(case, points, size, parts.logits_shape[0]))
            best = int(scores[0].argmax())
            assert_close(thin(logits[:, best : best + 1]), references[f"sam2/{case}/chosen"])


def prompts_of(
    case: str, points: list[tuple[float, float, float]], size: int, side: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    table = torch.tensor(points, dtype=torch.float64)
    has = case.endswith("mask")
    start = torch.from_numpy(mask(side)).double() if has else torch.zeros(1, 1, side, side, dtype=torch.float64)
    return table[None, :, :2] * size, table[None, :, 2], start, torch.tensor([float(has)], dtype=torch.float64)


def test_padding_of_the_caller_changes_nothing() -> None:
    prompts = small_sam().prompt_encoder
    coords = torch.tensor([[[20.0, 30.0], [50.0, 60.0], [0.0, 0.0]]], dtype=torch.float64)
    with torch.no_grad():
        for labels in ([1.0, 0.0], [2.0, 3.0]):
            plain = prompts.sparse(coords[:, :2], torch.tensor([labels]))
            padded = prompts.sparse(coords, torch.tensor([[*labels, -1.0]]))
            assert torch.equal(plain, padded)
        nothing = prompts.sparse(torch.zeros(1, 1, 2).double(), torch.tensor([[-1.0]]))
        assert torch.equal(nothing, prompts.not_a_point_embed.weight[None])
    assert prompts.sparse(coords[:, :2], torch.tensor([[2.0, 3.0]])).shape[1] == 2  # a box alone has no padding token
    assert prompts.sparse(coords[:, :2], torch.tensor([[1.0, 1.0]])).shape[1] == 3


@pytest.mark.parametrize(
    ("labels", "has_mask", "offered"),
    [
        ([1.0], 0.0, {1, 2, 3}),
        ([-1.0], 0.0, {1, 2, 3}),
        ([1.0], 1.0, {0}),
        ([2.0, 3.0], 0.0, {0}),
        ([1.0, 0.0], 0.0, {0}),
    ],
)
def test_a_lone_prompt_is_ambiguous_and_more_are_not(labels: list[float], has_mask: float, offered: set[int]) -> None:
    scores = torch.full((1, 4), 0.5)
    _, ours = choose(
        torch.zeros(1, 4, 2, 2), scores, torch.tensor([labels]), torch.tensor([has_mask]), masks="ambiguous"
    )
    assert {i for i in range(4) if ours[0, i] == 0.5} == offered
    assert {i for i in range(4) if ours[0, i] == 0.5 + NOT_OFFERED} == {0, 1, 2, 3} - offered


def test_other_choices_give_fewer_candidates() -> None:
    logits, scores = torch.arange(16.0).reshape(1, 4, 2, 2), torch.arange(4.0)[None]
    one = choose(logits, scores, torch.ones(1, 1), torch.zeros(1), masks="single")
    three = choose(logits, scores, torch.ones(1, 1), torch.zeros(1), masks="alternatives")
    assert torch.equal(one[0], logits[:, :1]) and one[1].tolist() == [[0.0]]
    assert torch.equal(three[0], logits[:, 1:]) and three[1].tolist() == [[1.0, 2.0, 3.0]]


def test_stability_counts_pixels_near_the_threshold() -> None:
    assert stability(torch.tensor([[[1.0, 1.0], [0.0, -1.0]]])).tolist() == [pytest.approx(2 / 3)]
    assert stability(torch.full((1, 2, 2), -1.0)).tolist() == [1.0]


def test_heads_one_after_another_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_sam()
    x = torch.from_numpy(image(128)).double()
    with torch.no_grad():
        whole = model.image_encoder(x)
        monkeypatch.setattr("maskwright_models.nn.sam_layers.LARGEST_ATTENTION", 1)
        assert torch.allclose(model.image_encoder(x), whole, atol=1e-12)
