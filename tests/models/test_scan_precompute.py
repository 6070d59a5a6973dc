"""Features in torch for the app: the same store, the same masks, resumable, and no encoder needed afterwards."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwright.assets import sample_photo, sample_volume
from maskwright.cli import main as app_main
from maskwright.core.errors import ModelError, StoreError
from maskwright.core.fingerprint import fingerprint
from maskwright.core.geometry import Geometry
from maskwright.core.model_card import ModelCard
from maskwright.core.preprocess import STRETCH, SliceTransform, intensity_for, normalised
from maskwright.core.prompts import Box, Point, Prompts
from maskwright.core.volume import View, Volume
from maskwright.inference import OnnxSegmenter, read_card
from maskwright.inference.model_folder import CARD
from maskwright.io.feature_store import FeatureStore, signature
from maskwright.io.scans import open_scan
from maskwright_models.__main__ import main as models_main
from maskwright_models.scale.precompute import ScanEncoder
from tests.fakes import FAKE_CARD

CPU = torch.device("cpu")


# Batches, resuming and failing, with an encoder that takes no time.


class Shared(list[Any]):
    """A list that copies of a module share."""

    def __deepcopy__(self, memo: object) -> Shared:
        return self


class Means(nn.Module):
    """Mean of each sixteenth of two channels, as FAKE_CARD says; ``sizes`` are the batches, ``trouble`` is raised."""

    def __init__(self, trouble: Exception | None = None) -> None:
        super().__init__()
        self.sizes = Shared()
        self.trouble = trouble

    def forward(self, image: Tensor) -> tuple[Tensor]:
        self.sizes.append(len(image))
        if self.trouble is not None and len(self.sizes) > 1:
            raise self.trouble
        return (nn.functional.avg_pool2d(image[:, :2], 16),)


def some_scan(slices: int = 7) -> Volume:
    voxels = np.random.default_rng(slices).integers(-300, 900, (slices, 20, 30), np.int16)
    return Volume(voxels, Geometry((slices, 20, 30), np.eye(4)), "mr", Path("scan.nii.gz"))


def scan_encoder(
    net: nn.Module, *, card: ModelCard = FAKE_CARD, batch: int = 3, devices: tuple[torch.device, ...] = (CPU,)
) -> ScanEncoder:
    return ScanEncoder(net, card, list(devices), batch=batch)  # type: ignore[arg-type]


def expected(volume: Volume, index: int, fit: str) -> np.ndarray:
    transform = SliceTransform((20, 30), 64, fit)
    rgb = intensity_for(volume.voxels, "mr").apply(volume.slice_at(0, index))
    x = normalised(transform.image_to_input(rgb), transform.inner_yx)[:, :2]
    return x.reshape(1, 2, 4, 16, 4, 16).mean((3, 5))


@pytest.mark.parametrize("card", [FAKE_CARD, replace(FAKE_CARD, preprocessing=STRETCH)], ids=lambda c: c.preprocessing)
def test_every_slice_is_encoded_once_as_the_card_says(tmp_path: Path, card: ModelCard) -> None:
    net, volume = Means(), some_scan()
    told: list[tuple[int, int]] = []
    store, ran = scan_encoder(net, card=card).fill(volume, tmp_path, on_slice=lambda d, t: told.append((d, t)))
    assert (ran, net.sizes, told) == (7, [3, 3, 1], [(3, 7), (6, 7), (7, 7)])
    assert store.ready_flags().all() and store.notice == ""
    sign = signature(fingerprint(volume), card, intensity_for(volume.voxels, "mr"))
    assert store.folder == tmp_path / sign.key
    again = FeatureStore.open(tmp_path, sign, shape_zyx=(7, 20, 30))
    for index in range(7):
        features = again.read(View(0, index))
        assert features.shape_yx == (20, 30) and features.arrays[0].dtype == np.float16
        assert np.abs(features.arrays[0] - expected(volume, index, card.preprocessing)).max() < 2e-3


def test_more_devices_give_the_same_features(tmp_path: Path) -> None:
    volume, net = some_scan(9), Means()
    one, _ = scan_encoder(Means(), batch=4).fill(volume, tmp_path / "one")
    three, ran = scan_encoder(net, batch=1, devices=(CPU, CPU, CPU)).fill(volume, tmp_path / "three")
    assert ran == 9 and net.sizes == [1] * 9
    for index in range(9):
        pair = [store.read(View(0, index)).arrays[0] for store in (one, three)]
        assert np.array_equal(pair[0], pair[1])


class Stopped(Exception):
    """Stands for a kill between two batches."""


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "(_work)" in thread.name]


def test_what_is_done_stays_done_and_only_the_rest_runs(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise Stopped

    volume = some_scan()
    with pytest.raises(Stopped):
        scan_encoder(Means()).fill(volume, tmp_path, on_slice=stop)
    assert workers() == []
    net = Means()
    told: list[int] = []
    _, ran = scan_encoder(net).fill(volume, tmp_path, on_slice=lambda done, total: told.append(done))
    assert (ran, net.sizes, told) == (4, [3, 1], [6, 7])
    _, ran = scan_encoder(net).fill(volume, tmp_path)
    assert ran == 0 and net.sizes == [3, 1]


def test_a_disk_that_refuses_and_an_encoder_that_fails_end_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = some_scan(12)
    with pytest.raises(RuntimeError, match="out of memory"):
        scan_encoder(Means(RuntimeError("out of memory")), batch=1).fill(volume, tmp_path / "a")
    assert workers() == []

    def full(store: FeatureStore, view: View, features: object) -> None:
        raise StoreError("the disk is full", path=store.folder, hint="Free some space.")

    monkeypatch.setattr(FeatureStore, "write", full)
    with pytest.raises(StoreError, match="the disk is full"):
        scan_encoder(Means(), batch=1, devices=(CPU, CPU)).fill(volume, tmp_path / "b")
    assert workers() == []


def test_a_scan_that_cannot_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("maskwright.inference.model_folder.find_folder", lambda model: tmp_path)
    monkeypatch.setattr("maskwright.inference.model_folder.read_card", lambda folder: FAKE_CARD)
    monkeypatch.setattr("maskwright_models.export.read_back.read_encoder", lambda folder: Means())
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.full((20, 30, 3), 90, np.uint8))
    (tmp_path / "photos" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    words = ["precompute", str(tmp_path / "none"), str(tmp_path / "photos"), "--store", str(tmp_path / "f")]
    assert models_main([*words, "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    errors = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("maskwright-models: error: ")]
    assert len(errors) == 2
    assert str(tmp_path / "none") in errors[0] and str(tmp_path / "photos" / "b.png") in errors[1]
    assert "a.png: 1 slices in" in said
    assert len(list((tmp_path / "f").iterdir())) == 1


def test_cuda_without_a_gpu_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from maskwright_models.devices import devices

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ModelError, match="torch sees no CUDA device"):
        devices("cuda")
    assert devices("auto") == devices("cpu") == [CPU]
    monkeypatch.setattr("maskwright.inference.model_folder.find_folder", lambda model: tmp_path)
    monkeypatch.setattr("maskwright.inference.model_folder.read_card", lambda folder: FAKE_CARD)
    monkeypatch.setattr("maskwright_models.export.read_back.read_encoder", lambda folder: Means())
    words = ["precompute", str(sample_photo()), "--store", str(tmp_path / "f"), "--device", "cuda"]
    assert models_main(words) == 1
    assert capsys.readouterr().err == (
        "maskwright-models: error: torch sees no CUDA device. Use --device cpu, or install a CUDA build of torch.\n"
    )
    assert not (tmp_path / "f").exists()


# A small model: both routes on two slices of a brain and a photo.


@dataclass(frozen=True)
class Routes:
    model: Path
    scans: tuple[Path, Path]
    app: Path
    torch: Path

    def stores(self, root: Path) -> list[FeatureStore]:
        card, found = read_card(self.model), []
        for path in self.scans:
            volume = open_scan(path)
            sign = signature(fingerprint(volume), card, intensity_for(volume.voxels, volume.modality))
            assert (root / sign.key).is_dir()
            found.append(FeatureStore.open(root, sign, shape_zyx=volume.geometry.shape_zyx))
        return found


def make_scans(folder: Path) -> tuple[Path, Path]:
    """Two slices of the sample volume, cropped, and a part of the sample photo."""
    import SimpleITK as sitk

    brain = open_scan(sample_volume()).voxels[94:96, 30:220, 20:180]
    sitk.WriteImage(sitk.GetImageFromArray(brain), str(folder / "brain.nii.gz"))
    photo = open_scan(sample_photo()).voxels[0, :330, 60:500]
    cv2.imwrite(str(folder / "cup.png"), np.ascontiguousarray(photo[..., ::-1]))
    return folder / "brain.nii.gz", folder / "cup.png"


@pytest.fixture(scope="module")
def routes(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Routes:
    """The features of both routes, each computed by its own command."""
    model, folder = exported, tmp_path_factory.mktemp("routes")
    scans = make_scans(folder)
    made = Routes(model, scans, folder / "app features", folder / "torch features")
    words = ["precompute", *map(str, scans), "--model", str(model)]
    assert app_main([*words, "--store", str(made.app), "--threads", "1"]) == 0
    assert models_main([*words, "--store", str(made.torch), "--device", "cpu", "--threads", "1", "--batch", "2"]) == 0
    return made


def least_overlap(segmenter: OnnxSegmenter, pairs: list[tuple[FeatureStore, FeatureStore]]) -> float:
    """Least mask IoU of the two stores of each pair over all slices and some prompts; no mask is empty."""
    least = 1.0
    for one, other in pairs:
        h, w = one.shape_zyx[1:]
        click = Prompts().add(Point(0.5 * w, 0.35 * h))
        box = Prompts().add(Box(0.2 * w, 0.2 * h, 0.8 * w, 0.8 * h))
        for index in range(one.shape_zyx[0]):
            for prompts in (click, click.add(Point(3, h - 4, positive=False)), box):
                a, b = (segmenter.segment(s.read(View(0, index)), prompts).mask for s in (one, other))
                assert a.any()
                least = min(least, float((a & b).sum() / (a | b).sum()))
    return least


@pytest.mark.model
def test_both_routes_fill_the_same_stores(routes: Routes) -> None:
    assert sorted(p.name for p in routes.app.iterdir()) == sorted(p.name for p in routes.torch.iterdir())
    for store in routes.stores(routes.app) + routes.stores(routes.torch):
        assert store.notice == "" and store.ready_flags().all()


@pytest.mark.model
def test_both_routes_give_the_same_masks(routes: Routes) -> None:
    pairs = list(zip(routes.stores(routes.app), routes.stores(routes.torch), strict=True))
    assert [a.shape_zyx[0] for a, _ in pairs] == [2, 1]
    assert least_overlap(OnnxSegmenter(routes.model, threads=1), pairs) >= 0.99


@pytest.mark.model
def test_a_laptop_clicks_on_these_features_without_an_encoder(
    routes: Routes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("maskwright.inference.segmenter.make_session", _telling(opened))
    for name in ("head.onnx", CARD):
        shutil.copy(routes.model / name, tmp_path / name)
    laptop = OnnxSegmenter(tmp_path, threads=1)
    click = Prompts().add(Point(230, 120))
    answer = laptop.segment(routes.stores(routes.torch)[1].read(View(0, 0)), click)
    assert opened == ["head.onnx"]
    features = OnnxSegmenter(routes.model, threads=1).encode(open_scan(routes.scans[1]).voxels[0])
    known = OnnxSegmenter(routes.model, threads=1).segment(features, click)
    assert answer.mask.shape == (330, 440) and 0 < answer.mask.mean() < 1
    assert (answer.mask != known.mask).mean() < 0.01
    with pytest.raises(ModelError, match="the encoder of model small is missing"):
        laptop.encode(np.zeros((8, 8), np.uint8))


def _telling(opened: list[str]) -> Callable[..., Any]:
    from maskwright.inference.ort import make_session

    def make(path: Path, *, threads: int | None = None, awake: bool = False) -> Any:
        opened.append(path.name)
        return make_session(path, threads=threads, awake=awake)

    return make


@pytest.mark.model
def test_neither_command_encodes_again_what_the_other_did(
    routes: Routes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["precompute", *map(str, routes.scans), "--model", str(routes.model), "--store"]
    assert app_main([*words, str(routes.torch), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["slices"], one["encoded"]) for one in told["scans"]] == [(2, 0), (1, 0)]
    monkeypatch.setattr("maskwright_models.export.read_back.read_encoder", lambda folder: Means())
    assert models_main([*words, str(routes.app), "--device", "cpu"]) == 0
    said = capsys.readouterr().err
    assert "brain.nii.gz: 0 slices in" in said and "cup.png: 0 slices in" in said


@pytest.mark.model
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_half_precision_on_a_gpu_gives_the_same_masks(routes: Routes, tmp_path: Path) -> None:
    words = ["precompute", *map(str, routes.scans), "--model", str(routes.model), "--store", str(tmp_path)]
    assert models_main([*words, "--device", "cuda"]) == 0
    pairs = list(zip(routes.stores(routes.app), routes.stores(tmp_path), strict=True))
    assert least_overlap(OnnxSegmenter(routes.model, threads=1), pairs) >= 0.99
