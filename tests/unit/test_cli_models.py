"""`maskwright models` and `maskwright doctor`: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwright import cli_doctor, system_libraries
from maskwright.cli import main
from maskwright.cli_doctor import Finding
from maskwright.core.errors import ModelError
from maskwright.inference import load_segmenter
from tests.model_folders import make_folder


@pytest.fixture
def only_user_models(tmp_path: Path, maskwright_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, with none bundled."""
    monkeypatch.setattr("maskwright.assets.models_folder", lambda: tmp_path / "bundled")
    return maskwright_home / "models"


def test_no_model_is_exit_code_1(only_user_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 1
    assert str(only_user_models) in capsys.readouterr().out
    assert main(["models", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == []


def test_models_are_listed_with_licence_notice_and_size(
    only_user_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(only_user_models / "mine")
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mine: Fake 1",
        "  takes     point, box, scribble; 64 pixels",
        "  licence   Apache-2.0",
        f"  folder    {folder} (21 B)",
        "  notice    Some training data is for research only.",
        "  cite      Author A. Title. 2026.",
    ]


def test_check_finds_an_altered_file(only_user_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(only_user_models / "mine")
    assert main(["models", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["checked"] is True
    (folder / "head.onnx").write_bytes(b"altered   ")
    assert main(["models"]) == 0
    capsys.readouterr()
    assert main(["models", "--check", "--json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert one["trouble"] == (
        f"the head of model fake does not match its hash: {folder / 'head.onnx'}. Install the model again."
    )
    assert "checked" not in one


def test_a_missing_file_and_a_broken_card_are_found_without_check(
    only_user_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (make_folder(only_user_models / "a") / "encoder.onnx").unlink()
    (make_folder(only_user_models / "b") / "model.json").write_text("[]")
    make_folder(only_user_models / "c")
    assert main(["models", "--json"]) == 1
    first, second, third = json.loads(capsys.readouterr().out)
    assert first["trouble"].startswith("encoder.onnx of model a is missing: ")
    assert second["trouble"] and "name" not in second
    assert third["trouble"] == ""


def test_a_model_of_another_contract_is_listed_as_unusable_and_refused(
    only_user_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(only_user_models / "newer")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"contract": 2}))
    assert main(["models", "--json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert one["trouble"].startswith("model speaks contract version 2, this app knows version 1: ")
    with pytest.raises(ModelError, match="speaks contract version 2"):
        load_segmenter("newer", user_models=only_user_models)


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, list[Finding]]]:
    code = main(["doctor", "--json"])
    found: dict[str, list[Finding]] = {}
    result = json.loads(capsys.readouterr().out)
    for one in result["findings"]:
        found.setdefault(one["name"], []).append(Finding(**one))
    assert result["broken"] == sum(one.state == "broken" for several in found.values() for one in several)
    return code, found


@pytest.fixture
def quick_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_doctor, "window", lambda: Finding("window", "ok", "not asked"))


def test_doctor_finds_all_well(
    only_user_models: Path, quick_window: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system_libraries, "missing_libraries", lambda *, display: [])
    make_folder(only_user_models / "default")
    code, found = doctor(capsys)
    assert code == 0
    assert [name for name, several in found.items() if several[0].state == "broken"] == []
    assert found["model default"][0].text == "Fake 1, 21 B, hashes match"
    assert set(found) == {
        "maskwright",
        "packages",
        "processor",
        "system libraries",
        "window",
        "model default",
        "projects",
        "settings",
        "features",
    }
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("\nall is well\n")


def test_doctor_finds_a_missing_and_an_altered_model(
    only_user_models: Path, quick_window: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (make_folder(only_user_models / "other") / "head.onnx").write_bytes(b"x")
    code, found = doctor(capsys)
    assert code == 1
    assert found["model default"][0].state == "broken"
    assert "does not match its hash" in found["model other"][0].text
    assert main(["doctor"]) == 1
    assert "broken  model other" in capsys.readouterr().out


def test_doctor_names_missing_libraries_and_their_packages(
    quick_window: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system_libraries, "loads", lambda soname: soname not in ("libEGL.so.1", "libGL.so.1"))
    monkeypatch.setattr(system_libraries.sys, "platform", "linux")
    code, found = doctor(capsys)
    assert code == 1
    (one,) = found["system libraries"]
    assert one.state == "broken"
    assert one.text == "missing: libEGL.so.1, libGL.so.1"
    assert one.hint == (
        "Debian, Ubuntu: apt-get install libegl1 libgl1; Fedora, RHEL: dnf install libglvnd-egl libglvnd-glx"
    )


def test_doctor_finds_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_window: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(cli_doctor.tempfile, "TemporaryFile", refuse)
    code, found = doctor(capsys)
    assert code == 1
    for name in ("projects", "settings", "features"):
        assert found[name][0].state == "broken"
        assert found[name][0].text.endswith("cannot be written (read-only file system)")


def test_doctor_leaves_nothing_behind(maskwright_home: Path, quick_window: None) -> None:
    main(["doctor"])
    assert not maskwright_home.exists()
    assert list(maskwright_home.parent.iterdir()) == []


def test_doctor_tries_qt_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert cli_doctor.window().state == "note"
    monkeypatch.setenv("QT_QPA_PLATFORM", "no-such-platform")
    found = cli_doctor.window()
    assert found.state == "broken" and found.text.startswith("Qt does not start: ")


def test_libraries_of_a_window_come_on_top_of_those_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_libraries, "loads", lambda soname: False)
    monkeypatch.setattr(system_libraries.sys, "platform", "linux")
    without = system_libraries.missing_libraries(display=False)
    with_one = system_libraries.missing_libraries(display=True)
    assert with_one[: len(without)] == without and len(with_one) > len(without)
    assert system_libraries.install_commands(with_one)["Debian, Ubuntu"].split().count("libglib2.0-0") == 1
    monkeypatch.setattr(system_libraries.sys, "platform", "win32")
    assert system_libraries.missing_libraries(display=True) == []
    assert system_libraries.install_commands([]) == {}


def test_the_loader_decides_whether_a_library_is_there() -> None:
    assert not system_libraries.loads("libno-such-library-anywhere.so.99")
    if system_libraries.sys.platform == "linux":
        assert system_libraries.loads("libc.so.6")


@pytest.mark.parametrize(
    ("environment", "platform", "want"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
    ],
)
def test_has_display(environment: dict[str, str], platform: str, want: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(system_libraries.sys, "platform", platform)
    assert system_libraries.has_display() is want


def test_add_installs_a_model_folder(
    only_user_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_folder(tmp_path / "stick" / "mine")
    assert main(["models", "--add", str(source), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["id"], one["folder"], one["trouble"]) == ("mine", str(only_user_models / "mine"), "")
    (source / "head.onnx").write_bytes(b"altered")
    assert main(["models", "--add", str(source)]) == 1
    assert "does not match its hash" in capsys.readouterr().err
