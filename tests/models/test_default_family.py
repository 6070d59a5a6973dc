"""The shipped default model: its budget, its agreement with torch, and what it makes of the sample photo."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from maskwright.assets import models_folder, sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.features import Features
from maskwright.core.prompts import Point, Prompts
from maskwright.inference import OnnxSegmenter
from maskwright.inference.model_folder import CARD, read_card, sha256_of
from maskwright.io.scans import open_scan
from maskwright_models.export.default_parity import cases, compare
from maskwright_models.export.read_back import read_encoder, read_head
from maskwright_models.export.weights import HALF
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, Head

pytestmark = pytest.mark.model

CUP_XY = (290, 120)
"""Middle of the cup on the sample photo, which is 600 x 400 pixels."""


@pytest.fixture(scope="module")
def folder() -> Path:
    """The shipped model."""
    path = models_folder() / "default"
    if not (path / CARD).is_file():
        pytest.skip(f"no model at {path}")
    return path


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> OnnxSegmenter:
    return OnnxSegmenter(folder, threads=1)


@pytest.fixture(scope="module")
def features(segmenter: OnnxSegmenter) -> Features:
    """Of the sample photo."""
    return segmenter.encode(open_scan(sample_photo()).voxels[0])


@pytest.fixture(scope="module")
def head(folder: Path) -> Head:
    """The shipped head, in torch."""
    return read_head(folder)


def asked(head: Head, points: int) -> tuple[torch.Tensor, ...]:
    """Inputs of the head: random features and points."""
    generator = torch.Generator().manual_seed(points)
    coarse, fine = head.config.coarse, head.config.fine
    return (
        torch.randn(1, coarse, 32, 32, generator=generator),
        torch.randn(1, fine, 128, 128, generator=generator),
        torch.rand(1, points, 2, generator=generator) * INPUT_SIZE,
        (torch.arange(points) % 2 == 0).float()[None],
        torch.zeros(1, 1, LOGITS, LOGITS),
        torch.zeros(1),
    )


def test_features_of_a_view_take_at_most_two_and_a_half_megabytes(folder: Path, features: Features) -> None:
    card = read_card(folder)
    assert all(spec.dtype == "float16" for spec in card.features)
    assert [(a.shape, str(a.dtype)) for a in features.arrays] == [(s.shape, s.dtype) for s in card.features]
    assert features.nbytes == sum(2 * int(np.prod(s.shape)) for s in card.features) <= 2_500_000
    assert all(np.isfinite(a).all() and a.astype(np.float32).std() > 0 for a in features.arrays)


def test_the_head_is_light(head: Head) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # the plain backend is the one whose attention is counted on every platform
    with FlopCounterMode(display=False) as counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        head(*asked(head, 5))
    assert 0.1e9 < counter.get_total_flops() <= 1.0e9
    assert sum(p.numel() for p in head.parameters()) <= 3_000_000


def test_the_app_gives_the_masks_that_torch_gives(folder: Path, head: Head) -> None:
    report = compare(read_encoder(folder), head, folder)
    assert report["logit_error"] <= 0.05, report
    assert report["mask_iou"] >= 0.995, report
    assert len(cases((400, 600))) == 4


@pytest.mark.parametrize("points", [1, 2, 7, 25])
def test_any_number_of_points_is_answered_as_torch_answers(
    segmenter: OnnxSegmenter, features: Features, head: Head, points: int
) -> None:
    from maskwright.core.preprocess import SliceTransform
    from maskwright.inference.segmenter import prompt_points

    rng = np.random.default_rng(points)
    at = zip(rng.uniform(0, 599, points), rng.uniform(0, 399, points), strict=True)
    prompts = Prompts(tuple(Point(x, y, positive=i % 3 != 2) for i, (x, y) in enumerate(at)))
    answer = segmenter.segment(features, prompts)
    coords, labels = prompt_points(prompts, SliceTransform(features.shape_yx, INPUT_SIZE))
    assert coords.shape == (1, points, 2)
    maps = (torch.from_numpy(a).float() for a in features.arrays)
    with torch.inference_mode():
        logits, scores = head(
            *maps, torch.from_numpy(coords), torch.from_numpy(labels), torch.zeros(1, 1, LOGITS, LOGITS), torch.zeros(1)
        )
    best = logits[0, int(scores.argmax())].numpy()
    assert np.abs(answer.logits - best).max() <= 0.01 * np.abs(best).max()
    assert answer.score == pytest.approx(float(scores.max()), abs=2e-3)


def test_padding_of_a_training_batch_changes_nothing(head: Head) -> None:
    plain = asked(head, 3)
    coords = torch.cat([plain[2], torch.tensor([[[0.0, 0.0], [300.0, 200.0]]])], 1)
    labels = torch.cat([plain[3], torch.full((1, 2), -1.0)], 1)
    moved = labels.clone()
    moved[0, 3] = 1
    with torch.inference_mode():
        logits, scores = head(*plain)
        padded, padded_scores = head(*plain[:2], coords, labels, *plain[4:])
        other, _ = head(*plain[:2], coords, moved, *plain[4:])
    assert torch.allclose(padded, logits, atol=1e-3 * float(logits.abs().max()))
    assert torch.allclose(padded_scores, scores, atol=1e-3)
    assert float((other - logits).abs().max()) > 0.02 * float(logits.abs().max())


def test_the_answer_before_is_taken_into_account(segmenter: OnnxSegmenter, features: Features) -> None:
    click = Prompts().add(Point(*CUP_XY))
    first = segmenter.segment(features, click)
    second = segmenter.segment(features, click.add(Point(20, 20, positive=False)), previous=first)
    alone = segmenter.segment(features, click.add(Point(20, 20, positive=False)))
    assert not np.array_equal(second.logits, alone.logits)
    assert np.array_equal(segmenter.segment(features, click).logits, first.logits)


def test_a_click_on_the_cup_selects_something_round_the_click(segmenter: OnnxSegmenter, features: Features) -> None:
    answer = segmenter.segment(features, Prompts().add(Point(*CUP_XY)))
    assert answer.mask.shape == (400, 600)
    assert 0.5 < answer.score <= 1
    assert answer.mask[CUP_XY[1], CUP_XY[0]]
    assert 0.02 < answer.mask.mean() < 0.7
    assert not answer.mask[:30, :30].any()  # the dark corner far from the cup


def twin(folder: Path, to: Path, **changes: object) -> Path:
    """The model with other entries in its card; the encoder is a link to the same file."""
    to.mkdir()
    for name in ("encoder.onnx", "head.onnx"):
        if hasattr(os, "link") and name == "encoder.onnx":
            (to / name).symlink_to(folder / name)
        else:
            shutil.copy(folder / name, to / name)
    card = json.loads((folder / CARD).read_text("utf-8"))
    (to / CARD).write_text(json.dumps(card | changes), "utf-8")
    return to


def test_a_model_of_another_family_is_not_read_back(folder: Path, tmp_path: Path) -> None:
    other = twin(folder, tmp_path / "other", family="sam")
    for read in (read_encoder, read_head):
        with pytest.raises(ModelError, match="a model of family sam cannot be read back") as caught:
            read(other)
        assert caught.value.path == other and "maskwright precompute" in caught.value.hint


def test_a_weight_that_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    other = twin(folder, tmp_path / "other")
    model = onnx.load(str(other / "head.onnx"))
    gone = next(t for t in model.graph.initializer if t.name.endswith(f"coarse.weight{HALF}"))
    model.graph.initializer.remove(gone)
    onnx.save(model, str(other / "head.onnx"))
    with pytest.raises(ModelError, match="does not match its hash"):
        read_head(other)
    sums = json.loads((other / CARD).read_text("utf-8"))["sha256"]
    sums["head.onnx"] = sha256_of(other / "head.onnx")
    card = json.loads((other / CARD).read_text("utf-8")) | {"sha256": sums}
    (other / CARD).write_text(json.dumps(card), "utf-8")
    with pytest.raises(ModelError, match=r"the head lacks 1 weights, first coarse\.weight"):
        read_head(other)
