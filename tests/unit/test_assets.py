"""The bundled files are found, are what their README says, and are small."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import pytest

from maskwright import assets


def listed_samples() -> dict[str, str]:
    """File name -> sha256, from the table of the samples' README."""
    text = (assets.samples_folder() / "README.md").read_text("utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})`", text, re.MULTILINE))


def test_every_sample_file_is_listed_with_its_hash() -> None:
    found = {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in assets.samples_folder().iterdir()
        if p.suffix != ".md"
    }
    assert found == listed_samples()
    assert set(found) == {assets.sample_photo().name, assets.sample_volume().name}


def test_samples_are_small_and_named_in_the_notice(repository: Path) -> None:
    notice = (repository / "NOTICE").read_text("utf-8")
    assert assets.sample_photo().stat().st_size < 500_000
    assert assets.sample_volume().stat().st_size < 3_000_000
    for path in (assets.sample_photo(), assets.sample_volume()):
        assert f"assets/samples/{path.name}" in notice


def test_editable_install_reads_the_repository(repository: Path) -> None:
    assert assets.assets_folder() == repository / "assets"
    assert assets.icons_folder() == repository / "assets" / "icons"
    assert assets.models_folder() == repository / "assets" / "models"


def test_frozen_app_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = tmp_path / "maskwright" / "_assets"
    unpacked.mkdir(parents=True)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert assets.assets_folder() == unpacked


def test_wheel_comes_before_the_folder_beside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "maskwright"
    (package / "_assets").mkdir(parents=True)
    (tmp_path / "assets").mkdir()
    monkeypatch.setattr(assets, "__file__", str(package / "assets.py"))
    assert assets.assets_folder() == package / "_assets"


def test_lost_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "__file__", str(tmp_path / "a" / "maskwright" / "assets.py"))
    with pytest.raises(FileNotFoundError, match="_assets. Install maskwright again"):
        assets.assets_folder()


def test_samples_open_as_a_photo_and_a_volume() -> None:
    from maskwright.io.scans import open_scan

    photo, volume = open_scan(assets.sample_photo()), open_scan(assets.sample_volume())
    assert photo.is_photo and photo.voxels.shape == (1, 400, 600, 3)
    assert volume.geometry.shape_zyx == (189, 233, 197)
    assert volume.geometry.spacing_zyx_mm == (1.0, 1.0, 1.0)
