"""The command line as a whole: which command runs, what it costs to start, how failures look."""

from __future__ import annotations

import argparse
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskwright import __version__, cli
from maskwright.cli_verb import Verb, WindowRequest, in_bytes
from maskwright.core.errors import ScanError

HEAVY = ("numpy", "cv2", "onnxruntime", "SimpleITK", "pydicom", "zarr", "PIL", "PySide6", "torch", "tqdm", "sqlite3")


def verb(run: object) -> dict[str, Verb]:
    """A table with one command that does this."""
    return {"do": Verb("do", "do it", "  maskwright do\n", lambda parser: None, run)}  # type: ignore[arg-type]


def fail_with(error: BaseException) -> dict[str, Verb]:
    def run(arguments: argparse.Namespace) -> int:
        raise error

    return verb(run)


def test_version_is_printed_and_nothing_heavy_is_imported() -> None:
    script = (
        "import sys\n"
        "from maskwright.__main__ import main\n"
        "try:\n    main(['--version'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"maskwright {__version__}", "[]"]


def test_help_names_every_command_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert list(cli.VERBS) == ["precompute", "segment", "export", "import", "evaluate", "models", "demo", "doctor"]
    for one in cli.VERBS.values():
        assert f"  {one.name}" in out and one.summary in out
    assert "maskwright scan.nii.gz" in out


@pytest.mark.parametrize("name", list(cli.VERBS))
def test_help_of_every_command_has_examples_that_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert out.startswith(f"usage: maskwright {name}")
    examples = [
        line.strip() for line in out.split("examples:")[1].splitlines() if line.strip().startswith("maskwright ")
    ]
    mine = [line.split("#")[0].split() for line in examples if line.split()[1] == name]
    assert mine
    for words in mine:
        cli.VERBS[name].parser().parse_args(words[2:])


def test_a_failure_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ScanError("this is not an image", path=Path("a b/ü.png"), hint="Open a PNG.")
    monkeypatch.setattr(cli, "VERBS", fail_with(error))
    assert cli.main(["do"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"maskwright: error: this is not an image: {Path('a b/ü.png')}. Open a PNG.\n"


def test_the_system_s_own_errors_are_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "VERBS", fail_with(OSError(errno.ENOSPC, "No space left on device", "/data/x")))
    assert cli.main(["do"]) == 1
    assert capsys.readouterr().err == (
        "maskwright: error: No space left on device: /data/x. Check the disk and the permissions.\n"
    )


def test_a_programmer_s_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "VERBS", fail_with(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["do"])


def test_ctrl_c_is_exit_code_130_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "VERBS", fail_with(KeyboardInterrupt()))
    assert cli.main(["do"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    # 65 kB fill the pipe; its reader is gone by then.
    script = (
        "import sys, time\n"
        "from maskwright import cli\n"
        "from maskwright.cli_verb import Verb\n"
        "def run(arguments):\n"
        "    sys.stdin.readline()\n"
        "    print('x' * 1_000_000, flush=True)\n"
        "    return 0\n"
        "cli.VERBS['do'] = Verb('do', 'do it', '', lambda parser: None, run)\n"
        "sys.exit(cli.main(['do']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None and process.stderr is not None
        process.stdout.close()
        process.stdin.write("now\n")
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["segment", "a.png", "--out", "b.png", "--point", "1"],
        ["segment", "a.png", "--out", "b.png", "--point", "1,x"],
        ["segment", "a.png", "--out", "b.png", "--not", "nan,2"],
        ["segment", "a.png", "--out", "b.jpg", "--point", "1,2"],
        ["segment", "a.png", "--out", "b.png", "--box", "1,2,1,9"],
        ["segment", "a.png", "--out", "b.png", "--text", " "],
        ["segment", "a.png", "--out", "b.png", "--point", "1,2", "--threads", "0"],
        ["precompute"],
        ["export", "work", "--out", "x"],
        ["export", "work", "--out", "x", "--format", "tiff"],
        ["evaluate", "x", "--limit", "-1"],
        ["doctor", "--jso"],
        ["--unknown"],
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == "" and "error: " in err.splitlines()[-1]


def test_without_a_command_the_window_is_asked_for(maskwright_home: Path) -> None:
    asked: list[WindowRequest] = []

    def open_window(request: WindowRequest) -> int:
        asked.append(request)
        return 7

    words = ["a.nii.gz", "b c.png", "--project", "work", "--model", "other", "--store", "features", "--threads", "2"]
    assert cli.main(words, open_window=open_window) == 7
    assert cli.main([], open_window=open_window) == 7
    assert asked == [
        WindowRequest((Path("a.nii.gz"), Path("b c.png")), Path("work"), "other", Path("features"), 2, None),
        WindowRequest((), None, "default", maskwright_home / "features", None, 20_000_000_000),
    ]


def test_settings_decide_what_the_command_line_leaves_open(maskwright_home: Path) -> None:
    from maskwright.session.settings import Settings

    asked: list[WindowRequest] = []

    def open_window(request: WindowRequest) -> int:
        asked.append(request)
        return 0

    settings = Settings()
    for name, value in (("model", "mine"), ("threads", 3), ("store_folder", "/big/disk"), ("store_budget_gb", 0.5)):
        settings.set(name, value)
    cli.main([], open_window=open_window)
    (maskwright_home / "models" / "mine").mkdir(parents=True)
    (maskwright_home / "models" / "mine" / "model.json").write_text("{}")
    cli.main(["--threads", "1", "--store", "here"], open_window=open_window)
    assert asked == [
        WindowRequest((), None, "mine", Path("/big/disk"), 3, 500_000_000),
        WindowRequest((), None, str(maskwright_home / "models" / "mine"), Path("here"), 1, None),
    ]


def test_a_file_named_like_a_command_opens_by_its_path() -> None:
    asked: list[WindowRequest] = []

    def open_window(request: WindowRequest) -> int:
        asked.append(request)
        return 0

    assert cli.main(["./demo"], open_window=open_window) == 0
    assert asked[0].paths == (Path("demo"),)


def test_a_command_can_ask_for_the_window_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    request = WindowRequest((Path("x"),), None, "default", Path("s"), None, None)

    def run(arguments: argparse.Namespace) -> int:
        arguments.then = request
        return 0

    asked: list[WindowRequest] = []

    def open_window(then: WindowRequest) -> int:
        asked.append(then)
        return 3

    monkeypatch.setattr(cli, "VERBS", verb(run))
    assert cli.main(["do"], open_window=open_window) == 3
    assert asked == [request]
    assert cli.main(["do"]) == 0


def test_session_and_commands_import_without_qt_and_torch() -> None:
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('PySide6', 'shiboken6', 'torch'):\n"
        "            raise ImportError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "try:\n    import PySide6\nexcept ImportError:\n    print('blocked')\n"
        "import maskwright.session, maskwright.session.session, maskwright.inference, maskwright.io.scans\n"
        "import maskwright.io.datasets, maskwright.session.evaluate\n"
        "from maskwright.__main__ import main\n"
        "print(main(['models', '--json']) in (0, 1))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("blocked", "True")
    json.loads("\n".join(lines[1:-1]))


def test_python_m_maskwright_passes_the_exit_code(tmp_path: Path) -> None:
    missing = tmp_path / "is not there"
    done = subprocess.run(
        [sys.executable, "-m", "maskwright", "export", str(missing), "--format", "coco", "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
        env={**os.environ, "MASKWRIGHT_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"maskwright: error: there is no project: {missing}. "
        "Name a project folder, or a scan that was opened in maskwright before.\n"
    )


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_216_233, "2.2 MB"), (5e12, "5000.0 GB")]
)
def test_sizes_for_people(count: float, text: str) -> None:
    assert in_bytes(count) == text
