"""Models in the window: listed with their state, taken into use, refused with the reason, imported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel

from maskwright.core.errors import ModelError
from maskwright.session.settings import Settings
from maskwright.ui.dialogs.models import ModelsDialog
from tests.fakes import FAKE_CARD, FakeSegmenter, disks
from tests.model_folders import make_folder
from tests.unit.ui.conftest import Driver, named_widgets, until
from tests.unit.ui.test_dialogs import nameless

OTHER = replace(FAKE_CARD, id="other", name="Other", sha256={"encoder.onnx": "f" * 64, "head.onnx": "g" * 64})


@pytest.fixture
def installed(tmp_path: Path, maskwright_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, beside a bundled one: a whole one, an altered one, one of another contract."""
    monkeypatch.setattr("maskwright.assets.models_folder", lambda: tmp_path / "bundled")
    make_folder(tmp_path / "bundled" / "default")
    mine = maskwright_home / "models"
    (make_folder(mine / "altered", name="Altered") / "head.onnx").write_bytes(b"something else")
    make_folder(mine / "newer", name="Newer", contract=2)
    make_folder(mine / "other", name="Other", prompts=["box"])
    return mine


def opened(driver: Driver) -> ModelsDialog:
    driver.window.actions_["tool.models"].trigger()
    dialog = driver.window.flows.dialog
    assert isinstance(dialog, ModelsDialog) and dialog.isVisible()
    return dialog


def compared(dialog: ModelsDialog) -> None:
    until(lambda: not any("Comparing" in line.state for line in dialog.lines))


def texts(dialog: ModelsDialog) -> str:
    return " | ".join(one.accessibleName() for one in named_widgets(dialog) if isinstance(one, QLabel))


def test_all_models_are_listed_with_what_they_are_and_where_they_stand(driver: Driver, installed: Path):
    dialog = opened(driver)
    assert [line.id for line in dialog.lines] == ["default", "altered", "newer", "other"]
    compared(dialog)
    assert {line.id: line.state for line in dialog.lines} == {
        "default": "In use",
        "altered": "Refused: the head of model fake does not match its hash",
        "newer": "Refused: model speaks contract version 2, this app knows version 1",
        "other": "Usable",
    }
    assert dialog.chosen is not None and dialog.chosen.id == "default" and not dialog.can_use
    dialog.choose("other")
    said = texts(dialog)
    for fact in (
        "Name: Other (fake)",
        "Family: fake",
        "Licence: Apache-2.0",
        "Citation: Author A. Title. 2026.",
        "Notice: Some training data is for research only.",
        "Prompts: box",
        "Size: 0.0 MB",
        f"Folder: {installed / 'other'}",
    ):
        assert fact in said
    assert dialog.can_use
    assert nameless(dialog) == []


@pytest.mark.parametrize(("model", "reason"), [("altered", "does not match its hash"), ("newer", "contract version 2")])
def test_a_refused_model_cannot_be_used_and_says_why(driver: Driver, installed: Path, model: str, reason: str):
    dialog = opened(driver)
    compared(dialog)
    dialog.choose(model)
    assert not dialog.can_use
    dialog.use()
    assert not driver.session.loading_model and driver.session.model_name == "default"
    assert reason in texts(dialog)


def test_use_switches_answers_the_prompts_again_and_is_remembered(driver: Driver, photo: Path, installed: Path):
    other = driver.models["other"] = FakeSegmenter(replace(OTHER, prompts=("point", "text")))
    driver.open(photo)
    driver.click(100, 75)
    assert not driver.window.actions_["tool.text"].isEnabled()
    dialog = opened(driver)
    compared(dialog)
    dialog.choose("other")
    dialog.use()
    until(lambda: driver.session.model_name == "other" and driver.session.preview_is_current)
    assert driver.window.flows.dialog is None  # done, so it closes
    assert len(driver.session.prompts) == 1 and driver.session.preview_mask is not None
    assert np.array_equal(driver.session.preview_mask, disks(driver.session.prompts, (150, 200)))
    assert (other.encoded, other.segmented) == (1, 1)
    assert (driver.segmenter.encoded, driver.segmenter.segmented) == (1, 1)
    assert json.loads(Settings().path.read_text("utf-8"))["model"] == "other"
    assert driver.window.bridge.card == other.card
    assert driver.window.actions_["tool.text"].isEnabled()
    assert "Other answers from now on." in [label.text() for label in driver.window.notice.findChildren(QLabel)]
    assert not driver.window.errors

    dialog = opened(driver)
    assert {line.id: line.state for line in dialog.lines}["other"] == "In use"
    assert dialog.chosen is not None and dialog.chosen.id == "other"


def test_a_model_that_fails_leaves_the_old_one_and_the_reason_is_told(driver: Driver, photo: Path, installed: Path):
    driver.models["other"] = ModelError("the encoder of model other does not run", hint="Install the model again.")
    driver.open(photo)
    driver.click(100, 75)
    dialog = opened(driver)
    dialog.choose("other")
    dialog.use()
    assert not dialog.can_use and dialog.said == "Loading other …"
    assert "Loading the model other …" in driver.window.status_line.texts
    until(lambda: driver.window.errors)
    assert "does not run" in str(driver.window.errors[0].error)
    assert driver.session.model_name == Settings().get("model") == "default"
    assert dialog.isVisible() and dialog.can_use and dialog.said == ""
    driver.window.errors[0].accept()
    dialog.reject()
    driver.click(20, 20)
    assert driver.segmenter.segmented == 2


def test_a_model_folder_is_imported(driver: Driver, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = make_folder(tmp_path / "stick" / "third", name="Third")
    (source / "LICENSE").write_text("Apache License")
    (source / "weights.pth").write_bytes(b"not part of it")
    dialog = opened(driver)
    compared(dialog)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(source))
    dialog.import_wanted.emit()
    assert dialog.said == "Copying third …"
    driver.window.bridge.busy_changed.emit()  # an encoder at work says that all the time
    assert dialog.said == "Copying third …"
    until(lambda: dialog.said == "third is installed.")
    assert sorted(path.name for path in (installed / "third").iterdir()) == [
        "LICENSE",
        "encoder.onnx",
        "head.onnx",
        "model.json",
    ]
    assert dialog.chosen is not None and dialog.chosen.id == "third"
    compared(dialog)
    assert dialog.can_use


def test_what_is_no_model_is_not_imported(
    driver: Driver, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = sorted(installed.iterdir())
    dialog = opened(driver)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    dialog.import_wanted.emit()
    until(lambda: "there is no model here" in dialog.said)
    assert sorted(installed.iterdir()) == before
    assert not driver.window.errors


def test_a_folder_that_was_named_on_the_command_line_is_listed_too(
    driver: Driver, installed: Path, tmp_path: Path, photo: Path
):
    folder = make_folder(tmp_path / "elsewhere", name="Elsewhere")
    driver.models[str(folder)] = FakeSegmenter(OTHER)
    driver.window.bridge.use_model(str(folder))
    until(lambda: driver.session.model_name == str(folder))
    dialog = opened(driver)
    compared(dialog)
    assert [line.id for line in dialog.lines if line.state == "In use"] == [str(folder)]
    assert Settings().get("model") == str(folder)


def test_what_a_card_says_is_never_taken_for_markup(driver: Driver, installed: Path):
    make_folder(installed / "strange", licence="<img src='file:///etc/passwd'>", citation="<b>bold</b>")
    dialog = opened(driver)
    dialog.choose("strange")
    shown = [one for one in named_widgets(dialog) if isinstance(one, QLabel) and "<" in one.text()]
    assert len(shown) == 2
    assert all(one.textFormat() == Qt.TextFormat.PlainText for one in shown)


def test_closed_in_the_middle_it_compares_no_more(driver: Driver, installed: Path, monkeypatch: pytest.MonkeyPatch):
    from maskwright.ui import model_flow

    asked: list[str] = []
    real = model_flow.describe

    def spy(model: str, folder: Path, *, check: bool):
        if check:
            asked.append(model)
        return real(model, folder, check=check)

    monkeypatch.setattr(model_flow, "describe", spy)
    waiting: list = []
    monkeypatch.setattr(driver.window.bridge, "run_in_background", lambda work, done: waiting.append((work, done)))
    dialog = opened(driver)
    dialog.reject()
    (work, done) = waiting.pop()
    done(work(), None)
    QApplication.processEvents()
    assert asked == ["default"] and not waiting
