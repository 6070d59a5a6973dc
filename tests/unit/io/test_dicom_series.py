"""Which DICOM files make a scan, and what is said when they do not."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from maskwright.core.errors import ScanError
from maskwright.io.dicom_series import group_series
from maskwright.io.scans import find_scans, list_scans, open_scan
from tests.unit.io.dicom_files import DX, write_image, write_report, write_series

PIXELS = np.zeros((4, 5), np.int16)


def depths(scan) -> list[float]:
    return [one.depth_mm for one in scan]


def test_two_series_in_one_folder_are_two_scans_named_by_their_first_file(tmp_path):
    short = write_series(tmp_path / "a", [4.0, 0.0, 2.0], SeriesInstanceUID="1.1", SeriesNumber=1)
    long = write_series(tmp_path / "b", [0.0, 1.0, 2.0, 3.0], SeriesInstanceUID="1.2", SeriesNumber=2)
    both = tmp_path / "both"
    both.mkdir()
    for path in [*short, *long]:
        shutil.copy(path, both / f"{path.parent.name}{path.name}")
    assert find_scans(both) == [both / "aIM0001.dcm", both / "bIM0000.dcm"]
    assert list_scans(both) == (find_scans(both), both / "bIM0000.dcm")
    assert open_scan(both).n_slices() == 4  # the one with the most slices
    assert open_scan(both).source == both / "bIM0000.dcm"
    assert open_scan(both / "aIM0002.dcm").n_slices() == 3  # a file stands for its own series
    assert open_scan(both / "aIM0002.dcm").source == both / "aIM0001.dcm"


def test_of_equally_long_series_the_first_by_number_opens(tmp_path):
    write_series(tmp_path / "x", [0.0, 1.0], SeriesInstanceUID="1.1", SeriesNumber=7)
    for i, path in enumerate(write_series(tmp_path / "y", [5.0, 6.0], SeriesInstanceUID="1.2", SeriesNumber=3)):
        shutil.copy(path, tmp_path / "x" / f"z{i}.dcm")
    assert open_scan(tmp_path / "x").geometry.origin_mm[2] == 5.0
    found, main = list_scans(tmp_path / "x")
    assert found[0] == main == tmp_path / "x" / "z0.dcm"


def test_a_localizer_with_three_views_is_three_scans(tmp_path):
    for i, facing in enumerate([[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]]):
        write_image(tmp_path / f"{i}.dcm", PIXELS + i, ImageOrientationPatient=facing)
    assert find_scans(tmp_path) == [tmp_path / f"{i}.dcm" for i in range(3)]


def test_rounding_noise_in_the_orientation_does_not_split_a_series(tmp_path):
    for i, noise in enumerate([0.1249999, 0.1250001]):  # on both sides of where two decimals would round apart
        facing = [float(np.sqrt(1 - noise**2)), noise, 0, -noise, float(np.sqrt(1 - noise**2)), 0]
        write_image(tmp_path / f"{i}.dcm", PIXELS, ImagePositionPatient=[0, 0, i], ImageOrientationPatient=facing)
    assert find_scans(tmp_path) == [tmp_path]


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("AcquisitionNumber", (1, 2)),
        ("TemporalPositionIdentifier", (1, 2)),
        ("EchoNumbers", (1, 2)),
        ("DiffusionBValue", (0.0, 1000.0)),
        ("TriggerTime", (0.0, 40.0)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "IN_PHASE"], ["ORIGINAL", "PRIMARY", "OPP_PHASE"])),
    ],
)
def test_passes_over_the_same_positions_are_scans_of_their_own(tmp_path, tag, values):
    for k, value in enumerate(values):
        for path in write_series(tmp_path / str(k), [0.0, 2.0, 4.0], **{tag: value}):
            shutil.copy(path, tmp_path / f"{k}{path.name}")
        shutil.rmtree(tmp_path / str(k))
    scans, broken = group_series(tmp_path.iterdir())
    assert [depths(scan) for scan in scans] == [[0.0, 2.0, 4.0]] * 2
    assert broken == []
    assert open_scan(tmp_path / "1IM0001.dcm").source == tmp_path / "1IM0000.dcm"


def test_acquisitions_that_continue_each_other_stay_one_scan(tmp_path):
    for z in range(4):
        write_image(tmp_path / f"{z}.dcm", PIXELS, ImagePositionPatient=[0, 0, z], AcquisitionNumber=z // 2)
    assert [len(scan) for scan in group_series(tmp_path.iterdir())[0]] == [4]


def test_passes_that_nothing_tells_apart_are_refused_when_opened(tmp_path):
    write_series(tmp_path, [0.0, 2.0, 0.0, 2.0])
    with pytest.raises(ScanError, match=r"several slices of this series lie at one position \(0\.00 mm\)"):
        open_scan(tmp_path)


def test_copies_of_the_same_image_count_once(tmp_path):
    paths = write_series(tmp_path, [0.0, 2.0])
    shutil.copy(paths[0], tmp_path / "copy of it.dcm")
    assert open_scan(tmp_path).n_slices() == 2


def test_a_missing_slice_is_named_with_its_place(tmp_path):
    write_series(tmp_path, [0.0, 2.5, 5.0, 10.0, 12.5])
    with pytest.raises(ScanError) as caught:
        open_scan(tmp_path)
    assert str(caught.value) == (
        "1 slice missing between 5.00 and 10.00 mm (a gap of 5.00 mm in a series of 2.50 mm steps): "
        f"{tmp_path}. Copy the whole series again; to work on a part, move its files to a folder of their own."
    )


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([0, 1, 2, 5, 6, 7], r"2 slices missing between 2\.00 and 5\.00 mm"),
        ([0, 1, 3, 4, 6, 7], r"1 slice missing between 1\.00 and 3\.00 mm .*, and 1 more such places"),
        ([0, 1, 3], r"1 slice missing between 1\.00 and 3\.00 mm"),
        ([0, 2, 3], r"1 slice missing between 0\.00 and 2\.00 mm"),
        ([0, 0.1, 0.2, 0.4, 0.5], r"1 slice missing between 0\.20 and 0\.40 mm"),
        ([0, 3, 6, 9.6, 12.6], r"slices unevenly spaced between 6\.00 and 9\.60 mm"),
        ([-20.0, -15.0, -10.0, 0.0], r"1 slice missing between -10\.00 and 0\.00 mm"),
    ],
)
def test_gaps_of_every_kind(tmp_path, positions, message):
    write_series(tmp_path, positions)
    with pytest.raises(ScanError, match=message):
        open_scan(tmp_path)


@pytest.mark.parametrize(
    "positions",
    [[0.0, 2.5, 5.0, 7.5], [0.0, 0.6, 1.3, 1.9, 2.5], [0.0, 3.0, 5.95, 9.0], [0.0, 4.0], [3.0]],
    ids=["even", "0.625 rounded to tenths", "a little uneven", "two", "one"],
)
def test_even_and_rounded_positions_are_not_gaps(tmp_path, positions):
    write_series(tmp_path, positions)
    volume = open_scan(tmp_path)
    assert volume.n_slices() == len(positions)
    if len(positions) > 1:
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
        assert volume.geometry.spacing_zyx_mm[0] == pytest.approx(step)


def test_a_slice_beside_the_stack_is_refused(tmp_path):
    for z in range(4):
        write_image(tmp_path / f"{z}.dcm", PIXELS, ImagePositionPatient=[3.0 if z == 2 else 0.0, 0, 2 * z])
    with pytest.raises(ScanError, match=r"a slice lies 3\.00 mm beside its place in the series: .*2\.dcm"):
        open_scan(tmp_path)


def test_mixed_sizes_are_named_with_the_odd_file(tmp_path):
    write_series(tmp_path, [0.0, 1.0, 2.0])
    write_image(tmp_path / "odd one.dcm", np.zeros((6, 5), np.int16), ImagePositionPatient=[0, 0, 3])
    with pytest.raises(ScanError) as caught:
        open_scan(tmp_path)
    assert "different sizes: 3 of 5 x 4 and 1 of 5 x 6 pixels" in str(caught.value)
    assert caught.value.path == tmp_path / "odd one.dcm"


def test_mixed_pixel_spacings_are_refused(tmp_path):
    write_series(tmp_path, [0.0, 1.0, 2.0])
    write_image(tmp_path / "odd.dcm", PIXELS, ImagePositionPatient=[0, 0, 3], PixelSpacing=[0.5, 0.3])
    with pytest.raises(ScanError, match=r"different pixel spacings: 3 of 0\.5 x 0\.25 and 1 of 0\.5 x 0\.3 mm"):
        open_scan(tmp_path)


@pytest.mark.parametrize(
    ("modality", "words"),
    [
        ("SR", "a structured report"),
        ("SEG", r"a segmentation \(DICOM SEG\)"),
        ("RTSTRUCT", r"a set of contours \(RTSTRUCT\)"),
        ("PR", "a presentation state"),
    ],
)
def test_what_is_not_a_scan_is_refused_alone_and_left_out_beside_one(tmp_path, modality, words):
    report = write_report(tmp_path / "report.dcm", modality=modality)
    with pytest.raises(ScanError, match=f"^this file holds {words}, not a scan: .*Open the series it belongs to"):
        open_scan(report)
    with pytest.raises(ScanError, match="there is no scan or photo in this folder"):
        open_scan(tmp_path)
    write_series(tmp_path, [0.0, 1.0])
    assert open_scan(tmp_path).n_slices() == 2
    assert find_scans(tmp_path) == [tmp_path]


def test_an_object_of_another_kind_without_pixels_is_refused(tmp_path):
    path = write_report(tmp_path / "x.dcm", modality="ECG", sop="1.2.840.10008.5.1.4.1.1.9.1.1")
    with pytest.raises(ScanError, match=r"holds no pixels \(modality ECG\)"):
        open_scan(path)


def test_the_index_of_a_medium_points_to_its_folder(tmp_path):
    path = write_report(tmp_path / "DICOMDIR", modality="", sop="1.2.840.10008.1.3.10")
    with pytest.raises(ScanError, match="index of a DICOM medium: .*Open the folder that it lies in"):
        open_scan(path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("highdicom/sr_document.dcm", "a structured report"),
        ("highdicom/seg_image_ct_binary.dcm", "a segmentation"),
        ("highdicom/sm_annotations.dcm", "a set of annotations"),
        ("dcmqi/segmentations/liver.dcm", "a segmentation"),
        ("sts002_rtstruct/CT/dicom/mask/RS.dcm", "a set of contours"),
        ("highdicom/sm_image.dcm", "a whole-slide image"),
    ],
)
def test_real_files_that_are_not_scans(shared_data, path, words):
    with pytest.raises(ScanError, match=re.escape(words)):
        open_scan(shared_data / "dicom" / path)


def test_a_missing_slice_of_a_real_series(shared_data, tmp_path):
    shutil.copytree(shared_data / "dicom/mr_hippocrop_study1", tmp_path / "mr")
    (tmp_path / "mr/7.dcm").unlink()
    with pytest.raises(ScanError, match=r"^1 slice missing between \S+ and \S+ mm \(a gap of 2\.00 mm"):
        open_scan(tmp_path / "mr")


def test_x_rays_of_one_series_are_a_scan_each(tmp_path):
    for i in range(3):
        write_image(
            tmp_path / f"{i}.dcm",
            PIXELS.astype(np.uint16),
            sop=DX,
            modality="DX",
            ImagePositionPatient=None,
            ImageOrientationPatient=None,
        )
    assert find_scans(tmp_path) == [tmp_path / f"{i}.dcm" for i in range(3)]
