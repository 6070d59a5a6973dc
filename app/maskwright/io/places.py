"""Places: where projects, models, settings and features are kept when nobody says, and which project a scan is in."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

HOME = "MASKWRIGHT_HOME"
"""Environment variable: one folder for everything the app keeps, instead of the places of the system."""
JOURNAL = "journal.sqlite3"
BY_SCAN = "by-scan"
ELSEWHERE = "elsewhere"


def data_root() -> Path:
    """Folder for what must not be lost: projects and installed models."""
    if home := os.environ.get(HOME):
        return Path(home)
    from platformdirs import user_data_path

    return user_data_path("maskwright", appauthor=False)


def config_root() -> Path:
    """Folder for settings."""
    if home := os.environ.get(HOME):
        return Path(home)
    from platformdirs import user_config_path

    return user_config_path("maskwright", appauthor=False)


def cache_root() -> Path:
    """Folder for what can be computed again: features."""
    if home := os.environ.get(HOME):
        return Path(home)
    from platformdirs import user_cache_path

    return user_cache_path("maskwright", appauthor=False)


def projects_root() -> Path:
    """Folder of the projects that nobody chose a folder for."""
    return data_root() / "projects"


def default_store_root() -> Path:
    """Folder of the feature stores."""
    return cache_root() / "features"


def is_project(folder: Path) -> bool:
    """Whether there is a project in a folder."""
    return (folder / JOURNAL).is_file()


def default_folder(path: Path) -> Path:
    """Project folder of a scan, or of a folder of scans: one for each absolute path.

    A scan that lies in a folder that was opened before belongs to the project of that folder, unless it was opened
    alone before. A scan that was moved belongs to the project it had before (`note_moved`).
    """
    folder = _own_folder(path)
    if is_project(folder):
        return folder
    try:
        return Path((folder / ELSEWHERE).read_text("utf-8"))
    except OSError:
        above = _own_folder(Path(os.path.abspath(path)).parent)
        return above if is_project(above) else folder


def _own_folder(path: Path) -> Path:
    whole = os.path.abspath(path)
    digest = hashlib.sha256(os.fsencode(os.path.normcase(whole))).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(whole).name)[:40].strip("-").lower()
    return projects_root() / (f"{name}-{digest}" if name else digest)


def note_scan(fingerprint: str, folder: Path) -> None:
    """Remember in which of the default project folders a scan is, so that it is found again after it was moved."""
    _note(projects_root() / BY_SCAN / fingerprint[:32], folder)


def note_moved(path: Path, folder: Path) -> None:
    """Remember that a path belongs to a project folder that was made for another one."""
    if folder != _own_folder(path):
        _note(_own_folder(path) / ELSEWHERE, folder)


def folder_of_scan(fingerprint: str) -> Path | None:
    """Project folder that `note_scan` remembered last for a scan, if it is still there."""
    try:
        folder = Path((projects_root() / BY_SCAN / fingerprint[:32]).read_text("utf-8"))
    except OSError:
        return None
    return folder if is_project(folder) else None


def _note(file: Path, folder: Path) -> None:
    """Write a note; it is a convenience, so a disk that is full or read-only is not worth a word here."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(folder), "utf-8")
    except (OSError, UnicodeError):
        return
