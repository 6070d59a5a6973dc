"""Looks whether this machine can run maskwright, before anything is installed: Python, venv, Qt's system libraries.

Run by the Makefile with the system's Python and the standard library alone. Says exactly which packages are missing;
as root on Debian or Fedora it installs them.

    python3 packaging/prepare.py [--display]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def install(debian: list[str], fedora: list[str]) -> bool:
    """Install with the system's package tool; False where that can't be done from here."""
    if not is_root():
        return False
    if shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        commands = [["apt-get", "-q", "update"], ["apt-get", "-q", "-y", "install", "--no-install-recommends", *debian]]
    elif shutil.which("dnf"):
        environment = dict(os.environ)
        commands = [["dnf", "-y", "install", *fedora]]
    else:
        return False
    print("installing " + " ".join(commands[-1][3:]), flush=True)
    return all(subprocess.run(command, env=environment).returncode == 0 for command in commands)


def check_python() -> str:
    if sys.version_info >= OLDEST:
        return ""
    found = "{} is {}.{}".format(sys.executable, *sys.version_info[:2])
    return "Python {}.{} or newer is needed, and {}. Name a newer one: make PYTHON=python3.12".format(*OLDEST, found)


def check_venv() -> str:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        if install([package], ["python3"]):
            return ""
        return "Python's venv module is missing. Debian, Ubuntu: apt-get install " + package
    return ""


def check_libraries(*, display: bool) -> str:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))
    from maskwright.system_libraries import install_commands, missing_libraries

    missing = missing_libraries(display=display)
    if not missing:
        return ""
    if install(sorted({one.debian for one in missing}), sorted({one.fedora for one in missing})):
        missing = missing_libraries(display=display)
        if not missing:
            return ""
    names = ", ".join(one.soname for one in missing)
    commands = "".join("\n    {}: {}".format(*pair) for pair in install_commands(missing).items())
    return "Qt needs system libraries that are not here: " + names + "." + commands


def main(arguments: list[str]) -> int:
    trouble = check_python() or check_venv() or check_libraries(display="--display" in arguments)
    if trouble:
        print("maskwright: error: " + trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
