"""Builds the wheel and looks at it as a stranger would: size, contents, requirements; with --install also a first run.

    python packaging/check_wheel.py [--out DIR] [--install]

Prints one JSON object; exit code 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import email
import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 100_000_000
WANTED = (
    "maskwright/__init__.py",
    "maskwright_models/__init__.py",
    "maskwright/_assets/samples/coffee.png",
    "maskwright/_assets/samples/mni152_t1.nii.gz",
    "maskwright/_assets/samples/README.md",
)
WANTED_ENDINGS = (".dist-info/licenses/LICENSE", ".dist-info/licenses/NOTICE", ".dist-info/entry_points.txt")
HEAVY = ("torch", "onnx", "ray")


def build(folder: Path) -> Path:
    """The wheel of this checkout, made in `folder`."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = folder.glob("maskwright-*.whl")
    return wheel


def inspect(wheel: Path) -> tuple[dict[str, Any], list[str]]:
    """What is in the wheel, and what is wrong with it."""
    trouble = []
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = email.message_from_bytes(archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))))
    trouble += [f"{name} is missing" for name in WANTED if name not in names]
    trouble += [f"{end} is missing" for end in WANTED_ENDINGS if not any(name.endswith(end) for name in names)]
    trouble += [
        f"{name} does not belong there" for name in names if name.split("/")[0] in ("tests", "benchmarks", "docs")
    ]
    size = wheel.stat().st_size
    if size >= MOST_BYTES:
        trouble.append(f"{size / 1e6:.1f} MB is more than {MOST_BYTES / 1e6:.0f} MB")
    always = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    bare = {r.split(";")[0].split("[")[0].split(">")[0].split("=")[0].strip().lower() for r in always}
    trouble += [f"it requires {name} without an extra" for name in HEAVY if name in bare]
    models = sorted({name.split("/")[3] for name in names if name.startswith("maskwright/_assets/models/")})
    return {"wheel": wheel.name, "bytes": size, "files": len(names), "models": models, "requires": always}, trouble


def install(wheel: Path, folder: Path) -> list[str]:
    """Install into a fresh environment and run what a newcomer runs; returns what is wrong."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    trouble = []
    commands = {
        "no torch": [
            python,
            "-c",
            "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)",
        ],
        "import maskwright.session": [python, "-c", "import maskwright.session"],
        "maskwright --version": [python, "-m", "maskwright", "--version"],
        "maskwright doctor": [python, "-m", "maskwright", "doctor"],
        "maskwright demo": [python, "-m", "maskwright", "demo", "--out", str(folder / "demo")],
    }
    for name, command in commands.items():
        done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            trouble.append(f"{name}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return trouble


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="keep the wheel in this folder")
    parser.add_argument("--install", action="store_true", help="also install it into a fresh environment and run it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch) / "dist"
        out.mkdir(parents=True, exist_ok=True)
        wheel = build(out)
        facts, trouble = inspect(wheel)
        if arguments.install and not trouble:
            trouble += install(wheel, Path(scratch) / "environment")
    print(json.dumps({**facts, "trouble": trouble}, indent=2))
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
