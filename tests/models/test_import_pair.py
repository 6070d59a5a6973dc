"""Encoder and decoder in ONNX as samexporter writes them become a model of the contract, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from maskwright.assets import sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.metrics import iou
from maskwright.core.prompts import Box, Point, Prompts
from maskwright.inference import OnnxSegmenter, read_card
from maskwright_models.__main__ import main
from maskwright_models.onnx_pair import import_pair, load_whole
from maskwright_models.zoo import sam
from tests.models.sam_cases import SMALL, add_small
from tests.models.samexporter_like import write_sam2_pair, write_sam_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_sam_pair(tmp_path_factory.mktemp("pair"), preprocess=True)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("preprocess", [True, False])
def test_a_sam_pair_gives_the_masks_of_the_same_model(tmp_path: Path, preprocess: bool) -> None:
    import torch

    paths = write_sam_pair(tmp_path, preprocess=preprocess)
    card = import_pair(paths[::-1], made(tmp_path / "pair"))
    assert (card.input_size, card.logits_shape, card.candidates) == (128, (32, 32), 4)
    assert card.preprocessing == "letterbox-top-left"
    assert [(f.name, f.shape, f.dtype) for f in card.features] == [("feat_0", (1, 32, 8, 8), "float16")]
    assert read_card(tmp_path / "pair").extra["parity"]["mask_iou"] >= 0.995
    config = SMALL["sam"]
    assert isinstance(config, sam.SamConfig)
    torch.manual_seed(3)
    torch.save(sam.Sam(config).state_dict(), tmp_path / "sam.pth")
    with pytest.MonkeyPatch.context() as patch:
        add_small(patch)
        out = ["--out", str(tmp_path / "torch"), "--images", str(sample_photo())]
        assert main(["import", str(tmp_path / "sam.pth"), *out]) == 0
    segmenters = [OnnxSegmenter(tmp_path / n, threads=1) for n in ("pair", "torch")]
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    features = [s.encode(image) for s in segmenters]
    assert np.allclose(features[0].arrays[0], features[1].arrays[0], atol=2e-3)
    click = Prompts((Point(40, 30),))
    box = Prompts((Box(10, 10, 70, 50),))
    for prompts in (click, click.add(Point(5, 5, positive=False)), box, box.add(Point(40, 30))):
        ours, theirs = (s.segment(f, prompts) for s, f in zip(segmenters, features, strict=True))
        assert iou(ours.mask, theirs.mask) >= 0.995
        assert ours.score == pytest.approx(theirs.score, abs=1e-3)
        again = [
            s.segment(f, prompts, previous=p) for s, f, p in zip(segmenters, features, (ours, theirs), strict=True)
        ]
        assert iou(again[0].mask, again[1].mask) >= 0.995


def test_a_sam2_pair_keeps_its_three_features_and_is_stretched(tmp_path: Path) -> None:
    card = import_pair(write_sam2_pair(tmp_path), made(tmp_path / "pair"))
    assert (card.candidates, card.preprocessing) == (3, "stretch")
    assert [f.shape for f in card.features] == [(1, 32, 8, 8), (1, 4, 32, 32), (1, 8, 16, 16)]
    segmenter = OnnxSegmenter(tmp_path / "pair", threads=1)
    features = segmenter.encode(np.random.default_rng(0).integers(0, 256, (60, 90), dtype=np.uint8))
    assert segmenter.segment(features, Prompts((Point(40, 30), Point(5, 5)))).mask.shape == (60, 90)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_pair_can_be_made_smaller(tmp_path: Path, pair: tuple[Path, Path], precision: str) -> None:
    import_pair(pair, made(tmp_path / "pair"), precision=precision)
    assert (tmp_path / "pair" / "encoder.onnx").stat().st_size < 0.8 * pair[0].stat().st_size


def test_a_pair_is_imported_where_there_is_no_torch(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from maskwright_models.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["import", *map(str, pair), "--out", str(tmp_path / "m")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=os.environ, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert read_card(tmp_path / "m").family == "onnx_pair"


def with_weights_in(path: Path, location: str, out: Path) -> Path:
    """A copy of an ONNX file whose first weight is said to lie in another file."""
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    out.write_bytes(model.SerializeToString())
    return out


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "inside/../../secret.bin", "link.bin"])
def test_weights_outside_the_folder_are_never_read(
    tmp_path: Path, pair: tuple[Path, Path], location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "given")
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 20))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    encoder = with_weights_in(pair[0], location, folder / "encoder.onnx")
    assert main(["import", str(encoder), str(pair[1]), "--out", str(tmp_path / "models" / "m")]) == 1
    assert f"takes weights from outside its folder ({location}), which is never read" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []


def test_weights_beside_the_files_are_taken_in(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    folder = made(tmp_path / "given")
    model = onnx.load(str(pair[0]))
    onnx.save_model(model, str(folder / "encoder.onnx"), save_as_external_data=True, location="weights.bin")
    assert load_whole(folder / "encoder.onnx").graph.initializer[0].HasField("raw_data")
    card = import_pair([folder / "encoder.onnx", pair[1]], made(tmp_path / "m"))
    assert sorted(card.files.values()) == ["encoder.onnx", "head.onnx"]


def test_other_onnx_files_are_refused_with_what_is_missing(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    encoder, decoder = pair
    for paths in ([encoder, encoder], [decoder, decoder], [encoder], [encoder, decoder, decoder]):
        with pytest.raises(ModelError, match="not an encoder and a decoder of SAM"):
            import_pair(paths, tmp_path)
    with pytest.raises(ModelError, match="there is no such file"):
        import_pair([encoder, tmp_path / "none.onnx"], tmp_path)
    (tmp_path / "text.onnx").write_text("not ONNX")
    with pytest.raises(ModelError, match="it is not ONNX"):
        import_pair([encoder, tmp_path / "text.onnx"], tmp_path)
    other = onnx.load(str(decoder))
    other.graph.output[2].name = "somewhat"
    onnx.save(other, str(tmp_path / "other.onnx"))
    with pytest.raises(
        ModelError, match="not laid out as samexporter does: it takes .* and gives iou_predictions, masks"
    ):
        import_pair([encoder, tmp_path / "other.onnx"], tmp_path)
    with pytest.raises(ModelError, match="where the decoder wants image_embed, high_res_feats_0, high_res_feats_1"):
        import_pair([encoder, write_sam2_pair(tmp_path)[1]], tmp_path)


def test_one_onnx_file_is_no_model(tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(pair[0]), "--out", str(tmp_path / "m")]) == 1
    assert "one checkpoint, or an encoder and a decoder in ONNX, make a model" in capsys.readouterr().err
