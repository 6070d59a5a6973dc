"""Projects: where they are, what they hold, and what they give an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.core.errors import StoreError
from maskwright.core.labels import LabelSet
from maskwright.core.mask import Mask
from maskwright.core.prompts import Point, Prompts
from maskwright.core.volume import View
from maskwright.session import Project
from maskwright.session.project import (
    cache_root,
    config_root,
    data_root,
    default_folder,
    default_store_root,
    folder_of_scan,
    note_moved,
    note_scan,
    projects_root,
)
from tests.fakes import disks

from .conftest import Desk, write_photo


def test_one_variable_moves_everything(maskwright_home: Path):
    assert {data_root(), config_root(), cache_root()} == {maskwright_home}
    assert projects_root() == maskwright_home / "projects" and default_store_root() == maskwright_home / "features"


def test_without_it_the_places_of_the_system_are_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MASKWRIGHT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere/data")
    assert data_root().name == config_root().name == cache_root().name == "maskwright"


def test_a_path_has_one_folder_and_others_have_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "Gehirn Nr. 5.nii.gz"
    folder = default_folder(path)
    assert folder.parent == projects_root() and folder.name.startswith("gehirn-nr-5-nii-gz-")
    monkeypatch.chdir(tmp_path)
    assert default_folder(Path(path.name)) == folder == default_folder(tmp_path / "x" / ".." / path.name)
    assert default_folder(tmp_path / "Gehirn Nr. 6.nii.gz") != folder
    assert default_folder(tmp_path / "other" / path.name) != folder
    assert default_folder(Path("/")).name and default_folder(tmp_path / "脳").name


def test_a_scan_in_a_folder_with_a_project_belongs_to_it_unless_it_has_its_own(tmp_path: Path):
    above = default_folder(tmp_path / "photos")
    Project.open(above).close()
    inside = tmp_path / "photos" / "1.png"
    assert default_folder(inside) == above
    assert default_folder(tmp_path / "photos" / "deeper" / "1.png") != above
    own = default_folder(tmp_path / "2.png")
    Project.open(own).close()
    Project.open(default_folder(tmp_path)).close()
    assert default_folder(tmp_path / "2.png") == own


def test_notes_are_followed_only_as_long_as_the_project_is_there(tmp_path: Path):
    folder = tmp_path / "project"
    note_scan("f" * 64, folder)
    assert folder_of_scan("f" * 64) is None and folder_of_scan("a" * 64) is None
    Project.open(folder).close()
    assert folder_of_scan("f" * 64) == folder
    note_moved(tmp_path / "new.nii", folder)
    assert default_folder(tmp_path / "new.nii") == folder
    own = default_folder(tmp_path / "plain.nii")
    note_moved(tmp_path / "plain.nii", own)
    assert not own.exists()  # nothing to remember


def test_is_project_looks_for_the_journal(tmp_path: Path):
    assert not Project.is_project(tmp_path / "p")
    Project.open(tmp_path / "p").close()
    assert Project.is_project(tmp_path / "p")
    (tmp_path / "q" / "journal.sqlite3").mkdir(parents=True)
    assert not Project.is_project(tmp_path / "q")


def test_a_new_project_is_empty_and_has_the_default_labels(tmp_path: Path):
    project = Project.open(tmp_path / "neu für uns")
    assert len(project.worklist()) == 0 and list(project.annotations()) == []
    assert project.state(0).annotation.labels == LabelSet.default()
    assert project.active_label() is None and project.shown() is None
    project.close()


def test_annotations_give_every_scan_with_its_objects_and_the_labels_of_the_project(desk: Desk, tmp_path: Path):
    for i in (1, 2):
        write_photo(tmp_path / "photos" / f"{i}.png", seed=i)
    session = desk.session()
    session.open(tmp_path / "photos")
    desk.click(session, Point(20, 20))
    session.commit()
    session.next_scan()
    session.add_label("Liver")
    session.close()

    project = Project.open(desk.project)
    found = list(project.annotations())
    assert [(entry.name, len(annotation.objects), len(annotation.labels)) for entry, annotation in found] == [
        ("1.png", 1, 2),
        ("2.png", 0, 2),
    ]
    entry, annotation = found[0]
    expected = Mask.from_array(disks(Prompts((Point(20, 20),)), (60, 80)))
    assert annotation.get(1).masks == {View(0, 0): expected}
    assert entry.geometry is not None and entry.geometry.shape_zyx == (1, 60, 80) and entry.modality == "photo"
    assert project.label_uses(1) == 1 and project.label_uses(2) == 0 and project.label_uses(1, except_scan=1) == 0
    assert project.active_label() == 2 and project.shown() == 2
    project.close()


@pytest.mark.parametrize(
    ("key", "value", "ask"),
    [
        ((1, "scan"), b"{}", lambda p: p.worklist()),
        ((0, "labels"), b"7", lambda p: p.state(0)),
        ((0, "active label"), b"x", lambda p: p.active_label()),
        ((0, "shown"), b"\xff", lambda p: p.shown()),
    ],
)
def test_what_is_damaged_inside_is_said_in_plain_words(tmp_path: Path, key, value, ask):
    project = Project.open(tmp_path / "p")
    project.journal.put({key: value})
    with pytest.raises(StoreError, match="damaged") as caught:
        ask(project)
    assert caught.value.hint
    project.close()
