"""InterFormer from a checkpoint file to a click in the app: loading, refusals, export, and the masks of torch."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.assets import sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.preprocess import SliceTransform, normalised
from maskwright.core.prompts import Box, Point, Prompts, Scribble
from maskwright.inference.segmenter import OnnxSegmenter, Segmentation, prompt_points
from maskwright_models.checkpoint import load, read_state
from maskwright_models.data.views import read_rgb
from maskwright_models.export.family_files import export_parts
from maskwright_models.registry import Parts
from maskwright_models.zoo.interformer import InterFormer, build, parts
from maskwright_models.zoo.interformer_config import VARIANTS
from tests.models.real_images import ten_real_images
from tests.models.weights import fill, named_weights

ABOUT = {
    "id": "mini",
    "name": "InterFormer",
    "family": "interformer",
    "version": "1",
    "licence": "MIT",
    "citation": "-",
}
LEAST_IOU = 0.995


def official_state(variant: str = "mini") -> dict[str, torch.Tensor]:
    """What an official checkpoint holds: the weights, what is not loaded, and what follows from the sizes."""
    state = named_weights(build(variant).state_dict())
    for name in [k for k in state if k.endswith("relative_position_bias_table")]:
        state[name.replace("bias_table", "index")] = torch.zeros(65, 65, dtype=torch.long)
    return {**state, "auxiliary_head.conv_seg.bias": torch.zeros(2)}


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    meta = {"epoch": 1, "iter": 320000, "CLASSES": ("Background", "Foreground"), "PALETTE": [[0, 0, 0], [1, 1, 1]]}
    torch.save({"meta": meta, "state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}}, path)
    return path


@dataclass(frozen=True)
class Exported:
    model: InterFormer
    parts: Parts
    segmenter: OnnxSegmenter


def exported(model: InterFormer, folder: Path) -> Exported:
    cut = parts(model)
    export_parts(cut, folder, about=ABOUT)
    return Exported(model, cut, OnnxSegmenter(folder, threads=1))


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    model = fill(build("mini"))
    assert isinstance(model, InterFormer)
    return exported(model, tmp_path_factory.mktemp("model") / "mini")


def photo(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:height, :width]
    image = np.stack([(ys * rng.uniform(1, 4) + xs * rng.uniform(1, 4)) % 256 for _ in range(3)], -1)
    for _ in range(6):
        y, x, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(5, 30)
        image[(ys - y) ** 2 + (xs - x) ** 2 < r**2] = rng.integers(0, 256, 3)
    return image.astype(np.uint8)


def in_torch(one: Exported, rgb: np.ndarray, session: list[Prompts]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mask and state after each call, the state carried on, in torch from features as they are stored."""
    cut = one.parts
    transform = SliceTransform((rgb.shape[0], rgb.shape[1]), cut.input_size)
    out = []
    logits, state = torch.zeros(1, 1, *cut.logits_shape), torch.zeros(cut.state_shape or ())
    with torch.inference_mode():
        maps = cut.encoder(torch.from_numpy(normalised(transform.image_to_input(rgb), transform.inner_yx)))
        maps = [one.half().float() for one in maps]
        for call, prompts in enumerate(session):
            coords, labels = (torch.from_numpy(a) for a in prompt_points(prompts, transform))
            known = torch.tensor([float(call > 0)])
            logits, _, state = cut.head(*maps, coords, labels, logits, known, state, known)
            out.append((transform.logits_to_slice(logits[0, 0].numpy()) > 0, state.numpy()))
    return out


def in_the_app(one: Exported, rgb: np.ndarray, session: list[Prompts]) -> list[Segmentation]:
    features, answers = one.segmenter.encode(rgb), []
    for prompts in session:
        answers.append(one.segmenter.segment(features, prompts, previous=answers[-1] if answers else None))
    return answers


def session(height: int, width: int) -> list[Prompts]:
    """Prompts of an object as they grow: clicks, a stroke, a box."""
    items = (
        Point(0.5 * width, 0.4 * height),
        Point(0.1 * width, 0.8 * height, positive=False),
        Scribble(np.array([[0.3 * width, 0.2 * height], [0.6 * width, 0.3 * height]], np.float32)),
        Point(0.5 * width + 2, 0.4 * height, positive=False),
        Box(0.1 * width, 0.1 * height, 0.7 * width, 0.75 * height),
    )
    return [Prompts(items[:n]) for n in range(1, len(items) + 1)]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def same_masks(one: Exported, rgb: np.ndarray) -> bool:
    """Compare the answers to a growing session; whether their masks are neither all empty nor all full."""
    prompts = session(*rgb.shape[:2])
    masks = in_torch(one, rgb, prompts)
    answers = in_the_app(one, rgb, prompts)
    for (mask, state), answer in zip(masks, answers, strict=True):
        assert iou(mask, answer.mask) >= LEAST_IOU
        assert answer.state is not None
        assert (state != answer.state).mean() <= 1 - LEAST_IOU
    return bool(0 < sum(a.mask.mean() for a in answers) < len(answers))


def test_an_official_checkpoint_loads_with_all_it_carries(tmp_path: Path) -> None:
    state = official_state()
    loaded = load(saved(tmp_path / "iter_320000.pth", state))
    assert (loaded.name, loaded.variant, loaded.family.licence) == ("interformer", "mini", "MIT")
    assert isinstance(loaded.model, InterFormer)
    assert not loaded.model.training
    ours = loaded.model.state_dict()
    assert {k for k in ours if k in state} == {k for k in state if k in ours}
    assert all(torch.equal(ours[k], state[k]) for k in ours if not k.endswith("num_batches_tracked"))


def test_the_test_vectors_load_as_a_checkpoint(tmp_path: Path, shared_folder: Path) -> None:
    path = shared_folder / "vectors" / "interformer_mini_state.npz"
    if not path.is_file():
        pytest.skip(f"no test vectors at {path}")
    with np.load(path) as file:
        state = {f"module.{k}": torch.from_numpy(file[k]) for k in file.files}
    assert load(saved(tmp_path / "mini.pth", state), name="interformer").variant == "mini"


def test_missing_unknown_and_misshapen_tensors_are_listed(tmp_path: Path) -> None:
    state = official_state()
    del state["neck.norm2.weight"], state["backbone.layers.1.attn.qkv.bias"]
    state["neck.extra"] = torch.zeros(1)
    state["neck.norm0.bias"] = torch.zeros(9)
    with pytest.raises(ModelError) as caught:
        load(saved(tmp_path / "a.pth", state))
    text = str(caught.value)
    assert "2 missing: backbone.layers.1.attn.qkv.bias, neck.norm2.weight;" in text
    assert "1 unknown: neck.extra;" in text
    assert "neck.norm0.bias is (9,), not (8,)" in text
    assert "a.pth" in text


def test_a_long_list_is_counted(tmp_path: Path) -> None:
    state = {k: v for k, v in official_state().items() if not k.startswith("decode_head.fpn")}
    with pytest.raises(ModelError, match=r"20 missing: decode_head\.fpn_bottleneck.* and 8 more"):
        load(saved(tmp_path / "a.pth", state))


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    state = official_state()
    state["neck.norm0.bias"][3] = torch.nan
    with pytest.raises(ModelError, match=r"1 not finite: neck\.norm0\.bias"):
        load(saved(tmp_path / "a.pth", state))


def test_another_family_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"encoder.weight": torch.zeros(3), "module.x": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match="not a checkpoint of InterFormer: it is of no family that is known"):
        load(path, name="interformer")
    with pytest.raises(ModelError, match=r"of no family that is known: .*Known: .*interformer"):
        load(path)
    with pytest.raises(ModelError, match="there is no model family 'interformers'"):
        load(path, name="interformers")


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, legacy: bool) -> None:
    path, proof = tmp_path / "evil.pth", tmp_path / "proof"
    torch.save({"state_dict": {}, "meta": Malicious(proof)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match=r"would run code when it is opened \(\w+\.mkdir\), which is never done"):
        read_state(path)
    assert not proof.exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_a_checkpoint_that_is_cut_off_is_refused(tmp_path: Path, share: float, legacy: bool) -> None:
    path = tmp_path / "whole.pth"
    torch.save({"state_dict": official_state()}, path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"cut off or not one of torch: .*cut\.pth"):
        read_state(tmp_path / "cut.pth")


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("weights, honestly\n")
    with pytest.raises(ModelError, match="cut off or not one of torch"):
        read_state(tmp_path / "text.pth")
    with pytest.raises(ModelError, match="there is no such checkpoint"):
        read_state(tmp_path / "none.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_state(tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_state(tmp_path / "epoch.pth")


def test_the_card_says_what_the_model_takes_and_remembers(mini: Exported) -> None:
    card = mini.segmenter.card
    assert (card.input_size, card.logits_shape, card.candidates) == (128, (32, 32), 1)
    assert card.state_shape == (1, 1, 128, 128)
    assert [f.shape for f in card.features] == [(1, 8, 32, 32), (1, 16, 16, 16), (1, 32, 8, 8), (1, 64, 4, 4)]
    assert {f.dtype for f in card.features} == {"float16"}
    assert card.prompts == ("point", "box", "scribble")
    assert card.extra["click_radius_px"] == 5


@pytest.mark.parametrize(("height", "width"), [(128, 128), (150, 210), (96, 64)])
def test_the_app_gives_the_masks_of_torch(mini: Exported, height: int, width: int) -> None:
    assert same_masks(mini, photo(height, width, seed=height))


def test_ten_real_images_give_the_masks_of_torch(mini: Exported) -> None:
    images = ten_real_images()
    assert len(images) == 10
    assert sum(same_masks(mini, rgb) for rgb in images) >= 8


def test_the_state_is_the_label_map_with_the_answer_folded_in(mini: Exported) -> None:
    rgb = photo(128, 128, seed=5)
    first, second = in_the_app(
        mini, rgb, [Prompts((Point(60, 40),)), Prompts((Point(60, 40), Point(20, 90, positive=False)))]
    )
    assert first.state is not None and second.state is not None
    ys, xs = np.mgrid[:128, :128]
    disk, negative = (xs - 60) ** 2 + (ys - 40) ** 2 <= 25, (xs - 20) ** 2 + (ys - 90) ** 2 <= 25
    np.testing.assert_array_equal(first.state[0, 0], np.where(disk, 4, np.where(first.mask, 3, 1)))
    moved = np.clip(first.state[0, 0] + np.where(second.mask, 1, -1), 1, 3)
    np.testing.assert_array_equal(second.state[0, 0], np.where(disk, 4, np.where(negative, 0, moved)))


def test_the_answer_depends_on_the_history_and_comes_back_with_it(mini: Exported) -> None:
    rgb = photo(128, 128, seed=6)
    both = Prompts((Point(60, 40), Point(80, 100, positive=False)))
    features = mini.segmenter.encode(rgb)
    first = mini.segmenter.segment(features, both.without_last())
    second = mini.segmenter.segment(features, both, previous=first)
    fresh = mini.segmenter.segment(features, both)
    again = mini.segmenter.segment(features, both, previous=first)
    np.testing.assert_array_equal(second.logits, again.logits)
    np.testing.assert_array_equal(second.state, again.state)
    assert np.abs(second.logits - fresh.logits).max() > 1e-3


def test_a_mask_to_start_from_is_folded_in_as_a_prediction(mini: Exported) -> None:
    start = torch.full((1, 1, 32, 32), -6.0)
    start[..., 8:20, 10:24] = 6
    maps = [torch.randn(f.shape, generator=torch.Generator().manual_seed(1)) for f in mini.parts.features]
    nothing = torch.zeros(1, 1, 2), torch.full((1, 1), -1.0)
    unknown, yes, no = torch.zeros(1, 1, 128, 128), torch.ones(1), torch.zeros(1)
    with torch.inference_mode():
        _, _, state = mini.parts.head(*maps, *nothing, start, yes, unknown, no)
        as_state = torch.where(torch.nn.functional.interpolate(start, scale_factor=4, mode="bilinear") > 0, 3.0, 1.0)
        logits, _, same = mini.parts.head(*maps, *nothing, start, no, as_state, yes)
        with_both, _, kept = mini.parts.head(*maps, *nothing, -start, yes, as_state, yes)
    assert torch.equal(state, same)
    assert torch.equal(same, kept)
    assert torch.equal(logits, with_both)


def test_the_score_is_the_iou_the_probabilities_promise(mini: Exported) -> None:
    answers = in_the_app(mini, photo(128, 128, seed=7), [Prompts((Point(60, 40),))])
    chance = 1 / (1 + np.exp(-answers[0].logits.astype(np.float64)))
    mask = answers[0].logits > 0
    expected = chance[mask].sum() / (mask.sum() + chance[~mask].sum())
    assert answers[0].score == pytest.approx(expected, abs=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("variant", ["light", "tiny"])
def test_the_published_size_goes_the_whole_way(tmp_path: Path, variant: str) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as scratch:  # gigabytes that pytest would keep
        path = Path(scratch) / f"{variant}.pth"
        torch.save({"state_dict": named_weights(build(variant).state_dict())}, path)
        loaded = load(path)
        assert loaded.variant == variant
        assert isinstance(loaded.model, InterFormer)
        one = exported(loaded.model, Path(scratch) / variant)
        assert one.segmenter.card.state_shape == (1, 1, VARIANTS[variant].size, VARIANTS[variant].size)
        assert same_masks(one, read_rgb(sample_photo()))
