"""Features of one slice: a frozen value that knows its size."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from maskwright.core.features import Features


def test_features_count_their_bytes_and_do_not_change() -> None:
    features = Features((np.zeros((1, 8, 4, 4), np.float16), np.zeros((1, 2, 16, 16), np.float32)), (30, 40))
    assert features.nbytes == 2 * 128 + 4 * 512
    with pytest.raises(FrozenInstanceError):
        features.shape_yx = (1, 1)  # type: ignore[misc]
