"""`maskwright precompute`: encodes what is missing, goes on after kill -9, leaves out what cannot be read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maskwright.cli import main
from tests.fakes import FAKE_CARD, FakeSegmenter
from tests.unit.test_cli_segment import make_volume


def stores(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_every_slice_is_encoded_once(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, root = make_volume(tmp_path / "scan.nii.gz", (7, 20, 30)), tmp_path / "features"
    words = ["precompute", str(scan), "--store", str(root), "--json"]
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["model"], first["failed"], first["store"]) == ("fake", 0, str(root))
    assert [(one["scan"], one["slices"], one["encoded"]) for one in first["scans"]] == [(str(scan), 7, 7)]
    assert fake_segmenter.encoded == 7
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["scans"][0]["encoded"] == 0
    assert fake_segmenter.encoded == 7


def test_a_folder_with_one_bad_file_gives_the_others(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, root = tmp_path / "scans", tmp_path / "features"
    folder.mkdir()
    make_volume(folder / "a.nii.gz", (2, 20, 30))
    bad = make_volume(folder / "b.nii.gz", (2, 20, 30))
    bad.write_bytes(bad.read_bytes()[:400])
    make_volume(folder / "c.nii.gz", (3, 21, 30))
    assert main(["precompute", str(folder), str(tmp_path / "missing"), "--store", str(root)]) == 1
    out, err = capsys.readouterr()
    assert fake_segmenter.encoded == 5
    assert out == f"2 scans, 5 slices ready, 5 of them encoded now: {root}\n"
    errors = [line for line in err.splitlines() if line.startswith("maskwright: error: ")]
    assert len(errors) == 2
    assert str(bad) in errors[0] and str(tmp_path / "missing") in errors[1]


def test_the_same_file_named_twice_counts_once(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = make_volume(tmp_path / "scan.nii.gz", (2, 20, 30))
    assert main(["precompute", str(scan), str(scan), "--store", str(tmp_path / "f"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["scans"]) == 1


def test_features_of_another_model_are_set_aside_with_a_sentence(
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dataclasses import replace

    scan, root = make_volume(tmp_path / "scan.nii.gz", (2, 20, 30)), tmp_path / "features"
    words = ["precompute", str(scan), "--store", str(root), "--json"]
    assert main(words) == 0
    other = FakeSegmenter(replace(FAKE_CARD, sha256={**FAKE_CARD.sha256, "encoder.onnx": "f" * 64}))
    monkeypatch.setattr("maskwright.inference.load_segmenter", lambda *arguments, **options: other)
    capsys.readouterr()
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "the model changed" in err
    assert json.loads(out)["scans"][0]["encoded"] == 2
    assert len(stores(root)) == 2 and ".aside-" in stores(root)[1]


def test_default_store_lies_in_the_home_of_the_app(
    tmp_path: Path, fake_segmenter: FakeSegmenter, maskwright_home: Path
) -> None:
    assert main(["precompute", str(make_volume(tmp_path / "scan.nii.gz", (1, 20, 30)))]) == 0
    assert len(stores(maskwright_home / "features")) == 1


SLOW = """
import sys, time
import maskwright.inference
from maskwright.cli import main
from tests.fakes import FakeSegmenter

class Slow(FakeSegmenter):
    def encode(self, image, **options):
        time.sleep(0.02)
        print("encoding", flush=True)
        return super().encode(image, **options)

maskwright.inference.load_segmenter = lambda *arguments, **options: Slow()
sys.exit(main(["precompute", sys.argv[1], "--store", sys.argv[2]]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_after_kill_9_it_goes_on_where_it_was(
    tmp_path: Path, repository: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    total = 60
    scan, root = make_volume(tmp_path / "scan.nii.gz", (total, 20, 30)), tmp_path / "features"
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(scan), str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    ) as process:
        assert process.stdout is not None
        for _ in range(12):
            assert process.stdout.readline() == "encoding\n"
        process.kill()
        begun = 12 + len(process.stdout.readlines())
    assert process.returncode == -signal.SIGKILL
    assert main(["precompute", str(scan), "--store", str(root), "--json"]) == 0
    encoded = json.loads(capsys.readouterr().out)["scans"][0]["encoded"]
    assert encoded == fake_segmenter.encoded
    # The slice in work is lost, or was done but not yet flagged; nothing before it.
    assert total - begun <= encoded <= total - begun + 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_finishes_the_slice_in_work_and_ends_without_a_trace(
    tmp_path: Path, repository: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    total = 200
    scan, root = make_volume(tmp_path / "scan.nii.gz", (total, 20, 30)), tmp_path / "features"
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(scan), str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "encoding\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "")
    begun = 3 + out.count("encoding")
    assert begun < total
    assert main(["precompute", str(scan), "--store", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scans"][0]["encoded"] == total - begun


def test_a_read_only_store_is_named(
    tmp_path: Path, fake_segmenter: FakeSegmenter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = make_volume(tmp_path / "scan.nii.gz", (2, 20, 30))

    def read_only(self: Path, *args: object, **options: object) -> None:
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert main(["precompute", str(scan), "--store", str(tmp_path / "features")]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("maskwright: error: the folder is read-only: ") and line.endswith(
        "Choose another feature folder."
    )
