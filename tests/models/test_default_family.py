"""The shipped default model: its budget, its agreement with torch, and what it makes of the sample photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.assets import models_folder, sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.features import Features
from maskwright.core.prompts import Point, Prompts
from maskwright.inference import OnnxSegmenter
from maskwright.inference.model_folder import CARD, read_card
from maskwright.io.scans import open_scan
from maskwright_models.export.default_parity import compare
from maskwright_models.export.read_back import read_encoder, read_head

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


def test_features_of_a_view_take_at_most_two_and_a_half_megabytes(folder: Path, features: Features) -> None:
    card = read_card(folder)
    assert all(spec.dtype == "float16" for spec in card.features)
    assert [(a.shape, str(a.dtype)) for a in features.arrays] == [(s.shape, s.dtype) for s in card.features]
    assert features.nbytes == sum(2 * int(np.prod(s.shape)) for s in card.features) <= 2_500_000
    assert all(np.isfinite(a).all() and a.astype(np.float32).std() > 0 for a in features.arrays)


def test_the_app_gives_the_masks_that_torch_gives(folder: Path) -> None:
    try:
        encoder, head = read_encoder(folder), read_head(folder)
    except ModelError as error:
        pytest.skip(str(error))
    report = compare(encoder, head, folder)
    assert report["logit_error"] <= 0.05, report
    assert report["mask_iou"] >= 0.995, report


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
