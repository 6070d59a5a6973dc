"""NIfTI label maps: the grid of the source to the last digit, and grids of others turned exactly or refused."""

from __future__ import annotations

import gzip
import itertools
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.errors import AnnotationError, ExportError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View
from maskwright.io.datasets import FORMATS, Item
from maskwright.io.datasets.nifti import to_grid
from maskwright.io.scans import open_scan
from tests.dataset_items import CT_ZYX, ct_geometry, ct_item, photo_item, voxels_of

NIFTI = FORMATS["nifti"]


def label_map(item: Item) -> np.ndarray:
    expected = np.zeros(item.geometry.shape_zyx, np.uint8)
    for one in item.annotation.objects:
        expected[voxels_of(item, one.id)] = one.label_id
    return expected


def save(values: np.ndarray, geometry: Geometry, path: Path) -> Path:
    image = sitk.GetImageFromArray(values)
    geometry.to_sitk(image)
    sitk.WriteImage(image, str(path))
    return path


def rows(path: Path) -> np.ndarray:
    """The three srow lines of a NIfTI-1 header, read without any library."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        head = stream.read(348)
    return np.array(struct.unpack("<12f", head[280:328])).reshape(3, 4)


def one_voxel(geometry: Geometry, path: Path) -> Item:
    z, y, x = (n // 3 for n in geometry.shape_zyx)
    array = np.zeros(geometry.shape_zyx[1:], np.bool_)
    array[y, x] = True
    return Item(
        path.name, path, geometry, Annotation(objects=(AnnotationObject(1, 1, {View(0, z): Mask.from_array(array)}),))
    )


def test_label_map_and_tables(tmp_path: Path) -> None:
    item = ct_item(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    notes = NIFTI.write([item], out)
    NIFTI.check([item], out)
    image = sitk.ReadImage(str(out / "CT 1.nii.gz"))
    assert image.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    assert np.array_equal(sitk.GetArrayFromImage(image), label_map(item))
    assert Geometry.from_sitk(image).is_close(item.geometry, tolerance_mm=0.001)
    table = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert [(one["id"], one["name"]) for one in table["labels"]] == [(1, "Object"), (2, "Liver"), (3, 'Läsion "links"')]
    snap = (out / "labels.txt").read_text(encoding="utf-8")
    assert '    2    86  180  233        1  1  1    "Liver"\n' in snap
    hidden = int(
        (voxels_of(item, 1) & voxels_of(item, 2)).sum()
        + (voxels_of(item, 3) & (voxels_of(item, 1) | voxels_of(item, 2))).sum()
    )
    way_out = "COCO, or PNG with one file per object, keeps all."
    assert notes == [f"CT 1: {hidden} voxels have more than one label and kept that of the object on top. {way_out}"]


def test_what_was_exported_comes_back(tmp_path: Path) -> None:
    item = ct_item(tmp_path)
    (tmp_path / "out").mkdir()
    NIFTI.write([item], tmp_path / "out")
    (found,) = NIFTI.read(tmp_path / "out")
    loaded = found.load(item.geometry)
    assert (found.name, loaded.labels) == ("CT 1", item.annotation.labels)
    assert [one.label_id for one in loaded.objects] == [1, 2, 3]
    for one in loaded.objects:
        values = np.zeros(CT_ZYX, np.bool_)
        for view, mask in one.masks.items():
            values[view.index] = mask.to_array()
        assert np.array_equal(values, label_map(item) == one.label_id)


def test_label_numbers_past_255_take_16_bits(tmp_path: Path) -> None:
    objects = (AnnotationObject(1, 256, {View(0, 0): Mask.from_array(np.ones(CT_ZYX[1:]))}),)
    item = replace(ct_item(tmp_path), annotation=Annotation(LabelSet((Label(256, "far", (1, 2, 3)),)), objects))
    (tmp_path / "out").mkdir()
    NIFTI.write([item], tmp_path / "out")
    NIFTI.check([item], tmp_path / "out")
    assert int(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out/CT 1.nii.gz"))).max()) == 256
    far = replace(objects[0], label_id=65_536)
    item = replace(item, annotation=Annotation(LabelSet((Label(65_536, "far", (1, 2, 3)),)), (far,)))
    with pytest.raises(ExportError, match="up to 65535, not 65536"):
        NIFTI.write([item], tmp_path / "out")


def test_photos_and_tilted_stacks_are_refused_with_a_reason(tmp_path: Path) -> None:
    assert NIFTI.accepts(ct_item(tmp_path)) == ""
    assert "no grid in millimetres" in NIFTI.accepts(photo_item(tmp_path))
    affine = np.eye(4)
    affine[1, 2] = 0.3
    assert "tilted gantry" in NIFTI.accepts(replace(ct_item(tmp_path), geometry=Geometry(CT_ZYX, affine)))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_affine_is_that_of_the_source_file(tmp_path: Path, ending: str) -> None:
    source = save(np.arange(np.prod(CT_ZYX), dtype=np.int16).reshape(CT_ZYX), ct_geometry(), tmp_path / f"scan{ending}")
    item = one_voxel(open_scan(source).geometry, source)
    (tmp_path / "out").mkdir()
    NIFTI.write([item], tmp_path / "out")
    exported = tmp_path / "out/scan.nii.gz"
    as_nifti = source if ".nii" in ending else save(np.zeros(CT_ZYX, np.uint8), ct_geometry(), tmp_path / "same.nii")
    assert np.abs(rows(exported) - rows(as_nifti)).max() < 1e-4
    theirs, mine = sitk.ReadImage(str(source)), sitk.ReadImage(str(exported))
    place = [n // 3 for n in reversed(CT_ZYX)]
    assert mine.GetPixel(place) == 1
    assert np.allclose(
        mine.TransformIndexToPhysicalPoint(place), theirs.TransformIndexToPhysicalPoint(place), atol=1e-3
    )


def test_affine_of_the_bundled_brain_is_kept(repository: Path, tmp_path: Path) -> None:
    source = repository / "assets/samples/mni152_t1.nii.gz"
    item = one_voxel(open_scan(source).geometry, source)
    (tmp_path / "out").mkdir()
    NIFTI.write([item], tmp_path / "out")
    assert np.abs(rows(tmp_path / "out/mni152_t1.nii.gz") - rows(source)).max() < 1e-4


def test_a_dicom_series_and_a_label_map_of_it_that_is_turned(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dicom/ct_jpeg2000_totalseg"
    scan = open_scan(folder / "series")
    (theirs,) = NIFTI.read(folder / "label.nii.gz")
    loaded = theirs.load(scan.geometry)
    raw = sitk.ReadImage(str(folder / "label.nii.gz"))
    values = sitk.GetArrayFromImage(raw)
    assert Geometry.from_sitk(raw).affine[1, 1] < 0 < scan.geometry.affine[1, 1]  # rows the other way round
    assert {one.label_id: one.area for one in loaded.objects} == {
        int(v): int((values == v).sum()) for v in np.unique(values) if v
    }
    one = loaded.objects[0]
    view, mask = next(iter(one.masks.items()))
    y, x = np.argwhere(mask.to_array())[0]
    at = raw.TransformPhysicalPointToIndex(scan.geometry.index_to_mm(np.array([x, y, view.index])).tolist())
    assert raw.GetPixel(at) == one.label_id
    item = Item("series", folder / "series", scan.geometry, Annotation(loaded.labels, loaded.objects))
    (tmp_path / "out").mkdir()
    NIFTI.write([item], tmp_path / "out")
    NIFTI.check([item], tmp_path / "out")
    assert Geometry.from_sitk(sitk.ReadImage(str(tmp_path / "out/series.nii.gz"))).is_close(scan.geometry)


def test_every_listing_of_the_same_voxels_is_turned_exactly() -> None:
    wanted = ct_geometry()
    values = np.arange(np.prod(CT_ZYX), dtype=np.uint16).reshape(CT_ZYX)
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            listed = np.transpose(values.T, order)
            sizes = np.array(listed.shape)
            backwards = np.array(signs) < 0
            listed = np.flip(listed, tuple(int(i) for i in np.flatnonzero(backwards)))
            affine = np.eye(4)
            affine[:3, :3] = wanted.affine[:3, order] * np.array(signs)
            affine[:3, 3] = wanted.affine[:3, 3] + wanted.affine[:3, order] @ np.where(backwards, sizes - 1, 0)
            grid = Geometry((int(sizes[2]), int(sizes[1]), int(sizes[0])), affine)
            assert np.array_equal(to_grid(np.ascontiguousarray(listed.T), grid, wanted), values)


def moved(shift_mm: float = 0.0, scale: float = 1.0, shape: tuple[int, int, int] = CT_ZYX) -> Geometry:
    affine = ct_geometry().affine.copy()
    affine[0, 3] += shift_mm
    affine[:3, 0] *= scale
    return Geometry(shape, affine)


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (
            moved(shift_mm=0.02),
            "voxels up to 0.02 mm apart; origin (-101.23, 33.5, 1234.5) against (-101.25, 33.5, 1234.5)",
        ),
        (moved(scale=1.1), "spacing 0.77 x 0.8 x 2.5 mm against 0.7 x 0.8 x 2.5 mm"),
        (moved(scale=2.0), "spacing 1.4 x 0.8 x 2.5 mm against 0.7 x 0.8 x 2.5 mm"),
        (moved(shape=(5, 24, 31)), "31 x 24 x 5 voxels against 30 x 24 x 5"),
    ],
)
def test_another_grid_is_refused_with_the_numbers(tmp_path: Path, grid: Geometry, says: str) -> None:
    path = save(np.ones(grid.shape_zyx, np.uint8), grid, tmp_path / "x.nii.gz")
    (item,) = NIFTI.read(path)
    with pytest.raises(AnnotationError) as caught:
        item.load(ct_geometry())
    assert caught.value.what == f"the label map lies on another grid than the scan: {says}"
    assert caught.value.path == path


def test_a_grid_within_a_hundredth_of_a_millimetre_is_the_same(tmp_path: Path) -> None:
    (item,) = NIFTI.read(save(np.ones(CT_ZYX, np.uint8), moved(shift_mm=0.008), tmp_path / "x.nii.gz"))
    assert item.load(ct_geometry()).objects[0].area == np.prod(CT_ZYX)


def test_whole_numbers_stored_as_floats_are_labels_and_others_are_not(tmp_path: Path) -> None:
    values = np.zeros(CT_ZYX, np.float32)
    values[1, 2, 3] = 4
    path = tmp_path / "x.nii.gz"
    (item,) = NIFTI.read(save(values, ct_geometry(), path))
    (one,) = item.load(ct_geometry()).objects
    assert (one.label_id, one.area) == (4, 1)
    for bad, says in (
        (0.25, "1 voxels are not whole numbers, such as 0.25"),
        (np.nan, "1 of 3,600 voxels have no value"),
        (-1, "values from -1 to 0 are not labels"),
        (70_000, "values from 0 to 70000 are not labels"),
    ):
        values[1, 2, 3] = bad
        save(values, ct_geometry(), path)
        with pytest.raises(AnnotationError, match=says):
            item.load(ct_geometry())


def test_images_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    for content in (b"", b"not a volume", None):
        path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
        with pytest.raises(AnnotationError, match="not a NIfTI, NRRD or MetaImage file|cannot be read"):
            NIFTI.read(path)
    with pytest.raises(AnnotationError, match="no label maps"):
        NIFTI.read(tmp_path)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 4, 3, 2), np.uint8), isVector=True), str(path))
    with pytest.raises(AnnotationError, match="not a number or a colour"):
        NIFTI.read(path)[0].load(ct_geometry())
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((6, 5, 4, 3), np.uint8), isVector=False), str(path))
    with pytest.raises(AnnotationError, match="holds 6 volumes"):
        NIFTI.read(path)[0].load(ct_geometry())
    save(np.random.default_rng(0).integers(0, 99, CT_ZYX).astype(np.uint8), ct_geometry(), path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(AnnotationError, match="damaged or incomplete"):
        NIFTI.read(path)[0].load(ct_geometry())
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((*CT_ZYX, 3), np.uint8), isVector=True), str(path))
    with pytest.raises(AnnotationError, match="several numbers per voxel"):
        NIFTI.read(path)[0].load(ct_geometry())


@pytest.mark.parametrize("what", ["voxel", "grid", "type", "short", "gone", "names"])
def test_check_sees_every_difference(tmp_path: Path, what: str) -> None:
    item, out = ct_item(tmp_path), tmp_path / "out"
    out.mkdir()
    NIFTI.write([item], out)
    path = out / "CT 1.nii.gz"
    values = label_map(item)
    if what == "voxel":
        values[4, 23, 29] = 1
        save(values, ct_geometry(), path)
    elif what == "grid":
        save(values, moved(shift_mm=0.02), path)
    elif what == "type":
        save(values.astype(np.int16), ct_geometry(), path)
    elif what == "short":
        path.write_bytes(path.read_bytes()[:-20])
    elif what == "gone":
        path.unlink()
    else:
        path = out / "labels.txt"
        path.write_text(path.read_text(encoding="utf-8").replace("Liver", "Leber"), encoding="utf-8")
    with pytest.raises(ExportError) as caught:
        NIFTI.check([item], out)
    assert caught.value.path == path
