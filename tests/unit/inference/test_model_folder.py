"""Model folders: found by id, and refused in one sentence where card, hash or file do not fit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from maskwright.core.errors import ModelError
from maskwright.inference import load_segmenter
from maskwright.inference.model_folder import (
    checked_file,
    find_folder,
    installed_folders,
    read_card,
    sha256_of,
)
from tests.unit.inference.tiny_models import edit_card, make_model, write_card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "Modell für ä")


def test_a_model_folder_is_read_and_its_files_are_checked(folder: Path) -> None:
    card = read_card(folder)
    assert (card.id, card.candidates, card.logits_shape) == ("tiny", 2, (16, 16))
    assert checked_file(folder, card, "head") == folder / "head.onnx"
    content = (folder / "head.onnx").read_bytes()
    assert card.sha256["head.onnx"] == sha256_of(folder / "head.onnx") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("role", ["encoder", "head"])
def test_one_changed_byte_is_found(folder: Path, role: str) -> None:
    path = folder / f"{role}.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"the {role} of model tiny does not match its hash") as caught:
        checked_file(folder, read_card(folder), role)
    assert caught.value.path == path and caught.value.hint == "Install the model again."


def test_a_wrong_head_is_refused_at_once(folder: Path) -> None:
    (folder / "head.onnx").write_bytes(b"something else")
    with pytest.raises(ModelError, match="does not match its hash"):
        load_segmenter(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "head.onnx").unlink()
    with pytest.raises(ModelError, match="the head of model tiny is missing") as caught:
        load_segmenter(folder)
    assert caught.value.path == folder / "head.onnx"
    (folder / "head.onnx").mkdir()
    with pytest.raises(ModelError, match="the head of model tiny is missing"):
        load_segmenter(folder)


def test_a_file_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("maskwright.inference.model_folder.sha256_of", refused)
    with pytest.raises(ModelError, match=r"the head of model tiny cannot be read \(Permission denied\)"):
        load_segmenter(folder)


@pytest.mark.parametrize("name", ["../head.onnx", "/etc/passwd", "..", "", "sub/head.onnx", "./head.onnx/.."])
def test_a_file_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    files = {"encoder": "encoder.onnx", "head": name}
    edit_card(folder, files=files, sha256={"encoder.onnx": "0" * 64, name: "0" * 64})
    with pytest.raises(ModelError, match="the head file lies outside the model folder") as caught:
        load_segmenter(folder)
    assert caught.value.path == folder / "model.json"


def test_a_file_without_a_hash_is_refused(folder: Path) -> None:
    edit_card(folder, sha256={"encoder.onnx": "0" * 64})
    with pytest.raises(ModelError, match=r"the card has no hash of head\.onnx"):
        load_segmenter(folder)


@pytest.mark.parametrize("role", ["encoder", "head"])
def test_a_card_without_a_part_is_refused(folder: Path, role: str) -> None:
    card = json.loads((folder / "model.json").read_text("utf-8"))
    del card["files"][role]
    edit_card(folder, files=card["files"])
    with pytest.raises(ModelError, match=f"the card names no {role}"):
        load_segmenter(folder)


def test_files_that_are_no_table_are_refused(folder: Path) -> None:
    edit_card(folder, files=["encoder.onnx", "head.onnx"])
    with pytest.raises(ModelError, match="the card names no encoder"):
        load_segmenter(folder)


@pytest.mark.parametrize("contract", [2, "1", None])
def test_another_contract_is_refused(folder: Path, contract: object) -> None:
    edit_card(folder, contract=contract)
    with pytest.raises(ModelError, match=f"contract version {contract!r}") as caught:
        load_segmenter(folder)
    assert caught.value.path == folder / "model.json"
    assert "update maskwright" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b'{"id": "ti', b"\xff\xfe\x00", b"[1, 2]", b"null"])
def test_a_card_that_is_no_card_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match="the model card cannot be read") as caught:
        load_segmenter(folder)
    assert caught.value.path == folder / "model.json"


def test_a_folder_without_a_card_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model here") as caught:
        load_segmenter(tmp_path)
    assert caught.value.path == tmp_path


def test_models_of_the_user_come_before_the_bundled_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled, mine = tmp_path / "bundled", tmp_path / "mine"
    for place in (bundled / "a", bundled / "b", mine / "b", mine / "c"):
        place.mkdir(parents=True)
        (place / "model.json").write_text("{}")
    (mine / "no model").mkdir()
    (mine / "file.txt").write_text("")
    monkeypatch.setattr("maskwright.assets.models_folder", lambda: bundled)
    assert installed_folders() == {"a": bundled / "a", "b": bundled / "b"}
    assert installed_folders(mine) == {"a": bundled / "a", "b": mine / "b", "c": mine / "c"}
    assert installed_folders(tmp_path / "absent") == installed_folders()
    assert find_folder("b", mine) == mine / "b"
    assert find_folder(mine / "c") == mine / "c"
    with pytest.raises(ModelError, match=r"there is no model 'd' \(installed: a, b, c\)"):
        find_folder("d", mine)


def test_a_model_is_loaded_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright.assets.models_folder", lambda: tmp_path / "bundled")
    make_model(tmp_path / "mine" / "small")
    write_card(tmp_path / "mine" / "small", id="small")
    assert load_segmenter("small", 1, user_models=tmp_path / "mine").card.id == "small"
    with pytest.raises(ModelError, match=r"installed: none"):
        load_segmenter("small")
