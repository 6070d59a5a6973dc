"""IMIS-Net as the app runs it: a checkpoint, its export, and the same masks in torch and in OnnxSegmenter."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.core.errors import ModelError
from maskwright.core.metrics import iou
from maskwright.core.preprocess import Intensity, SliceTransform, normalised
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.inference import OnnxSegmenter
from maskwright.inference.segmenter import prompt_points
from maskwright_models.__main__ import main
from maskwright_models.checkpoint import load
from maskwright_models.export.family_files import export_parts
from maskwright_models.export.parity import TOLERANCES, ParityImage, compare
from maskwright_models.registry import Parts, family
from maskwright_models.zoo.imis_files import CATEGORIES_FILE, TOKENIZER_FOLDER
from maskwright_models.zoo.imis_model import VARIANTS, ImisNet, TextTower
from tests.models.imis_cases import save_categories, save_vocabulary
from tests.models.weights import fill

ABOUT = {"id": "imis", "name": "IMIS-Net", "family": "imis", "version": "1", "licence": "", "citation": ""}
LEAST_IOU = 0.995
IMAGES = 10
KIDNEY = (49406, 320, 10551, 9512, 2445, 539, 320, 1823, 14610, 269, 49407)
TOKENS = {
    "kidney_left": KIDNEY,
    "Photo of a cat": (*KIDNEY[:7], 1125, 539, 320, 2368, *KIDNEY[-2:]),
    "liver": (*KIDNEY[:7], 12639, *KIDNEY[-2:]),
}
PROMPTS = (
    (Point(100, 60),),
    (Point(100, 60), Point(20, 100, positive=False)),
    (Box(30, 20, 150, 110),),
    (Point(100, 60), Box(30, 20, 150, 110)),
    (Scribble(np.array([[40, 30], [90, 70], [150, 60]], np.float32)),),
    (Text("kidney_left"),),
    (Text("Photo of a cat"), Point(60, 60)),
    (Text("liver"), Box(30, 20, 150, 110), Point(100, 60)),
)


@dataclass(frozen=True, slots=True)
class Both:
    """The same model in torch and in the app."""

    model: ImisNet
    parts: Parts
    segmenter: OnnxSegmenter

    def in_torch(
        self, image: np.ndarray, prompts: Prompts, previous: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, float, str]:
        """Mask, logits, score and category by torch from the app's own input, with features as they are stored."""
        parts = self.parts
        transform = SliceTransform((image.shape[0], image.shape[1]), parts.input_size, parts.preprocessing)
        image_in = normalised(transform.image_to_input(image), transform.inner_yx)
        with torch.no_grad():
            text = torch.zeros(parts.text_shape or (1, 1))
            if prompts.text:
                text = self.model.encode_text(torch.tensor([TOKENS[prompts.text]]))
            start = np.zeros(parts.logits_shape, np.float32) if previous is None else previous
            logits, scores, category = parts.head(
                parts.encoder(torch.from_numpy(image_in))[0].half().float(),
                *(torch.from_numpy(a) for a in prompt_points(prompts, transform)),
                torch.from_numpy(start)[None, None],
                torch.tensor([float(previous is not None)]),
                text,
                torch.tensor([float(bool(prompts.text))]),
            )
        best = int(scores[0].argmax())
        chosen = logits[0, best].numpy()
        name = parts.categories[int(category[0, best])]
        return transform.logits_to_slice(chosen) > 0, chosen, float(scores[0, best]), name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as published, of random weights, with the tokenizer and the categories beside it."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(fill(ImisNet(VARIANTS["mini"])).state_dict(), folder / "IMISNet-mini.pth")
    save_vocabulary(folder / TOKENIZER_FOLDER)
    save_categories(folder / CATEGORIES_FILE)
    return folder / "IMISNet-mini.pth"


@pytest.fixture(scope="module")
def both(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    loaded = load(checkpoint)
    assert (loaded.name, loaded.variant) == ("imis", "mini")
    assert isinstance(loaded.model, ImisNet) and loaded.family.beside is not None
    assert loaded.family.beside(loaded.model, checkpoint.parent) == ()
    return exported(loaded.model, tmp_path_factory.mktemp("installed"))


def exported(model: ImisNet, folder: Path) -> Both:
    parts = family("imis").parts(model)
    export_parts(parts, folder, about=ABOUT)
    return Both(model, parts, OnnxSegmenter(folder, threads=1))


def test_the_card_says_what_the_model_takes(both: Both) -> None:
    card = both.segmenter.card
    assert card.prompts == ("point", "box", "scribble", "text")
    assert (card.input_size, card.logits_shape, card.text_shape, card.candidates) == (256, (64, 64), (1, 48), 3)
    assert [(f.name, f.shape, f.dtype) for f in card.features] == [("feat_0", (1, 48, 16, 16), "float16")]
    assert card.preprocessing == "stretch-nearest-centre"
    assert card.labels == ("Left kidney", "liver", "Right kidney")
    assert card.categories == ("Kidney", "Liver", "Background")
    assert set(card.files) == {"encoder", "head", "text", "tokenizer"}
    assert sorted(p.name for p in both.segmenter.folder.iterdir()) == sorted([*card.files.values(), "model.json"])


@pytest.mark.parametrize("items", PROMPTS)
def test_a_prompt_gives_the_same_mask_in_torch_and_in_the_app(both: Both, items: tuple) -> None:
    image = np.random.default_rng(3).integers(0, 256, (130, 180, 3), dtype=np.uint8)
    features, prompts = both.segmenter.encode(image), Prompts(items)
    found = both.segmenter.segment(features, prompts)
    mask, logits, score, category = both.in_torch(image, prompts)
    assert np.abs(found.logits - logits).max() <= 1e-2 * np.abs(logits).max()
    assert found.score == pytest.approx(score, rel=1e-2)
    assert iou(found.mask, mask) >= LEAST_IOU
    assert 0.01 < mask.mean() < 0.99
    assert found.label == category
    more = prompts.add(Point(150, 110, positive=False))
    again = both.segmenter.segment(features, more, previous=found)
    mask, logits, _, _ = both.in_torch(image, more, found.logits)
    assert iou(again.mask, mask) >= LEAST_IOU
    assert np.abs(again.logits - found.logits).max() > 0.01


def test_ten_real_images_give_the_same_masks(both: Both, shared_data: Path) -> None:
    paths = [sorted((p / "images").iterdir())[0] for p in sorted((shared_data / "val").glob("medical_*"))][:IMAGES]
    assert len(paths) == IMAGES
    for i, path in enumerate(paths):
        image = np.asarray(Image.open(path).convert("RGB"))
        h, w = image.shape[:2]
        items = ((Point(0.4 * w, 0.5 * h),), (Box(0.2 * w, 0.3 * h, 0.7 * w, 0.8 * h),), (Text("liver"),))[i % 3]
        found = both.segmenter.segment(both.segmenter.encode(image), Prompts(items))
        mask, *_ = both.in_torch(image, Prompts(items))
        assert found.mask.shape == (h, w)
        assert iou(found.mask, mask) >= LEAST_IOU


def test_free_text_a_key_and_a_name_are_read_alike(both: Both) -> None:
    features = both.segmenter.encode(np.arange(3600, dtype=np.uint8).reshape(60, 60))
    key, name, other = (
        both.segmenter.segment(features, Prompts((Text(t),))) for t in ("kidney_left", "left kidney", "right kidney")
    )
    assert np.array_equal(key.logits, name.logits)
    assert not np.array_equal(key.logits, other.logits)


def test_without_a_tokenizer_the_model_takes_no_text(checkpoint: Path, tmp_path: Path) -> None:
    loaded = load(checkpoint)
    assert isinstance(loaded.model, ImisNet) and loaded.family.beside is not None
    said = loaded.family.beside(loaded.model, tmp_path)
    assert len(said) == 2 and all(str(tmp_path) in sentence for sentence in said)
    plain = exported(loaded.model, tmp_path / "out")
    card = plain.segmenter.card
    assert card.prompts == ("point", "box", "scribble")
    assert (card.text_shape, card.labels, card.categories) == (None, (), ())
    assert set(card.files) == {"encoder", "head"}
    features = plain.segmenter.encode(np.zeros((40, 40), np.uint8))
    assert plain.segmenter.segment(features, Prompts((Point(20, 20),))).label == ""
    with pytest.raises(ModelError, match="does not take text"):
        plain.segmenter.segment(features, Prompts((Text("liver"),)))


def test_what_fine_tuning_saves_is_read_too(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    tuned = {
        "epoch": 3,
        "model_state_dict": {f"module.{k}": v for k, v in state.items()},
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 1e-4, "params": [0]}]},
        "lr_scheduler_state_dict": {"last_epoch": 3, "_last_lr": [1e-4]},
        "losses": [0.5, np.float64(0.25)],
        "dices": [np.float32(0.75)],
        "best_dice": np.float64(0.75),
        "args": argparse.Namespace(task_name="ft", image_size=256, device_ids=[0]),
    }
    torch.save(tuned, tmp_path / "IMIS_latest.pth")
    loaded = load(tmp_path / "IMIS_latest.pth", name="imis")
    own = loaded.model.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[k], v) for k, v in state.items())


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of random weights change more with the rounding of stored features than those of trained ones."""
    feature, logit, _ = TOLERANCES["fp32"]
    monkeypatch.setitem(TOLERANCES, "fp32", (feature, logit, 0.98))
    monkeypatch.setitem(TOLERANCES, "fp16", (*TOLERANCES["fp16"][:2], 0.9))


def imported(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict:
    assert main(["import", *(str(a) for a in arguments)]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("random_weights")
def test_the_import_command_holds_text_to_torch_too(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = []
    for precision in ("fp32", "fp16"):
        folder = tmp_path / precision
        said = imported(capsys, checkpoint, "--out", folder, "--precision", precision)
        assert said["family"] == "imis"
        assert (said["parity"]["images"], said["parity"]["cases"]) == (4, 20)
        sizes.append((folder / "text.onnx").stat().st_size)
        assert OnnxSegmenter(folder, threads=1).card.extra["text"]["names"]["kidney_left"] == "Left kidney"
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.usefixtures("random_weights")
def test_a_text_tower_that_reads_otherwise_is_not_installed(both: Both, tmp_path: Path) -> None:
    with torch.no_grad():
        other = TextTower(fill(ImisNet(VARIANTS["mini"])))  # type: ignore[arg-type]
        other.project.weight.mul_(1.01)
    broken = replace(both.parts, text_tower=other)
    image = ParityImage("noise", np.zeros((40, 40), np.uint8), Intensity(0, 255))
    report = compare(broken, both.segmenter.folder, [image], precision="fp32")
    assert report.feature_error > 0.002
    with pytest.raises(ModelError, match="a feature differs"):
        report.check(tmp_path)
    compare(both.parts, both.segmenter.folder, [image], precision="fp32").check(tmp_path)


@pytest.mark.usefixtures("random_weights")
def test_weights_run_at_another_input_size(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = imported(capsys, checkpoint, "--variant", "mini_128", "--out", tmp_path / "small")
    assert said["parity"]["logit_error"] < 1e-4
    card = OnnxSegmenter(tmp_path / "small", threads=1).card
    assert (card.input_size, card.features[0].shape) == (128, (1, 48, 8, 8))
    with pytest.raises(ModelError, match="IMIS-Net has no variant 'vit_s'"):
        load(checkpoint, variant="vit_s")
    with pytest.raises(ModelError, match="of another shape"):
        load(checkpoint, variant="vit_b_256")


def test_other_files_are_refused_with_the_reason(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    path = tmp_path / "bad.pth"
    path.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    with pytest.raises(ModelError, match="cut off"):
        load(path, name="imis")
    lost = ("mask_decoder.iou_token.weight", "text_out_dim.bias")
    torch.save({k: v for k, v in state.items() if k not in lost}, path)
    with pytest.raises(ModelError, match="2 missing: mask_decoder.iou_token.weight, text_out_dim.bias"):
        load(path, name="imis")
    torch.save(state | {"extra.weight": torch.ones(1)}, path)
    with pytest.raises(ModelError, match="1 unknown: extra.weight"):
        load(path, name="imis")
    torch.save({k: v for k, v in state.items() if k.startswith("image_encoder.")}, path)
    with pytest.raises(ModelError, match="not a checkpoint of IMIS-Net"):
        load(path, name="imis")
    torch.save({k: v[..., :1] if k == "text_out_dim.weight" else v for k, v in state.items()}, path)
    with pytest.raises(ModelError, match=r"text_out_dim.weight is \(48, 1\), not \(48, 32\)"):
        load(path, name="imis")


@pytest.mark.full
def test_the_full_size_gives_the_same_mask(checkpoint: Path, tmp_path: Path) -> None:
    model = ImisNet(VARIANTS["vit_b"]).eval().requires_grad_(requires_grad=False)
    assert family("imis").beside is not None
    family("imis").beside(model, checkpoint.parent)  # type: ignore[misc]
    full = exported(model, tmp_path)
    assert full.segmenter.card.features[0].shape == (1, 768, 64, 64)
    image = np.random.default_rng(3).integers(0, 256, (130, 180, 3), dtype=np.uint8)
    features = full.segmenter.encode(image)
    for items in PROMPTS[1::3]:
        mask, *_ = full.in_torch(image, Prompts(items))
        assert iou(full.segmenter.segment(features, Prompts(items)).mask, mask) >= LEAST_IOU
