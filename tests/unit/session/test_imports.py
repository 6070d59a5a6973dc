"""The session stands without a window, without torch, and starts fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_BLOCKED = """
import sys
blocked = {"torch", "PySide6", "shiboken6", "onnxruntime", "maskwright_models"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
import maskwright.session
heavy = {"zarr", "SimpleITK", "pydicom", "PIL", "scipy", "tifffile", "pycocotools", "maskwright.inference"}
print(sorted((heavy | blocked) & set(sys.modules)))
"""


def test_it_imports_with_torch_qt_and_onnxruntime_blocked_and_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", _BLOCKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["torch", "PySide6", "onnxruntime", "sqlite3", "zarr"])
def test_no_file_of_it_names_them(repository: Path, name: str):
    for file in (repository / "app" / "maskwright" / "session").glob("*.py"):
        for line in file.read_text("utf-8").splitlines():
            assert not line.strip().startswith((f"import {name}", f"from {name}")), (file, line)
