"""Export: whole and checked, or not at all, whatever the disk, the rights or the writer do."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.core.annotation import Annotation
from maskwright.core.errors import ExportError, ScanError
from maskwright.core.geometry import Geometry
from maskwright.io.datasets import FORMATS, Item, Options
from maskwright.session import export_job
from maskwright.session.export_job import export
from tests.dataset_items import ct_item, photo_item

EVERY = sorted(FORMATS)


def tree(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden files too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    (tmp_path / "in").mkdir()
    return [photo_item(tmp_path / "in"), ct_item(tmp_path / "in")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Folder of the datasets, with a name that trips careless code."""
    folder = tmp_path / "Ausgänge, zwei 出力"
    folder.mkdir()
    return folder


@contextlib.contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """The system itself refuses to write past a size, as at a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def tiny_drive() -> Iterator[Path]:
    """Real drive of 16 KiB."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("mounting a small drive needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anywhere, so the test goes on as a user who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("format", EVERY)
def test_a_dataset_appears_under_its_name_and_nothing_else_does(items: list[Item], place: Path, format: str) -> None:
    report = export(items, format=format, out=place / "data set", overwrite=False)
    assert [path.name for path in place.iterdir()] == ["data set"]
    expected = (1, 3) if format == "nifti" else (2, 6)
    assert (report.scans, report.objects) == expected
    assert report.files == len(tree(place))
    assert report.out == place / "data set"
    assert report.sentence.startswith(f"Exported {expected[1]} objects of {expected[0]} scan")
    assert json.loads(json.dumps(report.to_json()))["format"] == format
    record = json.loads((place / "data set/export.json").read_text(encoding="utf-8"))
    assert sorted(record["files"]) == sorted(tree(place / "data set"))
    FORMATS[format].check(items[1:] if format == "nifti" else items, place / "data set", Options())


def test_the_report_says_what_was_left_out(items: list[Item], place: Path) -> None:
    empty = replace(items[0], name="empty", annotation=Annotation(items[0].annotation.labels))
    report = export([*items, empty], format="nifti", out=place / "x")
    reason = "a photo has no grid in millimetres; export it as COCO or PNG"
    assert report.notes[:2] == (f"ein Foto.png was left out: {reason}", "1 without an object was left out")
    with pytest.raises(ExportError, match="nothing can be exported as NIfTI label maps: ein Foto.png"):
        export(items[:1], format="nifti", out=place / "y")
    with pytest.raises(ExportError, match="nothing to export"):
        export([empty], format="coco", out=place / "y")
    with pytest.raises(ExportError, match="nothing to export"):
        export([], format="coco", out=place / "y")
    assert not (place / "y").exists()


def test_the_scan_must_still_be_there_for_its_pictures(items: list[Item], place: Path) -> None:
    items[0].source.unlink()
    with pytest.raises(ScanError, match="no such file"):
        export(items, format="coco", out=place / "x")
    assert list(place.iterdir()) == []
    assert export(items, format="coco", out=place / "x", options=Options(pictures=False)).scans == 2


def test_an_earlier_export_is_replaced_only_on_request(items: list[Item], place: Path) -> None:
    export(items, format="png", out=place / "x")
    before = tree(place)
    with pytest.raises(ExportError, match="already an export"):
        export(items, format="coco", out=place / "x")
    assert tree(place) == before
    export(items, format="coco", out=place / "x", overwrite=True)
    assert (place / "x/annotations.json").exists()
    assert not (place / "x/masks").exists()
    assert [path.name for path in place.iterdir()] == ["x"]


def test_files_that_no_export_made_are_never_lost(items: list[Item], place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match=r"holds files that no export made: .*thesis\.txt"):
        export(items, format="coco", out=place / "mine", overwrite=True)
    export(items, format="png", out=place / "x")
    (place / "x/masks/later.txt").write_text("notes")
    with pytest.raises(ExportError, match=r"holds files that no export made: .*later\.txt"):
        export(items, format="png", out=place / "x", overwrite=True)
    (place / "file").write_text("text")
    (place / "link").symlink_to(place / "mine")
    for name in ("file", "link"):
        with pytest.raises(ExportError, match="already a file"):
            export(items, format="coco", out=place / name, overwrite=True)
    assert (place / "mine/thesis.txt").read_text() == "years of work"


def test_an_empty_folder_may_be_filled(items: list[Item], place: Path) -> None:
    (place / "x").mkdir()
    export(items, format="coco", out=place / "x")
    assert (place / "x/annotations.json").exists()


def test_a_place_that_does_not_exist_is_told(items: list[Item], place: Path) -> None:
    with pytest.raises(ExportError, match="folder to export into does not exist"):
        export(items, format="coco", out=place / "a/b")
    with pytest.raises(ExportError, match="a folder of its own"):
        export(items, format="coco", out=Path("/"), overwrite=True)


@pytest.mark.parametrize("format", EVERY)
def test_a_really_full_disk(items: list[Item], tiny_drive: Path, format: str) -> None:
    geometry = Geometry((5, 200, 200), items[1].geometry.affine)
    noise = np.random.default_rng(0).random((200, 200)) < 0.5
    item = large(items[1], geometry, noise)
    with pytest.raises(ExportError) as caught:
        export([item], format=format, out=tiny_drive / "x", options=Options(pictures=False))
    assert "No space left on device" in str(caught.value) or "the disk is full" in str(caught.value)
    assert str(tiny_drive / "x") in str(caught.value)
    assert caught.value.hint == "Free some space or choose another drive."
    assert list(tiny_drive.iterdir()) == []


def large(item: Item, geometry: Geometry, noise: np.ndarray) -> Item:
    from maskwright.core.annotation import AnnotationObject
    from maskwright.core.mask import Mask
    from maskwright.core.volume import View

    one = AnnotationObject(1, 1, {View(0, z): Mask.from_array(np.roll(noise, z, 0)) for z in range(5)})
    return replace(item, geometry=geometry, annotation=replace(item.annotation, objects=(one,)), volume=None)


@pytest.mark.parametrize("format", EVERY)
def test_a_disk_that_takes_no_more_leaves_the_earlier_export_whole(items: list[Item], place: Path, format: str) -> None:
    noise = np.random.default_rng(0).random((400, 400)) < 0.5
    item = large(items[1], Geometry((5, 400, 400), items[1].geometry.affine), noise)
    export(items[1:], format=format, out=place / "x")
    before = tree(place)
    with pytest.raises(ExportError) as caught, files_no_larger_than(8_000):
        export([item], format=format, out=place / "x", overwrite=True, options=Options(pictures=False))
    assert caught.value.path is not None
    assert caught.value.path.is_relative_to(place / "x")
    assert tree(place) == before


@pytest.mark.parametrize("call", ["mkdir", "copyfile", "fsync", "rename"])
def test_no_space_at_any_step(items: list[Item], place: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    export(items, format="coco", out=place / "x")
    before = tree(place)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner = {"mkdir": Path, "copyfile": shutil}.get(call, os)
    monkeypatch.setattr(owner, call, full)
    with pytest.raises(ExportError, match="No space left on device.* Free some space"):
        export(items, format="coco", out=place / "x", overwrite=True)
    monkeypatch.undo()
    assert tree(place) == before


def test_a_folder_that_may_not_be_written_to(items: list[Item]) -> None:
    with tempfile.TemporaryDirectory() as name:  # its parents can be entered by every user
        place = Path(name)
        (place / "x").mkdir()
        place.chmod(0o555)
        with as_nobody(), pytest.raises(ExportError) as caught:
            export(items[1:], format="nifti", out=place / "x")
        assert str(caught.value).startswith("the export failed: Permission denied: ")
        assert caught.value.hint == "Choose a folder you may write to."
        place.chmod(0o755)
        assert tree(place) == {}
        assert [path.name for path in place.iterdir()] == ["x"]


def test_a_drive_that_is_read_only(items: list[Item], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ExportError, match="Read-only file system: .*Choose a folder you may write to"):
        export(items, format="coco", out=place / "x")


@pytest.mark.parametrize("format", EVERY)
def test_a_writer_that_errs_by_one_pixel_is_caught(
    items: list[Item], place: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    export(items, format=format, out=place / "x")
    before = tree(place)
    right = FORMATS[format]

    def write_wrong(some: list[Item], folder: Path, options: Options) -> list[str]:
        item = some[-1]
        one = item.annotation.objects[0]
        view, mask = next(iter(one.masks.items()))
        array = mask.to_array()
        array[0, 0] ^= True
        wrong = one.with_mask(view, type(mask).from_array(array))
        changed = replace(item, annotation=item.annotation.with_object(wrong))
        return right.write([*some[:-1], changed], folder, options)

    monkeypatch.setattr(export_job, "FORMATS", {format: replace(right, write=write_wrong)})
    with pytest.raises(ExportError, match="reads back differently") as caught:
        export(items, format=format, out=place / "x", overwrite=True)
    assert caught.value.path is not None
    assert caught.value.path.is_relative_to(place / "x")
    assert tree(place) == before


def test_when_the_last_step_fails_the_earlier_export_is_put_back(
    items: list[Item], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(items, format="coco", out=place / "x")
    before = tree(place)
    rename = os.rename

    def second_fails(source: Any, target: Any) -> None:
        if str(source).endswith(".part"):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(ExportError, match="Permission denied"):
        export(items, format="png", out=place / "x", overwrite=True)
    assert tree(place) == before


def test_an_interruption_leaves_nothing(items: list[Item], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export_job, "_flush", stop)
    with pytest.raises(KeyboardInterrupt):
        export(items, format="coco", out=place / "x")
    assert list(place.iterdir()) == []


def test_options_reach_the_writer(items: list[Item], place: Path) -> None:
    report = export(items, format="coco", out=place / "x", options=Options(polygons=True))
    assert any("which COCO polygons cannot hold" in note for note in report.notes)
    export(items, format="png", out=place / "y", options=Options(instances=True))
    assert (place / "y/masks/CT 1#z0003#2.png").exists()
