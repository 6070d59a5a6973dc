"""Session: what the app does, one verb at a time. Each verb is one journal row, one undo step and one `Changes`."""

from __future__ import annotations

from maskwright.session.changes import Changes
from maskwright.session.steps import DoneChange, DraftChange, LabelChange
from maskwright.session.verbs_models import ModelVerbs


class Session(ModelVerbs):
    """A project at work: the scan that is shown, its annotation, and the workers behind it.

    Verbs return what they changed, and raise MaskwrightError when they cannot be done: then nothing has changed.
    What workers find out later arrives through ``on_changes``. A verb is on the disk before it returns.

    Parameters
    ----------
    project
        Where everything is written. None gives every path that is opened the project of its own.
    segmenter
        The model, or what loads it; it is then called in a worker, when the first scan is opened.
    store_root
        Folder of the feature stores.
    post
        Runs a function on the main thread later; called by the workers.
    on_changes
        Gets what changed outside a verb, on the main thread.
    open_store
        Opens the feature store of a scan.
    store_budget_bytes
        Disk space for all feature stores together, None for no limit.
    encode_ahead
        Whether slices are encoded before they are clicked.
    model
        What the settings call the model: its id, or its folder.
    """

    def undo(self) -> Changes:
        """Take back the last verb of the shown scan and show the slice it was on.

        Raises
        ------
        AnnotationError
            If it no longer fits what is there; it is then passed over.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        return self._turn(undo=True)

    def redo(self) -> Changes:
        """Do again what was undone last. Raises like `undo`."""
        return self._turn(undo=False)

    def _turn(self, *, undo: bool) -> Changes:
        history = self._checked_history()
        unsaved = self._unsaved()
        turned = history.turn(self._state, undo=undo, unsaved=unsaved, check=self._check_labels)
        if turned is None:
            return Changes(message="Nothing to undo." if undo else "Nothing to redo.")
        labels = self.labels
        state, step, row = turned
        changes = self._take_over(state, unsaved) | Changes(
            objects=not all(isinstance(part, DraftChange | DoneChange) for part in step.parts),
            labels=step.touches(LabelChange) or labels != self.labels,
            prompts=step.touches(DraftChange),
            message=f"Undone: {row.text}." if undo else f"Redone: {row.text}.",
        )
        if step.view is not None and step.view != self._view and self._opened is not None:
            changes |= self.set_view(step.view)
        return changes | self._update_preview(retry=True)

    def flush(self) -> None:
        """Write down what is not part of a verb: the slice shown, the active label. Raises StoreError."""
        unsaved = self._unsaved()
        if self._project is not None and unsaved:
            self._project.journal.put(unsaved)
            self._saved.update(unsaved)

    def close(self) -> None:
        """End the workers and give the project back; closing twice is fine. No changes arrive afterwards."""
        if self._closed:
            return
        self._flush_quietly()
        self._closed = True
        self._give_way()
        lanes = (self._read_lane, self._model_lane, self._head_lane, self._look_lane, self._encode_lane)
        for lane in lanes:
            lane.stop(timeout_s=0)
        for lane in lanes:  # each has at most the job it is at
            lane.stop()
        for project in (self._pending, self._project):
            if project is not None:
                project.close()
