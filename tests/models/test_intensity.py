"""Intensity effects of training views: what each does to known values, and that nothing else changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskwright_models.data import intensity
from maskwright_models.data.intensity import EFFECTS, augment

MODALITIES = "photo ct mr pet xray ultrasound dermoscopy endoscopy fundus histology microscopy em".split()


class Fixed(np.random.Generator):
    """A generator whose ``uniform`` gives chosen numbers; the rest is random."""

    def __init__(self, *values: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.values = list(values)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: object = None) -> object:  # type: ignore[override]
        value = self.values.pop(0)
        assert low <= value <= high
        return value if size is None else np.full(size, value)  # type: ignore[call-overload]


def scene() -> np.ndarray:
    """A coloured ramp with an edge, (48, 64, 3) uint8."""
    x = np.linspace(20, 200, 64)[None].repeat(48, 0)
    rgb = np.stack([x, x * 0.7 + 20, 220 - x], axis=2)
    rgb[10:30, 20:40] = (230, 60, 50)
    return rgb.astype(np.uint8)


def grey_scene() -> np.ndarray:
    return np.repeat(scene()[..., :1], 3, axis=2)


@pytest.mark.parametrize("modality", [*MODALITIES, "", "thermal"])
@pytest.mark.parametrize("image", [scene(), grey_scene()], ids=["colour", "grey"])
def test_a_view_keeps_its_shape_and_type_and_grey_stays_grey(modality: str, image: np.ndarray) -> None:
    before, changed = image.copy(), 0
    grey = bool((image[..., 0] == image[..., 2]).all())
    for seed in range(24):
        out = augment(image, modality, np.random.default_rng(seed))
        again = augment(image, modality, np.random.default_rng(seed))
        assert out.shape == image.shape and out.dtype == np.uint8 and out.flags.c_contiguous
        assert np.array_equal(out, again) and out is not image
        assert not grey or bool((out[..., 0] == out[..., 2]).all() and (out[..., 0] == out[..., 1]).all())
        changed += not np.array_equal(out, image)
    assert np.array_equal(image, before)
    assert changed >= 12, "most views should look otherwise"


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3)])
@pytest.mark.parametrize("effect", list(dict.fromkeys(e for row in EFFECTS.values() for e, _ in row)))
def test_every_effect_takes_black_white_and_small_images(effect: intensity.Effect, shape: tuple[int, ...]) -> None:
    for value in (0, 255):
        image = np.full(shape, value, np.float32)
        out = effect(image, np.random.default_rng(5))
        assert out.shape == shape and np.isfinite(out).all()
        assert np.array_equal(image, np.full(shape, value, np.float32))


def test_every_modality_of_the_training_sets_has_its_row() -> None:
    assert set(MODALITIES) | {""} == set(EFFECTS)
    inverted = {m for m, row in EFFECTS.items() if any(effect is intensity.invert for effect, _ in row)}
    assert {"xray", "ct", "mr"} <= inverted and "photo" not in inverted
    assert all(0 < chance < 1 for row in EFFECTS.values() for _, chance in row)


def test_a_strange_array_is_a_programmers_error() -> None:
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            augment(bad, "ct", np.random.default_rng(0))


def test_a_window_is_affine_and_cut() -> None:
    ramp = np.linspace(50, 150, 101, dtype=np.float32)[None]  # percentiles 51 and 149
    out = intensity.rewindow(ramp, Fixed(0.1, -0.1))
    assert np.allclose(out, (ramp - 60.8) * 255 / 78.4, atol=1e-3)
    assert out.min() < 0 and out.max() > 255
    flat = intensity.rewindow(ramp, Fixed(-0.25, 0.25))
    assert flat.min() > 30 and flat.max() < 225


def test_a_window_does_not_blacken_a_dark_image() -> None:
    dark = np.full((40, 40), 4, np.float32)
    dark[10:20, 10:20] = 30
    out = intensity.rewindow(dark, Fixed(0.2, 0.25))
    assert out[15, 15] - out[0, 0] > 200


def test_a_narrow_window_shows_the_grey_it_was_chosen_for() -> None:
    out = intensity.narrow_window(np.full((8, 8), 200, np.float32), Fixed(0.4))
    assert np.allclose(out, 255 * (200 - 149) / 102)
    assert np.allclose(intensity.narrow_window(np.zeros((8, 8), np.float32), Fixed(0.4)), 0)


def test_gamma_keeps_black_and_white() -> None:
    out = intensity.gamma(np.array([[0, 127.5, 255]], np.float32), Fixed(np.log(1.5)))
    assert out.tolist()[0] == pytest.approx([0, 255 * 0.5**1.5, 255], abs=1e-3)


def test_a_bias_field_is_smooth_and_multiplies() -> None:
    image = np.full((100, 120, 3), 100, np.float32)
    image[:, 60:] = 0
    out = intensity.bias_field(image, np.random.default_rng(3))
    assert np.all(out[:, 60:] == 0)
    gain = out[:, :60, 0] / 100
    assert gain.std() > 0.02 and 0.55 < gain.min() and gain.max() < 1.8
    assert np.abs(np.diff(gain, axis=0)).max() < 0.04 and np.array_equal(out[..., 0], out[..., 2])


def test_speckle_grows_with_the_echo_and_leaves_black() -> None:
    image = np.zeros((200, 200), np.float32)
    image[:, 50:100], image[:, 100:150] = 60, 120
    out = intensity.speckle(image, np.random.default_rng(1))
    assert np.all(out[:, :50] == 0) and np.all(out[:, 150:] == 0)
    assert out[:, 100:150].std() == pytest.approx(2 * out[:, 50:100].std(), rel=0.2)
    assert out[:, 50:100].mean() == pytest.approx(60, rel=0.1)


def test_noise_of_a_magnitude_image_lifts_the_air() -> None:
    image = np.zeros((100, 100), np.float32)
    image[50:] = 200
    out = intensity.rician(image, Fixed(10.0))
    assert out[:50].mean() == pytest.approx(10 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh
    assert out[50:].mean() == pytest.approx(200, abs=1) and out.min() >= 0


def test_colours_turn_around_grey() -> None:
    red = np.full((2, 2, 3), (200, 40, 40), np.float32)
    same = intensity.colour(red, Fixed(1.0, 1.0, 1.0, 0.0))
    assert np.allclose(same, red, atol=1e-3)
    turned = intensity._saturation_and_hue(red, 1.0, 120.0)
    assert np.allclose(turned, red[..., [2, 0, 1]], atol=1e-3)  # a third of the circle: the channels change places
    pale = intensity._saturation_and_hue(red, 0.0, 0.0)
    assert np.allclose(pale, cv2.cvtColor(red, cv2.COLOR_RGB2GRAY)[..., None], atol=1e-2)


def test_a_stain_scales_the_density() -> None:
    image = np.full((2, 2, 3), 255 * np.exp(-0.5), np.float32)
    assert np.allclose(intensity.stain(image, Fixed(1.2)), 255 * np.exp(-0.6), atol=1e-3)
    assert np.allclose(intensity.stain(np.full((2, 2, 3), 255, np.float32), Fixed(1.2)), 255)


def test_compression_changes_little_and_keeps_the_order_of_the_channels() -> None:
    image = np.full((32, 32, 3), (220, 120, 20), np.float32)
    assert np.abs(intensity.jpeg(image, np.random.default_rng(0)) - image).max() < 12


def test_inversion_twice_is_nothing() -> None:
    image, rng = scene().astype(np.float32), np.random.default_rng(0)
    assert np.array_equal(intensity.invert(intensity.invert(image, rng), rng), image)
