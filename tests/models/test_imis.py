"""IMIS-Net against the official classes: sizes, names, outputs on the test vectors, and what a checkpoint may be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwright.core.preprocess import STRETCH_CENTRES, SliceTransform, normalised
from maskwright_models.registry import families, family
from maskwright_models.zoo.imis_loss import imis_loss, picture_logits
from maskwright_models.zoo.imis_model import (
    VARIANTS,
    Head,
    ImisNet,
    adapt,
    chosen,
    detect,
    resized_distances,
    resized_positions,
)
from tests.models.weights import fill, listing

WORST = 1e-4
"""Largest difference from the official output, relative to the largest value."""
CASES = ("point1", "point3", "box", "text", "point_text", "point_box", "all3", "refine")
OFFICIAL = {
    "image_encoder": 95_572_224,
    "prompt_encoder": 17_996,
    "mask_decoder": 23_366_404,
    "text_model": 63_165_952,
    "text_out_dim": 393_984,
}
# sha256 of the listed names and shapes of the official state dict, 527 entries
OFFICIAL_NAMES = "71c0bed0e042eb1d02a55a0e83af2e5ad844fa4b72bafa7a2a2a46a6960e90f1"

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def vectors(shared_folder: Path) -> Arrays:
    return arrays(shared_folder / "vectors" / "imis_mini_256.npz")


@pytest.fixture(scope="module")
def state(shared_folder: Path) -> dict[str, torch.Tensor]:
    return {k: torch.from_numpy(v) for k, v in arrays(shared_folder / "vectors" / "imis_mini_256_state.npz").items()}


@pytest.fixture(scope="module")
def model(state: dict[str, torch.Tensor]) -> ImisNet:
    with torch.device("meta"):
        model = ImisNet(VARIANTS["mini"])
    model.load_state_dict(adapt(state, "mini"), strict=True, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def published() -> ImisNet:
    """The full size without memory for its weights."""
    with torch.device("meta"):
        return ImisNet(VARIANTS["vit_b"])


def arrays(path: Path) -> Arrays:
    if not path.is_file():
        pytest.skip(f"no test vectors at {path}")
    with np.load(path) as file:
        return {k: file[k] for k in file.files}


def error(ours: torch.Tensor, theirs: np.ndarray) -> float:
    assert tuple(ours.shape) == theirs.shape
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


def given(vectors: Arrays, case: str) -> dict[str, torch.Tensor]:
    """The prompts of a case as the model takes them."""
    names = {"coords": "point_coords", "labels": "point_labels", "box": "bboxes", "mask": "mask_inputs"}
    names["text"] = "text_inputs"
    found = {k: torch.from_numpy(vectors[f"{case}/in_{v}"]) for k, v in names.items() if f"{case}/in_{v}" in vectors}
    if "box" in found:
        found["box"] = found["box"][:, 0]
    return found


def test_the_full_size_has_the_official_parameters_and_names(published: ImisNet) -> None:
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in published.named_children()}
    assert sizes == OFFICIAL
    assert sum(sizes.values()) == 182_516_560
    encoder = published.image_encoder
    assert sum(p.numel() for p in encoder.sam_encoder.neck.parameters()) == 787_456
    assert sum(p.numel() for p in encoder.neck.parameters()) == 5_901_312
    assert sum(p.numel() for p in published.mask_decoder.transformer.parameters()) == 16_943_488
    state = published.state_dict()
    assert len(state) == 527
    assert hashlib.sha256(listing(state).encode()).hexdigest() == OFFICIAL_NAMES


def test_a_checkpoint_is_known_by_its_names_and_sizes(published: ImisNet, state: dict[str, torch.Tensor]) -> None:
    assert detect(published.state_dict()) == "vit_b"
    assert detect(state) == "mini"
    assert detect({k: v for k, v in state.items() if k != "mask_decoder.semantic_tokens.weight"}) is None
    assert detect({k: v for k, v in state.items() if ".blocks.3." not in k}) is None
    for name, one in families().items():
        assert (one.detect(published.state_dict()) is not None) == (name == "imis")


def test_the_app_puts_a_slice_into_the_model_as_the_official_code_does(vectors: Arrays) -> None:
    rgb = vectors["in/image_rgb_u8"]
    transform = SliceTransform((rgb.shape[0], rgb.shape[1]), 256, STRETCH_CENTRES)
    ours = normalised(transform.image_to_input(rgb), transform.inner_yx)
    assert error(torch.from_numpy(ours), vectors["in/model_input"]) < 1e-6


def test_the_encoder_gives_the_official_features(model: ImisNet, vectors: Arrays) -> None:
    assert error(model.image_encoder(torch.from_numpy(vectors["in/model_input"])), vectors["out/embedding"]) < WORST
    assert error(model.prompt_encoder.positions(), vectors["out/dense_pe"]) < 1e-6


def test_the_text_tower_gives_the_official_vectors(model: ImisNet, vectors: Arrays) -> None:
    ids = torch.from_numpy(vectors["text/input_ids"])
    assert error(model.encode_text(ids), vectors["text/embedding"]) < WORST
    short = model.encode_text(ids[1:, :10])  # without its padding
    assert error(short, vectors["text/embedding"][1:]) < WORST


@pytest.mark.parametrize("case", CASES)
def test_prompts_give_the_official_candidates(model: ImisNet, vectors: Arrays, case: str) -> None:
    prompts = given(vectors, case)
    sparse = model.prompt_encoder.tokens(**{k: v for k, v in prompts.items() if k != "mask"})
    assert error(sparse, vectors[f"{case}/sparse"]) < 1e-6
    logits, iou, semantic = model(torch.from_numpy(vectors["out/embedding"]), **prompts)
    assert error(logits, vectors[f"{case}/all_low_res"]) < WORST
    assert error(iou, vectors[f"{case}/all_iou"]) < WORST
    assert error(semantic, vectors[f"{case}/all_semantic"]) < WORST
    best = int(chosen(iou)[0])
    assert error(logits[:, best : best + 1], vectors[f"{case}/low_res"]) < WORST
    assert error(iou[:, best : best + 1], vectors[f"{case}/iou"]) < WORST
    assert error(semantic[:, best : best + 1], vectors[f"{case}/semantic"]) < WORST


@pytest.mark.parametrize("case", [c for c in CASES if c != "point3"])  # its label of -1 is a token, and not in the app
def test_the_head_of_the_contract_gives_the_official_candidates(model: ImisNet, vectors: Arrays, case: str) -> None:
    prompts = given(vectors, case)
    points = [(prompts["box"].reshape(1, 2, 2), torch.tensor([[2.0, 3.0]]))] if "box" in prompts else []
    points += [(prompts["coords"], prompts["labels"].float())] if "coords" in prompts else []
    points.append((torch.full((1, 2, 2), 7.0), torch.full((1, 2), -1.0)))
    categories = F.normalize(torch.randn(512, 5, generator=torch.Generator().manual_seed(0)), dim=0)
    logits, scores, category = Head(model, takes_text=True, categories=categories)(
        torch.from_numpy(vectors["out/embedding"]),
        torch.cat([at for at, _ in points], 1),
        torch.cat([code for _, code in points], 1),
        prompts.get("mask", torch.full((1, 1, 64, 64), 3.0)),
        torch.tensor([float("mask" in prompts)]),
        prompts.get("text", torch.full((1, 48), 5.0)),
        torch.tensor([float("text" in prompts)]),
    )
    assert error(logits, vectors[f"{case}/all_low_res"][:, 1:]) < WORST
    assert error(scores, vectors[f"{case}/all_iou"][:, 1:]) < WORST
    semantic = vectors[f"{case}/all_semantic"][0, 1:]
    unit = semantic / np.linalg.norm(semantic, axis=1, keepdims=True)
    assert category.tolist() == [(unit @ categories.numpy()).argmax(1).tolist()]


def test_a_mask_alone_is_a_prompt(model: ImisNet, vectors: Arrays) -> None:
    head = Head(model, takes_text=False)
    features, start = torch.from_numpy(vectors["out/embedding"]), torch.from_numpy(vectors["refine/in_mask_inputs"])
    logits, scores = head(features, torch.zeros(1, 1, 2), -torch.ones(1, 1), start, torch.ones(1))
    assert logits.shape == (1, 3, 64, 64) and scores.shape == (1, 3)
    other, _ = head(features, torch.zeros(1, 1, 2), -torch.ones(1, 1), -start, torch.ones(1))
    assert not torch.allclose(logits, other)
    with pytest.raises(ValueError, match="neither points nor a box nor text"):
        model(features)


def test_the_loss_is_the_official_one(vectors: Arrays) -> None:
    y0, y1, x0, x1 = (int(v) for v in vectors["loss/label_box"])
    truth = torch.zeros(1, 1, 256, 256)
    truth[..., y0:y1, x0:x1] = 1
    loss = imis_loss(torch.from_numpy(vectors["point1/low_res"]), torch.from_numpy(vectors["point1/iou"]), truth)
    for ours, name in ((loss.focal, "focal"), (loss.dice, "dice"), (loss.iou, "iou_mse"), (loss.total, "total")):
        assert error(ours, vectors[f"loss/{name}"]) < 1e-6
    other = imis_loss(-torch.from_numpy(vectors["point1/low_res"]), torch.ones(1, 1), truth)
    assert error(other.focal, vectors["loss/focal"]) > 0.01


def test_the_loss_has_a_gradient_where_the_answer_is_far_off() -> None:
    logits = torch.full((1, 1, 4, 4), -200.0, requires_grad=True)
    loss = imis_loss(logits, torch.zeros(1, 1), torch.ones(1, 1, 16, 16))
    loss.total.backward()
    assert logits.grad is not None and bool(torch.isfinite(loss.total)) and bool((logits.grad < 0).all())


def test_a_click_on_the_picture_gives_the_official_mask(model: ImisNet, vectors: Arrays) -> None:
    rgb = vectors["in/image_rgb_u8"]
    shape_yx = (rgb.shape[0], rgb.shape[1])
    at = torch.tensor([[[100.0, 70.0]]]) * torch.tensor([256 / shape_yx[1], 256 / shape_yx[0]])
    assert error(at, vectors["point1/in_point_coords"]) < 1e-6
    logits, iou, _ = model(torch.from_numpy(vectors["out/embedding"]), coords=at, labels=torch.ones(1, 1))
    best = int(chosen(iou)[0])
    low_res = logits[:, best : best + 1]
    assert error(low_res[0], vectors["predict/low_res"]) < WORST
    mask = picture_logits(low_res, 256, shape_yx).sigmoid() > 0.5
    np.testing.assert_array_equal(mask.numpy(), vectors["predict/mask"])
    # the app goes from the logits to the picture in one step, which moves edges by less than a pixel of the logits
    ours = SliceTransform(shape_yx, 256, STRETCH_CENTRES).logits_to_slice(low_res[0, 0].numpy())
    assert np.mean((ours > 0) != vectors["predict/mask"][0, 0]) < 0.015


def test_a_box_on_the_picture_gives_the_official_logits(model: ImisNet, vectors: Arrays) -> None:
    box = torch.tensor([[60.0, 40.0, 150.0, 110.0]]) * torch.tensor([256 / 210, 256 / 150] * 2)
    logits, iou, _ = model(torch.from_numpy(vectors["out/embedding"]), box=box)
    best = int(chosen(iou)[0])
    found = picture_logits(logits[:, best : best + 1], 256, (150, 210))
    assert error(found, vectors["predict_boxes/logits"][:1]) < WORST
    assert error(found, vectors["predict_boxes/logits"][1:]) > 0.1  # the other box, whose corners nobody wrote down


def test_several_prompts_go_at_once(model: ImisNet, vectors: Arrays) -> None:
    features = torch.from_numpy(vectors["out/embedding"])
    coords, labels = torch.tensor([[[20.0, 30.0]], [[200.0, 90.0]]]), torch.tensor([[1], [0]])
    both = model(features, coords=coords, labels=labels)
    for i in range(2):
        one = model(features, coords=coords[i : i + 1], labels=labels[i : i + 1])
        for a, b in zip(both, one, strict=True):
            assert torch.allclose(a[i : i + 1], b, atol=1e-4 * float(b.abs().max()))


def test_tables_are_resized_for_a_smaller_input() -> None:
    table = torch.arange(5.0)[:, None].expand(5, 2)
    assert resized_distances(table, 3) is table
    assert torch.allclose(resized_distances(table, 2)[:, 0], torch.tensor([1 / 3, 2.0, 11 / 3]))
    grid = torch.rand(1, 8, 8, 3)
    assert resized_positions(grid, 8) is grid
    assert torch.allclose(resized_positions(torch.full((1, 8, 8, 3), 2.5), 4), torch.full((1, 4, 4, 3), 2.5))
    ramp = torch.arange(8.0)[None, :, None, None].expand(1, 8, 8, 1)
    assert torch.allclose(resized_positions(ramp, 4)[0, 1:3, 0, 0], torch.tensor([2.5, 4.5]), atol=0.05)


def test_the_published_weights_fit_smaller_inputs(published: ImisNet) -> None:
    prefix = "image_encoder.sam_encoder."
    tables = {k: torch.zeros(v.shape) for k, v in published.state_dict().items() if "pos" in k and k.startswith(prefix)}
    for variant, grid in (("vit_b", 64), ("vit_b_512", 32), ("vit_b_256", 16)):
        with torch.device("meta"):
            own = family("imis").build(variant).state_dict()
        assert {k: v.shape for k, v in adapt(tables, variant).items()} == {k: own[k].shape for k in tables}
        assert own[f"{prefix}pos_embed"].shape == (1, grid, grid, 768)
        assert own[f"{prefix}blocks.2.attn.rel_pos_h"].shape == (2 * grid - 1, 64)
        assert own[f"{prefix}blocks.1.attn.rel_pos_h"].shape == (27, 64)


def test_the_index_of_older_text_towers_is_dropped(state: dict[str, torch.Tensor]) -> None:
    older = state | {"text_model.text_model.embeddings.position_ids": torch.arange(77)[None]}
    assert adapt(older, "mini").keys() == state.keys()


def test_random_weights_of_the_small_variant_are_finite() -> None:
    model = fill(ImisNet(VARIANTS["mini"]))
    assert isinstance(model, ImisNet)
    with torch.no_grad():
        features = model.image_encoder(torch.rand(1, 3, 256, 256))
        assert features.shape == (1, 48, 16, 16) and bool(torch.isfinite(features).all())
