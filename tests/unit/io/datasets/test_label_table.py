"""Tables of labels: both kinds come back, damaged ones are refused, and the nearest one is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.core.errors import AnnotationError, ExportError
from maskwright.core.labels import LabelSet
from maskwright.io.datasets import label_table
from tests.dataset_items import labels

SNAP = """\
################################################
# ITK-SnAP Label Description File
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "Spleen"
    4     0  128  300      0.5  1  0    "Spleen"
not a line of labels
"""


def test_json_brings_names_colours_and_codes_back(tmp_path: Path) -> None:
    label_table.write_json(labels(), tmp_path / "labels.json")
    assert label_table.read_json(tmp_path / "labels.json") == labels()


@pytest.mark.parametrize("text", ["", "[]", '{"labels": [{"id": 1}]}', '{"labels": 3}'])
def test_damaged_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(AnnotationError, match="cannot be read"):
        label_table.read_json(tmp_path / "labels.json")


def test_itk_snap_descriptions_of_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(SNAP)
    found = label_table.read_snap(tmp_path / "labels.txt")
    assert [(one.id, one.name, one.color) for one in found] == [
        (1, "Spleen", (255, 0, 0)),
        (4, "Spleen (2)", (0, 128, 255)),
    ]
    (tmp_path / "labels.txt").write_text("nothing")
    with pytest.raises(AnnotationError, match="not an ITK-SNAP"):
        label_table.read_snap(tmp_path / "labels.txt")


def test_check_sees_a_changed_name_in_either_table(tmp_path: Path) -> None:
    for name in ("labels.json", "labels.txt"):
        label_table.write_json(labels(), tmp_path / "labels.json")
        label_table.write_snap(labels(), tmp_path / "labels.txt")
        label_table.check(labels(), tmp_path, snap=True)
        text = (tmp_path / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("Liver", "Livre"), encoding="utf-8")
        with pytest.raises(ExportError, match="reads back differently"):
            label_table.check(labels(), tmp_path, snap=True)


def test_find_prefers_the_table_of_the_file_itself(tmp_path: Path) -> None:
    mask = tmp_path / "CT 1.5mm.nii.gz"
    mask.touch()
    assert label_table.find(mask) == LabelSet()
    (tmp_path / "labels.txt").write_text(SNAP)
    assert label_table.find(mask).get(1).name == "Spleen"
    label_table.write_json(labels(), tmp_path / "labels.json")
    assert label_table.find(mask) == labels()
    (tmp_path / "CT 1.5mm.json").write_text('{"Modality": "CT"}')
    assert label_table.find(mask) == labels()
    label_table.write_json(LabelSet.default(), tmp_path / "CT 1.5mm.json")
    assert label_table.find(mask) == LabelSet.default()


def test_find_looks_above_a_folder_of_masks_only(tmp_path: Path) -> None:
    label_table.write_json(labels(), tmp_path / "labels.json")
    for name, expected in (("masks", labels()), ("other", LabelSet())):
        (tmp_path / name).mkdir()
        assert label_table.find(tmp_path / name) == expected
