"""InterFormer against the official code: outputs on test vectors, sizes, names, and the rules of its label map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwright_models.data.clicks import depth
from maskwright_models.train.losses import normalised_focal
from maskwright_models.zoo.interformer import InterFormer, adapt, build
from maskwright_models.zoo.interformer_backbone import Grid, RelativeAttention
from maskwright_models.zoo.interformer_config import VARIANTS, variant_of
from maskwright_models.zoo.interformer_decoder import AdaptiveMean, AuxiliaryHead
from maskwright_models.zoo.interformer_interaction import Interaction, prepared, zoom_region
from maskwright_models.zoo.interformer_map import (
    resized_logits,
    state_shares,
    with_box,
    with_clicks,
    with_prediction,
)
from maskwright_models.zoo.interformer_neck import PooledAttention, adaptive_max_pool, pooled_size

STEPS = range(5)
WORST = 1e-4
"""Largest difference from the official output, relative to the largest value."""

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def vectors(shared_folder: Path) -> Arrays:
    return _arrays(shared_folder / "vectors" / "interformer_mini.npz")


@pytest.fixture(scope="module")
def state(shared_folder: Path) -> dict[str, torch.Tensor]:
    arrays = _arrays(shared_folder / "vectors" / "interformer_mini_state.npz")
    return {k: torch.from_numpy(v) for k, v in arrays.items()}


@pytest.fixture(scope="module")
def model(state: dict[str, torch.Tensor]) -> InterFormer:
    model = build("mini")
    model.load_state_dict(adapt(state, "mini"), strict=True)
    return model.eval().requires_grad_(requires_grad=False)


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        pytest.skip(f"no test vectors at {path}")
    with np.load(path) as file:
        return {k: file[k] for k in file.files}


def error(ours: torch.Tensor, theirs: np.ndarray) -> float:
    assert tuple(ours.shape) == theirs.shape
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


def as_map(labels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(labels).float()


def test_the_image_is_normalised_and_then_padded_with_zeros(vectors: Arrays) -> None:
    assert error(prepared(vectors["in/image_rgb_u8"]), vectors["in/img"]) < 1e-6


def test_the_encoder_gives_the_official_features(model: InterFormer, vectors: Arrays) -> None:
    features = model.backbone(torch.from_numpy(vectors["in/img"]))
    assert [error(f, vectors[f"out/feat{i}"]) < WORST for i, f in enumerate(features)] == [True] * 4


def test_the_unknown_map_is_embedded_into_the_finest_feature(model: InterFormer, vectors: Arrays) -> None:
    unknown = torch.full((1, 1, 160, 224), 2.0)
    joined = torch.from_numpy(vectors["out/feat0"]) + model.neck.embed(state_shares(unknown))
    assert error(joined, vectors["out/ref_embed_unknown"]) < WORST


@pytest.mark.parametrize("step", STEPS)
def test_each_click_gives_the_official_map_mask_and_memory(model: InterFormer, vectors: Arrays, step: int) -> None:
    features = [torch.from_numpy(vectors[f"out/feat{i}"]) for i in range(4)]
    before = as_map(vectors[f"step{step - 1}/ref_label_after"]) if step else torch.full((1, 1, 160, 224), 2.0)
    y, x, positive = (float(v) for v in vectors[f"step{step}/click"])
    states = with_clicks(before, torch.tensor([[[x, y]]]), torch.tensor([[positive]]), radius=5)
    np.testing.assert_array_equal(states.numpy(), vectors[f"step{step}/ref_label"])
    roi = vectors.get(f"step{step}/roi")
    maps = model.neck(features, state_shares(states), None if roi is None else tuple(int(v) for v in roi))
    assert [error(m, vectors[f"step{step}/neck{i}"]) < WORST for i, m in enumerate(maps)] == [True] * 4
    low = model.decode_head(maps)
    assert error(low, vectors[f"step{step}/logits_low"]) < WORST
    logits = resized_logits(low)
    assert error(logits, vectors[f"step{step}/logits"]) < WORST
    mask = logits[:, 1:] > logits[:, :1]
    np.testing.assert_array_equal(mask.numpy(), vectors[f"step{step}/pred"])
    np.testing.assert_array_equal(with_prediction(states, mask).numpy(), vectors[f"step{step}/ref_label_after"])


def test_refinement_in_a_region_gives_the_official_logits(model: InterFormer, vectors: Arrays) -> None:
    features = [torch.from_numpy(vectors[f"out/feat{i}"]) for i in range(4)]
    states = as_map(vectors["roi_forced/ref_label"])
    left, upper, right, lower = (int(v) for v in vectors["roi_forced/roi"])
    inside = resized_logits(model.logits(features, states, (left, upper, right, lower)))
    everywhere = resized_logits(model.logits(features, states))
    assert error(inside, vectors["roi_forced/logits"]) < WORST
    assert error(everywhere, vectors["roi_forced/logits_no_roi"]) < WORST
    assert error(inside, vectors["roi_forced/logits_no_roi"]) > 0.1


def test_the_auxiliary_head_and_the_losses_are_the_official_ones(
    model: InterFormer, state: dict[str, torch.Tensor], vectors: Arrays
) -> None:
    auxiliary = AuxiliaryHead(VARIANTS["mini"]).eval().requires_grad_(requires_grad=False)
    prefix = "auxiliary_head."
    auxiliary.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    features = [torch.from_numpy(vectors[f"out/feat{i}"]) for i in range(4)]
    maps = model.neck(features, state_shares(as_map(vectors["roi_forced/ref_label"])))
    aux, low = auxiliary(maps), model.decode_head(maps)
    assert error(aux, vectors["loss/aux_logits"]) < WORST
    label = torch.from_numpy(vectors["loss/label"])
    truth, valid = (label == 1).float(), (label != 255).float()
    for name, weight, both in (("decode", 1.0, low), ("aux", 0.4, aux)):
        logits = F.interpolate(both, size=label.shape[-2:], mode="bilinear", align_corners=False)
        loss = 0.5 * weight * normalised_focal(logits[:, 1:] - logits[:, :1], truth, valid)
        assert float(loss) == pytest.approx(float(vectors[f"loss/{name}.nfl_loss"][0]), rel=1e-4)
        right = ((logits[:, 1:] > logits[:, :1]).float() == truth).float() * valid
        assert 100 * float(right.sum() / valid.sum()) == pytest.approx(float(vectors[f"loss/{name}.acc_seg"][0]))


@pytest.mark.parametrize("step", STEPS)
def test_the_error_maps_that_place_a_click_are_the_official_ones(vectors: Arrays, step: int) -> None:
    truth = np.pad(vectors["in/gt"] == 1, ((0, 10), (0, 14)))
    mask = vectors[f"step{step - 1}/pred"][0, 0] > 0 if step else np.zeros_like(truth)
    clicked = np.zeros_like(truth)
    for earlier in range(step):
        y, x, _ = vectors[f"step{earlier}/click"]
        clicked[y, x] = True
    for name, wrong in (("fn", truth & ~mask), ("fp", ~truth & mask)):
        np.testing.assert_allclose(depth(wrong & ~clicked), vectors[f"step{step}/dist_{name}"], rtol=1e-4, atol=1e-4)


def test_clicks_on_the_photo_run_the_whole_official_protocol(model: InterFormer, vectors: Arrays) -> None:
    interaction = Interaction(model, vectors["in/image_rgb_u8"], zoom_in=True)
    for step in STEPS:
        roi = vectors.get(f"step{step}/roi")
        y, x, positive = (int(v) for v in vectors[f"step{step}/click"])
        mask = interaction.click(x, y, positive=bool(positive))
        np.testing.assert_array_equal(mask, vectors[f"step{step}/pred"][0, 0, :150, :210] > 0)
        np.testing.assert_array_equal(interaction.states.numpy(), vectors[f"step{step}/ref_label_after"])
        assert (interaction.clicks > 2) == (roi is not None)
    assert interaction.region() == tuple(int(v) for v in vectors["step4/roi"])


@pytest.mark.parametrize(
    ("variant", "backbone", "pyramid", "neck", "total", "entries"),
    [
        ("mini", 135972, 37788, 201944, 382560, 420),
        ("light", 94927392, 7903968, 1737472, 97373348, 468),
        ("tiny", 319536800, 13814944, 4312032, 324557316, 884),
    ],
)
def test_sizes_are_the_official_ones(
    variant: str, backbone: int, pyramid: int, neck: int, total: int, entries: int
) -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        model, auxiliary = build(variant), AuxiliaryHead(VARIANTS[variant])
    assert (count(model.backbone), count(model.backbone.fpn), count(model.neck)) == (backbone, pyramid, neck)
    assert count(model) + count(auxiliary) == total
    indices = VARIANTS[variant].layers  # one relative_position_index in each layer, which is not stored here
    assert len(model.state_dict()) + len(auxiliary.state_dict()) + indices == entries


@pytest.mark.parametrize("variant", ["light", "tiny"])
def test_names_and_shapes_are_the_official_ones(shared_folder: Path, variant: str) -> None:
    path = shared_folder / "facts" / f"keys_interformer_{variant}.txt"
    if not path.is_file():
        pytest.skip(f"no list of names at {path}")
    official = {}
    for line in path.read_text("utf-8").splitlines():
        name, _, rest = line.partition(" ")
        if "(" in rest:
            official[name] = tuple(int(n) for n in rest[rest.index("(") + 1 : rest.index(")")].split(",") if n.strip())
    with torch.device("meta"):
        model = build(variant)
        loaded = adapt({k: torch.empty(s) for k, s in official.items()}, variant)
    ours = {k: tuple(v.shape) for k, v in adapt(model.state_dict(), variant).items()}
    listed = {k: s for k, s in ours.items() if not k.startswith("backbone.layers.") or k.split(".")[2] == "0"}
    assert listed == {k: tuple(v.shape) for k, v in loaded.items()}
    assert len(loaded) > 150


def test_the_variant_is_known_from_shapes(state: dict[str, torch.Tensor]) -> None:
    with torch.device("meta"):
        assert [variant_of(build(v).state_dict()) for v in VARIANTS] == ["mini", "light", "tiny"]
    assert variant_of(state) == "mini"
    assert variant_of({k: v for k, v in state.items() if k != "backbone.pos_embed"}) == "mini"
    assert variant_of({k: v for k, v in state.items() if not k.startswith("neck.")}) is None
    assert variant_of({**state, "backbone.pos_embed": torch.zeros(1, 65, 52)}) is None
    assert variant_of({k.removeprefix("backbone."): v for k, v in state.items()}) is None
    assert variant_of({}) is None


def official_bias(table: torch.Tensor, h: int, w: int, g: int) -> torch.Tensor:
    """As BEiT's code and its nearest resizing have it: (heads, N, N) with the class token first."""
    cells = torch.stack(torch.meshgrid(torch.arange(g), torch.arange(g), indexing="ij")).flatten(1)
    offset = (cells[:, :, None] - cells[:, None]).permute(1, 2, 0) + g - 1
    index = torch.zeros(g * g + 1, g * g + 1, dtype=torch.long)
    index[1:, 1:] = offset[..., 0] * (2 * g - 1) + offset[..., 1]
    index[0, :], index[:, 0], index[0, 0] = len(table) - 3, len(table) - 2, len(table) - 1
    bias = table[index].permute(2, 0, 1)
    if h * w == g * g:
        return bias
    body = bias[:, 1:, 1:]
    body = F.interpolate(body.reshape(-1, g * g, g, g), size=(h, w), mode="nearest").reshape(-1, g * g, h * w)
    body = body.transpose(1, 2).reshape(-1, h * w, g, g)
    body = F.interpolate(body, size=(h, w), mode="nearest").reshape(-1, h * w, h * w).transpose(1, 2)
    out = torch.empty(len(bias), h * w + 1, h * w + 1)
    out[:, 1:, 1:] = body
    out[:, 0, :], out[:, :, 0], out[:, 0, 0] = bias[:, 0, 1:2], bias[:, 1:2, 0], bias[:, 0, 0]
    return out


@pytest.mark.parametrize(("h", "w"), [(4, 4), (2, 8), (8, 2), (3, 5), (9, 6), (4, 2)])
def test_the_bias_by_blocks_is_the_bias_by_pairs(h: int, w: int) -> None:
    torch.manual_seed(0)
    attention = RelativeAttention(8, 2, 4)
    table = torch.randn(52, 2)
    attention.load_state_dict({"relative_position_bias_table": table}, strict=False)
    grid = Grid(h, w, 4, torch.device("cpu"))
    n = h * w
    ours = attention.bias(grid).detach()[0]
    assert (ours[:, :, n + 1 :] < -9999).all()
    assert ours.shape == (2, n + 1, n + grid.width)
    order = [n, *range(n)]  # the class token comes last here
    torch.testing.assert_close(ours[:, order][:, :, order], official_bias(table, h, w, 4), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(11, 8), (6, 5), (1, 3), (16, 20)])
def test_pooling_by_windows_is_adaptive_pooling(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(adaptive_max_pool(x, size), F.adaptive_max_pool2d(x, size), rtol=0, atol=0)
    torch.testing.assert_close(AdaptiveMean(6)(x), F.adaptive_avg_pool2d(x, 6))


@pytest.mark.parametrize(
    ("h", "w", "tokens"), [(512, 512, [246, 246, 246, 361]), (480, 640, [246, 238, 231, 421])], ids=str
)
def test_keys_are_pooled_to_the_official_number(h: int, w: int, tokens: list[int]) -> None:
    with torch.device("meta"):
        stages = build("light").neck.stages
    counts = []
    for i, stage in enumerate(stages):
        attention = stage.get_submodule("blocks.0.attn")
        assert isinstance(attention, PooledAttention)
        sides = [[pooled_size(n >> (2 + i), ratio=r, target=128 >> i) for n in (h, w)] for r in attention.ratios]
        counts.append(sum(a * b for a, b in sides))
    assert counts == tokens


def test_a_disk_has_the_pixels_within_the_radius() -> None:
    blank = torch.full((1, 1, 32, 40), 2.0)
    drawn = with_clicks(blank, torch.tensor([[[20.4, 9.6]]]), torch.tensor([[1.0]]), radius=5)[0, 0].numpy()
    ys, xs = np.mgrid[:32, :40]
    inside = (xs - 20) ** 2 + (ys - 10) ** 2 <= 25
    np.testing.assert_array_equal(drawn, np.where(inside, 4, 2))
    assert inside.sum() == 81


def test_clicks_are_drawn_in_order_cut_at_the_border_and_drawn_again_without_effect() -> None:
    rng = np.random.default_rng(3)
    ys, xs = np.mgrid[:32, :64]
    for count in (1, 2, 7, 30):
        coords = rng.uniform(-4, 68, (1, count, 2)).astype(np.float32)
        labels = rng.integers(-1, 4, (1, count)).astype(np.float32)
        expected = rng.integers(1, 4, (32, 64)).astype(np.float32)
        start = torch.from_numpy(expected.copy())[None, None]
        for (x, y), label in zip(np.rint(coords[0]), labels[0], strict=True):
            if label in (0, 1):
                expected[(xs - x) ** 2 + (ys - y) ** 2 <= 25] = 4 * label
        prompts = torch.from_numpy(coords), torch.from_numpy(labels)
        drawn = with_clicks(start, *prompts, radius=5)
        np.testing.assert_array_equal(drawn[0, 0].numpy(), expected)
        assert torch.equal(with_clicks(drawn, *prompts, radius=5), drawn)


def test_a_prediction_moves_possible_pixels_by_one_state() -> None:
    states = torch.arange(5.0).repeat(2)[None, None, None]
    mask = torch.tensor([True] * 5 + [False] * 5)[None, None, None]
    assert with_prediction(states, mask).flatten().tolist() == [0, 2, 3, 3, 4, 0, 1, 1, 2, 4]


def test_a_box_is_a_mask_to_start_from_and_keeps_its_outside_background() -> None:
    coords = torch.tensor([[[1.0, 1.0], [1.5, 0.5], [4.5, 2.5]]])
    labels = torch.tensor([[-1.0, 2, 3]])
    unknown = torch.full((1, 1, 4, 6), 2.0)
    inside = torch.zeros(1, 1, 4, 6, dtype=torch.bool)
    inside[:, :, 1:3, 2:5] = True
    fresh = with_box(unknown, coords, labels, torch.ones(1))
    assert torch.equal(fresh, torch.where(inside, 3.0, 1.0))
    known = torch.tensor([0.0, 1, 2, 3, 4, 2]).expand(1, 1, 4, 6).clone()
    later = with_box(known, coords, labels, torch.zeros(1))
    assert later[0, 0, 0].tolist() == [0, 1, 1, 1, 4, 1]
    assert later[0, 0, 1].tolist() == [0, 1, 2, 3, 4, 1]
    assert torch.equal(with_box(known, coords, torch.tensor([[0.0, 1, -1]]), torch.ones(1)), known)


def test_shares_of_states_are_the_resized_map() -> None:
    states = torch.randint(0, 5, (2, 1, 32, 64), generator=torch.Generator().manual_seed(2))
    one_hot = F.one_hot(states[:, 0], 5).permute(0, 3, 1, 2).float()
    resized = F.interpolate(one_hot, scale_factor=0.25, mode="bilinear", align_corners=False)
    torch.testing.assert_close(state_shares(states.float()), resized)


def test_the_zoom_region_is_widened_and_snapped() -> None:
    mask = np.zeros((256, 320), bool)
    assert zoom_region(mask) == (0, 0, 320, 256)
    mask[100:150, 40:100] = True  # 60 x 50, widened to 84 x 70 about (70, 125)
    assert zoom_region(mask) == (0, 64, 128, 160)
    mask[:] = False
    mask[128, 160] = True  # 32 pixels at least, about (160.5, 128.5)
    assert zoom_region(mask) == (128, 96, 192, 160)


def test_an_unknown_variant_is_an_error() -> None:
    with pytest.raises(ValueError, match="mini, light, tiny"):
        build("huge")
