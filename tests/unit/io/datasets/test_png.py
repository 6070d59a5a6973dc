"""PNG masks: what Pillow finds in what was written, and masks made by others in every usual way."""

from __future__ import annotations

import csv
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.errors import AnnotationError, ExportError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View
from maskwright.io.datasets import FORMATS, Item, Loaded, Options
from tests.dataset_items import PHOTO_YX, box, ct_item, photo_item, voxels_of

PNG = FORMATS["png"]
GRID = Geometry.photo(*PHOTO_YX)
ONE, TWO = box(PHOTO_YX, 1, 2, 5, 9), box(PHOTO_YX, 20, 30, 40, 60)
MERGED = "ein Foto: the objects of Liver share one value and are no longer told apart."


def written(items: list[Item], folder: Path, options: Options) -> list[str]:
    folder.mkdir()
    notes = PNG.write(items, folder, options)
    PNG.check(items, folder, options)
    return notes


def load(path: Path, geometry: Geometry = GRID) -> Loaded:
    (item,) = PNG.read(path)
    return item.load(geometry)


def areas(loaded: Loaded) -> list[tuple[str, int]]:
    return [(loaded.labels.get(one.label_id).name, one.area) for one in loaded.objects]


def test_label_map_holds_ids_in_the_colours_of_the_labels(tmp_path: Path) -> None:
    item = photo_item(tmp_path)
    notes = written([item], tmp_path / "out", Options())
    with Image.open(tmp_path / "out/masks/ein Foto.png") as image:
        values, colors = np.array(image), np.array(image.convert("RGB"))
        assert image.mode == "P"
    expected = np.zeros(PHOTO_YX, np.uint8)
    for object_id, label_id in ((1, 1), (2, 2), (4, 2)):
        expected[voxels_of(item, object_id)[0]] = label_id
    assert np.array_equal(values, expected)
    for label in (item.annotation.labels.get(1), item.annotation.labels.get(2)):
        assert (colors[values == label.id] == label.color).all()
    assert (colors[values == 0] == 0).all()
    hidden = int((voxels_of(item, 1) & voxels_of(item, 2)).sum())
    assert hidden > 50
    way_out = "One file per object keeps all."
    assert notes == [
        f"ein Foto: {hidden} pixels have more than one label and kept that of the object on top. {way_out}",
        MERGED,
    ]


def test_one_file_an_object_keeps_overlapping_objects_whole(tmp_path: Path) -> None:
    item = photo_item(tmp_path)
    assert written([item], tmp_path / "out", Options(instances=True)) == []
    for object_id in (1, 2, 4):
        with Image.open(tmp_path / f"out/masks/ein Foto#{object_id}.png") as image:
            assert np.array_equal(np.array(image), voxels_of(item, object_id)[0] * np.uint8(255))
    with (tmp_path / "out/labels.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["ein Foto#1.png", "Object"],
            ["ein Foto#2.png", "Liver"],
            ["ein Foto#4.png", "Liver"],
        ]


def test_objects_of_one_label_may_overlap_without_a_loss_of_pixels(tmp_path: Path) -> None:
    objects = tuple(AnnotationObject(i, 1, {View(0, 0): Mask.from_array(ONE)}) for i in (1, 2))
    item = replace(photo_item(tmp_path), annotation=Annotation(objects=objects))
    merged = "ein Foto: the objects of Object share one value and are no longer told apart."
    assert written([item], tmp_path / "out", Options()) == [merged]


@pytest.mark.parametrize("instances", [False, True])
def test_what_was_exported_comes_back(tmp_path: Path, *, instances: bool) -> None:
    items = [photo_item(tmp_path), ct_item(tmp_path)]
    written(items, tmp_path / "out", Options(instances=instances))
    found = {one.name: one for one in PNG.read(tmp_path / "out")}
    for name, item in (("ein Foto", items[0]), ("CT 1", items[1])):
        loaded = found[name].load(item.geometry)
        assert loaded.labels == item.annotation.labels
        expected = np.zeros(item.geometry.shape_zyx, np.uint8)
        for one in item.annotation.objects:
            expected[voxels_of(item, one.id)] = one.label_id
        values = np.zeros_like(expected)
        for one in loaded.objects:
            for view, mask in one.masks.items():
                values[view.index][mask.to_array()] = one.label_id
        assert np.array_equal(values, expected)
        if instances:
            got = [(one.label_id, one.area) for one in loaded.objects]
            assert got == [(one.label_id, int(voxels_of(item, one.id).sum())) for one in item.annotation.objects]


def test_more_labels_than_a_byte_holds_are_refused(tmp_path: Path) -> None:
    labels = LabelSet((Label(256, "far", (1, 2, 3)),))
    objects = (AnnotationObject(1, 256, {View(0, 0): Mask.from_array(ONE)}),)
    item = replace(photo_item(tmp_path), annotation=Annotation(labels, objects))
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="up to 255"):
        PNG.write([item], tmp_path / "out", Options())
    PNG.write([item], tmp_path / "out", Options(instances=True))
    PNG.check([item], tmp_path / "out", Options(instances=True))


@pytest.mark.parametrize("instances", [False, True])
def test_check_sees_every_difference(tmp_path: Path, *, instances: bool) -> None:
    items, options, out = [photo_item(tmp_path)], Options(instances=instances), tmp_path / "out"
    written(items, out, options)
    path = out / "masks" / ("ein Foto#2.png" if instances else "ein Foto.png")
    whole = path.read_bytes()
    with Image.open(path) as image:
        image.load()
        image.putpixel((0, 0), 1)
        image.save(path)
    with pytest.raises(ExportError, match="reads back differently"):
        PNG.check(items, out, options)
    path.write_bytes(whole[:-30])
    with pytest.raises(ExportError, match="cannot be read back"):
        PNG.check(items, out, options)
    path.unlink()
    with pytest.raises(ExportError, match="cannot be read back"):
        PNG.check(items, out, options)
    path.write_bytes(whole)
    (out / "masks/more.png").write_bytes(whole)
    with pytest.raises(ExportError, match="other masks than"):
        PNG.check(items, out, options)


def test_check_sees_changed_colours(tmp_path: Path) -> None:
    items, out = [photo_item(tmp_path)], tmp_path / "out"
    written(items, out, Options())
    path = out / "masks/ein Foto.png"
    with Image.open(path) as image:
        image.load()
        image.putpalette([9] * 768)
        image.save(path)
    with pytest.raises(ExportError, match="colours of an exported mask"):
        PNG.check(items, out, Options())


def test_a_black_and_white_file_is_one_object(tmp_path: Path) -> None:
    for name, values in (("a", ONE * np.uint8(255)), ("b", ONE), ("c", ONE.astype(np.uint8))):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
        assert areas(load(tmp_path / f"{name}.png")) == [("Object", 28)]


def test_a_grey_index_map_has_a_label_a_value_and_255_is_undecided(tmp_path: Path) -> None:
    values = (ONE * 1 + TWO * 7).astype(np.uint8)
    values[0, :3] = 255
    Image.fromarray(values).save(tmp_path / "x.png")
    loaded = load(tmp_path / "x.png")
    assert areas(loaded) == [("Label 1", 28), ("Label 7", 600)]
    assert loaded.notes == ("x.png: value 255 was left out as undecided",)


def test_a_16_bit_index_map_is_read_whole(tmp_path: Path) -> None:
    Image.fromarray((ONE * 300 + TWO * 40_000).astype(np.uint16)).save(tmp_path / "x.png")
    assert areas(load(tmp_path / "x.png")) == [("Label 300", 28), ("Label 40000", 600)]


def test_a_palette_gives_its_colours_to_unnamed_labels(tmp_path: Path) -> None:
    image = Image.fromarray((ONE * 1 + TWO * 2).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "x.png")
    loaded = load(tmp_path / "x.png")
    assert [(one.name, one.color) for one in loaded.labels] == [("Label 1", (10, 20, 30)), ("Label 2", (40, 50, 60))]


def test_grey_of_few_bits_keeps_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_png_of_4_bits((ONE * 3 + TWO * 12).astype(np.uint8), path)
    assert areas(load(path)) == [("Label 3", 28), ("Label 12", 600)]


def write_png_of_4_bits(values: np.ndarray, path: Path, *, size: tuple[int, int] = (60, 40)) -> None:
    """Grey PNG with 4 bits a pixel, which Pillow reads but does not write; the header may announce another size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + (row[0::2] << 4 | row[1::2]).astype(np.uint8).tobytes() for row in values)
    head = struct.pack(">IIBBBBB", *size, 4, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_colour_pictures_are_no_masks_unless_they_are_grey(tmp_path: Path) -> None:
    grey = np.repeat((ONE * np.uint8(255))[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "x.png")
    assert areas(load(tmp_path / "x.png")) == [("Object", 28)]
    Image.fromarray(np.dstack([grey, np.full(PHOTO_YX, 9, np.uint8)])).save(tmp_path / "x.png")
    assert areas(load(tmp_path / "x.png")) == [("Object", 28)]
    grey[3, 3, 1] = 7
    Image.fromarray(grey).save(tmp_path / "x.png")
    with pytest.raises(AnnotationError, match="colour picture, not a mask"):
        load(tmp_path / "x.png")


def test_a_folder_groups_files_by_scan_and_labels_come_from_the_list(tmp_path: Path) -> None:
    for name, values in (("a#1", ONE), ("a#2", TWO), ("b", ONE), ("c#z0002#5", ONE), ("c#z0003#5", TWO)):
        Image.fromarray(values * np.uint8(255)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("a#1.png,cat\na#2.png,dog\nc#z0002#5.png,cat\nc#z0003#5.png,cat\n")
    items = {one.name: one for one in PNG.read(tmp_path)}
    assert areas(items["a"].load(GRID)) == [("cat", 28), ("dog", 600)]
    assert areas(items["b"].load(GRID)) == [("Object", 28)]
    volume = items["c"].load(Geometry((4, *PHOTO_YX), np.eye(4)))
    assert areas(volume) == [("cat", 628)]
    assert list(volume.objects[0].masks) == [View(0, 2), View(0, 3)]
    with pytest.raises(AnnotationError, match="the scan has 3 slices, not number 3"):
        items["c"].load(Geometry((3, *PHOTO_YX), np.eye(4)))


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    Image.fromarray(ONE.T).save(tmp_path / "x.png")
    with pytest.raises(AnnotationError, match=r"40 x 60 pixels, the scan 60 x 40: .*x\.png"):
        load(tmp_path / "x.png")


def test_a_header_of_huge_size_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    write_png_of_4_bits(np.zeros(PHOTO_YX, np.uint8), tmp_path / "x.png", size=(30_000, 30_000))
    with pytest.raises(AnnotationError, match="30000 x 30000 pixels"):
        load(tmp_path / "x.png")


def test_what_is_no_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(AnnotationError, match="no PNG masks in this folder"):
        PNG.read(tmp_path)
    with pytest.raises(AnnotationError, match="cannot be read"):
        PNG.read(path)
    Image.fromarray(ONE * np.uint8(255)).save(path, format="JPEG")
    with pytest.raises(AnnotationError, match="not a PNG file"):
        PNG.read(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 9, PHOTO_YX).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(AnnotationError, match="damaged"):
        load(path)


def test_masks_of_the_shared_photos_are_read(shared_data: Path) -> None:
    folder = shared_data / "val" / "berkeley"
    items = PNG.read(folder)
    assert len(items) == 96  # photos, with 100 masks
    item = items[0]
    with Image.open(next((folder / "images").glob(f"{item.name}.*"))) as image:
        width, height = image.size
    loaded = item.load(Geometry.photo(height, width))
    with Image.open(item.path) as image:
        assert loaded.objects[0].area == int((np.array(image) > 0).sum())
