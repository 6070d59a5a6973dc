"""Which keys do what: the table's own shortcuts, the user's changes over them, and the refusal of conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from PySide6.QtGui import QKeySequence

from maskwright.ui.actions import ACTIONS, Action

Shortcuts = dict[str, tuple[str, ...]]


def normal(key: str) -> str:
    """The one spelling of a key sequence that does not depend on the language; empty when Qt cannot read it."""
    return QKeySequence(key, QKeySequence.SequenceFormat.PortableText).toString(
        QKeySequence.SequenceFormat.PortableText
    )


def default_shortcuts(actions: Iterable[Action] = ACTIONS) -> Shortcuts:
    """Keys by command, as the table has them."""
    return {action.id: tuple(normal(key) for key in action.shortcuts) for action in actions}


def merged(changed: Mapping[str, Iterable[str]], actions: Iterable[Action] = ACTIONS) -> Shortcuts:
    """The table's keys with the user's changes over them.

    Unknown commands and unreadable keys are left out. A key that a change gives to one command is taken from any other
    that has it by default, so that the result never has a conflict.
    """
    keys = default_shortcuts(actions)
    taken: set[str] = set()
    known = {
        action_id: tuple(k for k in (normal(key) for key in wanted) if k)
        for action_id, wanted in changed.items()
        if action_id in keys
    }
    for action_id, wanted in known.items():
        keys[action_id] = tuple(k for k in dict.fromkeys(wanted) if k not in taken)
        taken.update(keys[action_id])
    for action_id in keys:
        if action_id not in known:
            keys[action_id] = tuple(k for k in keys[action_id] if k not in taken)
    return keys


def changes(shortcuts: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """What differs from the table: all that has to be kept in the settings."""
    return {
        action_id: list(keys)
        for action_id, keys in shortcuts.items()
        if keys != default_shortcuts().get(action_id, keys)
    }


def owner(shortcuts: Mapping[str, tuple[str, ...]], key: str, *, other_than: str = "") -> str | None:
    """Id of the command that already has a key, or None."""
    wanted = normal(key)
    for action_id, keys in shortcuts.items():
        if action_id != other_than and wanted and wanted in keys:
            return action_id
    return None
