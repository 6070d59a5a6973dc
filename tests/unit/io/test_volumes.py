"""NIfTI, NRRD and MetaImage against SimpleITK and against headers written by hand."""

from __future__ import annotations

import gzip
import math
import shutil
import struct
from typing import Literal

import numpy as np
import pytest
import SimpleITK as sitk

from maskwright.core.errors import ScanError
from maskwright.core.geometry import Geometry
from maskwright.io.scans import open_scan

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
GRID = Geometry.from_parts(
    (4, 5, 6),
    spacing_zyx_mm=(3.0, 0.5, 0.25),
    origin_mm=(-10.0, 20.0, -30.0),
    direction=np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]),
)
ENDINGS = ["nii", "nii.gz", "nrrd", "mha", "mhd"]


def written(path, voxels: np.ndarray = VOXELS, *, grid: Geometry | None = GRID, vector: bool = False, **options):
    image = sitk.GetImageFromArray(voxels, isVector=vector)
    if grid is not None:
        grid.to_sitk(image)
    sitk.WriteImage(image, str(path), **options)
    return path


def nifti(path, voxels: np.ndarray, *, sform=None, slope=1.0, intercept=0.0, order: Literal["<", ">"] = "<"):
    """Write NIfTI-1 by hand: `sform` is the (3, 4) map from (x, y, z) index to RAS mm."""
    spacing_xyz = (1.0, 1.0, 1.0) if sform is None else np.linalg.norm(np.array(sform)[:, :3], axis=0)
    code = {"i2": 4, "u1": 2, "i4": 8, "f4": 16, "f8": 64, "u2": 512, "i1": 256}[voxels.dtype.str[1:]]
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    dims = (voxels.ndim, *voxels.shape[::-1], *[1] * (7 - voxels.ndim))
    struct.pack_into(f"{order}8h", header, 40, *dims)
    struct.pack_into(f"{order}2h", header, 70, code, voxels.dtype.itemsize * 8)
    struct.pack_into(f"{order}8f", header, 76, 1.0, *spacing_xyz, *[1.0] * 4)
    struct.pack_into(f"{order}3f", header, 108, 352.0, slope, intercept)
    header[123] = 2  # millimetres
    if sform is not None:
        struct.pack_into(f"{order}h", header, 254, 1)
        struct.pack_into(f"{order}12f", header, 280, *np.ravel(sform))
    header[344:348] = b"n+1\0"
    data = bytes(header) + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes()
    path.write_bytes(gzip.compress(data) if path.name.endswith("gz") else data)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_voxels_and_grid(tmp_path, ending):
    volume = open_scan(written(tmp_path / f"a.{ending}"))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.voxels.dtype == np.int16
    assert volume.geometry.is_close(GRID, tolerance_mm=0.001)
    assert (volume.modality, volume.header_window) == ("", None)


def test_the_ras_millimetres_of_nifti_become_lps(tmp_path):
    sform = [[0.0, 0.0, -2.0, 50.0], [-0.5, 0.0, 0.0, 60.0], [0.0, 1.5, 0.0, -70.0]]
    geometry = open_scan(nifti(tmp_path / "a.nii", VOXELS, sform=sform)).geometry
    for index in [(0, 0, 0), (5, 4, 3), (1, 2, 3)]:
        right, anterior, superior = np.array(sform) @ (*index, 1)
        np.testing.assert_allclose(geometry.index_to_mm(np.array(index)), (-right, -anterior, superior), atol=1e-4)
    assert geometry.orientation == "PSL"


def test_the_space_of_nrrd_is_respected(tmp_path):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 6 5 4\n"
        "space directions: (0.25,0,0) (0,0.5,0) (0,0,3)\nkinds: domain domain domain\nendian: little\n"
        "encoding: raw\nspace origin: (1,2,3)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + VOXELS.tobytes())
    geometry = open_scan(tmp_path / "a.nrrd").geometry
    np.testing.assert_allclose(geometry.index_to_mm(np.array([2, 1, 1])), (-1.5, -2.5, 6.0))
    assert geometry.orientation == "RAS"


@pytest.mark.parametrize(
    "name",
    [
        "train/volumes/pyradiomics/brain1_image.nii.gz",
        "train/volumes/msd_hippocampus/hippocampus_006_image.nii.gz",
        "val/volumes/miccai2012_brain/1039_image.nii.gz",
        "val/volumes/sts_sarcoma/STS_003_CT_image.nii.gz",
        "dicom/sts002_rtstruct/PET/nifti/image/image.nii.gz",
        "dicom/dcmqi/segmentations/heart_seg.nrrd",
        "dicom/dcmqi/segmentations/24x38x3/nrrd/label.nrrd",
    ],
)
def test_real_volumes_agree_with_simpleitk(shared_data, name):
    volume, image = open_scan(shared_data / name), sitk.ReadImage(str(shared_data / name))
    np.testing.assert_array_equal(volume.voxels, sitk.GetArrayViewFromImage(image))
    assert volume.geometry.is_close(Geometry.from_sitk(image), tolerance_mm=0.01)
    far = tuple(n - 1 for n in image.GetSize())
    np.testing.assert_allclose(
        volume.geometry.index_to_mm(np.array(far)), image.TransformIndexToPhysicalPoint(far), atol=0.01
    )


def test_an_image_and_its_label_lie_on_one_grid_and_another_patient_does_not(shared_data):
    folder = shared_data / "train/volumes/msd_hippocampus"
    image, label, other = (
        open_scan(folder / f"hippocampus_{name}.nii.gz").geometry
        for name in ("006_image", "006_label", "038_image")
    )  # fmt: skip
    assert image.is_close(label)
    assert not image.is_close(other)


@pytest.mark.parametrize("ending", ENDINGS[:4])
@pytest.mark.parametrize("name", ["no ending", "scan.weird", "scan.png", "Größe 日本.bin"])
def test_the_content_decides_not_the_name(tmp_path, ending, name):
    shutil.move(written(tmp_path / f"a.{ending}"), tmp_path / name)
    np.testing.assert_array_equal(open_scan(tmp_path / name).voxels, VOXELS)
    assert open_scan(tmp_path / name).source == tmp_path / name


def test_gzip_or_not_is_seen_in_the_file(tmp_path):
    np.testing.assert_array_equal(open_scan(_moved(written(tmp_path / "a.nii.gz"), "b.nii")).voxels, VOXELS)
    np.testing.assert_array_equal(open_scan(_moved(written(tmp_path / "c.nii"), "d.nii.gz")).voxels, VOXELS)


def _moved(path, name):
    return path.rename(path.with_name(name))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.float32])
def test_numbers_keep_their_type(tmp_path, dtype):
    voxels = np.abs(VOXELS).astype(dtype) % np.array(100, dtype)
    read = open_scan(written(tmp_path / "a.nii.gz", voxels)).voxels
    np.testing.assert_array_equal(read, voxels)
    assert read.dtype == dtype


@pytest.mark.parametrize(("stored", "read"), [(np.float64, np.float32), (np.int64, np.int32)])
def test_needlessly_wide_numbers_are_halved(tmp_path, stored, read):
    voxels = open_scan(written(tmp_path / "a.nii.gz", VOXELS.astype(stored))).voxels
    np.testing.assert_array_equal(voxels, VOXELS)
    assert voxels.dtype == read


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, -1024, np.int16), (2, 0, np.int16), (40, 0, np.int32), (0.5, 0, np.float32), (1, 0.25, np.float32)],
)
def test_whole_scaling_of_integers_stays_integer(tmp_path, slope, intercept, dtype):
    voxels = open_scan(nifti(tmp_path / "a.nii", VOXELS, slope=slope, intercept=intercept)).voxels
    np.testing.assert_array_equal(voxels, VOXELS * float(slope) + intercept)
    assert voxels.dtype == dtype


def test_big_endian_nifti(tmp_path):
    volume = open_scan(nifti(tmp_path / "a.nii", VOXELS, order=">"))
    np.testing.assert_array_equal(volume.voxels, VOXELS)


def test_a_flat_image_is_one_slice(tmp_path):
    flat = open_scan(written(tmp_path / "a.nii.gz", VOXELS[0], grid=None))
    np.testing.assert_array_equal(flat.voxels, VOXELS[:1])
    assert flat.geometry.shape_zyx == (1, 5, 6)


@pytest.mark.parametrize("components", [3, 4])
def test_colour_volumes(tmp_path, components):
    voxels = np.random.default_rng(2).integers(0, 256, (4, 5, 6, components)).astype(np.uint8)
    volume = open_scan(written(tmp_path / "a.nrrd", voxels, vector=True))
    np.testing.assert_array_equal(volume.voxels, voxels[..., :3])


def test_vectors_and_complex_numbers_are_refused(tmp_path):
    field = written(tmp_path / "field.nrrd", np.zeros((4, 5, 6, 3), np.float32), vector=True)
    with pytest.raises(ScanError, match=r"not a number or a colour \(vector of 32-bit float\): .*field\.nrrd"):
        open_scan(field)
    with pytest.raises(ScanError, match="not a number or a colour"):
        open_scan(written(tmp_path / "complex.nii", np.zeros((4, 5, 6), np.complex64)))


def test_several_volumes_in_one_file_are_refused_and_a_lone_one_is_not(tmp_path):
    series = written(tmp_path / "bold.nii.gz", np.zeros((7, 4, 5, 6), np.int16), grid=None)
    with pytest.raises(ScanError) as caught:
        open_scan(series)
    assert str(caught.value) == (
        f"this file holds 7 volumes (6 x 5 x 4 x 7): {series}. "
        "Split it into one file per volume, and open the one to annotate."
    )
    lone = open_scan(written(tmp_path / "lone.nii.gz", VOXELS[None], grid=None))
    np.testing.assert_array_equal(lone.voxels, VOXELS)


def test_a_sheared_nifti_is_refused(tmp_path, capfd):
    sform = [[1.0, 0.3, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    with pytest.raises(ScanError, match="not at right angles"):
        open_scan(nifti(tmp_path / "a.nii", VOXELS, sform=sform))
    assert capfd.readouterr() == ("", "")  # ITK warns about it on the terminal


@pytest.mark.parametrize("ending", ENDINGS[:4])
@pytest.mark.parametrize("missing", [1, 60])
def test_a_file_that_was_cut_off_is_refused(tmp_path, ending, missing, capfd):
    path = written(tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ScanError, match=rf"(damaged or incomplete|cut off: {missing} bytes are missing): .*Copy it"):
        open_scan(path)
    assert capfd.readouterr() == ("", "")


def test_a_gzip_that_ends_well_but_too_early_is_refused(tmp_path):
    path = written(tmp_path / "a.nii.gz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    with pytest.raises(ScanError, match=r"cut off: 100 bytes are missing"):
        open_scan(path)


def test_a_gzip_of_several_members_is_read(tmp_path):
    path = written(tmp_path / "a.nii.gz")
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:400]) + gzip.compress(whole[400:]))  # as bgzip writes
    np.testing.assert_array_equal(open_scan(path).voxels, VOXELS)


def test_an_mhd_without_its_raw_file_is_refused(tmp_path, capfd):
    path = written(tmp_path / "a.mhd")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(ScanError, match="the MetaImage file is damaged or incomplete"):
        open_scan(path)
    assert capfd.readouterr() == ("", "")


def test_an_empty_nifti_says_so(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"")
    with pytest.raises(ScanError) as caught:
        open_scan(tmp_path / "a.nii.gz")
    assert (
        str(caught.value)
        == f"the file is empty (0 bytes): {tmp_path / 'a.nii.gz'}. Copy it again from where it came from."
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ending", ENDINGS[:4])
def test_voxels_without_a_value_are_counted(tmp_path, ending, dtype):
    voxels = VOXELS.astype(dtype)
    voxels[0, 0, :3] = np.nan
    voxels[3, 4, 5], voxels[2, 0, 0] = np.inf, -np.inf
    path = written(tmp_path / f"a.{ending}", voxels)
    with pytest.raises(ScanError) as caught:
        open_scan(path)
    assert str(caught.value) == (
        f"5 of 120 voxels have no value (NaN or infinite): {path}. "
        "Replace them with a number (0 where they are background) and open the file again."
    )


def test_a_cut_off_file_of_floats_is_refused(tmp_path):
    path = written(tmp_path / "a.nii", VOXELS.astype(np.float32))
    path.write_bytes(path.read_bytes()[:-10])  # not a whole number of floats
    with pytest.raises(ScanError, match="cut off: 10 bytes are missing"):
        open_scan(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_2_is_refused_by_its_name(tmp_path, name):
    header = bytearray(544)
    struct.pack_into("<i8s", header, 0, 540, b"n+2\0\r\n\x1a\n")
    (tmp_path / name).write_bytes(gzip.compress(header) if name.endswith("gz") else header)
    with pytest.raises(ScanError, match=r"this is a NIfTI-2 file, .* Save it as NIfTI-1 or NRRD\."):
        open_scan(tmp_path / name)


@pytest.mark.parametrize("size", [(3000, 3000, 3000), (30_000, 30_000, 1)])
@pytest.mark.parametrize("kind", ["nii", "nii.gz", "nrrd", "mha"])
def test_a_header_that_announces_too_much_is_refused(tmp_path, size, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "nrrd":
        sizes = " ".join(map(str, size))
        path.write_bytes(
            f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: little\nencoding: raw\n\n".encode()
        )
    elif kind == "mha":
        sizes = " ".join(map(str, size))
        path.write_bytes(
            f"ObjectType = Image\nNDims = 3\nDimSize = {sizes}\nElementType = MET_SHORT\n"
            f"ElementDataFile = LOCAL\n".encode()
        )
    else:
        nifti(path, VOXELS)
        raw = bytearray(gzip.decompress(path.read_bytes()) if kind == "nii.gz" else path.read_bytes())
        struct.pack_into("<3h", raw, 42, *size)
        path.write_bytes(gzip.compress(raw) if kind == "nii.gz" else raw)
    announced = math.prod(size)
    assert announced > 2**29
    with pytest.raises(ScanError, match="too large|bytes are missing"):
        open_scan(path)
