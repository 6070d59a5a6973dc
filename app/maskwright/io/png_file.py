"""Writes one picture as a PNG file: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from maskwright.core.errors import ExportError


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (Y, X) grey or (Y, X, 3) RGB uint8 pixels to `path`, in place of what was there.

    Raises
    ------
    ExportError
        The folder is missing, full or read-only; what was at `path` is untouched then.
    """
    import cv2

    done, encoded = cv2.imencode(".png", pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1]))
    if not done:
        raise ValueError(f"pixels of shape {pixels.shape} and type {pixels.dtype} are not a PNG")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(encoded.tobytes())
        part.replace(path)
    except OSError as error:
        if part.is_file():
            part.unlink()
        reason = (error.strerror or str(error)).lower()
        what = f"the picture cannot be written ({reason})"
        raise ExportError(what, path=path, hint="Choose another folder, or make room.") from error
