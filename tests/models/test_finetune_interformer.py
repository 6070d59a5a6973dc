"""InterFormer's recipe: its loss and index tables against the published vectors, its users, crops, rates and names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from maskwright.core.errors import ModelError
from maskwright_models.data.index import ImageEntry, LazyMap, read_dataset
from maskwright_models.finetune.distortion import distorted
from maskwright_models.finetune.drop_path import add_drop_path
from maskwright_models.finetune.interformer import (
    InterFormerTuning,
    Trained,
    depth_of,
    official_state,
    relative_position_index,
)
from maskwright_models.finetune.interformer_clicks import corrections, next_click, simulate
from maskwright_models.finetune.interformer_loss import interformer_focal, of_two_classes
from maskwright_models.finetune.interformer_views import IGNORED, nearest, object_view
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.start import Start, from_checkpoint
from maskwright_models.zoo.interformer import InterFormer, build
from maskwright_models.zoo.interformer_config import VARIANTS
from tests.models.finetune_cases import CPU
from tests.models.training_cases import make_set

Arrays = dict[str, np.ndarray]


def arrays(path: Path) -> Arrays:
    if not path.is_file():
        pytest.skip(f"no test vectors at {path}")
    with np.load(path) as file:
        return {k: file[k] for k in file.files}


@pytest.fixture(scope="module")
def official(shared_folder: Path) -> dict[str, torch.Tensor]:
    """The official state dict of the small model, with all that a published file has."""
    held = arrays(shared_folder / "vectors" / "interformer_mini_state.npz")
    return {k: torch.from_numpy(v) for k, v in held.items()}


@pytest.fixture(scope="module")
def vectors(shared_folder: Path) -> Arrays:
    return arrays(shared_folder / "vectors" / "interformer_mini.npz")


def pictures(folder: Path) -> Pictures:
    return Pictures([read_dataset(make_set(folder / "natural" / "Disks"))], folder)


def fresh(name: str = "mini") -> Start:
    torch.manual_seed(0)
    return Start("interformer", name, build(name))


def test_the_loss_is_the_official_one(vectors: Arrays) -> None:
    truth = torch.from_numpy(vectors["loss/label"])[:, 0]
    auxiliary = of_two_classes(torch.from_numpy(vectors["loss/aux_logits"]), truth, stride=16)
    assert 0.4 * float(auxiliary) == pytest.approx(float(vectors["loss/aux.nfl_loss"][0]), rel=1e-4)
    flipped = of_two_classes(-torch.from_numpy(vectors["loss/aux_logits"]), truth, stride=16)
    assert abs(float(flipped) - float(auxiliary)) > 0.01


def test_the_loss_leaves_ignored_pixels_out() -> None:
    truth = torch.tensor([[[1, 0, 0, 1]], [[1, 0, IGNORED, IGNORED]], [[IGNORED] * 4]], dtype=torch.uint8)
    logits = torch.tensor([[[2.0, -1.0, 0.5, 3.0]], [[2.0, -1.0, 9.0, -9.0]], [[1.0, 2.0, 3.0, 4.0]]])
    logits.requires_grad_()
    loss = interformer_focal(logits, truth)
    half = interformer_focal(logits[:1, :, :2], truth[:1, :, :2])
    assert float(loss[1].detach()) == pytest.approx(float(half[0].detach()))
    assert float(loss[2].detach()) == 0
    loss.sum().backward()
    assert logits.grad is not None and not logits.grad[1, 0, 2:].any() and bool(logits.grad[0].all())


def test_a_checkpoint_comes_out_with_every_official_name_and_value(
    official: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "iter_320000.pth"
    torch.save({"state_dict": official, "meta": {"iter": 320000}}, path)
    start = from_checkpoint(path, name="interformer", variant="auto")
    tuning = InterFormerTuning(start, pictures(tmp_path / "set"), Recipe(steps=1, batch=2), CPU)
    written = tuning.official()["state_dict"]
    assert written.keys() == official.keys() and len(written) == 420
    same = [k for k, v in official.items() if torch.equal(written[k], v)]
    assert {k for k in official if k not in same} <= {k for k in official if k.endswith("num_batches_tracked")}
    assert torch.equal(relative_position_index(8), official["backbone.layers.0.attn.relative_position_index"])


def test_an_auxiliary_head_that_does_not_fit_is_refused(official: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state = {**official, "auxiliary_head.conv_seg.weight": torch.zeros(2, 3, 1, 1)}
    start = Start("interformer", "mini", build("mini"), state)
    with pytest.raises(ModelError, match="auxiliary head"):
        InterFormerTuning(start, pictures(tmp_path / "set"), Recipe(steps=1, batch=2), CPU)


def test_the_published_names_are_those_of_the_published_files(shared_folder: Path) -> None:
    listing = shared_folder / "facts" / "keys_interformer_light.txt"
    if not listing.is_file():
        pytest.skip(f"no listing at {listing}")
    rows = [line.split(" ", 1) for line in listing.read_text().splitlines() if "torch." in line]
    with torch.device("meta"):
        model = build("light")
        trained = Trained(model)
    written = official_state(trained)
    assert len(written) == 468
    for name, what in rows:
        assert f"{tuple(written[name].shape)} {written[name].dtype}" == what


def test_deeper_layers_learn_more_slowly(tmp_path: Path) -> None:
    names = {"backbone.pos_embed": 0, "backbone.patch_embed.projection.bias": 0, "backbone.layers.0.gamma_1": 1}
    names |= {"backbone.layers.11.ln1.weight": 12, "backbone.fpn.rescale_ops.0.0.bias": 13, "neck.patch_embed": 13}
    assert {name: depth_of(name, 12) for name in names} == names
    tuning = InterFormerTuning(fresh(), pictures(tmp_path), Recipe(steps=1, batch=2), CPU)
    groups = tuning.optimiser().param_groups
    assert sorted({round(g["top"], 10) for g in groups}) == [round(1e-4 * 0.65**k, 10) for k in (3, 2, 1, 0)]
    decayed = {id(p) for g in groups if g["weight_decay"] == 0.05 for p in g["params"]}
    plain = [n for n, p in tuning.module.named_parameters() if id(p) not in decayed]
    assert {g["weight_decay"] for g in groups} == {0.05, 0.0}
    assert "neck.patch_embed" in plain and "backbone.layers.0.attn.qkv.bias" in plain
    assert "backbone.layers.0.attn.qkv.weight" not in plain
    assert sum(len(g["params"]) for g in groups) == len(list(tuning.module.parameters()))
    assert tuning.rate_factor(0, 0.0) == pytest.approx(1e-6)
    assert tuning.rate_factor(1500, 0.005) == pytest.approx(0.995)
    assert tuning.rate_factor(10, 0.5) == pytest.approx(0.5)


def test_clicks_go_into_the_deeper_error_and_not_where_one_was() -> None:
    truth, nothing = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    truth[5:20, 5:20] = True
    rng = np.random.default_rng(0)
    assert next_click(nothing, truth, [], rng, looseness=2e-7) == (12, 12, True)
    assert next_click(truth, truth, [], rng, looseness=2e-7) is None
    x, y, positive = next_click(nothing, truth, [(12, 12)], rng, looseness=2e-7) or (0, 0, False)
    assert positive and truth[y, x] and (x, y) != (12, 12)
    surplus = truth.copy()
    surplus[5:20, 5:20], surplus[22:37, 22:37] = False, True
    assert (next_click(surplus, truth, [], rng, looseness=2e-7) or (0, 0, True))[2] is False  # as deep: the surplus
    loose = {next_click(nothing, truth, [], rng, looseness=1 - 1 / 1.7) for _ in range(60)}
    assert len(loose) > 10 and all(found and 7 <= found[0] < 18 for found in loose)


def test_the_number_of_corrections_falls_off() -> None:
    rng = np.random.default_rng(1)
    counts = Counter(corrections(rng) for _ in range(4000))
    assert counts[0] / 4000 == pytest.approx(0.4, abs=0.03) and counts[1] / counts[0] == pytest.approx(0.6, abs=0.06)
    assert max(counts) <= 20


def test_the_label_map_remembers_clicks_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright_models.finetune.interformer_clicks.corrections", lambda rng: 2)
    truth = np.zeros((2, 64, 64), bool)
    truth[0, 10:40, 10:40], truth[1, 30:60, 20:50] = True, True
    seen: list[torch.Tensor] = []

    def everything(states: torch.Tensor) -> torch.Tensor:
        seen.append(states.clone())
        return torch.ones_like(states, dtype=torch.bool)

    states = simulate(everything, truth, np.random.default_rng(0), radius=5, device=CPU)
    assert len(seen) == 2
    assert set(seen[0].unique().tolist()) == {2.0, 4.0}  # one click, in the object of each
    assert all(truth[i][(seen[0][i, 0] == 4).numpy()].all() for i in range(2))
    assert (seen[1] == 3).any() and (seen[1] == 0).any()  # the answer was folded in, and then contradicted
    assert not truth[0][(states[0, 0] == 0).numpy()].any()
    assert int((states[0] == 0).sum()) > int((seen[1][0] == 0).sum()) >= 60


def test_a_view_has_the_object_where_the_image_has_it(tmp_path: Path) -> None:
    index = np.zeros((80, 100), np.int32)
    index[20:60, 30:80], index[:10] = 1, -1
    pixels = np.where(index[..., None] == 1, 250, 5).astype(np.uint8).repeat(3, 2)
    assert cv2.imwrite(str(tmp_path / "a.png"), pixels)
    entry = ImageEntry(tmp_path / "a.png", (LazyMap("a", lambda: index),), {("a", 1): "box"})
    shown = 0
    for seed in range(20):
        view = object_view(entry, np.random.default_rng(seed), size=64)
        if view is None:
            continue
        shown += 1
        assert view.image.shape == (3, 64, 64) and view.image.dtype == np.float32
        assert view.truth.shape == (64, 64) and set(np.unique(view.truth)) <= {0, 1, IGNORED}
        inside, outside = view.image[:, view.truth == 1], view.image[:, view.truth == 0]
        assert inside.size and (outside.size == 0 or outside.mean() < inside.mean() - 0.5)
    assert shown > 10
    entry = ImageEntry(tmp_path / "a.png", (LazyMap("a", lambda: np.minimum(index, 0)),), {})
    assert object_view(entry, np.random.default_rng(0), size=64) is None


def test_an_index_is_resized_to_the_number_at_each_centre() -> None:
    index = np.array([[1, 2], [3, 70000]], np.int32)
    assert np.array_equal(nearest(index, (4, 4)), index.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(nearest(np.arange(9).reshape(1, 9), (1, 3)), [[1, 4, 7]])


def test_distortion_changes_colours_within_bounds() -> None:
    rgb = np.random.default_rng(0).integers(60, 180, (20, 20, 3), np.uint8)
    kept = rgb.copy()
    out = [distorted(rgb, np.random.default_rng(seed)) for seed in range(12)]
    assert np.array_equal(rgb, kept)
    assert all(o.shape == rgb.shape and o.dtype == np.uint8 for o in out)
    assert sum(not np.array_equal(o, rgb) for o in out) >= 9
    assert np.array_equal(out[3], distorted(rgb, np.random.default_rng(3)))
    grey = np.full((4, 4, 3), 100, np.uint8)
    turned = distorted(grey, np.random.default_rng(5))
    assert (turned[..., 0] == turned[..., 1]).all()


def test_branches_are_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    branch = nn.Identity()
    add_drop_path(branch, 0.25)
    x = torch.ones(4000, 2, 3)
    assert torch.equal(branch.eval()(x), x)
    dropped = branch.train()(x)
    each = dropped[:, 0, 0]
    assert sorted(each.unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05) and bool((dropped == each[:, None, None]).all())
    with pytest.raises(ValueError, match="chance"):
        add_drop_path(branch, 1.0)


def test_every_block_has_its_chance_to_be_dropped(tmp_path: Path) -> None:
    model = build("mini")
    assert isinstance(model, InterFormer)
    tuning = InterFormerTuning(Start("interformer", "mini", model), pictures(tmp_path), Recipe(steps=1, batch=2), CPU)
    hooked = [n for n, m in tuning.module.named_modules() if m._forward_hooks]
    config = VARIANTS["mini"]
    blocks = sum(config.coarse) + sum(config.refine)
    assert len(hooked) == 2 * (config.layers - 1) + 2 * (blocks - 1)  # the first of each has a chance of 0
    assert "neck.refine_stages.3.blocks.0.mlp" in hooked and "backbone.layers.1.attn" in hooked
