"""`maskwright segment`: prompts on the command line, a mask in a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.cli import main
from maskwright.core.features import Features
from maskwright.core.prompts import Box, Point, Prompts
from maskwright.inference import Segmentation
from maskwright.inference.not_found import judged
from tests.fakes import FakeSegmenter, disks


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "Müller photo 1.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


def make_volume(path: Path, shape_zyx: tuple[int, int, int] = (5, 40, 50)) -> Path:
    import SimpleITK as sitk

    voxels = np.arange(np.prod(shape_zyx), dtype=np.int16).reshape(shape_zyx)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


def read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED))


def test_the_mask_is_written_at_the_size_of_the_picture(
    photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mask.png"
    assert main(["segment", str(photo), "--point", "30,20", "--not", "40,20", "--out", str(out)]) == 0
    want = disks(Prompts((Point(30, 20), Point(40, 20, positive=False))), (60, 80))
    got = read(out)
    assert got.dtype == np.uint8 and got.shape == (60, 80)
    assert np.array_equal(got, want * np.uint8(255))
    assert (fake_segmenter.encoded, fake_segmenter.segmented) == (1, 1)
    assert capsys.readouterr().out.startswith(f"{out}: {int(want.sum())} pixels, predicted IoU 0.90; encoded in ")


def test_json_says_all_that_a_script_wants(
    photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mask.png"
    words = ["segment", str(photo), "--box", "30,10,5,25", "--point", "7,12", "--out", str(out), "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prompts"] == [
        {"kind": "box", "x0": 5.0, "y0": 10.0, "x1": 30.0, "y1": 25.0},
        {"kind": "point", "x": 7.0, "y": 12.0, "positive": True},
    ]
    want = disks(Prompts((Box(5, 10, 30, 25), Point(7, 12))), (60, 80))
    assert found["area_px"] == int(want.sum())
    assert (found["size"], found["slice"], found["model"], found["score"]) == ([80, 60], 0, "fake", 0.9)
    assert (found["mask"], found["features_from_store"]) == (str(out), False)


def test_words_that_name_nothing_are_told(
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scan, out = make_volume(tmp_path / "scan.nii.gz"), tmp_path / "mask.png"
    plain = fake_segmenter.segment

    def segment(features: Features, prompts: Prompts, **options: Any) -> Segmentation:
        answer = plain(features, prompts, **options)
        return judged(replace(answer, mask=~answer.mask, score=0.12), prompts, floor=0.3)

    monkeypatch.setattr(fake_segmenter, "segment", segment)
    words = ["segment", str(scan), "--text", "xylophone", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "No “xylophone” was found in this slice. The mask is empty."
    assert said[1].startswith(f"{out}: 0 pixels, predicted IoU 0.12; ")
    assert not read(out).any()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["found"], found["says"]) == (False, "No “xylophone” was found in this slice.")
    assert main([*words, "--point", "10,10", "--json"]) == 0  # a click says where it is
    found = json.loads(capsys.readouterr().out)
    assert (found["found"], found["says"]) == (True, "")


def test_a_slice_of_a_volume(tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]) -> None:
    scan, out = make_volume(tmp_path / "scan.nii.gz"), tmp_path / "mask.png"
    assert main(["segment", str(scan), "--slice", "4", "--point", "10,10", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slice"] == 4
    assert main(["segment", str(scan), "--point", "10,10", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slice"] == 2
    assert read(out).shape == (40, 50)


def test_features_are_kept_in_a_store_that_is_named(
    photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(photo), "--point", "30,20", "--out", str(tmp_path / "m.png"), "--json"]
    words += ["--store", str(tmp_path / "features")]
    found = []
    for _ in range(2):
        assert main(words) == 0
        found.append(json.loads(capsys.readouterr().out)["features_from_store"])
    assert found == [False, True]
    assert (fake_segmenter.encoded, fake_segmenter.segmented) == (1, 2)


def test_without_a_store_nothing_but_the_mask_is_written(
    photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter, maskwright_home: Path
) -> None:
    assert main(["segment", str(photo), "--point", "30,20", "--out", str(tmp_path / "m.png")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Müller photo 1.png", "m.png"]
    assert not maskwright_home.exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--point", "80,10"], "the click 80,10 lies outside: {scan}. The picture is 80 pixels wide and 60 high."),
        (["--not", "3,-0.6"], "the click 3,-0.6 lies outside: {scan}. The picture is 80 pixels wide and 60 high."),
        (
            ["--box", "80,0,90,10"],
            "the box 80,0,90,10 lies outside: {scan}. The picture is 80 pixels wide and 60 high.",
        ),
        (["--point", "1,1", "--slice", "1"], "there is no slice 1: {scan}. It has the slices 0 to 0."),
    ],
)
def test_what_lies_outside_is_refused(
    words: list[str],
    line: str,
    photo: Path,
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "mask.png"
    assert main(["segment", str(photo), *words, "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"maskwright: error: {line.format(scan=photo)}\n"
    assert not out.exists() and fake_segmenter.encoded == 0


def test_the_border_of_the_picture_is_inside(photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter) -> None:
    words = ["segment", str(photo), "--point", "79.4,59.4", "--not=-0.5,-0.5", "--box=-5,-5,3,3"]
    assert main([*words, "--out", str(tmp_path / "m.png")]) == 0


def test_no_prompt_is_a_wrong_command(
    photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(photo), "--out", str(tmp_path / "m.png")]) == 2
    assert "give at least one" in capsys.readouterr().err


def test_a_mask_that_cannot_be_written_leaves_the_old_one(
    photo: Path,
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "mask.png"
    out.write_bytes(b"old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["segment", str(photo), "--point", "1,1", "--out", str(out)]) == 1
    assert capsys.readouterr().err == (
        f"maskwright: error: the picture cannot be written (no space left on device): {out}. "
        "Choose another folder, or make room.\n"
    )
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [photo.name, "mask.png"]


def test_a_missing_folder_for_the_mask_is_named(
    photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(photo), "--point", "1,1", "--out", str(tmp_path / "no" / "m.png")]) == 1
    assert "the picture cannot be written (no such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize("stored", [False, True])
def test_a_small_object_is_looked_at_closely_whether_its_slice_was_stored_or_not(
    photo: Path, tmp_path: Path, fake_segmenter: FakeSegmenter, *, stored: bool
) -> None:
    words = ["segment", str(photo), "--point", "30,20", "--store", str(tmp_path / "store")]
    if stored:
        assert main([*words, "--out", str(tmp_path / "before.png")]) == 0
    fake_segmenter.zoom_at, fake_segmenter.shapes, out = (4, 6, 34, 46), [], tmp_path / "mask.png"
    assert main([*words, "--out", str(out)]) == 0
    want = disks(Prompts((Point(30, 20),)), (60, 80))
    want[4:34, 6:46] = True
    assert np.array_equal(read(out), want * np.uint8(255))
    assert fake_segmenter.shapes == [*([] if stored else [(60, 80)]), (30, 40)]
