"""Fixtures that several test modules of the torch side share."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright_models.data.index import read_index
from maskwright_models.data.samples import SampleSource
from tests.models.exported_case import export_small
from tests.models.training_cases import compute_all, frozen_parts, make_set


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images: two photos, two slices."""
    root = tmp_path_factory.mktemp("train")
    make_set(root / "natural" / "Disks")
    make_set(root / "medical" / "ct_disks", modality="ct")
    return root


@pytest.fixture(scope="session")
def store(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of all four, the whole image of each."""
    root = tmp_path_factory.mktemp("features")
    assert compute_all(read_index(data), root) == 4
    return root


@pytest.fixture
def source(data: Path, store: Path) -> SampleSource:
    """Samples of all four without words."""
    return SampleSource(read_index(data), store, frozen_parts(), objects=2)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of the default family, exported by the command; its checkpoint is run/last.pt beside it."""
    return export_small(tmp_path_factory.mktemp("exported"))
