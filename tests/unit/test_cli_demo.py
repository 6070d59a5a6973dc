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
    assert lines[1].startswith("coffee.png: 600 x 400 x 1, opened in ") and " ms; cup: " in lines[1]
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


@pytest.mark.model
@pytest.mark.skipif(not (models_folder() / "default" / "model.json").is_file(), reason="no model is bundled")
def test_with_the_real_model_the_objects_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cup and the ventricle have known sizes; a mask of half or twice that is not the object."""
    found = run(tmp_path / "out", capsys, "--threads", "2")
    cup, ventricle = found["scans"]
    assert (cup["label"], ventricle["label"]) == ("cup", "left lateral ventricle")
    assert 30_000 < cup["area_px"] < 75_000
    assert 250 < ventricle["area_px"] < 1_400
    assert sample_volume().name == ventricle["scan"]
