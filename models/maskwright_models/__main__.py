"""maskwright-models: the side that has torch: data, training, export, evaluation."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "volumes": "volumes",
    "features": "features",
    "train": "train",
    "words": "words",
    "finetune": "finetune",
    "adapt": "adapt",
    "export": "export",
    "card": "card",
    "curve": "curve",
    "evaluate": "evaluate",
    "precompute": "precompute",
    "import": "import_",
}
"""Command -> module under :mod:`maskwright_models.commands`, each with ``add_arguments(parser)`` and ``run(args)``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 0 done, 1 an error that is said in one line, 2 wrong usage, 130 interrupted."""
    from maskwright import __version__
    from maskwright.core.errors import MaskwrightError

    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="maskwright-models", description=__doc__)
    parser.add_argument("--version", action="version", version=f"maskwright-models {__version__}")
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = importlib.import_module(f"maskwright_models.commands.{module}")
        sub = parsers.add_parser(
            name,
            help=(command.__doc__ or "").strip().splitlines()[0],
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except MaskwrightError as error:
        sys.stderr.write(f"maskwright-models: error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("maskwright-models: stopped; what is done stays done\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
