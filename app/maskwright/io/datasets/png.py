"""PNG masks: one indexed picture per photo or slice, or one black and white file an object; reader and writer.

Layout of what is written::

    masks/NAME.png            photo, value = label id (semantic), palette = label colours
    masks/NAME#z0012.png      slice 12 of a volume, counted from 0
    masks/NAME#7.png          object 7 alone, 255 on 0 (instances), with ``labels.csv``: file, label
    images/                   the pictures, if asked for
    labels.json               value, name and colour of every label
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.annotation import AnnotationObject
from maskwright.core.errors import AnnotationError, ExportError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import Color, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View
from maskwright.io.datasets import label_table, overlaps, pictures
from maskwright.io.datasets.items import (
    ImportedItem,
    Item,
    Loaded,
    Options,
    dataset_names,
    labels_of,
    slice_name,
    slices_of,
    with_named,
)

_DEFAULT = Options()
_VOID = 255  # in an index map that nobody explains: "not decided", as in Pascal VOC
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NAME = re.compile(r"(?P<scan>.+?)(?:#z(?P<slice>\d+))?(?:#(?P<object>\d+))?")
_GREY_SCALE = {"L;2": 85, "L;4": 17}  # Pillow spreads grey of few bits over 0 to 255


def accepts(item: Item) -> str:
    """Every item can be written."""
    del item
    return ""


def write(items: Sequence[Item], folder: Path, options: Options = _DEFAULT) -> list[str]:
    """Write masks, pictures and the table of labels; returns sentences on what a label map could not hold."""
    labels = labels_of(items)
    if not options.instances and any(label.id > 255 for label in labels):
        raise ExportError("an indexed PNG holds label numbers up to 255", hint="Export one file per object, or NIfTI.")
    for name in ("masks", "images") if options.pictures else ("masks",):
        (folder / name).mkdir()
    notes, rows = [], []
    for item, name in zip(items, dataset_names(items), strict=True):
        picture = pictures.PictureWriter(item, name=name, folder=folder / "images")
        hidden = 0
        for index, base, shown in _slices(item, name):
            if options.instances:
                for one, mask in shown:
                    file_name = f"{base}#{one.id}.png"
                    _save(mask.to_array() * np.uint8(255), folder / "masks" / file_name, palette=None)
                    rows.append((file_name, labels.get(one.label_id).name))
            else:
                values = np.zeros(item.geometry.shape_zyx[1:], np.uint8)
                hidden += overlaps.stack(shown, values)
                _save(values, folder / "masks" / f"{base}.png", palette=labels)
            if options.pictures:
                picture.write(index)
        if not options.instances:
            way_out = "One file per object keeps all."
            notes += overlaps.hidden_sentence(name, hidden, unit="pixels", way_out=way_out)
            notes += overlaps.merged_sentence(item, name)
    label_table.write_json(labels, folder / label_table.JSON_NAME)
    if options.instances:
        with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(rows)
    return notes


def check(items: Sequence[Item], folder: Path, options: Options = _DEFAULT) -> None:
    """Read everything back with Pillow alone and compare pixel by pixel; ExportError on the first difference."""
    labels = labels_of(items)
    label_table.check(labels, folder, snap=False)
    names, sizes = set(), {}
    for item, name in zip(items, dataset_names(items), strict=True):
        size_yx = (item.geometry.shape_zyx[1], item.geometry.shape_zyx[2])
        for _, base, shown in _slices(item, name):
            sizes[base] = size_yx
            wanted: dict[str, np.ndarray] = {}
            for one, mask in shown:
                key = f"{base}#{one.id}.png" if options.instances else f"{base}.png"
                values = wanted.setdefault(key, np.zeros(size_yx, np.uint8))
                values[mask.to_array()] = 255 if options.instances else one.label_id
            for file_name, values in wanted.items():
                _compare(folder / "masks" / file_name, values, None if options.instances else labels)
            names |= wanted.keys()
    if {path.name for path in (folder / "masks").iterdir()} != names:
        raise ExportError(f"the export has other masks than the {len(names)} it should", path=folder / "masks")
    if options.pictures:
        pictures.check(folder / "images", sizes)


def _slices(item: Item, name: str) -> Iterator[tuple[int, str, list[tuple[AnnotationObject, Mask]]]]:
    """Annotated slices in order: index, name, and the objects on them bottom to top."""
    objects = slices_of(item)
    for index in sorted({z for _, per_slice in objects for z in per_slice}):
        shown = [(one, per_slice[index]) for one, per_slice in objects if index in per_slice]
        yield index, slice_name(name, index, item.geometry), shown


def _save(values: np.ndarray, path: Path, *, palette: LabelSet | None) -> None:
    from PIL import Image

    height, width = values.shape
    image = Image.frombytes("L" if palette is None else "P", (width, height), values.tobytes())
    if palette is not None:
        colors = np.zeros((256, 3), np.uint8)
        for label in palette:
            colors[label.id] = label.color
        image.putpalette(colors.tobytes())
    image.save(path, format="PNG")


def _compare(path: Path, values: np.ndarray, labels: LabelSet | None) -> None:
    from PIL import Image

    try:
        with Image.open(path) as image:
            found, colors = np.array(image), image.getpalette()
    except (OSError, SyntaxError) as error:
        raise ExportError(f"an exported mask cannot be read back ({error})", path=path) from error
    if not np.array_equal(found, values):
        raise ExportError("an exported mask reads back differently", path=path)
    for label in labels or ():
        if colors is None or tuple(colors[3 * label.id : 3 * label.id + 3]) != label.color:
            raise ExportError("the colours of an exported mask read back differently", path=path)


def read(path: Path) -> list[ImportedItem]:
    """Masks of a PNG file, or of all PNG files in a folder or its ``masks``, one item per scan.

    Read are index maps (palette or grey; value = label), black and white masks (one object), and one file an object
    named ``NAME#7.png``; ``labels.csv`` (file, label) and ``labels.json`` name the labels where they exist.

    Raises
    ------
    AnnotationError
        When there is no PNG file.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (path / "masks").is_dir():
        folder = path / "masks"
    files = sorted(folder.glob("*.png")) if path.is_dir() else [path]
    if not path.is_dir():
        _refuse_other_files(path)
    if not files:
        raise AnnotationError("there are no PNG masks in this folder", path=path)
    named = _label_texts(folder)
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(_parts(file)[0], []).append(file)
    table = label_table.find(folder)
    return [
        ImportedItem(scan, members[0], partial(_load, tuple(members), table, named)) for scan, members in groups.items()
    ]


def _refuse_other_files(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_SIGNATURE))
    except OSError as error:
        raise AnnotationError(f"the mask cannot be read ({error.strerror})", path=path) from error
    if head != _SIGNATURE:
        raise AnnotationError("this is not a PNG file", path=path)


def _parts(file: Path) -> tuple[str, int, int]:
    """Scan, slice index and object number (0: none) that a file name tells."""
    match = _NAME.fullmatch(file.stem)
    assert match is not None  # the pattern takes any name
    return match["scan"], int(match["slice"] or 0), int(match["object"] or 0)


def _label_texts(folder: Path) -> dict[str, str]:
    """File name to label, from ``labels.csv`` in the folder of the masks or above it."""
    for place in (folder, folder.parent) if folder.name == "masks" else (folder,):
        table = place / "labels.csv"
        if table.is_file():
            with table.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
                return {row[0].strip(): row[-1].strip() for row in csv.reader(stream) if len(row) > 1}
    return {}


def _load(files: tuple[Path, ...], table: LabelSet, named: dict[str, str], geometry: Geometry) -> Loaded:
    masks: dict[tuple[int, int], dict[View, Mask]] = {}  # (label, object number) -> mask per slice
    labels, notes = table, []
    by_value = {label.id: label.id for label in table}
    for file in files:
        _, index, number = _parts(file)
        if index >= geometry.shape_zyx[0]:
            raise AnnotationError(f"the scan has {geometry.shape_zyx[0]} slices, not number {index}", path=file)
        values, colors = _read_values(file, size_yx=(geometry.shape_zyx[1], geometry.shape_zyx[2]))
        found = [int(v) for v in np.unique(values) if v]
        if number or file.name in named or _is_binary(found, colors, table):
            labels, label_id = _by_name(labels, named.get(file.name) or "Object")
            masks.setdefault((label_id, number), {})[View(0, index)] = Mask.from_array(values)
            continue
        if _VOID in found and _VOID not in table and len(found) > 1:
            found.remove(_VOID)
            notes.append(f"{file.name}: value 255 was left out as undecided")
        for value in found:
            if value not in by_value:
                color = colors[value] if colors and value < len(colors) else None
                by_value[value] = labels.next_id if value in labels else value
                labels = with_named(labels, by_value[value], f"Label {value}", color)
            masks.setdefault((by_value[value], 0), {})[View(0, index)] = Mask.from_array(values == value)
    in_order = sorted(masks.items(), key=lambda one: one[0][1])
    full = [(label_id, per_view) for (label_id, _), per_view in in_order if any(m.area for m in per_view.values())]
    objects = (AnnotationObject(i, label_id, per_view) for i, (label_id, per_view) in enumerate(full, start=1))
    return Loaded(labels, tuple(objects), tuple(notes))


def _is_binary(found: list[int], colors: list[Color] | None, table: LabelSet) -> bool:
    """Whether values stand for one unnamed object rather than for labels."""
    if found == [_VOID]:
        return _VOID not in table
    return found in ([], [1]) and colors is None and not table


def _by_name(labels: LabelSet, name: str) -> tuple[LabelSet, int]:
    known = labels.by_name(name)
    if known is None:
        labels, known = labels.add(name)
    return labels, known.id


def _read_values(path: Path, *, size_yx: tuple[int, int]) -> tuple[np.ndarray, list[Color] | None]:
    """Pixels (Y, X) of a mask, and the colours of its palette; AnnotationError unless it is a mask of this size."""
    from PIL import PngImagePlugin

    try:
        with path.open("rb") as stream:
            image = PngImagePlugin.PngImageFile(stream)
            if image.size != (size_yx[1], size_yx[0]):
                raise AnnotationError(
                    f"the mask has {image.size[0]} x {image.size[1]} pixels, the scan {size_yx[1]} x {size_yx[0]}",
                    path=path,
                    hint="It belongs to another scan, or was scaled.",
                )
            scale = _GREY_SCALE.get(str(image.tile[0][3]), 1)
            flat = image.getpalette() if image.mode == "P" else None
            values = np.array(image)
    except (OSError, SyntaxError, ValueError, IndexError) as error:
        raise AnnotationError("the PNG mask is damaged or not a PNG file", path=path) from error
    if values.ndim == 3:
        color_channels = values[..., : 3 if values.shape[2] >= 3 else 1]
        if (color_channels != color_channels[..., :1]).any():
            raise AnnotationError(
                "this is a colour picture, not a mask", path=path, hint="Save it as an indexed or a grey PNG."
            )
        values = color_channels[..., 0]
    colors = None if flat is None else [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3)]
    return values // scale if scale > 1 else values, colors
