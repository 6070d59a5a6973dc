"""How a slice is put into the square model input: letterbox, stretched, stretched without a filter."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import ModelError
from maskwright.core.model_card import card_from_json
from maskwright.core.preprocess import (
    FITS,
    LETTERBOX,
    STRETCH,
    STRETCH_CENTRES,
    STRETCH_NEAREST,
    SliceTransform,
    normalised,
)


def test_a_letterbox_keeps_the_ratio_and_a_stretch_fills_the_square() -> None:
    rgb = np.full((50, 100, 3), 200, np.uint8)
    letterbox = SliceTransform((50, 100), 64)
    assert letterbox.fit == LETTERBOX
    assert letterbox.inner_yx == (32, 64)
    assert letterbox.image_to_input(rgb)[:32].min() == 200
    assert letterbox.image_to_input(rgb)[32:].max() == 0
    stretch = SliceTransform((50, 100), 64, STRETCH)
    assert stretch.inner_yx == (64, 64)
    assert stretch.image_to_input(rgb).min() == 200
    assert (normalised(stretch.image_to_input(rgb), stretch.inner_yx) != 0).all()


def test_stretched_points_and_masks_follow_each_axis() -> None:
    stretch = SliceTransform((50, 100), 200, STRETCH)
    assert stretch.points_to_input(np.array([[-0.5, -0.5], [99.5, 49.5], [9.5, 9.5]])).tolist() == [
        [-0.5, -0.5],
        [199.5, 199.5],
        [19.5, 39.5],
    ]
    logits = np.full((8, 8), -1, np.float32)
    logits[4:] = 1  # the lower half
    mask = stretch.logits_to_slice(logits) > 0
    assert mask.shape == (50, 100)
    assert mask[26:].all() and not mask[:24].any()


def test_the_nearest_pixel_is_taken_unfiltered() -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[::2] = 255
    assert set(np.unique(SliceTransform((4, 4), 2, STRETCH_NEAREST).image_to_input(rgb))) == {255}
    assert set(np.unique(SliceTransform((4, 4), 2, STRETCH).image_to_input(rgb))) == {128}


def test_the_pixel_at_the_centre_is_the_one_pillow_takes() -> None:
    for shape, size in (((5, 9), 4), ((150, 210), 256), ((100, 33), 64)):
        rgb = np.random.default_rng(size).integers(0, 256, (*shape, 3), dtype=np.uint8)
        expected = np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.NEAREST))
        assert (SliceTransform(shape, size, STRETCH_CENTRES).image_to_input(rgb) == expected).all()
        assert (SliceTransform(shape, size, STRETCH_NEAREST).image_to_input(rgb) != expected).any()


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fit 'crop'"):
        SliceTransform((4, 4), 2, "crop")
    with pytest.raises(ModelError, match="wants preprocessing 'crop'"):
        card_from_json({"contract": 1, "preprocessing": "crop"})
    assert FITS == ("letterbox-top-left", "stretch", "stretch-nearest", "stretch-nearest-centre")
