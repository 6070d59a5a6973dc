"""What was annotated, read from a journal without a session."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import StoreError
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View
from maskwright.io.annotated import load_objects, read_annotated, view_key, view_of
from maskwright.io.journal import PROJECT, Journal
from maskwright.io.places import JOURNAL, default_folder

LABELS = LabelSet((Label(1, "Object", (1, 2, 3)), Label(2, "Liver", (4, 5, 6))))
SQUARE = Mask.from_crop((20, 30), (4, 5), np.ones((3, 6), bool))


def scan_entry(path: str) -> bytes:
    return json.dumps({"path": path, "name": Path(path).name, "fingerprint": "f" * 64, "modality": "ct"}).encode()


def write(folder: Path, more: dict[tuple[int, str], bytes] | None = None) -> Path:
    """A project of two scans, of which the second has two objects and an unfinished one."""
    journal = Journal.open(folder / JOURNAL)
    journal.put(
        {
            (PROJECT, "labels"): json.dumps({"labels": LABELS.to_json(), "retired": []}).encode(),
            (1, "scan"): scan_entry("/scans/a.nii"),
            (2, "scan"): scan_entry("/scans/b.nii"),
            (2, "object/3"): b"[3,2,true,0.5]",
            (2, "object/1"): b"[1,1,false,null]",
            (2, "mask/3/0/7"): SQUARE.to_bytes(),
            (2, "mask/3/2/11"): SQUARE.to_bytes(),
            (2, "draft/0/8"): b"[]",
            **(more or {}),
        }
    )
    journal.close()
    return folder


def test_scans_with_objects_are_read_with_their_masks_and_labels(tmp_path: Path):
    (scan,) = read_annotated(write(tmp_path / "project"))
    assert (scan.id, scan.path, scan.name, scan.fingerprint) == (2, Path("/scans/b.nii"), "b.nii", "f" * 64)
    first, second = scan.annotation.objects
    assert (first.id, first.label_id, first.visible, first.score, first.masks) == (1, 1, False, None, {})
    assert (second.id, second.score, scan.annotation.labels.get(second.label_id).name) == (3, 0.5, "Liver")
    assert dict(second.masks) == {View(0, 7): SQUARE, View(2, 11): SQUARE}


def test_the_scan_that_was_opened_names_its_project(tmp_path: Path):
    photo = tmp_path / "photos" / "1.png"
    write(default_folder(photo.parent))
    assert [scan.id for scan in read_annotated(photo)] == [scan.id for scan in read_annotated(photo.parent)] == [2]


def test_where_there_is_no_project_none_is_made(tmp_path: Path):
    with pytest.raises(StoreError, match="there is no project here") as caught:
        read_annotated(tmp_path / "nothing")
    assert caught.value.path == tmp_path / "nothing" and not (tmp_path / "nothing").exists()


def test_a_project_that_is_open_elsewhere_is_left_alone(tmp_path: Path):
    held = Journal.open(write(tmp_path / "project") / JOURNAL)
    with pytest.raises(StoreError, match="open in another maskwright"):
        read_annotated(tmp_path / "project")
    held.close()
    assert len(read_annotated(tmp_path / "project")) == 1


@pytest.mark.parametrize(
    "damage",
    [
        {(2, "object/3"): b"null"},
        {(2, "object/3"): b"[3]"},
        {(2, "object/3"): b"{"},
        {(2, "object/3"): b"[3,9,true,null]"},  # a label that is not there
        {(2, "mask/3/0/7"): b"cut"},
        {(2, "mask/3/0"): SQUARE.to_bytes()},
        {(2, "scan"): b"[]"},
        {(PROJECT, "labels"): b'{"labels": [{}]}'},
    ],
)
def test_damage_is_said_and_the_journal_given_back(tmp_path: Path, damage: dict[tuple[int, str], bytes]):
    folder = write(tmp_path / "project", damage)
    with pytest.raises(StoreError, match="damaged"):
        read_annotated(folder)
    Journal.open(folder / JOURNAL).close()


def test_a_key_holds_a_slice():
    assert view_of(view_key(View(2, 11))) == View(2, 11)
    assert load_objects({"draft/0/1": b"x"}) == ()
