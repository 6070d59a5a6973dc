"""Bad input through the command line: one line that says what, which file and what to do; exit code 1."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskwright.cli import main
from tests.fakes import FakeSegmenter
from tests.unit.test_cli_segment import make_volume


def truncated_png(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = folder / "cut.png"
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes()[:2000])
    return path


def truncated_jpeg(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = folder / "cut.jpg"
    path.write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes()[:300])
    return path


def text_named_png(folder: Path) -> Path:
    path = folder / "letter.png"
    path.write_text("Dear Sir or Madam")
    return path


def text(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("no picture at all")
    return path


def empty_folder(folder: Path) -> Path:
    path = folder / "nothing here"
    path.mkdir()
    return path


def missing(folder: Path) -> Path:
    return folder / "gone.nii.gz"


def empty_nifti(folder: Path) -> Path:
    path = folder / "empty.nii.gz"
    path.write_bytes(b"")
    return path


def truncated_nifti(folder: Path) -> Path:
    path = make_volume(folder / "cut.nii", (4, 20, 30))
    path.write_bytes(path.read_bytes()[:-1000])
    return path


def nan_nifti(folder: Path) -> Path:
    import SimpleITK as sitk

    voxels = np.zeros((3, 10, 12), np.float32)
    voxels[1, 2:4, 3:6] = np.nan
    path = folder / "nan.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


def huge_png(folder: Path) -> Path:
    """Only the header of 30,000 x 30,000 pixels: 2.7 GB in colour if anyone believed it."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path = folder / "huge.png"
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def dicom_series(folder: Path, slices: list[tuple[float, int]]) -> Path:
    """CT slices in one folder, each given by its z in mm and its number of columns."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    series = folder / "series"
    series.mkdir()
    study_uid, series_uid = generate_uid(), generate_uid()
    for number, (z_mm, columns) in enumerate(slices, 1):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID = study_uid, series_uid
        data.Modality, data.SeriesNumber, data.InstanceNumber = "CT", 1, number
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, z_mm], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [1, 1], 2
        data.Rows, data.Columns, data.SamplesPerPixel = 16, columns, 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = np.full((16, columns), 1000 + number, np.int16).tobytes()
        data.save_as(series / f"slice {number}.dcm", enforce_file_format=True)
    return series


def missing_slice(folder: Path) -> Path:
    return dicom_series(folder, [(0, 16), (2, 16), (4, 16), (8, 16), (10, 16)])


def mixed_sizes(folder: Path) -> Path:
    return dicom_series(folder, [(0, 16), (2, 16), (4, 20), (6, 16)])


CASES: list[tuple[Callable[[Path], Path], str]] = [
    (truncated_png, "damaged or incomplete"),
    (truncated_jpeg, "damaged or incomplete"),
    (text_named_png, "not a PNG file"),
    (text, "not an image or a scan"),
    (empty_folder, "the folder is empty"),
    (missing, "no such file or folder"),
    (empty_nifti, "the file is empty (0 bytes)"),
    (truncated_nifti, ""),
    (nan_nifti, "6 of 360 voxels have no value (NaN or infinite)"),
    (huge_png, "too large: 30,000 x 30,000 pixels"),
    (missing_slice, "missing"),
    (mixed_sizes, "size"),
]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line of an error, which is all that was said."""
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("\n") and err.count("\n") == 1, (out, err)
    assert err.startswith("maskwright: error: ")
    return err.removeprefix("maskwright: error: ").rstrip("\n")


@pytest.mark.parametrize(("make", "what"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_segment_says_what_is_wrong_with_a_scan(
    make: Callable[[Path], Path],
    what: str,
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scan, out = make(tmp_path), tmp_path / "mask.png"
    assert main(["segment", str(scan), "--point", "5,5", "--out", str(out)]) == 1
    line = one_line(capsys)
    assert what in line
    assert str(tmp_path) in line, "it names the file"
    hint = line.split(". ", 1)[1]
    assert hint and hint[0].isupper() and hint.endswith("."), "it says what to do"
    assert not out.exists() and fake_segmenter.encoded == 0


@pytest.mark.parametrize(("make", "what"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_precompute_says_it_and_stores_nothing(
    make: Callable[[Path], Path],
    what: str,
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scan, store = make(tmp_path), tmp_path / "features"
    assert main(["precompute", str(scan), "--store", str(store), "--json"]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and what in err and str(tmp_path) in err
    assert json.loads(out)["scans"] == [] and json.loads(out)["failed"] == 1
    assert not store.exists() and fake_segmenter.encoded == 0


def test_a_series_without_a_gap_opens(tmp_path: Path, fake_segmenter: FakeSegmenter) -> None:
    series = dicom_series(tmp_path, [(0, 16), (2, 16), (4, 16)])
    assert main(["segment", str(series), "--point", "5,5", "--out", str(tmp_path / "mask.png")]) == 0


def test_paths_with_umlauts_spaces_and_cjk_work(
    tmp_path: Path, fake_segmenter: FakeSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "Größe und Maße 検査 (1)"
    folder.mkdir()
    scan, out = make_volume(folder / "Schädel 頭部.nii.gz"), folder / "Maske ñ.png"
    words = [
        "segment",
        str(scan),
        "--point",
        "20,20",
        "--out",
        str(out),
        "--store",
        str(folder / "Merkmale é"),
        "--json",
    ]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["mask"] == str(out)
    assert out.is_file()


def model_with(folder: Path, *, head: bytes, sha256: str) -> Path:
    """A model folder with a head of these bytes and a card that promises another one."""
    from maskwright.core.model_card import card_to_json
    from tests.fakes import FAKE_CARD

    folder.mkdir()
    card = card_to_json(FAKE_CARD)
    card["sha256"] = {"encoder.onnx": "e" * 64, "head.onnx": sha256}
    (folder / "model.json").write_text(json.dumps(card))
    (folder / "head.onnx").write_bytes(head)
    (folder / "encoder.onnx").write_bytes(b"")
    return folder


@pytest.mark.parametrize("command", ["segment", "precompute", "evaluate"])
def test_a_model_with_a_wrong_hash_is_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_with(tmp_path / "my model", head=b"altered", sha256="0" * 64)
    scan = make_volume(tmp_path / "scan.nii.gz")
    words = {
        "segment": [str(scan), "--point", "5,5", "--out", str(tmp_path / "mask.png")],
        "precompute": [str(scan), "--store", str(tmp_path / "features")],
        "evaluate": [str(tmp_path)],
    }[command]
    assert main([command, *words, "--model", str(model)]) == 1
    line = one_line(capsys)
    assert "does not match its hash" in line and str(model / "head.onnx") in line and "Install the model again." in line


def test_an_unknown_model_and_a_folder_without_one_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = make_volume(tmp_path / "scan.nii.gz"), tmp_path / "mask.png"
    for model, what in (
        ("no-such-model", "there is no model 'no-such-model'"),
        (str(tmp_path), "there is no model here"),
    ):
        assert main(["segment", str(scan), "--point", "5,5", "--out", str(out), "--model", model]) == 1
        assert what in one_line(capsys)


def test_a_card_that_is_no_json_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_with(tmp_path / "model", head=b"", sha256="0" * 64)
    (model / "model.json").write_text("{")
    assert main(["precompute", str(tmp_path), "--model", str(model)]) == 1
    line = one_line(capsys)
    assert "the model card cannot be read" in line and str(model / "model.json") in line


def test_a_full_disk_stops_precompute_with_one_line(
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scan, root = make_volume(tmp_path / "scan.nii.gz"), tmp_path / "features"
    honest = Path.open

    def full(self: Path, mode: str = "r", *rest: object, **options: object) -> object:
        if root in self.parents and "r" not in mode and "feat_0" in str(self):
            raise OSError(28, "No space left on device", str(self))
        return honest(self, mode, *rest, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    assert main(["precompute", str(scan), "--store", str(root)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskwright: error")]
    assert len(lines) == 1
    assert "the disk is full: " in lines[0] and "Free some space or choose another feature folder." in lines[0]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda folder: folder, "there is no images folder"),
        (lambda folder: evaluation(folder, image=b"no image"), "not a readable image"),
        (lambda folder: evaluation(folder, image=None), "no image has the name of this mask"),
    ],
    ids=["no layout", "bad image", "mask without image"],
)
def test_evaluate_says_what_is_wrong_with_a_folder(
    make: Callable[[Path], Path],
    what: str,
    tmp_path: Path,
    fake_segmenter: FakeSegmenter,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", str(make(tmp_path))]) == 1
    line = one_line(capsys)
    assert what in line and str(tmp_path) in line


def evaluation(folder: Path, *, image: bytes | None) -> Path:
    """A folder in the layout of `evaluate` with one mask, and this file as its image."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    (folder / "masks" / "a.png").write_bytes(cv2.imencode(".png", np.full((9, 9), 255, np.uint8))[1].tobytes())
    if image is not None:
        (folder / "images" / "a.png").write_bytes(image)
    return folder
