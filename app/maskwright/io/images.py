"""Reads photos: PNG, JPEG, BMP, WebP and TIFF, single or as a stack, upright and with their full depth in grey."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import MaskwrightError, ScanError
from maskwright.core.geometry import Geometry
from maskwright.core.volume import Volume
from maskwright.io.checks import COPY_AGAIN, refuse_large, refuse_missing_values
from maskwright.io.native import quiet

_ORIENTATION = 274  # the EXIF and TIFF tag that says how the camera was held
_REDUCED = 254  # the TIFF tag whose lowest bit marks a page as a small copy of another


def read(path: Path, *, kind: str) -> Volume:
    """Read a photo into one slice, or a multi-page TIFF into a volume with a slice per page.

    Parameters
    ----------
    path
        The file; its ending does not matter.
    kind
        ``PNG``, ``JPEG``, ``BMP``, ``WebP`` or ``TIFF``.

    Returns
    -------
    Grey stays grey: uint8 or uint16 as stored, float32 and int32 for TIFF of that kind. Everything else (colour,
    palette, CMYK) becomes 8-bit RGB; an alpha channel is dropped. EXIF orientation is applied. A single picture has
    modality ``photo``, a stack ``""``. Pixels have no millimetres: unit spacing.

    Raises
    ------
    ScanError
        If the file is damaged, too large or has pages of different sizes.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # Pillow warns of odd tags, which is nothing to act on
            voxels = _pages(_plugin(kind)(stream), path)
    except (MaskwrightError, MemoryError, PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # a decoder fails in many ways: OSError, SyntaxError, struct.error, KeyError, ...
        raise ScanError(f"the {kind} file is damaged or incomplete", path=path, hint=COPY_AGAIN) from error
    refuse_missing_values(voxels, path=path)
    geometry = Geometry.from_parts(
        (voxels.shape[0], voxels.shape[1], voxels.shape[2]),
        spacing_zyx_mm=(1.0, 1.0, 1.0),
    )
    return Volume(voxels, geometry, "photo" if len(voxels) == 1 else "", path)


def _plugin(kind: str) -> Any:
    """Return Pillow's class of one format.

    Not `Image.open`: that refuses at a pixel limit which is global to the process, and tries every format in turn.
    """
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    return {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
    }[kind]


def _pages(image: Any, path: Path) -> np.ndarray:
    """Decode all pages to ``(z, y, x)`` or ``(z, y, x, 3)``; sizes are checked before anything is decoded."""
    n_pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1  # an animated PNG or WebP: its first
    numbers: list[int] = []
    sizes: set[tuple[int, int]] = set()
    for number in range(n_pages):
        if n_pages > 1:
            image.seek(number)
            if number and image.tag_v2.get(_REDUCED, 0) & 1:
                continue
        refuse_large((1, image.height, image.width), path=path)
        numbers.append(number)
        sizes.add((image.width, image.height))
    if len(sizes) > 1:
        listed = " and ".join(f"{w} x {h}" for w, h in sorted(sizes, reverse=True)[:2])
        raise ScanError(
            f"the pages of this TIFF have different sizes ({listed} pixels)",
            path=path,
            hint="Save the pages as files of their own, and open their folder.",
        )
    refuse_large((len(numbers), image.height, image.width), path=path)
    voxels: np.ndarray | None = None
    for i, number in enumerate(numbers):
        if n_pages > 1:
            image.seek(number)
        pixels = _pixels(image)
        if voxels is None:
            voxels = np.empty((len(numbers), *pixels.shape), pixels.dtype)
        if pixels.shape != voxels.shape[1:]:
            raise ScanError(
                "some pages of this TIFF are in colour and some are grey, or they lie differently",
                path=path,
                hint="Save all pages in the same way, or as files of their own.",
            )
        if not np.can_cast(pixels.dtype, voxels.dtype):
            voxels = voxels.astype(np.promote_types(pixels.dtype, voxels.dtype))
        voxels[i] = pixels
    assert voxels is not None  # there is always a first page
    return voxels


def _pixels(image: Any) -> np.ndarray:
    """Decode the current page, upright: ``(y, x)`` grey of its own dtype or ``(y, x, 3)`` uint8."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    with quiet():
        image.load()
    # Pillow turns TIFF pages upright by itself while loading, and then takes the tag away
    orientation = orientation if image.format != "TIFF" else image.getexif().get(_ORIENTATION, 1)
    mode = image.mode
    if mode in ("1", "L", "LA", "La"):
        pixels = np.asarray(image if mode == "L" else image.convert("L"))
    elif mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16, copy=False)
    elif mode == "I":
        pixels = _narrow(np.asarray(image))
    elif mode == "F":
        pixels = np.asarray(image)
    else:  # by way of RGBA where a palette has transparent entries, else Pillow guesses a background
        has_alpha = "transparency" in image.info or mode in ("RGBa", "PA")
        pixels = np.asarray((image.convert("RGBA") if has_alpha else image).convert("RGB"))
    return _upright(pixels, orientation)


def _narrow(values: np.ndarray) -> np.ndarray:
    """Return int32 as uint16 or int16 where all values fit, as they were most likely stored."""
    low, high = int(values.min()), int(values.max())
    if 0 <= low and high <= 65_535:
        return values.astype(np.uint16)
    return values.astype(np.int16) if -32_768 <= low and high <= 32_767 else values


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (1 ... 8; anything else counts as 1). EXIF 2.32, tag 0x0112."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
