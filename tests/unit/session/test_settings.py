"""Settings: bad values are reported and not fatal, unknown ones kept, and the file is whole at any moment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.session.project import config_root
from maskwright.session.settings import SETTINGS, Settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "einstellungen für alle" / "settings.json"


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=list(SETTINGS))
def test_every_default_passes_its_own_check_and_is_explained(setting):
    assert setting.check(setting.default) == "" and setting.doc.endswith(".")
    assert setting.check(object()) != "" and setting.check(None) != ""
    json.dumps(setting.default)


def test_without_a_file_the_defaults_hold_and_none_is_written(path: Path):
    settings = Settings(path)
    assert settings.problems == () and settings.get("theme") == "system" and settings.get("encode_ahead") is True
    assert not path.parent.exists()


def test_the_file_lies_in_the_folder_for_settings(maskwright_home: Path):
    assert Settings().path == config_root() / "settings.json" == maskwright_home / "settings.json"


def test_a_value_is_kept_and_a_default_is_not_written(path: Path):
    settings = Settings(path)
    settings.set("theme", "dark")
    settings.set("shortcuts", {"undo": ["Ctrl+Z", "Alt+Backspace"]})
    assert Settings(path).get("theme") == "dark"
    assert Settings(path).get("shortcuts") == {"undo": ["Ctrl+Z", "Alt+Backspace"]}
    settings.set("theme", "system")
    assert json.loads(path.read_text("utf-8")) == {"shortcuts": {"undo": ["Ctrl+Z", "Alt+Backspace"]}}
    assert [p.name for p in path.parent.iterdir()] == ["settings.json"]


def test_what_was_given_out_can_be_changed_without_changing_the_settings(path: Path):
    settings = Settings(path)
    settings.get("recent").append("x")
    given = ["a"]
    settings.set("recent", given)
    given.append("b")
    assert settings.get("recent") == ["a"] and SETTINGS["recent"].default == []


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("theme", "pink", "one of system, light, dark"),
        ("mask_opacity", 1.5, "a number from 0 to 1"),
        ("mask_opacity", float("nan"), "a number from 0 to 1"),
        ("mask_opacity", True, "a number from 0 to 1"),
        ("threads", 2.5, "a whole number from 0 to 256"),
        ("threads", -1, "a whole number from 0 to 256"),
        ("encode_ahead", 1, "true or false"),
        ("model", " ", "a name"),
        ("store_folder", 3, "a text"),
        ("shortcuts", {"undo": "Ctrl+Z"}, "lists of texts by name"),
        ("shortcuts", [], "lists of texts by name"),
        ("recent", ["a", 1], "a list of texts"),
    ],
)
def test_a_bad_value_is_refused_when_set_and_reported_when_read(path: Path, name: str, value: object, wanted: str):
    settings = Settings(path)
    with pytest.raises(MaskwrightError) as caught:
        settings.set(name, value)
    assert caught.value.hint == f"It is {wanted}." and not path.exists()

    path.parent.mkdir()
    path.write_text(json.dumps({name: value, "last_folder": "/data"}), "utf-8")
    read = Settings(path)
    assert read.problems == (f'The setting "{name}" should be {wanted}, so its usual value holds ({path}).',)
    assert read.get(name) == SETTINGS[name].default and read.get("last_folder") == "/data"


def test_unknown_settings_are_kept_and_unknown_names_are_an_error(path: Path):
    path.parent.mkdir()
    path.write_text('{"from_the_future": {"a": [1]}, "theme": "dark"}', "utf-8")
    settings = Settings(path)
    assert settings.problems == ()
    settings.set("threads", 2)
    assert json.loads(path.read_text("utf-8")) == {"from_the_future": {"a": [1]}, "theme": "dark", "threads": 2}
    for call in (lambda: settings.get("from_the_future"), lambda: settings.set("nothing", 1)):
        with pytest.raises(KeyError):
            call()


@pytest.mark.parametrize("content", [b"{ not json", b"[1, 2]", b"\xff\xfe\x00", b""])
def test_a_damaged_file_is_reported_and_put_aside_when_written(path: Path, content: bytes):
    path.parent.mkdir()
    path.write_bytes(content)
    settings = Settings(path)
    assert len(settings.problems) == 1 and "could not be read" in settings.problems[0]
    assert settings.get("theme") == "system" and path.read_bytes() == content
    settings.set("theme", "dark")
    assert json.loads(path.read_text("utf-8")) == {"theme": "dark"}
    assert (path.parent / "settings.json.damaged").read_bytes() == content
    assert Settings(path).problems == ()


def test_two_windows_do_not_undo_each_others_settings(path: Path):
    one, other = Settings(path), Settings(path)
    one.set("theme", "dark")
    other.set("threads", 3)
    assert (Settings(path).get("theme"), Settings(path).get("threads")) == ("dark", 3)


def test_a_write_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = Settings(path)
    settings.set("theme", "dark")
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        settings.set("theme", "light")
    assert caught.value.path == path and "Free some space" in caught.value.hint
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["settings.json"]


def test_a_file_in_the_way_of_the_folder_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    settings = Settings(tmp_path / "file" / "settings.json")
    assert settings.get("theme") == "system"
    with pytest.raises(StoreError, match="settings cannot be written"):
        settings.set("theme", "dark")
