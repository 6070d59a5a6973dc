"""Settings: the table of everything a user can set, and the JSON file that holds what differs from the defaults."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.session.project import config_root

Check = Callable[[Any], str]
"""Empty when a value is good, else what it should be."""


def _one_of(*choices: str) -> Check:
    return lambda value: "" if value in choices else f"one of {', '.join(choices)}"


def _number(low: float, high: float) -> Check:
    return lambda value: (
        "" if _is(value, int | float) and low <= value <= high else f"a number from {low:g} to {high:g}"
    )


def _whole(low: int, high: int) -> Check:
    return lambda value: "" if _is(value, int) and low <= value <= high else f"a whole number from {low} to {high}"


def _text(value: Any) -> str:
    return "" if _is(value, str) else "a text"


def _name(value: Any) -> str:
    return "" if _is(value, str) and value.strip() else "a name"


def _yes_no(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _texts(value: Any) -> str:
    return "" if _is(value, list) and all(_is(one, str) for one in value) else "a list of texts"


def _lists_by_name(value: Any) -> str:
    good = _is(value, dict) and all(_is(key, str) and not _texts(one) for key, one in value.items())
    return "" if good else "lists of texts by name"


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table: name in the file, default, what it is for, and what its values may be."""

    name: str
    default: Any
    doc: str
    check: Check


SETTINGS: dict[str, Setting] = {
    one.name: one
    for one in (
        Setting("theme", "system", "Colours of the window.", _one_of("system", "light", "dark")),
        Setting("mask_opacity", 0.45, "How opaque masks are drawn, 0 to 1.", _number(0, 1)),
        Setting("model", "default", "Id or folder of the model.", _name),
        Setting("threads", 0, "Processor cores that the model uses, 0 for an automatic choice.", _whole(0, 256)),
        Setting("store_folder", "", "Folder of the stored features, empty for the usual place.", _text),
        Setting("store_budget_gb", 20.0, "Disk space for stored features in GB, 0 for no limit.", _number(0, 1e6)),
        Setting("encode_ahead", True, "Whether slices are encoded before they are clicked.", _yes_no),
        Setting("shortcuts", {}, "Keys of commands that differ from the usual ones.", _lists_by_name),
        Setting("window", "", "Place and size of the window, as the window wrote it.", _text),
        Setting("last_folder", "", "Folder that the open dialog begins in.", _text),
        Setting("recent", [], "What was opened last, newest first.", _texts),
    )
}


class Settings:
    """The settings of a user. Reading never fails: a value that is no good counts as its default and is reported.

    Attributes
    ----------
    path
        The file, which need not exist.
    problems
        One sentence for each thing in the file that was not usable.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read the file at ``path``, by default ``settings.json`` in the folder for settings."""
        self.path = config_root() / "settings.json" if path is None else path
        self._read()

    def get(self, name: str) -> Any:
        """Value of a setting, a fresh copy. KeyError for a name that is not in the table."""
        setting = SETTINGS[name]
        value = self._values.get(name, setting.default)
        return json.loads(json.dumps(value if not setting.check(value) else setting.default))

    def set(self, name: str, value: Any) -> None:
        """Change a setting and write the file. A default is not written, so that a new version can still change it.

        Raises
        ------
        KeyError
            For a name that is not in the table.
        MaskwrightError
            If the value is no good.
        StoreError
            If the file cannot be written. The value then holds until the program ends.
        """
        setting = SETTINGS[name]
        if wrong := setting.check(value):
            raise MaskwrightError(f'"{name}" cannot be {value!r}', hint=f"It is {wrong}.")
        self._read()  # another window may have written since
        if value == setting.default:
            self._values.pop(name, None)
        else:
            self._values[name] = json.loads(json.dumps(value))
        self._write()

    def _read(self) -> None:
        self._values: dict[str, Any] = {}
        self.problems: tuple[str, ...] = ()
        self._damaged = False
        try:
            found = json.loads(self.path.read_text("utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it is not a JSON object")
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._damaged = isinstance(error, ValueError)
            self.problems = (f"The settings could not be read, so the usual ones hold ({self.path}: {error}).",)
            return
        self._values = found
        wrong = ((name, SETTINGS[name].check(value)) for name, value in found.items() if name in SETTINGS)
        self.problems = tuple(
            f'The setting "{name}" should be {what}, so its usual value holds ({self.path}).'
            for name, what in wrong
            if what
        )

    def _write(self) -> None:
        temporary = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._damaged:
                os.replace(self.path, self.path.with_name(self.path.name + ".damaged"))
                self._damaged = False
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name + ".")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._values, file, indent=2, ensure_ascii=False, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise StoreError(
                f"the settings cannot be written ({error.strerror or error})",
                path=self.path,
                hint="Free some space, or change the permissions of this folder.",
            ) from error
