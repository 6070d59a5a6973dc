"""`maskwright doctor`: what this machine has, and what is wrong with it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.cli_verb import Verb, add_json, in_bytes, print_json

EXAMPLES = """\
  maskwright doctor             # one line for each thing that was looked at
  maskwright doctor --json      # the same for a script or a bug report

Exit code 1 when something is broken. Nothing is changed, nothing is sent.
"""

PACKAGES = (
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "pycocotools",
    "pydicom",
    "PySide6-Essentials",
    "SimpleITK",
    "tokenizers",
    "zarr",
)
LEAST_FREE_BYTES = 1_000_000_000
QT_PROBE = (
    "from PySide6.QtWidgets import QApplication\n"
    "app = QApplication(['maskwright'])\n"
    "print(app.platformName(), app.primaryScreen().size().width(), app.primaryScreen().size().height())\n"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `state` is "ok", "note" (works, but worth knowing) or "broken"."""

    name: str
    state: str
    text: str
    hint: str = ""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    found = list(findings())
    broken = [one for one in found if one.state == "broken"]
    if arguments.json:
        print_json({"broken": len(broken), "findings": [_plain(one) for one in found]})
        return 1 if broken else 0
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.state:<6}  {one.name:<{width}}  {one.text}")
        if one.hint:
            print(f"{'':<6}  {'':<{width}}  -> {one.hint}")
    print(f"\n{len(broken)} broken" if broken else "\nall is well")
    return 1 if broken else 0


def findings() -> Iterator[Finding]:
    """Look at everything, one after the other."""
    yield from versions()
    yield processor()
    yield from libraries()
    yield window()
    yield from models()
    yield from places()


def versions() -> Iterator[Finding]:
    """maskwright, Python and the packages it stands on."""
    from importlib import metadata

    from maskwright import __version__

    yield Finding("maskwright", "ok", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    yield Finding("packages", "ok", ", ".join(found))
    if missing:
        yield Finding("packages", "broken", f"not installed: {', '.join(missing)}", "Install maskwright again.")


def processor() -> Finding:
    """Cores, memory and the vector instructions that decide how fast a click is."""
    text = f"{os.cpu_count()} cores, {platform.machine()}"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return Finding("processor", "ok", text)
    values = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    values = {key.strip(): value.strip() for key, value in values.items()}
    flags = values.get("flags", "").split()
    known = [
        name for name, flag in (("AVX2", "avx2"), ("AVX-512", "avx512f"), ("VNNI", "avx512_vnni")) if flag in flags
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{values.get('model name', platform.machine())}, {os.cpu_count()} cores, {in_bytes(memory)} memory"
    return Finding("processor", "ok", f"{text}, {' '.join(known) or 'no AVX2'}")


def libraries() -> Iterator[Finding]:
    """System libraries of Qt."""
    from maskwright.system_libraries import has_display, install_commands, missing_libraries

    missing = missing_libraries(display=has_display())
    if not missing:
        yield Finding("system libraries", "ok", "Qt finds all it needs")
        return
    hint = "; ".join(f"{system}: {command}" for system, command in install_commands(missing).items())
    yield Finding("system libraries", "broken", "missing: " + ", ".join(one.soname for one in missing), hint)


def window() -> Finding:
    """Whether Qt can start here, tried in a process of its own: Qt ends the process when it can't."""
    from maskwright.system_libraries import has_display

    if getattr(sys, "frozen", False):
        return Finding("window", "note", "not tried in the packaged app")
    platform_name = os.environ.get("QT_QPA_PLATFORM", "")
    environment = dict(os.environ)
    if not has_display() and not platform_name:
        environment["QT_QPA_PLATFORM"] = "offscreen"
    try:
        done = subprocess.run(
            [sys.executable, "-c", QT_PROBE], env=environment, capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return Finding("window", "broken", "Qt did not start within a minute", "Check the display.")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Finding("window", "broken", f"Qt does not start: {last}", "See the system libraries above.")
    name, columns, rows = done.stdout.split()
    if not has_display() or name == "offscreen":
        return Finding("window", "note", "Qt starts, but there is no display: commands work, the window does not")
    return Finding("window", "ok", f"Qt platform {name}, screen {columns} x {rows}")


def models() -> Iterator[Finding]:
    """Every installed model, its files compared with their hashes."""
    from maskwright.assets import models_folder
    from maskwright.session.models import describe, model_folders

    folders = model_folders()
    if "default" not in folders:
        yield Finding("model default", "broken", f"not in {models_folder()}", "Install maskwright again.")
    for name, folder in folders.items():
        one = describe(name, folder, check=True)
        if one.trouble is not None or one.card is None:
            yield Finding(f"model {name}", "broken", str(one.trouble))
        else:
            size = in_bytes(one.nbytes or 0)
            yield Finding(f"model {name}", "ok", f"{one.card.name} {one.card.version}, {size}, hashes match")


def places() -> Iterator[Finding]:
    """Folders that must be writable, and the space they have."""
    from maskwright.session.project import config_root, data_root, default_store_root

    for name, folder in (
        ("projects", data_root() / "projects"),
        ("settings", config_root()),
        ("features", default_store_root()),
    ):
        yield place(name, folder)


def place(name: str, folder: Path) -> Finding:
    """Whether files can be made in a folder, or in the nearest one above it that exists; nothing is left behind."""
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    hint = "Change its permissions, or set MASKWRIGHT_HOME to another folder."
    try:
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        return Finding(name, "broken", f"{nearest} cannot be written ({(error.strerror or str(error)).lower()})", hint)
    free = shutil.disk_usage(nearest).free
    state = "ok" if free >= LEAST_FREE_BYTES else "note"
    return Finding(name, state, f"{folder}, {in_bytes(free)} free", "" if state == "ok" else "Make room soon.")


def _plain(one: Finding) -> dict[str, Any]:
    return {"name": one.name, "state": one.state, "text": one.text, "hint": one.hint}


VERB = Verb("doctor", "look for what is wrong with this installation", EXAMPLES, _arguments, _run)
