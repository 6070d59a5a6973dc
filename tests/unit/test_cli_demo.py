"""`maskwright demo`: the whole job on the bundled samples, with a segmenter that counts and with the real model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright import cli, cli_demo
from maskwright.assets import models_folder, sample_photo, sample_volume
from maskwright.cli_verb import WindowRequest
from maskwright.core.errors import ExportError, MaskwrightError
from maskwright.core.mask import Mask
from tests.fakes import FakeSegmenter

CLICKS = {path: len(job.clicks) for path, job in cli_demo.jobs().items()}


def run(out: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["demo", "--out", str(out), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_encode_a_sample_and_one_head_run_a_click(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tmp_path / "out", capsys)
    assert fake_segmenter.encoded == 2
    assert fake_segmenter.segmented == sum(CLICKS.values())
    assert [(one["scan"], one["slice"]) for one in found["scans"]] == [("coffee.png", 0), ("mni152_t1.nii.gz", 94)]
    assert [len(one["click_ms"]) for one in found["scans"]] == [count - 1 for count in CLICKS.values()]
    assert {one["format"]: one["scans"] for one in found["exports"]} == {
        "coco": ["coffee.png", "mni152_t1.nii.gz"],
        "png": ["coffee.png", "mni152_t1.nii.gz"],
        "nifti": ["mni152_t1.nii.gz"],
    }
    picture = cv2.imdecode(np.fromfile(tmp_path / "out" / "demo.png", np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape[0] == 660 and picture.shape[1] > 1000


def test_it_can_be_repeated_and_leaves_other_files_alone(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    first, second = run(out, capsys), run(out, capsys)
    areas = [[one["area_px"] for one in found["scans"]] for found in (first, second)]
    assert areas[0] == areas[1]
    assert fake_segmenter.encoded == 4
    assert (out / "letter.txt").read_text() == "mine"


def test_its_text_names_timings_and_places(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith("model fake: Fake 1, loaded in ")
    assert lines[1].startswith("coffee.png: 600 x 400 x 1, opened in ") and " ms; cup and saucer: " in lines[1]
    assert lines[2].startswith("mni152_t1.nii.gz, slice 94: 197 x 233 x 189, opened in ")
    assert lines[-1] == f"picture: {tmp_path / 'demo.png'}"


@pytest.mark.parametrize("display", ["", ":99"])
def test_the_window_opens_afterwards_only_on_a_display(
    display: str,
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("maskwright.system_libraries.sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    asked: list[WindowRequest] = []

    def open_window(request: WindowRequest) -> int:
        asked.append(request)
        return 0

    assert cli.main(["demo", "--out", str(tmp_path), "--window"], open_window=open_window) == 0
    if display:
        assert [(one.paths, one.project, one.store) for one in asked] == [
            ((sample_photo().parent,), tmp_path / "project", tmp_path / "features")
        ]
    else:
        assert asked == [] and "no display here" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--out", str(tmp_path / "file" / "x")]) == 1
    assert capsys.readouterr().err == (
        f"maskwright: error: the demo cannot write here (not a directory): {tmp_path / 'file' / 'x'}. "
        "Choose another folder with --out.\n"
    )


def test_a_model_that_fails_ends_the_demo_with_its_message(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_segmenter.trouble = MaskwrightError("the encoder is broken", hint="Install the model again.")
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "maskwright: error: the encoder is broken. Install the model again.\n"


def test_a_dataset_that_reads_back_differently_is_found(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    from maskwright.cli_export import project_items
    from maskwright.session.project import Project

    run(tmp_path, capsys)
    project = Project.open(tmp_path / "project")
    items = project_items(project)
    project.close()
    cli_demo._compare(items, "png", tmp_path / "png")
    item = items[0]
    (one,) = item.annotation.objects
    (view,) = one.masks
    moved = one.with_mask(view, Mask.from_array(np.roll(one.masks[view].to_array(), 1, axis=1)))
    other = replace(item, annotation=item.annotation.with_object(moved))
    with pytest.raises(ExportError, match="coffee.png reads back differently"):
        cli_demo._compare([other], "png", tmp_path / "png")
    with pytest.raises(ExportError, match="other.png is not in the dataset"):
        cli_demo._compare([replace(item, name="other.png")], "png", tmp_path / "png")


def cup_and_saucer() -> np.ndarray:
    """The object of the photo as drawn by hand, (400, 600) bool."""
    outline = (
        "78,200 85,165 105,130 135,102 172,78 185,65 210,40 250,22 290,18 330,22 370,40 398,70 418,68 424,80 415,110 "
        "440,130 462,165 476,205 479,240 470,280 445,320 405,352 350,375 290,386 240,384 190,368 145,340 "
        "110,300 88,255 79,215"
    )
    ring = np.array([[int(part) for part in pair.split(",")] for pair in outline.split()], np.int32)
    return cv2.fillPoly(np.zeros((400, 600), np.uint8), [ring], 1).astype(bool)


def ventricles() -> np.ndarray:
    """Dark fluid in the middle of slice 94 of the template, (233, 197) bool."""
    from maskwright.io.scans import open_scan

    dark = open_scan(sample_volume()).slice_at(0, 94) < 150
    box = np.zeros_like(dark)
    box[90:152, 72:125] = True
    _, parts, areas, _ = cv2.connectedComponentsWithStats((dark & box).astype(np.uint8))
    return np.isin(parts, 1 + np.argsort(areas[1:, cv2.CC_STAT_AREA])[-2:])


@pytest.mark.model
@pytest.mark.skipif(not (models_folder() / "default" / "model.json").is_file(), reason="no model is bundled")
def test_with_the_real_model_the_objects_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from maskwright.cli_export import project_items
    from maskwright.core.metrics import iou
    from maskwright.session.project import Project

    run(tmp_path / "out", capsys, "--threads", "2")
    project = Project.open(tmp_path / "out" / "project")
    items = project_items(project)
    project.close()
    found = [next(iter(item.annotation.objects[0].masks.values())).to_array() for item in items]
    assert iou(found[0], cup_and_saucer()) >= 0.85
    assert iou(found[1], ventricles()) >= 0.6
