"""Slice -> model input, model output -> slice. The app, precompute and training all use this.

Intensity is fixed per modality and never depends on the display. Geometry is one letterbox: the slice is scaled so
that its long side fills the square model input, put into the top left corner, and the rest stays zero. Some published
models were trained on slices stretched to the square instead; their card says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

PREPROCESSING_VERSION = 1
"""Raised whenever the same slice would give other model input; stored features of another version are set aside."""

CT_WINDOW_HU = (-160.0, 240.0)
"""Fixed range of CT in Hounsfield units: soft tissue, as in MedSAM (Ma et al., 2024)."""

PERCENTILES = (0.5, 99.5)
"""Range of every other modality with more than 8 bits, in percent of the voxels."""

LETTERBOX = "letterbox-top-left"
STRETCH = "stretch"
STRETCH_NEAREST = "stretch-nearest"
STRETCH_CENTRES = "stretch-nearest-centre"
FITS = (LETTERBOX, STRETCH, STRETCH_NEAREST, STRETCH_CENTRES)
"""How a slice can be put into the square model input. The last two take one pixel, unfiltered: ``stretch-nearest`` the
one at the corner of where the new pixel lies, as OpenCV does, ``stretch-nearest-centre`` the one at its centre, as
Pillow does."""

_UNFILTERED = {STRETCH_NEAREST: cv2.INTER_NEAREST, STRETCH_CENTRES: cv2.INTER_NEAREST_EXACT}

MEAN_RGB = (0.485, 0.456, 0.406)
STD_RGB = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Intensity:
    """Linear map of source values to 0..255: ``low`` becomes 0, ``high`` becomes 255."""

    low: float
    high: float

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(Y, X) or (Y, X, 3) of any number type -> (Y, X, 3) uint8 RGB, C-contiguous."""
        if image.dtype != np.uint8 or (self.low, self.high) != (0.0, 255.0):
            span = max(self.high - self.low, 1e-12)
            scaled = (image.astype(np.float32) - np.float32(self.low)) * np.float32(255.0 / span)
            image = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        return np.ascontiguousarray(image)


def intensity_for(voxels: np.ndarray, modality: str | None = None) -> Intensity:
    """Range of a scan, from all its voxels: the same slice then gives the same input wherever it is encoded.

    8-bit data is taken as it is; CT has its fixed window; the rest is cut at percentiles (a sample of at most about
    two million voxels is looked at, so that a large volume does not wait).
    """
    if voxels.dtype == np.uint8 or voxels.dtype == np.bool_:
        return Intensity(0.0, 255.0 if voxels.dtype == np.uint8 else 1.0)
    if modality == "ct":
        return Intensity(*CT_WINDOW_HU)
    flat = voxels.reshape(-1)
    sample = flat[:: max(1, flat.size // 2_000_000)]
    low, high = (float(v) for v in np.percentile(sample, PERCENTILES))
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    return Intensity(low, high if high > low else low + 1.0)


@dataclass(frozen=True, slots=True)
class SliceTransform:
    """Where a slice of ``shape_yx`` pixels lies in the square model input of ``size`` pixels, for pixels and points.

    ``fit`` is one of :data:`FITS`.
    """

    shape_yx: tuple[int, int]
    size: int
    fit: str = LETTERBOX

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"unknown fit {self.fit!r}")

    @property
    def scale(self) -> float:
        """Model-input pixels per slice pixel, along the long side."""
        return self.size / max(self.shape_yx)

    @property
    def inner_yx(self) -> tuple[int, int]:
        """Rows and columns of the model input that the slice fills; the rest is padding."""
        if self.fit != LETTERBOX:
            return self.size, self.size
        h, w = self.shape_yx
        return max(1, round(h * self.scale)), max(1, round(w * self.scale))

    def points_to_input(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) slice pixels -> (N, 2) float32 model-input pixels; centres on integers in both frames."""
        inner_h, inner_w = self.inner_yx
        ratio = np.array([inner_w / self.shape_yx[1], inner_h / self.shape_yx[0]], np.float32)
        return ((np.asarray(xy, np.float32) + 0.5) * ratio - 0.5).astype(np.float32)

    def image_to_input(self, rgb: np.ndarray) -> np.ndarray:
        """(Y, X, 3) uint8 -> (size, size, 3) uint8, padding 0. Area filter down, linear up; or the nearest pixel."""
        inner_h, inner_w = self.inner_yx
        shrink = inner_h < rgb.shape[0] or inner_w < rgb.shape[1]
        resized = rgb
        if resized.shape[:2] != (inner_h, inner_w):
            filter_ = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
            filter_ = _UNFILTERED.get(self.fit, filter_)
            resized = cv2.resize(rgb, (inner_w, inner_h), interpolation=filter_)
        out = np.zeros((self.size, self.size, 3), np.uint8)
        out[:inner_h, :inner_w] = resized
        return out

    def logits_to_slice(self, logits: np.ndarray) -> np.ndarray:
        """(h, w) float32 logits over the square input -> (Y, X) float32 at the size of the slice (bilinear).

        What the logits say of the padding, where nothing was learned, does not bleed into the last rows and columns.
        """
        filled = tuple(-(-n * low // self.size) for n, low in zip(self.inner_yx, logits.shape, strict=True))
        part = np.ascontiguousarray(logits[: filled[0], : filled[1]], np.float32)
        width_height = (self.shape_yx[1], self.shape_yx[0])
        if all(self._doubles(axis, logits.shape[axis]) for axis in (0, 1)):
            return cv2.resize(part, width_height, interpolation=cv2.INTER_LINEAR)
        return cv2.warpAffine(
            part,
            self._slice_to_logits(logits.shape),
            width_height,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def _doubles(self, axis: int, low: int) -> bool:
        """Whether a logit covers 1, 2, 4 … whole slice pixels along an axis that has ``low`` of them.

        A plain resize then has the very weights of the affine map, at a fifth of its time.
        """
        n, filled = self.shape_yx[axis], self.inner_yx[axis] * low
        times = n * self.size // filled
        return times * filled == n * self.size and n % times == 0 and times.bit_count() == 1

    def _slice_to_logits(self, shape_hw: tuple[int, ...]) -> np.ndarray:
        """2 x 3 matrix that takes slice pixels to logit pixels (centres on integers)."""
        rows = []
        for axis, (n, inner, low) in enumerate(
            zip(self.shape_yx[::-1], self.inner_yx[::-1], shape_hw[::-1], strict=True)
        ):
            ratio = (inner / n) * (low / self.size)
            rows.append([ratio if axis == 0 else 0.0, ratio if axis == 1 else 0.0, 0.5 * ratio - 0.5])
        return np.array(rows, np.float64)


def normalised(
    rgb: np.ndarray,
    inner_yx: tuple[int, int],
    *,
    mean: tuple[float, float, float] = MEAN_RGB,
    std: tuple[float, float, float] = STD_RGB,
) -> np.ndarray:
    """(size, size, 3) uint8 -> (1, 3, size, size) float32, (value / 255 - mean) / std; padding becomes exactly 0."""
    x = rgb.astype(np.float32)
    x *= np.float32(1 / 255)
    x -= np.array(mean, np.float32)
    x /= np.array(std, np.float32)
    x[inner_yx[0] :] = 0
    x[:, inner_yx[1] :] = 0
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])
