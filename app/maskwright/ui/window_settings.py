"""What the window remembers from one start to the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class WindowSettings:
    """Shortcuts, place of the window and the last folder, kept for as long as the program runs."""

    def __init__(self) -> None:
        self._shortcuts: dict[str, list[str]] = {}
        self._geometry = b""
        self._folder = Path.home()

    def shortcuts(self) -> dict[str, list[str]]:
        """Keys that differ from the table."""
        return self._shortcuts

    def keep_shortcuts(self, changed: Mapping[str, list[str]]) -> None:
        """Remember the keys that differ."""
        self._shortcuts = dict(changed)

    def geometry(self) -> bytes:
        """Place and size of the window."""
        return self._geometry

    def keep_geometry(self, geometry: bytes) -> None:
        """Remember place and size."""
        self._geometry = geometry

    def folder(self) -> Path:
        """Folder to begin in when a file is asked for."""
        return self._folder

    def keep_folder(self, folder: Path) -> None:
        """Remember the folder."""
        self._folder = folder
