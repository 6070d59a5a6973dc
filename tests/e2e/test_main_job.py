"""The whole job in the real window of the real `main()`: open, click, commit, undo, redo, export, be killed, reopen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maskwright.assets import models_folder, sample_photo, sample_volume

PATIENCE_S = 240


@pytest.fixture(params=["fake", pytest.param("default", marks=[pytest.mark.model, pytest.mark.slow])])
def model(request) -> str:
    if request.param == "default" and not (models_folder() / "default" / "model.json").is_file():
        pytest.skip("the default model is not part of this checkout")
    return request.param


class Run:
    """A process that plays a script of `drive`, and the lines it said."""

    def __init__(self, errors: Path, script: str, model: str, out: Path, *arguments: str | Path) -> None:
        self._errors = errors
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.drive", script, model, str(out), *map(str, arguments)],
                cwd=Path(__file__).resolve().parents[2],
                env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
            )
        self._timer = threading.Timer(PATIENCE_S, self._process.kill)
        self._timer.start()
        self.said: dict[str, dict] = {}

    def until(self, step: str) -> dict:
        """Read what it says up to a step."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            facts = json.loads(line)
            self.said[facts["step"]] = facts
            if facts["step"] == step:
                return facts
        errors = self._errors.read_text("utf-8", errors="replace")[-3000:]
        raise AssertionError(f"it never came to {step!r}: {self.said} {errors}")

    def kill(self) -> None:
        """SIGKILL: nothing can be tidied up. Fine when it has ended already."""
        self._timer.cancel()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ended(self) -> int:
        """Wait for it to close; its exit code."""
        return self._process.wait()


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Run]]:
    """Starts runs, and sees to it that none outlives the test."""
    runs: list[Run] = []

    def started(script: str, model: str, out: Path, *arguments: str | Path) -> Run:
        runs.append(Run(tmp_path / f"stderr {len(runs)}.txt", script, model, out, *arguments))
        return runs[-1]

    yield started
    for run in runs:
        run.kill()


def without_step(facts: dict) -> dict:
    return {key: value for key, value in facts.items() if key not in ("step", "ms_to_paint", "count")}


def test_nothing_is_lost_when_the_process_is_killed(start, model, tmp_path):
    out, project = tmp_path / "exported ü", tmp_path / "project"
    arguments = (sample_photo(), "--project", project, "--store", tmp_path / "features")
    first = start("annotate", model, out, *arguments)
    before = first.until("ready to be killed")
    first.kill()

    said = first.said
    assert said["clicked"]["prompts"] == 1 and said["clicked"]["preview"] > 0
    assert said["clicked"]["ms_to_paint"] > 0
    assert len(said["committed"]["objects"]) == 1 and said["committed"]["prompts"] == 0
    assert said["undone"]["objects"] == [] and said["undone"]["prompts"] == 2
    assert without_step(said["redone"]) == without_step(said["committed"])
    assert [name for name, _, _ in before["objects"]] == ["Object", "Größe 2"]
    assert [visible for _, visible, _ in before["objects"]] == [False, True]
    assert before["prompts"] == 1

    written = [json.loads(path.read_text("utf-8")) for path in out.rglob("*.json")]
    coco = next(data for data in written if "annotations" in data)
    assert len(coco["annotations"]) == 2
    assert sorted(one["area"] for one in coco["annotations"]) == sorted(area for _, _, area in before["objects"])

    second = start("look", model, out, *arguments)
    after = second.until("reopened")
    # the press that was under the finger may be there or not; everything before it is
    assert after["prompts"] in (1, 2)
    if after["prompts"] == 1:
        assert without_step(after) == without_step(before)
    for part in ("objects", "digest", "labels", "view"):
        assert after[part] == before[part]
    undone = second.until("all undone")
    assert undone["objects"] == [] and undone["prompts"] == 0 and undone["labels"] == ["Object"]
    assert undone["count"] >= 7
    assert without_step(second.until("all redone")) == without_step(after)
    assert second.ended() == 0


def test_a_click_on_a_slice_that_is_not_ready_waits_and_is_answered(start, model, tmp_path):
    run = start(
        "waiting", model, tmp_path, sample_volume(), "--project", tmp_path / "project", "--store", tmp_path / "features"
    )
    clicked = run.until("clicked")
    assert clicked["dots"] == 1
    if model == "default":  # the fake may have encoded the slice already
        assert clicked["waiting"] and clicked["ring"]
    answered = run.until("answered")
    assert answered["preview"] > 0
    assert answered["ready"] < answered["of"]
    two = run.until("two slices")
    assert len(two["objects"]) == 1
    assert run.ended() == 0
