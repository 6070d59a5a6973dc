"""What the window remembers from one start to the next, over the table of settings."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwright.core.errors import MaskwrightError
from maskwright.session.settings import Settings

RECENT = 5
_log = logging.getLogger(__name__)


class WindowSettings:
    """Shortcuts, theme, model, place of the window, last folder and what was opened last.

    Only the shortcuts are worth a dialog when they cannot be written; of the others a failure is logged.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()

    def shortcuts(self) -> dict[str, list[str]]:
        """Keys that differ from the table."""
        return self._settings.get("shortcuts")

    def keep_shortcuts(self, changed: Mapping[str, list[str]]) -> None:
        """Remember the keys that differ. Raises MaskwrightError when they cannot be written."""
        self._settings.set("shortcuts", dict(changed))

    def theme(self) -> str:
        """``system``, ``light`` or ``dark``."""
        return self._settings.get("theme")

    def keep_theme(self, theme: str) -> None:
        """Remember the theme."""
        self._keep("theme", theme)

    def keep_model(self, model: str) -> None:
        """Remember which model answers."""
        self._keep("model", model)

    def mask_opacity(self) -> float:
        """How opaque masks are drawn, 0 to 1."""
        return float(self._settings.get("mask_opacity"))

    def geometry(self) -> bytes:
        """Place and size of the window; empty when unknown."""
        try:
            return base64.b64decode(self._settings.get("window"), validate=True)
        except (binascii.Error, ValueError):
            return b""

    def keep_geometry(self, geometry: bytes) -> None:
        """Remember place and size."""
        self._keep("window", base64.b64encode(geometry).decode())

    def folder(self) -> Path:
        """Folder to begin in when a file is asked for."""
        folder = Path(self._settings.get("last_folder") or Path.home())
        return folder if folder.is_dir() else Path.home()

    def keep_folder(self, folder: Path) -> None:
        """Remember the folder."""
        self._keep("last_folder", str(folder))

    def recent(self) -> list[Path]:
        """What was opened last and is still there, newest first."""
        return [path for path in map(Path, self._settings.get("recent")) if path.exists()][:RECENT]

    def keep_recent(self, path: Path) -> None:
        """Remember what was opened."""
        self._keep("recent", list(dict.fromkeys([str(path), *self._settings.get("recent")]))[: 2 * RECENT])

    def _keep(self, name: str, value: Any) -> None:
        try:
            self._settings.set(name, value)
        except MaskwrightError as error:
            _log.warning("%s", error)
