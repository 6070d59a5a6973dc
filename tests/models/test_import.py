"""`maskwright-models import`: a published checkpoint becomes a model that the app runs, or nothing is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from maskwright.assets import sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.prompts import Box, Point, Prompts
from maskwright.inference import OnnxSegmenter, load_segmenter, read_card
from maskwright.inference.external_data import external_files
from maskwright_models.__main__ import main
from maskwright_models.checkpoint import load
from maskwright_models.commands.import_ import export_checked
from maskwright_models.export import quantize
from maskwright_models.export.family_files import export_parts
from maskwright_models.export.install import new_folder
from maskwright_models.export.parity import Parity, compare, images_of
from maskwright_models.registry import family
from maskwright_models.zoo import sam, sam2
from tests.models.sam_cases import SMALL, add_small

ABOUT = {"id": "m", "name": "M", "family": "sam", "version": "1", "licence": "", "citation": ""}


@pytest.fixture(autouse=True)
def small_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    add_small(monkeypatch)


def save(path: Path, name: str = "sam") -> Path:
    """A checkpoint of fresh weights."""
    torch.manual_seed(3)
    config = SMALL[name]
    model = sam2.Sam2(config) if isinstance(config, sam2.Sam2Config) else sam.Sam(config)
    torch.save(model.state_dict(), path)
    return path


def run(path: Path, out: Path, *more: str) -> int:
    """Import; compared on the bundled photo alone unless told otherwise."""
    images = [] if "--images" in more else ["--images", str(sample_photo())]
    return main(["import", str(path), "--out", str(out), *more, *images])


@pytest.mark.parametrize("name", ["sam", "medsam", "sam_med2d", "sam2"])
def test_a_checkpoint_becomes_a_model_that_takes_clicks(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "checkpoint.pth", "sam" if name == "medsam" else name)
    out = tmp_path / "models" / "mine"
    assert run(path, out, *(["--family", "medsam"] if name == "medsam" else [])) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["id"], said["family"], said["licence"]) == ("mine", name, "Apache-2.0")
    assert said["parity"]["mask_iou"] >= 0.995 and said["parity"]["logit_error"] <= 0.001
    assert said["parity"]["images"] == 1 and said["parity"]["cases"] == (1 if name == "medsam" else 4)
    assert [p.name for p in out.parent.iterdir()] == ["mine"]
    card = read_card(out)
    assert card.family == name and card.citation == family(name).citation
    assert card.extra["variant"] == "small" and card.extra["parity"] == said["parity"]
    segmenter = load_segmenter("mine", user_models=out.parent, threads=1)
    features = segmenter.encode(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    assert [a.shape for a in features.arrays] == [f.shape for f in card.features]
    assert {a.dtype for a in features.arrays} == {np.dtype(np.float16)}
    prompts = Prompts((Box(10, 10, 70, 50),)) if name == "medsam" else Prompts((Point(40, 30),))
    assert segmenter.segment(features, prompts).mask.shape == (60, 90)


def test_by_default_it_is_compared_on_the_bundled_photo_and_volume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(save(tmp_path / "sam.pth")), "--out", str(tmp_path / "m")]) == 0
    parity = json.loads(capsys.readouterr().out)["parity"]
    assert (parity["images"], parity["cases"]) == (4, 16)


def test_each_family_says_how_it_wants_its_slices() -> None:
    wanted = {
        "sam": ("letterbox-top-left", 4, (0.485, 0.456, 0.406), ("point", "box", "scribble")),
        "mobile_sam": ("letterbox-top-left", 4, (0.485, 0.456, 0.406), ("point", "box", "scribble")),
        "medsam": ("stretch", 1, (0.0, 0.0, 0.0), ("box",)),
        "sam_med2d": ("stretch-nearest", 3, (0.485, 0.456, 0.406), ("point", "box", "scribble")),
        "sam2": ("stretch", 4, (0.485, 0.456, 0.406), ("point", "box", "scribble")),
    }
    for name, expected in wanted.items():
        parts = family(name).parts(family(name).build("small"))
        assert (parts.preprocessing, parts.candidates, parts.mean_rgb, parts.prompts) == expected


def test_smaller_weights_give_nearly_the_same_masks(tmp_path: Path) -> None:
    path = save(tmp_path / "checkpoint.pth")
    sizes, agrees = {}, {}
    for precision in ("fp32", "fp16", "int8"):
        folder = tmp_path / precision
        assert run(path, folder, "--precision", precision) == 0
        card = read_card(folder)
        assert card.extra["precision"] == precision
        agrees[precision] = card.extra["parity"]["mask_iou"]
        sizes[precision] = (folder / "encoder.onnx").stat().st_size
        kinds = {n.op_type for n in onnx.load(str(folder / "encoder.onnx")).graph.node}
        assert ("MatMulInteger" in kinds) == (precision == "int8")
    assert sizes["fp16"] < 0.6 * sizes["fp32"] and sizes["int8"] < 0.8 * sizes["fp32"]
    assert 0.95 <= agrees["int8"] < agrees["fp16"] < agrees["fp32"] <= 1


def test_weights_that_fill_more_than_one_file_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "LARGEST_FILE", 100_000)
    assert run(save(tmp_path / "checkpoint.pth"), tmp_path / "m") == 0
    assert external_files(tmp_path / "m" / "encoder.onnx") == ("encoder.onnx.data",)
    card = read_card(tmp_path / "m")
    assert card.files["encoder_data"] == "encoder.onnx.data"
    assert set(card.sha256) == {p.name for p in (tmp_path / "m").iterdir()} - {"model.json"}
    with open(tmp_path / "m" / "encoder.onnx.data", "r+b") as file:
        file.write(b"\xff")
    with pytest.raises(ModelError, match="does not match its hash"):
        OnnxSegmenter(tmp_path / "m").encode(np.zeros((8, 8), np.uint8))


def test_what_torch_and_the_app_do_not_agree_on_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "checkpoint.pth")

    def other_head(parts: object, folder: Path, **options: object) -> object:
        card = export_parts(parts, folder, **options)  # type: ignore[arg-type]
        parts.head.decoder.iou_token.weight.add_(0.5)  # type: ignore[attr-defined]
        parts.head.decoder.mask_tokens.weight.add_(0.5)  # type: ignore[attr-defined]
        return card

    monkeypatch.setattr("maskwright_models.export.family_files.export_parts", other_head)
    assert run(path, tmp_path / "models" / "m") == 1
    assert "does not give the masks of the checkpoint" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"feature_error": 0.01}, "a feature differs by 0.01 of the largest, allowed are 0.002"),
        ({"logit_error": float("nan")}, "a logit differs by nan"),
        ({"mask_iou": 0.98}, "a mask agrees to IoU 0.9800, needed are 0.995"),
    ],
)
def test_each_tolerance_counts(changes: dict[str, float], fault: str) -> None:
    good = {"feature_error": 0.0, "logit_error": 0.0, "score_error": 0.0, "mask_iou": 1.0}
    Parity("fp32", 1, 1, **good).check(Path("m.pth"))
    with pytest.raises(ModelError, match=fault):
        Parity("fp32", 1, 1, **(good | changes)).check(Path("m.pth"))


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "checkpoint.pth")
    cut = tmp_path / "cut.pth"
    cut.write_bytes(path.read_bytes()[:5000])
    out = tmp_path / "models" / "m"
    for arguments in (
        [str(cut)],
        [str(path), "--family", "sam2"],
        [str(tmp_path / "none.pth")],
        [str(path), str(cut)],
        [str(path), "--images", str(tmp_path / "none.png")],
    ):
        assert main(["import", *arguments, "--out", str(out)]) == 1
        said = capsys.readouterr().err
        assert said.startswith("maskwright-models: error: ") and said.count("\n") == 1
        assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_a_model_is_replaced_only_when_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m"
    with new_folder(out, overwrite=False) as made:
        (made / "model.json").write_text("first")
    with pytest.raises(ModelError, match="there is a model here"), new_folder(out, overwrite=False):
        pass
    with pytest.raises(ValueError), new_folder(out, overwrite=True) as made:
        (made / "model.json").write_text("second")
        raise ValueError
    assert (out / "model.json").read_text() == "first"
    with new_folder(out, overwrite=True) as made:
        (made / "model.json").write_text("third")
    assert [(p.name, p.read_text()) for p in out.iterdir()] == [("model.json", "third")]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    (out / "model.json").rename(out / "letter.txt")
    with pytest.raises(ModelError, match="there is something else here"), new_folder(out, overwrite=True):
        pass


@pytest.mark.slow
def test_ten_real_images_give_the_same_masks_in_torch_and_in_the_app(tmp_path: Path, shared_data: Path) -> None:
    paths = [sorted((p / "images").iterdir())[0] for p in sorted((shared_data / "val").glob("medical_*"))][:10]
    images = images_of(paths)
    assert len(images) == 10
    for name in ("sam", "sam_med2d", "sam2"):
        loaded = load(save(tmp_path / f"{name}.pth", name))
        folder = tmp_path / name
        parts = loaded.family.parts(loaded.model)
        export_parts(parts, folder, about={**ABOUT, "id": name})
        report = compare(parts, folder, images, precision="fp32")
        assert report.images == 10 and report.cases == 40
        report.check(folder)


@pytest.mark.slow
def test_mobile_sam_at_its_own_input_size(tmp_path: Path) -> None:
    loaded = load(save(tmp_path / "mobile_sam.pth", "mobile_sam"))
    card, report = export_checked(
        loaded, tmp_path / "mobile_sam.pth", tmp_path / "m", precision="fp32", images=[sample_photo()]
    )
    assert (card.family, card.input_size, card.features[0].shape) == ("mobile_sam", 1024, (1, 256, 64, 64))
    assert report.cases == 4


@pytest.mark.full
@pytest.mark.parametrize(
    "name", ["mobile_sam/vit_t", "sam/vit_b", "medsam/vit_b", "sam_med2d/vit_b", "sam2/hiera_tiny"]
)
def test_full_size(tmp_path: Path, name: str) -> None:
    kind, variant = name.split("/")
    torch.manual_seed(3)
    torch.save(family(kind).build(variant).state_dict(), tmp_path / "full.pth")
    loaded = load(tmp_path / "full.pth", name=kind)
    assert loaded.variant == variant
    card, report = export_checked(
        loaded, tmp_path / "full.pth", tmp_path / "m", precision="fp16", images=[sample_photo()]
    )
    assert report.mask_iou >= 0.99
    assert card.extra["variant"] == variant
