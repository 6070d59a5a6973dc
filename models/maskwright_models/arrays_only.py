"""Pickles that others published, read as data alone: nothing in them is run."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
from numpy._core import multiarray, numeric


def load_arrays(data: bytes) -> Any:
    """What a pickle of numbers, texts, containers and numpy arrays holds.

    Raises pickle.UnpicklingError where it names anything else, and whatever else damaged bytes make an unpickler raise.
    """
    return _ArraysOnly(io.BytesIO(data)).load()


class _ArraysOnly(pickle.Unpickler):
    """Reads numbers, texts, containers and numpy arrays; everything else that a pickle can name is refused."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: D102
        known: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
        for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
            known[f"{core}.multiarray", "_reconstruct"] = getattr(multiarray, "_reconstruct")  # noqa: B009
            known[f"{core}.multiarray", "scalar"] = multiarray.scalar
            known[f"{core}.numeric", "_frombuffer"] = getattr(numeric, "_frombuffer")  # noqa: B009
        known["_codecs", "encode"] = _latin1
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it would run {module}.{name}")
        return known[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """How old pickles write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding}")
    return text.encode(encoding)
