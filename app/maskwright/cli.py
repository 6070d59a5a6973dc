"""The command line: finds the command, runs it, and turns what went wrong into one line and an exit code.

Exit codes: 0 done, 1 could not be done, 2 wrong arguments, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from maskwright import (
    __version__,
    cli_demo,
    cli_doctor,
    cli_evaluate,
    cli_export,
    cli_import,
    cli_models,
    cli_precompute,
    cli_segment,
)
from maskwright.cli_verb import Verb, WindowRequest, add_model, add_store, window_request
from maskwright.core.errors import MaskwrightError

VERBS: dict[str, Verb] = {
    module.VERB.name: module.VERB
    for module in (
        cli_precompute,
        cli_segment,
        cli_export,
        cli_import,
        cli_evaluate,
        cli_models,
        cli_demo,
        cli_doctor,
    )
}

EXAMPLES = """\
  maskwright                              # an empty window: drop a scan on it
  maskwright scan.nii.gz                  # open a volume, a photo, or a folder of DICOM slices or photos
  maskwright photos/ --project work/      # keep the annotations in work/
  maskwright precompute scans/*.nii.gz    # encode now, click at once later
"""


OpenWindow = Callable[[WindowRequest], int]


def main(argv: Sequence[str] | None = None, *, open_window: OpenWindow | None = None) -> int:
    """Run one command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process if not given.
    open_window
        Shows the window and returns its exit code. Given by the entry point, so that no command needs Qt.

    Returns
    -------
    int
        The exit code. Wrong arguments, `--help` and `--version` end with SystemExit, as argparse does it.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in VERBS:
            return _run_verb(VERBS[arguments[0]], arguments[1:], open_window)
        return _run_window(arguments, open_window)
    except MaskwrightError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{place}. Check the disk and the permissions.")


def _run_verb(verb: Verb, arguments: list[str], open_window: OpenWindow | None) -> int:
    parsed = verb.parser().parse_args(arguments)
    code = verb.run(parsed)
    then = getattr(parsed, "then", None)
    return code if then is None or open_window is None else open_window(then)


def _run_window(arguments: list[str], open_window: OpenWindow | None) -> int:
    parser = _window_parser()
    parsed = parser.parse_args(arguments)
    if open_window is None:
        parser.error("no window can be opened from here; name a command")
    return open_window(window_request(parsed, paths=tuple(parsed.path), project=parsed.project))


def _window_parser() -> argparse.ArgumentParser:
    width = max(len(name) for name in VERBS)
    commands = "\n".join(f"  {verb.name:<{width}}  {verb.summary}" for verb in VERBS.values())
    parser = argparse.ArgumentParser(
        prog="maskwright",
        usage="maskwright [PATH ...] [--project DIR] [--model ID] [--store DIR]\n       maskwright COMMAND ...",
        description="Interactive segmentation of scans and photos. Without a command the window opens.",
        epilog=f"commands (each has its own --help):\n{commands}\n\nexamples:\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", nargs="*", type=Path, metavar="PATH", help="scans, photos or folders to open")
    parser.add_argument("--project", type=Path, metavar="DIR", help="folder of the annotations")
    add_model(parser)
    add_store(parser)
    parser.add_argument("--version", action="version", version=f"maskwright {__version__}")
    return parser


def _fail(line: str) -> int:
    print(f"maskwright: error: {line}", file=sys.stderr)
    return 1
