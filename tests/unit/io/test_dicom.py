"""DICOM pixels and geometry against pydicom and SimpleITK, on real files and on small ones with known answers."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from maskwright.core.errors import ScanError
from maskwright.core.geometry import Geometry
from maskwright.core.window import Window, default_window
from maskwright.io.scans import open_scan
from tests.unit.io.dicom_files import (
    DX,
    ENHANCED_CT,
    MR,
    PET,
    SECONDARY,
    US,
    US_CINE,
    frame_groups,
    write_image,
    write_series,
)

STORED = np.arange(20, dtype=np.int16).reshape(4, 5) * 100


def sitk_series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


REAL_SERIES = [
    ("dicom/ct_jpeg2000_totalseg/series", "ct", np.int16),
    ("dicom/mr_hippocrop_study1", "mr", np.int16),
    ("dicom/sts002_rtstruct/CT/dicom/image", "ct", np.int16),
    ("dicom/sts002_rtstruct/MR_T1/dicom/image", "mr", np.int16),
    ("dicom/sts002_rtstruct/PET/dicom/image", "pet", np.float32),
    ("dicom/dcmqi/segmentations/ct-3slice", "ct", np.int16),
    ("dicom/seg_dicom4qi_data_5/image", "ct", np.int16),
]


@pytest.mark.parametrize(("folder", "modality", "dtype"), REAL_SERIES)
def test_real_series_agree_with_simpleitk(shared_data: Path, folder, modality, dtype):
    volume, image = open_scan(shared_data / folder), sitk_series(shared_data / folder)
    assert volume.geometry.is_close(Geometry.from_sitk(image), tolerance_mm=0.01)
    np.testing.assert_allclose(volume.voxels, sitk.GetArrayViewFromImage(image), rtol=1e-6)
    assert (volume.modality, volume.voxels.dtype, volume.source) == (modality, dtype, shared_data / folder)


@pytest.mark.parametrize("folder", [folder for folder, _, _ in REAL_SERIES])
def test_every_slice_of_real_series_lies_where_its_own_header_says(shared_data: Path, folder):
    volume = open_scan(shared_data / folder)
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in (shared_data / folder).iterdir()]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    assert len(headers) == volume.n_slices()
    for z, header in enumerate(headers):
        position = np.array(header.ImagePositionPatient, float)
        row, column = np.split(np.array(header.ImageOrientationPatient, float), 2)
        corner = position + row * float(header.PixelSpacing[1]) * 10 + column * float(header.PixelSpacing[0]) * 20
        np.testing.assert_allclose(volume.geometry.index_to_mm(np.array([10, 20, z])), corner, rtol=0, atol=0.01)


def test_hounsfield_units_agree_with_pydicom(shared_data: Path):
    folder = shared_data / "dicom/sts002_rtstruct/PET/dicom/image"
    volume = open_scan(folder)
    headers = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda h: float(h.ImagePositionPatient[2]))
    for z, header in enumerate(headers):  # PET: another slope in each slice
        expected = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        np.testing.assert_allclose(volume.voxels[z], expected, rtol=1e-6)
    assert len({header.RescaleSlope for header in headers}) > 1


def test_the_nifti_twin_of_a_dicom_series_has_the_same_grid_and_values(shared_data: Path):
    patient = shared_data / "dicom/sts002_rtstruct/CT"
    dicom, nifti = open_scan(patient / "dicom/image"), open_scan(patient / "nifti/image/image.nii.gz")
    assert dicom.geometry.is_close(nifti.geometry)
    np.testing.assert_array_equal(dicom.voxels, nifti.voxels)


def test_a_real_multi_frame_ct_has_the_grid_of_its_single_frame_twin(shared_data: Path):
    folder = shared_data / "dicom/dcmqi/segmentations/24x38x3"
    frames, files = open_scan(folder / "multiframe/mf.dcm"), open_scan(folder / "image")
    assert frames.geometry.is_close(files.geometry)
    np.testing.assert_array_equal(frames.voxels, files.voxels)


def test_a_real_x_ray_is_turned_round_to_white_bones(shared_data: Path):
    path = shared_data / "dicom/highdicom/dx_image.dcm"
    volume, header = open_scan(path), pydicom.dcmread(path)
    assert header.PhotometricInterpretation == "MONOCHROME1"
    np.testing.assert_array_equal(volume.voxels[0], 255 - header.pixel_array)
    assert volume.modality == "xray"
    assert volume.geometry.spacing_zyx_mm == pytest.approx((1.0, 1.2, 1.201199999999))


@pytest.mark.parametrize(
    ("sop", "modality", "slope", "intercept", "dtype"),
    [
        (None, "CT", 1, -1024, np.int16),
        (None, "CT", 2, -1024, np.int16),
        (None, "CT", 0.1, -10.5, np.float32),
        (MR, "MR", 2, 5, np.int16),
        (PET, "PT", 0.5, 0, np.float32),
        (US, "US", None, None, np.int16),
        (SECONDARY, "OT", 3, 0, np.int16),
    ],
)
def test_slope_and_intercept_are_applied_and_whole_numbers_stay_whole(tmp_path, sop, modality, slope, intercept, dtype):
    kind = {"sop": sop} if sop else {}
    path = write_image(
        tmp_path / "a.dcm", STORED, modality=modality, RescaleSlope=slope, RescaleIntercept=intercept, **kind
    )
    voxels = open_scan(path).voxels
    assert voxels.dtype == dtype
    np.testing.assert_allclose(voxels[0], STORED * (slope or 1) + (intercept or 0), rtol=1e-6)


def test_values_beyond_16_bits_widen_the_volume_and_keep_the_slices_before(tmp_path):
    write_image(tmp_path / "a.dcm", STORED, ImagePositionPatient=[0, 0, 0], RescaleSlope=1, RescaleIntercept=-1024)
    write_image(tmp_path / "b.dcm", STORED, ImagePositionPatient=[0, 0, 1], RescaleSlope=40, RescaleIntercept=0)
    voxels = open_scan(tmp_path).voxels
    assert voxels.dtype == np.int32
    np.testing.assert_array_equal(voxels[0], STORED - 1024)
    np.testing.assert_array_equal(voxels[1], STORED.astype(np.int32) * 40)


def test_unsigned_values_above_the_signed_range_become_uint16(tmp_path):
    stored = np.array([[0, 40_000], [65_535, 1]], np.uint16)
    voxels = open_scan(write_image(tmp_path / "a.dcm", stored, sop=MR, modality="MR")).voxels
    assert voxels.dtype == np.uint16
    np.testing.assert_array_equal(voxels[0], stored)


@pytest.mark.parametrize(("bits", "largest"), [(12, 4095), (16, 65_535)])
def test_monochrome1_is_turned_round_together_with_its_window(tmp_path, bits, largest):
    stored = np.arange(20, dtype=np.uint16).reshape(4, 5) * 200
    tags = {"BitsStored": bits, "WindowCenter": 1000, "WindowWidth": 3000}
    plain = open_scan(write_image(tmp_path / "2.dcm", stored, sop=DX, modality="DX", SeriesInstanceUID="1.9", **tags))
    turned = open_scan(
        write_image(tmp_path / "1.dcm", stored, sop=DX, modality="DX", PhotometricInterpretation="MONOCHROME1", **tags)
    )
    np.testing.assert_array_equal(plain.voxels[0], stored)
    np.testing.assert_array_equal(turned.voxels[0], largest - stored.astype(np.int32))
    assert turned.header_window == (largest - 1000, 3000)
    assert default_window(plain) == Window(1000, 3000)


def test_colour_stays_colour(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    volume = open_scan(
        write_image(
            tmp_path / "a.dcm", rgb, sop=US, modality="US", ImagePositionPatient=None, ImageOrientationPatient=None
        )
    )
    np.testing.assert_array_equal(volume.voxels, rgb[None])
    assert volume.modality == "ultrasound"


def test_the_window_is_that_of_the_middle_slice(tmp_path):
    for z in range(3):
        write_image(tmp_path / f"{z}.dcm", STORED, ImagePositionPatient=[0, 0, z], WindowCenter=[100 * z, 7],
                    WindowWidth=[50, 9])  # fmt: skip
    assert open_scan(tmp_path).header_window == (100, 50)


def test_slices_are_sorted_by_position_not_by_name(tmp_path):
    write_series(tmp_path, [6.0, 2.0, 0.0, 4.0])
    volume = open_scan(tmp_path)
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], [20, 10, 30, 0])
    assert volume.geometry.spacing_zyx_mm == pytest.approx((2.0, 0.5, 0.25))
    np.testing.assert_allclose(volume.geometry.origin_mm, (-3.0, 7.0, 0.0))
    assert volume.geometry.orientation == "LPS"


def test_sagittal_and_oblique_series_follow_their_normal(tmp_path):
    sagittal = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]  # normal -x
    for i, x in enumerate([0.0, 3.0, -3.0]):
        write_image(tmp_path / f"{i}.dcm", STORED + i, ImagePositionPatient=[x, 5, 9], ImageOrientationPatient=sagittal)
    volume = open_scan(tmp_path)
    assert volume.geometry.orientation == "PIR"
    assert volume.geometry.is_close(Geometry.from_sitk(sitk_series(tmp_path)))
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], [1, 0, 2])
    np.testing.assert_allclose(volume.geometry.index_to_mm(np.array([1, 2, 1])), (0.0, 5.25, 8.0))


def test_a_tilted_gantry_keeps_every_slice_where_it_is(tmp_path):
    for z in range(4):
        write_image(tmp_path / f"{z}.dcm", STORED, ImagePositionPatient=[0, -0.5 * z, 3.0 * z])
    volume = open_scan(tmp_path)
    assert volume.geometry.is_sheared
    np.testing.assert_allclose(volume.geometry.index_to_mm(np.array([0, 0, 3])), (0, -1.5, 9.0), atol=1e-9)


def test_a_single_slice_is_as_thick_as_its_header_says(tmp_path):
    path = write_image(tmp_path / "a.dcm", STORED, SliceThickness=2.5)
    assert open_scan(path).geometry.spacing_zyx_mm == pytest.approx((2.5, 0.5, 0.25))


def test_pictures_without_a_position_stand_alone(tmp_path):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    for i in range(2):
        write_image(tmp_path / f"{i}.dcm", STORED + i, sop=DX, modality="DX", **nowhere, PixelSpacing=None,
                    ImagerPixelSpacing=[0.2, 0.1])  # fmt: skip
    volume = open_scan(tmp_path / "1.dcm")
    np.testing.assert_array_equal(volume.voxels, STORED[None] + 1)
    assert volume.geometry.spacing_zyx_mm == pytest.approx((1.0, 0.2, 0.1))


def test_frames_of_one_file_are_sorted_by_their_positions(tmp_path):
    stored = np.stack([np.full((4, 5), value, np.uint16) for value in (1000, 1010, 1020)])
    positions = [(0, 0, 10.0), (0, 0, 4.0), (0, 0, 7.0)]
    volume = open_scan(write_image(tmp_path / "mf.dcm", stored, sop=ENHANCED_CT, **frame_groups(positions)))
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], [-14, -4, -24])
    assert volume.geometry.spacing_zyx_mm == pytest.approx((3.0, 2.0, 1.5))
    np.testing.assert_allclose(volume.geometry.origin_mm, (0, 0, 4.0))
    assert volume.header_window == (40, 350)
    assert volume.source == tmp_path / "mf.dcm"


def test_frames_with_a_gap_or_at_one_position_are_refused(tmp_path):
    stored = np.zeros((4, 4, 5), np.uint16)
    gap = write_image(
        tmp_path / "a" / "gap.dcm", stored, sop=ENHANCED_CT, **frame_groups([(0, 0, z) for z in (0, 1, 2, 5)])
    )
    with pytest.raises(ScanError, match=r"2 slices missing between 2\.00 and 5\.00 mm"):
        open_scan(gap)
    times = write_image(
        tmp_path / "b" / "times.dcm", stored, sop=ENHANCED_CT, **frame_groups([(0, 0, z) for z in (0, 1, 0, 1)])
    )
    with pytest.raises(ScanError, match="at one position"):
        open_scan(times)


def test_frames_without_positions_scroll_in_file_order(tmp_path):
    stored = np.stack([np.full((4, 5), value, np.uint8) for value in (3, 1, 2)])
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "NumberOfFrames": 3}
    volume = open_scan(write_image(tmp_path / "cine.dcm", stored, sop=US_CINE, modality="US", **nowhere))
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], [3, 1, 2])
    assert (volume.voxels.dtype, volume.modality) == (np.uint8, "ultrasound")


def test_frames_with_rescale_factors_of_their_own_are_refused(tmp_path):
    groups = frame_groups([(0, 0, 0), (0, 0, 1)])
    own = groups["SharedFunctionalGroupsSequence"][0].PixelValueTransformationSequence
    for i, frame in enumerate(groups["PerFrameFunctionalGroupsSequence"]):
        frame.PixelValueTransformationSequence = copy.deepcopy(own)
        frame.PixelValueTransformationSequence[0].RescaleSlope = i + 1
    path = write_image(tmp_path / "mf.dcm", np.zeros((2, 4, 5), np.uint16), sop=ENHANCED_CT, **groups)
    with pytest.raises(ScanError, match="different rescale factors"):
        open_scan(path)


def test_a_file_that_was_cut_off_is_refused_by_name(tmp_path):
    paths = write_series(tmp_path, [0.0, 1.0, 2.0])
    paths[1].write_bytes(paths[1].read_bytes()[:-10])
    with pytest.raises(ScanError, match=r"damaged or compressed in an unknown way: .*IM0001\.dcm\. Copy it again"):
        open_scan(tmp_path)


@pytest.mark.parametrize("keep", [200, 400, 560])
def test_a_slice_whose_header_was_cut_off_is_not_silently_left_out(tmp_path, keep):
    paths = write_series(tmp_path, [0.0, 1.0, 2.0])
    paths[2].write_bytes(paths[2].read_bytes()[:keep])
    with pytest.raises(ScanError, match=r"IM0002\.dcm"):
        open_scan(tmp_path)
    with pytest.raises(ScanError, match=r"IM0002\.dcm"):
        open_scan(paths[0])


def test_nothing_is_written_to_the_terminal(tmp_path, capfd):
    paths = write_series(tmp_path, [0.0, 1.0])
    paths[1].write_bytes(paths[1].read_bytes()[:-10])
    with pytest.raises(ScanError):
        open_scan(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_jpeg_compressed_ultrasound_has_the_colours_of_its_jpeg(tmp_path):
    import io

    from PIL import Image
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    y, x = np.mgrid[0:32, 0:48].astype(np.uint8)
    rgb = np.dstack([5 * x, 7 * y, 255 - 5 * x])
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=95, subsampling=0)
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    path = write_image(tmp_path / "us.dcm", rgb, sop=US, modality="US", **nowhere)
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    header.PhotometricInterpretation = "YBR_FULL"
    header.PixelData = encapsulate([stream.getvalue()])
    header["PixelData"].VR = "OB"
    header.save_as(path)
    difference = np.abs(open_scan(path).voxels[0].astype(int) - rgb)
    assert difference.max() <= 12
    assert difference.mean() < 2
