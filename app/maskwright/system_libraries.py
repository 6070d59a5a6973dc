"""The system libraries that Qt needs on Linux: which are missing here, and the packages that bring them.

Standard library only: `packaging/prepare.py` uses it before anything is installed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import NamedTuple


class Library(NamedTuple):
    """One shared library: its name for the loader, and the packages that hold it."""

    soname: str
    debian: str
    fedora: str


# What PySide6-Essentials 6.11 and 6.12 ask of the system (NEEDED entries of their libraries and platform plugins).
OFFSCREEN = (
    Library("libEGL.so.1", "libegl1", "libglvnd-egl"),
    Library("libGL.so.1", "libgl1", "libglvnd-glx"),
    Library("libX11.so.6", "libx11-6", "libX11"),
    Library("libdbus-1.so.3", "libdbus-1-3", "dbus-libs"),
    Library("libfontconfig.so.1", "libfontconfig1", "fontconfig"),
    Library("libfreetype.so.6", "libfreetype6", "freetype"),
    Library("libglib-2.0.so.0", "libglib2.0-0", "glib2"),
    Library("libgthread-2.0.so.0", "libglib2.0-0", "glib2"),
    Library("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon"),
    Library("libz.so.1", "zlib1g", "zlib"),
    Library("libzstd.so.1", "libzstd1", "libzstd"),
)
ON_A_DISPLAY = (
    Library("libX11-xcb.so.1", "libx11-xcb1", "libX11-xcb"),
    Library("libxcb.so.1", "libxcb1", "libxcb"),
    Library("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor"),
    Library("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm"),
    Library("libxcb-image.so.0", "libxcb-image0", "xcb-util-image"),
    Library("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms"),
    Library("libxcb-randr.so.0", "libxcb-randr0", "libxcb"),
    Library("libxcb-render-util.so.0", "libxcb-render-util0", "xcb-util-renderutil"),
    Library("libxcb-render.so.0", "libxcb-render0", "libxcb"),
    Library("libxcb-shape.so.0", "libxcb-shape0", "libxcb"),
    Library("libxcb-shm.so.0", "libxcb-shm0", "libxcb"),
    Library("libxcb-sync.so.1", "libxcb-sync1", "libxcb"),
    Library("libxcb-util.so.1", "libxcb-util1", "xcb-util"),
    Library("libxcb-xfixes.so.0", "libxcb-xfixes0", "libxcb"),
    Library("libxcb-xkb.so.1", "libxcb-xkb1", "libxcb"),
    Library("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11"),
)


def has_display() -> bool:
    """Whether a window could be shown: always on Windows and macOS, on Linux when X11 or Wayland is named."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def loads(soname: str) -> bool:
    """Whether the loader finds this library."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def missing_libraries(*, display: bool) -> list[Library]:
    """Libraries that Qt would not find: those of the offscreen platform, with `display` also those of a window.

    Empty on Windows and macOS, where the wheels bring all of them.
    """
    if not sys.platform.startswith("linux"):
        return []
    wanted = OFFSCREEN + (ON_A_DISPLAY if display else ())
    return [library for library in wanted if not loads(library.soname)]


def install_commands(missing: list[Library]) -> dict[str, str]:
    """One command for each family of systems that installs the packages of `missing`; empty where nothing is."""
    if not missing:
        return {}
    return {
        "Debian, Ubuntu": "apt-get install " + " ".join(sorted({library.debian for library in missing})),
        "Fedora, RHEL": "dnf install " + " ".join(sorted({library.fedora for library in missing})),
    }
