"""The entry point: `maskwright` and `python -m maskwright`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskwright.cli_verb import WindowRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; without a command the window opens. Returns the exit code."""
    from maskwright import cli

    return cli.main(argv, open_window=_open_window)


def _open_window(request: WindowRequest) -> int:
    # On Windows the DLLs of onnxruntime must be loaded before Qt's, or the wrong runtime libraries are found.
    import onnxruntime  # noqa: F401  # isort: skip

    from maskwright.ui import app

    return app.run(
        request.paths,
        project=request.project,
        model=request.model,
        store=request.store,
        threads=request.threads,
        store_budget_bytes=request.store_budget_bytes,
    )


if __name__ == "__main__":
    sys.exit(main())
