"""What is shipped and what is checked before: the wheel, the preparation script, the project file, the notices."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.fakes import FakeSegmenter


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))


def load(path: Path) -> ModuleType:
    """A script of `packaging/` as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_app_never_requires_torch(project: dict[str, Any]) -> None:
    def names(lines: list[str]) -> set[str]:
        return {str(re.split(r"[\[<>=;~ ]", line)[0]).lower() for line in lines}

    app = names(project["project"]["dependencies"])
    assert not app & {"torch", "torchvision", "onnx", "ray", "opencv-python", "pyside6"}
    assert {"onnxruntime", "opencv-python-headless", "pyside6-essentials"} <= app
    assert "torch" in names(project["project"]["optional-dependencies"]["models"])
    assert set(project["project"]["optional-dependencies"]) == {"models", "cluster", "dev"}


def test_every_requirement_has_a_lower_bound(project: dict[str, Any]) -> None:
    lists = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    assert [line for lines in lists for line in lines if ">=" not in line] == []


PROVIDED = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "PySide6": "pyside6-essentials",
    "SimpleITK": "simpleitk",
}


def imported(folder: Path) -> set[str]:
    """Distributions that the files of a folder import, anywhere in them."""
    names = {
        name
        for path in folder.rglob("*.py")
        for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text("utf-8"), re.MULTILINE)
        if name not in sys.stdlib_module_names and not name.startswith("maskwright") and importlib.util.find_spec(name)
    }
    return {PROVIDED.get(str(name), str(name)).lower() for name in names}


def required(lines: list[str]) -> set[str]:
    return {str(re.split(r"[\[<>=;]", line)[0]).lower() for line in lines}


def test_every_library_the_app_imports_is_required(repository: Path, project: dict[str, Any]) -> None:
    app = required(project["project"]["dependencies"])
    assert imported(repository / "app") == app


def test_every_library_the_models_side_imports_is_required(repository: Path, project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    more = required(extras["models"]) | required(extras["cluster"])
    assert imported(repository / "models") - required(project["project"]["dependencies"]) - more == set()
    assert {"torch", "onnx"} <= imported(repository / "models")


def test_every_library_the_tests_and_benchmarks_import_is_required(repository: Path, project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    known = set().union(*map(required, [project["project"]["dependencies"], extras["models"], extras["dev"]]))
    used = set().union(*(imported(repository / top) for top in ("tests", "benchmarks", "packaging", "docs")))
    assert used - known - {"tests", "benchmarks", "prepare"} == set()


def test_no_source_file_is_longer_than_400_lines(repository: Path) -> None:
    files = [
        path
        for top in ("app", "models", "tests", "benchmarks", "packaging")
        for path in (repository / top).rglob("*.py")
    ]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in files}
    assert len(lengths) > 50
    assert {str(path): count for path, count in lengths.items() if count > 400} == {}


def test_every_decision_is_in_the_index(repository: Path) -> None:
    folder = repository / "docs" / "decisions"
    files = {path.name for path in folder.glob("[0-9]*.md")}
    linked = set(re.findall(r"\((\d{4}-[^)]+\.md)\)", (folder / "README.md").read_text("utf-8")))
    assert files == linked and len(files) >= 8
    numbers = sorted(name[:4] for name in files)
    assert numbers == [f"{i:04}" for i in range(1, len(files) + 1)]
    for name in files:
        text = (folder / name).read_text("utf-8")
        assert text.startswith(f"# {name[:4]}: ")
        for part in ("State: ", "## The question", "## The decision", "## What else there was", "## What follows"):
            assert part in text, (name, part)


def test_links_in_the_documents_lead_somewhere(repository: Path) -> None:
    dead = []
    for document in [
        *repository.glob("*.md"),
        *(repository / "docs").rglob("*.md"),
        *(repository / "assets").rglob("*.md"),
    ]:
        if document.name == "template.md":
            continue
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            if "://" not in target and not (document.parent / target).exists():
                dead.append(f"{document.name}: {target}")
    assert dead == []


def test_commands_in_the_readme_parse(repository: Path) -> None:
    from maskwright.cli import VERBS

    lines = (repository / "README.md").read_text("utf-8").splitlines()
    commands = [line.split("#")[0].split() for line in lines if line.startswith("maskwright ")]
    seen = set()
    for words in commands:
        if words[1] in VERBS:
            VERBS[words[1]].parser().parse_args(words[2:])
            seen.add(words[1])
    assert seen == set(VERBS) - {"demo"}


def test_the_python_example_of_the_readme_runs(
    repository: Path, fake_segmenter: FakeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskwright.assets import sample_photo

    (code,) = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace('"photo.jpg"', repr(str(sample_photo()))), names)
    assert names["answer"].mask.shape == (400, 600) and names["answer"].mask[180, 300]
    assert (fake_segmenter.encoded, fake_segmenter.segmented) == (1, 1)


def test_ci_runs_the_test_command_of_the_readme(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").splitlines()[-1] == "make test"
    assert "make test " in (repository / "README.md").read_text("utf-8")
    rules = subprocess.run(
        ["make", "--dry-run", "--always-make", "test"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    for tool in ("ruff check", "ruff format --check", "lint-imports", "pyright", "pytest", "torch==2.13.0"):
        assert tool in rules
    assert (
        "torch"
        not in subprocess.run(
            ["make", "--dry-run", "--always-make", "demo"], cwd=repository, capture_output=True, text=True, check=True
        ).stdout
    )


def test_the_wheel_is_small_and_whole(repository: Path, tmp_path: Path) -> None:
    check = load(repository / "packaging" / "check_wheel.py")
    facts, trouble = check.inspect(check.build(tmp_path))
    assert trouble == []
    assert facts["bytes"] < 100_000_000
    bundled = {path.parent.name for path in (repository / "assets" / "models").glob("*/model.json")}
    assert set(facts["models"]) == bundled


def test_the_check_of_the_wheel_finds_what_is_wrong(repository: Path, tmp_path: Path) -> None:
    import zipfile

    check = load(repository / "packaging" / "check_wheel.py")
    wheel = tmp_path / "maskwright-9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("maskwright/__init__.py", "")
        archive.writestr("tests/test_x.py", "")
        archive.writestr(
            "maskwright-9.dist-info/METADATA",
            "Name: maskwright\nRequires-Dist: torch>=2\nRequires-Dist: onnx; extra == 'models'\n",
        )
    _, trouble = check.inspect(wheel)
    assert "it requires torch without an extra" in trouble
    assert "tests/test_x.py does not belong there" in trouble
    assert "maskwright/_assets/samples/coffee.png is missing" in trouble
    assert not any("onnx" in line for line in trouble)


def run_prepare(repository: Path, code: str) -> subprocess.CompletedProcess[str]:
    """`prepare.py` in a process of its own, after this code has changed the module `prepare`."""
    script = (
        f"import sys; sys.path.insert(0, {str(repository / 'packaging')!r})\n"
        f"sys.path.insert(0, {str(repository / 'app')!r})\n"
        "import prepare, maskwright.system_libraries as libraries\n"
        "prepare.is_root = lambda: False\n"
        f"{code}\n"
        "sys.exit(prepare.main(['--display']))\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_prepare_is_silent_when_all_is_there(repository: Path) -> None:
    done = run_prepare(repository, "libraries.loads = lambda soname: True")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux leaves Qt's libraries to the system")
def test_prepare_names_missing_packages(repository: Path) -> None:
    done = run_prepare(repository, "libraries.loads = lambda soname: soname != 'libxcb-cursor.so.0'")
    assert done.returncode == 1
    assert done.stderr == (
        "maskwright: error: Qt needs system libraries that are not here: libxcb-cursor.so.0.\n"
        "    Debian, Ubuntu: apt-get install libxcb-cursor0\n"
        "    Fedora, RHEL: dnf install xcb-util-cursor\n"
    )


def test_prepare_names_an_old_python(repository: Path) -> None:
    done = run_prepare(repository, "prepare.OLDEST = (9, 0)")
    assert done.returncode == 1
    assert "Python 9.0 or newer is needed, and " in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux leaves Qt's libraries to the system")
def test_prepare_installs_as_root_and_looks_again(repository: Path) -> None:
    code = (
        "prepare.is_root = lambda: True\n"
        "prepare.shutil.which = lambda name: name == 'apt-get'\n"
        "ran = []\n"
        "libraries.loads = lambda soname: soname != 'libEGL.so.1' or len(ran) == 2\n"
        "class Done: returncode = 0\n"
        "def run(command, env):\n    ran.append(command); print(command, flush=True); return Done\n"
        "prepare.subprocess.run = run"
    )
    done = run_prepare(repository, code)
    assert done.returncode == 0
    update, install = done.stdout.splitlines()[-2:]
    assert "'update'" in update and update.startswith("['apt-get'")
    assert "'install'" in install and "'libegl1']" in install


def test_the_layers_hold(repository: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=repository, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_layers_are_really_watched(repository: Path, tmp_path: Path) -> None:
    """A copy in which core imports Qt fails: the contracts do see what they forbid."""
    import shutil

    for top in ("app", "models"):
        shutil.copytree(repository / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", tmp_path)
    with open(tmp_path / "app" / "maskwright" / "core" / "errors.py", "a") as file:
        file.write("\n\ndef late() -> None:\n    from PySide6 import QtCore  # noqa\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "app"), str(tmp_path / "models")])},
    )
    assert done.returncode == 1
    assert re.search(r"Qt only in ui +BROKEN", done.stdout)


def test_the_version_has_one_source(repository: Path, project: dict[str, Any]) -> None:
    from maskwright import __version__

    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "app/maskwright/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_every_bundled_model_is_named_in_the_notice(repository: Path) -> None:
    notice = (repository / "NOTICE").read_text("utf-8")
    for card in (repository / "assets" / "models").glob("*/model.json"):
        value = json.loads(card.read_text("utf-8"))
        assert f"assets/models/{card.parent.name}/" in notice
        assert value["licence"] and value["citation"] and value["notice"]


def test_every_command_is_watched_by_the_contracts(repository: Path, project: dict[str, Any]) -> None:
    modules = {f"maskwright.{path.stem}" for path in (repository / "app" / "maskwright").glob("cli*.py")}
    contracts = {one["id"]: one for one in project["tool"]["importlinter"]["contracts"]}
    for name in ("qt", "onnxruntime", "files"):
        assert modules - set(contracts[name]["source_modules"]) == set(), name
    assert modules - {"maskwright.cli_verb"} - set(contracts["cli"]["forbidden_modules"]) == set()
