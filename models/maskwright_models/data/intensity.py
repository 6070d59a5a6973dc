"""Other grey values and colours of a training view: what scanners, windows, lamps and compression do to the same scene.

Every modality has a row of effects with the chance of each (:data:`EFFECTS`); those that hit are applied in the order
of the row. No effect moves anything, so masks stay as they are. The whole is fixed by the image and the generator.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Effect = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(Y, X) or (Y, X, 3) float32 in 0..255 -> the same shape; may leave the range, which is cut after every effect."""


def augment(rgb: np.ndarray, modality: str, rng: np.random.Generator) -> np.ndarray:
    """A view as it could have been taken otherwise.

    Parameters
    ----------
    rgb
        (Y, X, 3) uint8, not changed. A grey image (three equal channels) stays grey.
    modality
        A key of :data:`EFFECTS`; of any other word the effects of ``""``.
    rng
        The same state with the same image gives the same result.

    Returns
    -------
    (Y, X, 3) uint8, a new C-contiguous array.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"a view is (Y, X, 3) uint8, not {rgb.shape} {rgb.dtype}")
    grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())
    image = (rgb[..., 0] if grey else rgb).astype(np.float32)
    for effect, chance in EFFECTS.get(modality, EFFECTS[""]):
        if rng.random() < chance:
            image = np.clip(effect(image, rng), 0, 255).astype(np.float32, copy=False)
    out = np.rint(image).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(out[..., None], 3, axis=2) if out.ndim == 2 else out)


def rewindow(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another level and width: what was ``low`` becomes black, what was ``high`` white.

    Measured on the range that the image uses (its 1st to 99th percentile), so that a dark image does not become black:
    at either end a fifth of that range is cut at most, or a quarter of it is left unused.
    """
    black, white = (float(v) for v in np.percentile(image, (1, 99)))
    span = max(white - black, 16.0)
    low, high = black + span * rng.uniform(-0.25, 0.2), black + span * (1 + rng.uniform(-0.2, 0.25))
    return (image - low) * (255 / (high - low))


def narrow_window(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A window of 30 to 65 % of the range around a grey that is in the image, as brain and liver windows are."""
    middle = float(image.reshape(-1)[int(rng.integers(image.size))])
    width = 255 * rng.uniform(0.3, 0.65)
    low = np.clip(middle - width / 2, 0, 255 - width)
    return (image - low) * (255 / width)


def gamma(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Power law with an exponent between 0.6 and 1.65."""
    return 255 * (image / 255) ** float(np.exp(rng.uniform(-0.5, 0.5)))


def bias_field(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth multiplicative shading, as of receive coils: between a third darker and half brighter."""
    knots = int(rng.integers(2, 5))
    field = rng.uniform(-0.4, 0.4, (knots, knots)).astype(np.float32)
    field = cv2.resize(field, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    return image * _over(np.exp(field), image)


def speckle(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multiplicative grain of one to a few pixels, the look of coherent ultrasound; echo-free parts stay black."""
    grain = _noise(image, rng, sigma=rng.uniform(0.5, 2.0))
    return image * (1 + rng.uniform(0.1, 0.35) * _over(grain, image))


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Additive noise with a standard deviation of 2 to 14 greys, the same in all channels or in each of its own."""
    strength = rng.uniform(2, 14)
    if image.ndim == 3 and rng.random() < 0.5:
        return image + strength * rng.standard_normal(image.shape, np.float32)
    return image + strength * _over(_noise(image, rng, sigma=0.0), image)


def rician(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of a magnitude image: the length of the signal with noise in both its parts, so air becomes grey."""
    strength = rng.uniform(2, 14)
    real = image + strength * _over(_noise(image, rng, sigma=0.0), image)
    return np.hypot(real, strength * _over(_noise(image, rng, sigma=0.0), image))


def invert(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black for white. Takes nothing from the generator."""
    del rng
    return 255 - image


def colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mild changes of brightness, contrast, saturation and hue; of a grey image the first two."""
    bright, contrast = rng.uniform(0.75, 1.25), rng.uniform(0.75, 1.25)
    saturation, turn = rng.uniform(0.6, 1.4), rng.uniform(-10, 10)
    mean = float(image.mean())
    image = (image - mean) * contrast + mean * bright
    return image if image.ndim == 2 else _saturation_and_hue(image, saturation, turn)


def stain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each channel's optical density scaled by 0.8 to 1.25: stains, lamps and skin of other strength and tint."""
    scale = rng.uniform(0.8, 1.25, 3).astype(np.float32)
    density = -np.log(np.maximum(image, 1) / 255)
    return 255 * np.exp(-density * (scale if image.ndim == 3 else scale[0]))


def to_grey(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Luminance in all three channels. Takes nothing from the generator."""
    del rng
    if image.ndim == 2:
        return image
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian with a sigma of 0.15 to 0.4 % of the long side, at least 0.4 pixel."""
    sigma = max(0.4, rng.uniform(0.0015, 0.004) * max(image.shape[:2]))
    return cv2.GaussianBlur(image, (0, 0), sigma)


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compressed and read again at a quality between 35 and 90."""
    quality = int(rng.integers(35, 91))
    pixels = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), np.float32)
    return decoded if decoded.ndim == 2 else np.ascontiguousarray(decoded[..., ::-1])


_LENS = ((blur, 0.15), (noise, 0.1), (jpeg, 0.2))

EFFECTS: dict[str, tuple[tuple[Effect, float], ...]] = {
    "photo": ((colour, 0.6), (gamma, 0.15), (to_grey, 0.06), *_LENS),
    "ct": ((rewindow, 0.5), (narrow_window, 0.15), (gamma, 0.15), (noise, 0.2), (blur, 0.15), (invert, 0.06)),
    "mr": ((bias_field, 0.45), (gamma, 0.45), (rewindow, 0.3), (rician, 0.2), (blur, 0.15), (invert, 0.1)),
    "pet": ((gamma, 0.4), (rewindow, 0.4), (noise, 0.2), (blur, 0.15), (invert, 0.25)),
    "xray": ((rewindow, 0.4), (gamma, 0.35), (noise, 0.15), (blur, 0.1), (jpeg, 0.1), (invert, 0.2)),
    "ultrasound": ((speckle, 0.45), (gamma, 0.35), (rewindow, 0.3), (bias_field, 0.2), (blur, 0.15), (jpeg, 0.2)),
    "dermoscopy": ((colour, 0.4), (stain, 0.4), (gamma, 0.15), *_LENS),
    "endoscopy": ((colour, 0.5), (bias_field, 0.25), (gamma, 0.2), *_LENS),
    "fundus": ((colour, 0.4), (bias_field, 0.25), (gamma, 0.3), (to_grey, 0.1), *_LENS),
    "histology": ((stain, 0.6), (colour, 0.3), *_LENS),
    "microscopy": ((rewindow, 0.3), (gamma, 0.4), (stain, 0.2), (bias_field, 0.2), (noise, 0.15), (invert, 0.15)),
    "em": ((rewindow, 0.4), (gamma, 0.3), (noise, 0.25), (bias_field, 0.2), (blur, 0.15), (invert, 0.15)),
    "": ((gamma, 0.3), (rewindow, 0.3), (noise, 0.1), (blur, 0.15)),
}
"""Modality -> effects and the chance of each, in the order in which they are applied."""


def _noise(image: np.ndarray, rng: np.random.Generator, *, sigma: float) -> np.ndarray:
    """(Y, X) float32 normal noise of variance 1, smoothed over ``sigma`` pixels where that is more than 0."""
    grain = rng.standard_normal(image.shape[:2], np.float32)
    if sigma > 0:
        grain = cv2.GaussianBlur(grain, (0, 0), sigma)
        grain /= max(float(grain.std()), 1e-6)
    return grain


def _over(field: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A (Y, X) field in a shape that multiplies with ``image``."""
    return field if image.ndim == 2 else field[..., None]


def _saturation_and_hue(image: np.ndarray, saturation: float, turn: float) -> np.ndarray:
    """Colours nearer to or further from grey, and turned by ``turn`` degrees around the grey axis."""
    angle = np.deg2rad(turn)
    third, across = (1 - np.cos(angle)) / 3, np.sin(angle) / np.sqrt(3)
    straight = np.cos(angle) + third
    rotation = np.array(
        [
            [straight, third - across, third + across],
            [third + across, straight, third - across],
            [third - across, third + across, straight],
        ]
    )
    luminance = np.tile([0.299, 0.587, 0.114], (3, 1))
    matrix = (saturation * np.eye(3) + (1 - saturation) * luminance) @ rotation
    return cv2.transform(np.clip(image, 0, 255).astype(np.float32), matrix)
