"""`maskwright evaluate`: the figures of the click protocol, equal to those of an independent program."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.cli import main
from tests.fakes import FakeSegmenter

TIMES = ("encode_ms_median", "click_ms_median", "click_ms_p95")


def write(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images and five objects: disks, a ring with an ignored border, and one that clicks never quite fill."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:90, :120]
    objects = {
        "a#1": (x - 40) ** 2 + (y - 40) ** 2 <= 13**2,
        "a#2": ((x - 80) ** 2 + (y - 45) ** 2 <= 30**2) & ((x - 80) ** 2 + (y - 45) ** 2 >= 14**2),
        "b": (np.abs(x - 60) <= 40) & (np.abs(y - 45) <= 4),
        "c#1": (x > 20) & (x < 100) & (y > 10) & (y < 80),
        "c#2": (x - 30) ** 2 + (y - 30) ** 2 <= 8**2,
    }
    for name in "abc":
        write(root / "images" / f"{name}.png", rng.integers(0, 256, (90, 120, 3), np.uint8))
    for name, mask in objects.items():
        pixels = mask.astype(np.uint8) * 255
        if name == "a#2":
            pixels[cv2.dilate(pixels, np.ones((5, 5), np.uint8)) != pixels] = 128
        write(root / "masks" / f"{name}.png", pixels)
    return root


def evaluated(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["evaluate", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("options", [[], ["--prompt", "box"], ["--clicks", "6"], ["--limit", "2"]])
def test_figures_are_those_of_the_independent_program(
    options: list[str],
    folder: Path,
    shared_folder: Path,
    fake_segmenter: FakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = shared_folder / "eval" / "noc.py"
    if not program.is_file():
        pytest.skip("the independent program is not there")
    spec = importlib.util.spec_from_file_location("noc", program)
    assert spec is not None and spec.loader is not None
    noc = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noc)
    monkeypatch.setattr(sys, "argv", ["noc.py", str(folder), *options])
    noc.main()
    theirs = json.loads(capsys.readouterr().out)
    ours = evaluated([str(folder), *options], capsys)
    curves, details = ours.pop("curves"), ours.pop("details")
    assert details["curve"][0] == theirs["iou@1"]
    assert len(curves) == theirs["objects"]
    for one in (ours, theirs):
        for name in ("model", *TIMES):
            del one[name]
    assert ours == theirs


def test_one_encode_an_image_and_the_text_for_people(
    folder: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert fake_segmenter.encoded == 3
    lines = out.splitlines()
    assert lines[0] == "set: 5 objects in 3 images, model fake, click first"
    assert lines[1].startswith("NoC@80 ") and "NoF@90 " in lines[1]
    assert lines[2].startswith("IoU@1 ") and lines[3].startswith("Dice@1 ")
    assert lines[4].startswith("mean IoU over clicks: ") and "1-5 % " in lines[5] and "calibration error" in lines[6]
    assert lines[7].startswith("encode ") and len(lines) == 8
    assert err == ""


def test_limit_takes_objects_spread_over_the_folder(
    folder: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluated([str(folder), "--limit", "2"], capsys)
    assert list(found["curves"]) == ["a#1.png", "b.png"]
    assert {len(curve) for curve in found["curves"].values()} == {20}


def test_text_needs_labels(folder: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder), "--prompt", "text"]) == 1
    assert capsys.readouterr().err.startswith("maskwright: error: no object with a label")
