"""What a user can cause: one family of exceptions that say what happened, in which file, and what to do."""

from __future__ import annotations

from pathlib import Path


class MaskwrightError(Exception):
    """A failure to show to the user as it stands; anything else is a programmer's error.

    Parameters
    ----------
    what
        What happened, in plain words, without a full stop.
    path
        The file or folder it happened to, when there is one.
    hint
        What to do about it.

    Notes
    -----
    ``str(error)`` is always one line, ``what: path. hint``, whatever line breaks the parts contain.
    """

    def __init__(self, what: str, *, path: Path | str | None = None, hint: str = "") -> None:
        self.what = _one_line(what).rstrip(".")
        self.path = None if path is None else Path(path)
        self.hint = _one_line(hint)
        super().__init__(self.what)

    def __str__(self) -> str:
        line = self.what if self.path is None else f"{self.what}: {_one_line(str(self.path))}"
        return f"{line}. {self.hint}" if self.hint else line


class ScanError(MaskwrightError):
    """A scan or photo cannot be found, read or trusted."""


class GeometryError(MaskwrightError):
    """A grid is impossible, or two grids that must agree do not."""


class ModelError(MaskwrightError):
    """A model folder is incomplete, altered or does not run."""


class StoreError(MaskwrightError):
    """The feature store or the journal cannot be read or written."""


class AnnotationError(MaskwrightError):
    """Labels, objects or masks do not fit each other or the scan."""


class ExportError(MaskwrightError):
    """A dataset cannot be written, or reads back differently."""


def _one_line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text or "\r" in text else text.strip()
