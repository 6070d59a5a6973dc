"""What every command is made of: name, arguments, examples, what it does; and the arguments that several share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.inference import Segmenter


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """What the window is to show: all that the command line and the user's settings decide before it opens.

    `project` is None for the project that belongs to what is opened, `threads` None for an automatic choice,
    `store_budget_bytes` None for no limit.
    """

    paths: tuple[Path, ...]
    project: Path | None
    model: str
    store: Path
    threads: int | None
    store_budget_bytes: int | None


@dataclass(frozen=True, slots=True)
class Verb:
    """One command of the command line.

    Parameters
    ----------
    name
        The word after `maskwright`.
    summary
        One line for the list of commands, without a full stop.
    examples
        Lines for `--help`, each a command that works, with a comment after two spaces.
    arguments
        Adds this command's arguments to its parser.
    run
        Does it; returns the exit code. Raises MaskwrightError for what the user can cause. A WindowRequest put into
        the arguments as `then` is shown afterwards.
    """

    name: str
    summary: str
    examples: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    def parser(self) -> argparse.ArgumentParser:
        """A parser with this command's arguments and examples."""
        parser = argparse.ArgumentParser(
            prog=f"maskwright {self.name}",
            description=f"{self.summary[0].upper()}{self.summary[1:]}.",
            epilog=f"examples:\n{self.examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.arguments(parser)
        return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model` and `--threads`."""
    parser.add_argument(
        "--model", metavar="ID", help="installed model, or a model folder (default: as set in the window)"
    )
    parser.add_argument("--threads", type=whole_number, metavar="N", help="processor threads (default: up to four)")


def add_store(parser: argparse.ArgumentParser) -> None:
    """`--store`."""
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of the stored features")


def load_model(arguments: argparse.Namespace) -> Segmenter:
    """The segmenter that `--model` and `--threads` or the user's settings ask for. Raises ModelError."""
    from maskwright.inference import load_segmenter

    return load_segmenter(model_of(arguments), threads=threads_of(arguments))


def model_of(arguments: argparse.Namespace) -> str:
    """Id or folder of the model that is meant; a model that the user installed comes before a bundled one."""
    from maskwright.session.models import user_models
    from maskwright.session.settings import Settings

    model = arguments.model or Settings().get("model")
    installed = user_models() / model
    return str(installed) if (installed / "model.json").is_file() else model


def threads_of(arguments: argparse.Namespace) -> int | None:
    """Threads for the model; None leaves it to the model."""
    from maskwright.session.settings import Settings

    return arguments.threads or Settings().get("threads") or None


def store_of(arguments: argparse.Namespace) -> Path:
    """Folder of the feature stores that is meant."""
    from maskwright.session.project import default_store_root
    from maskwright.session.settings import Settings

    return arguments.store or Path(Settings().get("store_folder") or default_store_root())


def store_budget_of(arguments: argparse.Namespace) -> int | None:
    """Bytes that all feature stores together may take; None, without a limit, for a folder named with `--store`."""
    from maskwright.session.settings import Settings

    budget_gb = Settings().get("store_budget_gb")
    return None if arguments.store or not budget_gb else int(budget_gb * 1e9)


def window_request(arguments: argparse.Namespace, *, paths: tuple[Path, ...], project: Path | None) -> WindowRequest:
    """What the window is to show, with `--model`, `--store` and `--threads` or the user's settings."""
    return WindowRequest(
        paths,
        project,
        model=model_of(arguments),
        store=store_of(arguments),
        threads=threads_of(arguments),
        store_budget_bytes=store_budget_of(arguments),
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def whole_number(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def print_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def note(text: str) -> None:
    """Say something beside the result: on standard error, so that pipes and `--json` stay clean."""
    print(text, file=sys.stderr, flush=True)


def in_bytes(count: float) -> str:
    """A size for people: 812 B, 4.2 MB, 1.3 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def project_folder(path: Path) -> Path:
    """The existing project that is meant: this folder, or the one that belongs to this scan or folder of scans.

    Raises
    ------
    StoreError
        There is none.
    """
    from maskwright.core.errors import StoreError
    from maskwright.session.project import Project, default_folder

    for folder in (path, default_folder(path)):
        if Project.is_project(folder):
            return folder
    raise StoreError(
        "there is no project", path=path, hint="Name a project folder, or a scan that was opened in maskwright before."
    )
