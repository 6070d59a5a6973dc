"""History: undo and redo of one scan. It stands on the journal alone, so it survives a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from maskwright.core.errors import AnnotationError
from maskwright.io.journal import Journal, Row
from maskwright.session.snapshot import changed
from maskwright.session.steps import ScanState, Step, apply

Unsaved = Mapping[tuple[int, str], bytes]


class History:
    """What undo and redo would do for one scan (or for the project, where no scan is open)."""

    def __init__(self, journal: Journal, scan: int) -> None:
        self.scan = scan
        self._journal = journal
        self._reload()

    def _reload(self) -> None:
        self._done, self._undone = self._journal.to_undo(self.scan), self._journal.to_redo(self.scan)

    @property
    def undo_text(self) -> str:
        """What undo would take back; empty when there is nothing."""
        return "" if self._done is None else self._done.text

    @property
    def redo_text(self) -> str:
        """What redo would do again; empty when there is nothing."""
        return "" if self._undone is None else self._undone.text

    def record(self, state: ScanState, step: Step, *, verb: str, text: str, unsaved: Unsaved) -> ScanState:
        """Apply a step and write it down; returns the state after it.

        Raises
        ------
        AnnotationError
            If the step does not fit the state.
        StoreError
            If it cannot be written down. Nothing has changed then.
        """
        after = apply(state, step)
        values = {**unsaved, **changed(self.scan, state, after, step)}
        self._journal.append(self.scan, verb=verb, text=text, payload=step.to_bytes(), state=values)
        self._reload()
        return after

    def turn(
        self, state: ScanState, *, undo: bool, unsaved: Unsaved, check: Callable[[Step], None]
    ) -> tuple[ScanState, Step, Row] | None:
        """Take back the newest verb that is done, or do again the one undone last; None when there is none.

        ``check`` raises AnnotationError where a step may not be taken although it fits.

        Raises
        ------
        AnnotationError
            If the step no longer fits what is there. It is passed over from then on, so that undo is never stuck.
        StoreError
            If it cannot be written down, or what was written is damaged. Nothing has changed then.
        """
        row = self._done if undo else self._undone
        if row is None:
            return None
        recorded = Step.from_bytes(self._journal.payload(row))
        step = recorded.inverse() if undo else recorded
        try:
            check(step)
            after = apply(state, step)
        except AnnotationError as error:
            self._journal.drop(row)
            self._reload()
            raise AnnotationError(f"{error.what}, so this step was passed over", hint=error.hint) from error
        values = {**unsaved, **changed(self.scan, state, after, step)}
        self._journal.turn(row, undo=undo, payload=step.to_bytes(), state=values)
        self._reload()
        return after, step, row
