from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.core.errors import StoreError
from maskwright.session.settings import Settings
from maskwright.ui.window_settings import RECENT, WindowSettings


def test_what_is_kept_is_there_at_the_next_start(tmp_path):
    first = WindowSettings()
    first.keep_geometry(b"\x00\x01\xff")
    first.keep_shortcuts({"tool.box": ["K"]})
    first.keep_theme("dark")
    first.keep_folder(tmp_path)
    second = WindowSettings()
    assert (second.geometry(), second.shortcuts(), second.theme()) == (b"\x00\x01\xff", {"tool.box": ["K"]}, "dark")
    assert second.folder() == tmp_path


def test_a_folder_that_is_gone_gives_way_to_home(tmp_path):
    settings = WindowSettings()
    settings.keep_folder(tmp_path / "gone")
    assert settings.folder() == Path.home()


def test_recent_files_are_newest_first_unique_existing_and_few(tmp_path):
    settings = WindowSettings()
    paths = [tmp_path / f"{i}.png" for i in range(RECENT + 2)]
    for path in paths:
        path.touch()
        settings.keep_recent(path)
    settings.keep_recent(paths[3])
    paths[5].unlink()
    assert settings.recent() == [paths[i] for i in (3, 6, 4, 2, 1)]


def test_a_damaged_place_of_the_window_counts_as_unknown():
    Settings().set("window", "no base64 §")
    assert WindowSettings().geometry() == b""


def test_only_shortcuts_that_cannot_be_kept_are_worth_an_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    settings = WindowSettings(Settings(blocked / "settings.json"))
    settings.keep_theme("dark")
    with pytest.raises(StoreError):
        settings.keep_shortcuts({"tool.box": ["K"]})
