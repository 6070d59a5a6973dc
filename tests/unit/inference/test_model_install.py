"""Installing a model folder: whole and checked, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwright.core.errors import ModelError
from maskwright.inference import model_install
from maskwright.inference.model_install import install_model
from tests.model_folders import make_folder


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, which is not there yet; one model is bundled."""
    monkeypatch.setattr("maskwright.assets.models_folder", lambda: tmp_path / "bundled")
    make_folder(tmp_path / "bundled" / "default")
    return tmp_path / "data" / "models"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "Stick für alle" / "net-b")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_files_of_the_card_and_its_texts_are_copied_and_nothing_else(source: Path, mine: Path) -> None:
    for name in ("LICENSE", "notice.txt", "README.md", "train.log", "checkpoint.pth"):
        (source / name).write_text(name)
    (source / "licences").mkdir()
    assert install_model(source, mine) == mine / "net-b"
    assert names(mine) == ["net-b"]
    assert names(mine / "net-b") == ["LICENSE", "README.md", "encoder.onnx", "head.onnx", "model.json", "notice.txt"]
    assert (mine / "net-b" / "head.onnx").read_bytes() == (source / "head.onnx").read_bytes()


def test_the_same_model_again_is_no_error_and_another_one_of_its_name_is(source: Path, mine: Path) -> None:
    install_model(source, mine)
    assert install_model(source, mine) == install_model(mine / "net-b", mine) == mine / "net-b"
    card = json.loads((source / "model.json").read_text("utf-8"))
    (source / "model.json").write_text(json.dumps(card | {"version": "2"}))
    with pytest.raises(ModelError, match="another model net-b is installed already"):
        install_model(source, mine)
    assert json.loads((mine / "net-b" / "model.json").read_text("utf-8"))["version"] == "1"


def test_a_bundled_model_is_not_hidden_by_another_one(source: Path, mine: Path) -> None:
    other = make_folder(source.parent / "default", name="Not the default")
    with pytest.raises(ModelError, match="another model default is installed already") as caught:
        install_model(other, mine)
    assert caught.value.hint == "Rename the folder that you import."
    assert not mine.exists()


@pytest.mark.parametrize("name", [".hidden", ".maskwright-1.part"])
def test_a_hidden_folder_is_no_id(source: Path, mine: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be the id"):
        install_model(source.rename(source.parent / name), mine)


def test_a_wrong_hash_an_unknown_contract_and_a_missing_file_leave_nothing(source: Path, mine: Path) -> None:
    for card, what in (
        ({"contract": 2}, "contract version 2"),
        ({"sha256": {"encoder.onnx": "0" * 64, "head.onnx": "0" * 64}}, "does not match its hash"),
        ({"files": {"encoder": "encoder.onnx", "head": "other.onnx"}}, "no hash of other.onnx"),
    ):
        broken = make_folder(source.parent / f"broken {len(what)}", **card)
        with pytest.raises(ModelError, match=what):
            install_model(broken, mine)
    with pytest.raises(ModelError, match="there is no model here"):
        install_model(source.parent, mine)
    assert not mine.exists()


def test_weights_outside_the_folder_are_refused(source: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright.inference.model_folder.external_files", lambda path: ("../secret.bin",))
    with pytest.raises(ModelError, match=r"takes weights from a file that is no part of it \(\.\./secret\.bin\)"):
        install_model(source, mine)
    assert not mine.exists()


def test_a_copy_that_differs_or_a_full_disk_leaves_nothing(
    source: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(one: Path, other: Path) -> None:
        other.write_bytes(one.read_bytes()[:-1] if one.suffix == ".onnx" else one.read_bytes())

    def full(one: Path, other: Path) -> None:
        raise OSError(28, "No space left on device", str(other))

    for copy, what in ((torn, "does not match its hash"), (full, "cannot be copied")):
        monkeypatch.setattr(model_install.shutil, "copyfile", copy)
        with pytest.raises(ModelError, match=what):
            install_model(source, mine)
        assert names(mine) == []


def test_something_else_of_its_name_stays(source: Path, mine: Path) -> None:
    (mine / "net-b").mkdir(parents=True)
    (mine / "net-b" / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="there is something else of this name"):
        install_model(source, mine)
    assert names(mine / "net-b") == ["notes.txt"]
