from __future__ import annotations

from collections import Counter

import pytest
from PySide6.QtGui import QKeySequence

from maskwright.assets import icons_folder
from maskwright.ui.actions import ACTIONS, MENUS, Situation, action_by_id
from maskwright.ui.shortcuts import changes, default_shortcuts, merged, normal, owner

CONVENTIONS = {
    "edit.commit": "Return",
    "edit.clear": "Esc",
    "edit.undo": "Ctrl+Z",
    "edit.redo": "Ctrl+Shift+Z",
    "tool.box": "B",
    "tool.sign": "T",
    "view.next_scan": "D",
    "view.previous_scan": "A",
    "view.next_slice": "PgDown",
    "view.previous_slice": "PgUp",
    "label.1": "1",
    "label.9": "9",
}


def test_ids_are_unique_and_menus_exist():
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)
    assert {action.menu for action in ACTIONS} <= {*MENUS, ""}


def test_no_two_commands_share_a_key():
    keys = Counter(key for keys in default_shortcuts().values() for key in keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_shortcut_is_one_that_qt_knows():
    for action in ACTIONS:
        for key in action.shortcuts:
            assert not QKeySequence(normal(key)).isEmpty(), (action.id, key)


@pytest.mark.parametrize(("action_id", "key"), CONVENTIONS.items())
def test_keys_that_users_bring_with_them(action_id, key):
    assert key in default_shortcuts()[action_id]


def test_redo_has_both_of_its_keys():
    assert default_shortcuts()["edit.redo"] == ("Ctrl+Shift+Z", "Ctrl+Y")


def test_every_icon_is_in_the_kept_set():
    for action in ACTIONS:
        if action.icon:
            assert (icons_folder() / f"{action.icon}.svg").is_file(), action.id


def test_the_licence_lies_beside_the_icons():
    text = (icons_folder() / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("ISC License")


def test_only_what_needs_no_scan_can_be_used_on_an_empty_window():
    usable = {action.id for action in ACTIONS if action.when(Situation())}
    assert usable == {
        "file.open",
        "file.open_folder",
        "file.quit",
        "theme.system",
        "theme.light",
        "theme.dark",
        "tool.smart",
        "tool.box",
        "tool.pan",
        "tool.models",
        "help.shortcuts",
        "help.about",
    }


def test_labels_have_keys_as_far_as_there_are_labels():
    now = Situation(has_scan=True, n_labels=2)
    assert action_by_id("label.2").when(now)
    assert not action_by_id("label.3").when(now)


def test_a_change_lies_over_the_table_and_takes_the_key_from_its_owner():
    keys = merged({"edit.commit": ["C"], "tool.box": ["V"]})
    assert keys["edit.commit"] == ("C",)
    assert keys["tool.box"] == ("V",)
    assert keys["view.masks"] == ()  # V was its own
    assert keys["edit.undo"] == ("Ctrl+Z",)


def test_changes_that_make_no_sense_are_left_out():
    keys = merged({"no.such": ["X"], "tool.box": ["", "NoSuchKey+%"], "edit.undo": ["B"], "edit.redo": ["B"]})
    assert "no.such" not in keys
    assert keys["edit.undo"] == ("B",)
    assert keys["edit.redo"] == ()
    assert keys["tool.box"] == ()


def test_only_what_differs_is_kept():
    assert changes(default_shortcuts()) == {}
    keys = {**default_shortcuts(), "tool.box": ("K",)}
    assert changes(keys) == {"tool.box": ["K"]}
    assert merged(changes(keys)) == keys


def test_the_owner_of_a_key_is_found_whatever_its_spelling():
    keys = default_shortcuts()
    assert owner(keys, "ctrl+z") == "edit.undo"
    assert owner(keys, "Ctrl+Z", other_than="edit.undo") is None
    assert owner(keys, "Ctrl+Alt+F9") is None
