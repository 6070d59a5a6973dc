"""Opening by content, finding in folders, and one plain line for everything that cannot be opened."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from maskwright.core.errors import ScanError
from maskwright.io.scans import READERS, find_scans, list_scans, open_scan
from tests.unit.io.dicom_files import write_image, write_report, write_series

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6)


def photo(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS + np.uint8(value)).save(path, format="PNG")
    return path


def nifti(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16)), str(path))
    return path


@pytest.fixture
def ordinary_user():
    """Drop root for the test: root may read everything."""
    if not hasattr(os, "geteuid"):
        pytest.skip("file permissions of this system are not POSIX")
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    yield
    if user == 0:
        os.seteuid(0)


def test_every_kind_is_told_by_its_content(tmp_path):
    made = {
        "DICOM": write_image(tmp_path / "d" / "x", np.zeros((4, 5), np.int16)),
        "PNG": photo(tmp_path / "p"),
        "NIfTI": _renamed(nifti(tmp_path / "n.nii"), "n"),
        "NIfTI.gz": _renamed(nifti(tmp_path / "z.nii.gz"), "z"),
    }
    for kind, options in {"JPEG": {}, "TIFF": {}, "BMP": {}, "WebP": {}}.items():
        made[kind] = tmp_path / kind
        Image.fromarray(PIXELS).save(made[kind], format=kind, **options)
    for kind, ending in {"NRRD": "nrrd", "MetaImage": "mha"}.items():
        path = tmp_path / f"a.{ending}"
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16)), str(path))
        made[kind] = _renamed(path, kind)
    assert set(made) == {reader.kind for reader in READERS}
    for kind, path in made.items():
        head = path.read_bytes()[:1024]
        assert [reader.kind for reader in READERS if reader.matches(head)] == [kind]
        assert open_scan(path).voxels.size > 0


def _renamed(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


@pytest.mark.parametrize("mark", [b"", b"B", b"BM", b"\x1f\x8b", b"RIFF", b"II*", b"DICM", b"n+1\0", b"ObjectType = "])
def test_a_few_bytes_never_match_by_accident(mark):
    assert [reader.kind for reader in READERS if reader.matches(mark)] == []


def test_dicom_from_before_the_mark_opens(tmp_path):
    path = write_image(tmp_path / "a.dcm", np.full((4, 5), 7, np.int16))
    whole = path.read_bytes()
    group_length = int.from_bytes(whole[140:144], "little")
    path.write_bytes(whole[144 + group_length :])  # no preamble, no mark, no file meta group
    assert path.read_bytes()[:2] == b"\x08\x00"
    assert [reader.kind for reader in READERS if reader.matches(path.read_bytes()[:1024])] == ["DICOM"]
    np.testing.assert_array_equal(open_scan(path).voxels, np.full((1, 4, 5), 7))


@pytest.mark.parametrize("folder", ["Röntgen bild", "日本 語", "it's (1) & more", "ελλη\u0301νικα"])
def test_names_of_any_alphabet_with_spaces_open(tmp_path, folder):
    home = tmp_path / folder
    home.mkdir()
    assert open_scan(photo(home / "ä ö.png")).is_photo
    assert open_scan(nifti(home / "Schädel 1.nii.gz")).n_slices() == 2
    Image.fromarray(PIXELS).save(home / "página.tif")
    assert open_scan(home / "página.tif").is_photo
    series = home / "série T1"
    write_series(series, [0.0, 1.0, 2.0])
    assert open_scan(series).n_slices() == 3
    assert series in find_scans(home)


def test_text_paths_are_paths(tmp_path):
    assert open_scan(str(photo(tmp_path / "a.png"))).source == tmp_path / "a.png"
    assert find_scans(str(tmp_path)) == [tmp_path / "a.png"]


def test_a_folder_lists_photos_and_volumes_in_natural_order(tmp_path):
    for name in ["10.png", "2.png", "1.png", "b.PNG", "A.png", ".hidden.png"]:
        photo(tmp_path / name)
    nifti(tmp_path / "1b.nii.gz")
    (tmp_path / "notes.txt").write_text("nothing to see")
    photo(tmp_path / "more" / "3.png")
    photo(tmp_path / ".cache" / "4.png")
    assert list_scans(tmp_path) == (find_scans(tmp_path), find_scans(tmp_path)[0])
    names = [str(path.relative_to(tmp_path)) for path in find_scans(tmp_path)]
    assert names == ["1.png", "1b.nii.gz", "2.png", "10.png", "A.png", "b.PNG", str(Path("more/3.png"))]


def test_names_with_odd_digits_sort_without_an_error(tmp_path):
    for name in ["²a.png", "3.png", "٣.png"]:
        photo(tmp_path / name)
    assert len(find_scans(tmp_path)) == 3


def test_a_file_is_itself_even_when_it_cannot_be_opened(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert find_scans(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_a_study_with_a_folder_per_series(tmp_path):
    write_series(tmp_path / "S1 localizer", [0.0], SeriesInstanceUID="1.1")
    write_series(tmp_path / "S2 axial", [0.0, 1.0, 2.0], SeriesInstanceUID="1.2")
    write_report(tmp_path / "report.dcm")
    nifti(tmp_path / "S2 axial" / "label.nii.gz")
    assert find_scans(tmp_path) == [
        tmp_path / "S1 localizer" / "IM0000.dcm",
        tmp_path / "S2 axial",
        tmp_path / "S2 axial" / "label.nii.gz",
    ]
    assert open_scan(tmp_path).n_slices() == 3
    assert open_scan(tmp_path / "S2 axial").source == tmp_path / "S2 axial"


@pytest.mark.parametrize("name", ["IM0000.dcm", "IM0002.dcm"])
def test_any_slice_opens_its_whole_series(tmp_path, name):
    write_series(tmp_path, [2.0, 0.0, 4.0])
    volume = open_scan(tmp_path / name)
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], [10, 0, 20])
    assert volume.source == tmp_path


def test_everything_found_opens_as_the_entry_it_was_found_as(shared_data):
    found = find_scans(shared_data / "dicom")
    assert len(found) > 30
    for path in found[:8] + found[-6:]:
        assert open_scan(path).source == path


def test_a_folder_with_one_file_is_that_file_and_with_more_asks(tmp_path):
    path = photo(tmp_path / "in" / "a.png")
    assert open_scan(tmp_path).source == path
    photo(tmp_path / "in" / "b.png")
    with pytest.raises(ScanError) as caught:
        open_scan(tmp_path)
    assert str(caught.value) == f"the folder holds 2 scans or photos: {tmp_path}. Open one of them: a.png."


FORMATS = "Open a PNG, JPEG, TIFF, BMP, WebP, NIfTI, NRRD, MetaImage or DICOM file, or a folder of them."


@pytest.mark.parametrize("look", [open_scan, find_scans])
def test_empty_folders_and_folders_without_scans(tmp_path, look):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ScanError) as caught:
        look(empty)
    assert str(caught.value) == f"the folder is empty: {empty}. {FORMATS}"
    (empty / "notes.txt").write_text("nothing to see")
    with pytest.raises(ScanError) as caught:
        look(empty)
    assert str(caught.value) == f"there is no scan or photo in this folder: {empty}. {FORMATS}"


@pytest.mark.parametrize("look", [open_scan, find_scans])
def test_a_folder_of_nothing_but_damaged_dicom_names_the_damage(tmp_path, look):
    (path,) = write_series(tmp_path, [0.0])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ScanError, match=r"the DICOM header is damaged or incomplete: .*IM0000\.dcm"):
        look(tmp_path)


@pytest.mark.parametrize("look", [open_scan, find_scans])
def test_a_missing_path(tmp_path, look):
    with pytest.raises(ScanError) as caught:
        look(tmp_path / "gone.nii")
    assert (
        str(caught.value) == f"there is no such file or folder: {tmp_path / 'gone.nii'}. Check the name and the drive."
    )
    with pytest.raises(ScanError):
        look(photo(tmp_path / "a.png") / "below a file.png")


def test_a_file_that_is_no_image(tmp_path):
    path = tmp_path / "letter.docx"
    path.write_bytes(b"PK\x03\x04 not a picture")
    with pytest.raises(ScanError) as caught:
        open_scan(path)
    assert str(caught.value) == f"this is not an image or a scan: {path}. {FORMATS}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.nii.gz", "NIfTI"), ("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.dcm", "DICOM"), ("d.mhd", "MetaImage")],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, name, kind):
    (tmp_path / name).write_text("<html>404 not found</html>")
    with pytest.raises(ScanError, match=f"^this is not a {kind} file, whatever its name says, or it is damaged: "):
        open_scan(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "a.png", "a.dcm", "a"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ScanError, match=r"^the file is empty \(0 bytes\): .* Copy it again from where it came from\."):
        open_scan(tmp_path / name)


@pytest.mark.parametrize("keep", [1, 8, 20, 100, 300, 347])
@pytest.mark.parametrize("ending", ["png", "nii", "nii.gz", "nrrd", "mha", "tif", "jpg", "dcm"])
def test_the_start_of_a_file_alone_is_always_one_plain_line(tmp_path, ending, keep, capfd):
    path = tmp_path / f"a.{ending}"
    if ending in ("png", "tif", "jpg"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)).save(path)
    elif ending == "dcm":
        write_image(path, np.zeros((64, 64), np.int16))
    else:
        noise = np.random.default_rng(0).integers(0, 999, (9, 9, 9)).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), useCompression=True)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ScanError) as caught:
        open_scan(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint.endswith(".")
    assert capfd.readouterr() == ("", "")


def test_no_permission(tmp_path, ordinary_user):
    forbidden = tmp_path / "secret.png"  # pytest keeps its folders from other users, so that going there is refused
    with pytest.raises(ScanError, match=r"^you have no permission to read this: .* Ask its owner for read access\."):
        open_scan(forbidden)


def test_no_permission_on_the_file_itself(monkeypatch):
    import tempfile

    from maskwright.io import scans

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = photo(Path(folder) / "secret.png")
        path.chmod(0)
        user = os.geteuid() if hasattr(os, "geteuid") else None
        if user is None:
            pytest.skip("file permissions of this system are not POSIX")
        if user == 0:
            os.seteuid(65_534)
        try:
            with pytest.raises(ScanError) as caught:
                scans.open_scan(path)
        finally:
            if user == 0:
                os.seteuid(0)
        assert str(caught.value) == f"you have no permission to read this: {path}. Ask its owner for read access."


def test_a_device_that_fails_and_a_lack_of_memory_are_plain_too(tmp_path, monkeypatch):
    path = photo(tmp_path / "a.png")

    def fails(error: Exception):
        def head(_path):
            raise error

        monkeypatch.setattr("maskwright.io.scans._head", head)

    fails(OSError(5, "Input/output error"))
    with pytest.raises(
        ScanError, match=r"^this cannot be read \(input/output error\): .* Check the drive it lies on\."
    ):
        open_scan(path)
    fails(MemoryError())
    with pytest.raises(ScanError, match="^there is not enough memory to open this: "):
        open_scan(path)


def test_what_was_read_does_not_depend_on_the_folder_it_lies_in(tmp_path):
    from maskwright.core.fingerprint import fingerprint

    write_series(tmp_path / "a", [0.0, 1.0])
    shutil.copytree(tmp_path / "a", tmp_path / "other")
    assert fingerprint(open_scan(tmp_path / "a")) == fingerprint(open_scan(tmp_path / "other"))


@pytest.mark.slow
def test_memory_of_a_large_ct(tmp_path):
    """512 x 512 x 200 in 16 bits is 105 MB; reading it may need two of them for a moment, never a float copy."""
    import json
    import subprocess
    import sys

    if sys.platform != "linux":
        pytest.skip("the peak is read as Linux counts it")
    folder = tmp_path / "ct"
    row = np.arange(512, dtype=np.int16)
    for z in range(200):
        write_image(
            folder / f"{z}.dcm",
            np.add.outer(row, row) + np.int16(z),
            ImagePositionPatient=[0, 0, z],
            RescaleSlope=1,
            RescaleIntercept=-1024,
        )
    volume = open_scan(folder)
    sitk.WriteImage(sitk.GetImageFromArray(volume.voxels), str(tmp_path / "ct.nii"))
    for path in (folder, tmp_path / "ct.nii"):
        script = (
            "import json, re, sys\n"
            "from pathlib import Path\n"
            "from maskwright.io.scans import open_scan\n"
            "volume = open_scan(sys.argv[1])\n"
            "peak = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024\n"
            "print(json.dumps([peak, str(volume.voxels.dtype), volume.voxels.nbytes]))\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
        peak_mb, dtype, n_bytes = json.loads(done.stdout)
        assert (dtype, n_bytes) == ("int16", 512 * 512 * 200 * 2)
        assert peak_mb < 450, f"{path}: {peak_mb:.0f} MB"
