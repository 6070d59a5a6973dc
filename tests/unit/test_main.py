"""The entry point hands all that the command line decided to the window, and loads onnxruntime before Qt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from maskwright.__main__ import main


def test_the_window_gets_all_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from maskwright.ui import app

    asked: list[tuple[Sequence[Path], dict[str, object]]] = []

    def run(paths: Sequence[Path], **options: object) -> int:
        asked.append((paths, options))
        return 5

    monkeypatch.setattr(app, "run", run)
    assert main(["a.png", "--project", "work", "--model", "m", "--store", "s", "--threads", "2"]) == 5
    assert asked == [
        (
            (Path("a.png"),),
            {"project": Path("work"), "model": "m", "store": Path("s"), "threads": 2, "store_budget_bytes": None},
        )
    ]


def test_onnxruntime_is_loaded_before_qt() -> None:
    script = (
        "import sys\n"
        "order = []\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('onnxruntime', 'PySide6'):\n"
        "            order.append(name)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from maskwright.__main__ import main\n"
        "import maskwright.cli_verb\n"
        "def stop(*arguments, **options):\n"
        "    print(order)\n"
        "    raise SystemExit(0)\n"
        "class Last:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'PySide6.QtWidgets':\n"
        "            stop()\n"
        "sys.meta_path.insert(0, Last())\n"
        "main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['onnxruntime', 'PySide6']\n"
