"""Verbs on scans and views: open, show another one, mark as done, scroll."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.core.volume import View
from maskwright.io.annotated import SCAN
from maskwright.io.journal import PROJECT
from maskwright.session import snapshot
from maskwright.session.changes import Changes
from maskwright.session.history import History
from maskwright.session.jobs import Outcome
from maskwright.session.opened import Encoding, Opened, Reading, SegmenterSource, read, with_model
from maskwright.session.place import Placed, place
from maskwright.session.project import Project, default_folder, folder_of_scan, note_moved, note_scan
from maskwright.session.steps import DoneChange, ScanState
from maskwright.session.verbs_labels import LabelVerbs
from maskwright.session.worklist import Worklist

_EVERYTHING = Changes(
    scan=True,
    scans=True,
    view=True,
    prompts=True,
    objects=True,
    labels=True,
    features=True,
    history=True,
    busy=True,
)


class ScanVerbs(LabelVerbs):
    """Scans of the project."""

    def open(self, path: Path | str) -> Changes:
        """Take the scans at a path into the project and show the first, or the one shown last; waits until it is read.

        Raises
        ------
        MaskwrightError
            If it cannot be read or written down. What was open stays open.
        """
        path = Path(os.path.abspath(path))
        return self._read_now(self._project_for(path), path)

    def open_async(self, path: Path | str, *, also: Sequence[Path] = ()) -> Changes:
        """The same in the background: what it changes, or the error, arrives through ``on_changes``.

        Scans at the paths in ``also`` join the list of the project that ``path`` belongs to; none of them is read yet.
        Opening something else before that makes this one stale. Raises StoreError when the project is not usable.
        """
        path = Path(os.path.abspath(path))
        return self._read_in_background(self._project_for(path), path, also=tuple(also))

    def show_scan(self, position: int) -> Changes:
        """Show another scan of the list; waits until it is read. Raises MaskwrightError like `open`."""
        entry = self._worklist.entries[position]
        return self._read_now(self._project, entry.path, scan=entry.id)

    def show_scan_async(self, position: int) -> Changes:
        """The same in the background; see `open_async`."""
        entry = self._worklist.entries[position]
        return self._read_in_background(self._project, entry.path, scan=entry.id)

    def next_scan(self, *, wait: bool = True) -> Changes:
        """Show the next scan of the list, waiting until it is read or not; nothing happens at the end."""
        return self._show_neighbour(1, wait=wait)

    def previous_scan(self, *, wait: bool = True) -> Changes:
        """Show the previous scan of the list, waiting until it is read or not; nothing happens at the beginning."""
        return self._show_neighbour(-1, wait=wait)

    def _show_neighbour(self, step: int, *, wait: bool) -> Changes:
        position = self._worklist.neighbour(step)
        if position is None:
            return Changes(message="This is the last scan." if step > 0 else "This is the first scan.")
        return self.show_scan(position) if wait else self.show_scan_async(position)

    def set_scan_done(self, *, done: bool) -> Changes:
        """Mark the shown scan as done, or as not done. Raises ScanError, or StoreError like every verb."""
        self._checked_opened()
        if done == self._state.done:
            return Changes()
        text = "mark as done" if done else "mark as not done"
        return self._record("set_scan_done", text, [DoneChange(not done, done)])

    def set_view(self, view: View) -> Changes:
        """Show another slice; an index outside the scan counts as the nearest inside. Not an undo step.

        Slices are encoded from there on. Raises ScanError when no scan is open.
        """
        _, opened, before = self._checked_opened()
        view = View(view.axis, min(max(view.index, 0), opened.volume.n_slices(view.axis) - 1))
        if view == before:
            return Changes()
        self._view = view
        self._clicked_at = None
        return Changes(view=True, prompts=True, busy=True) | self._update_preview() | self._encode_next()

    # Reading. Only one thing is read at a time; ``_pending`` is its project, where that is not the one in use.

    def _project_for(self, path: Path) -> Project | None:
        """Project that a path belongs to, opened where it is not in use; None where there is none yet."""
        if self._fixed_project:
            return self._project
        folder = default_folder(path)
        for project in (self._project, self._pending):
            if project is not None and project.folder == folder:
                return project
        return Project.open(folder) if Project.is_project(folder) else None

    def _begin(self, project: Project | None, name: Path | None) -> None:
        """Give up what is being read, for something else."""
        self._read_lane.cancel()
        before, self._pending = self._pending, project
        self._opening = name
        self._release(before)

    def _release(self, project: Project | None) -> None:
        """Close a project that is neither in use nor about to be."""
        if project is not None and project is not self._project and project is not self._pending:
            project.close()

    def _reading(self, project: Project | None, path: Path, *, scan: int | None) -> Reading:
        wanted = None if scan is None else path
        if project is not None and scan is None:
            shown = project.shown()
            wanted = next((one.path for one in self._list_of(project) if one.id == shown), None)
        return Reading(path, wanted, self._encoding_with(self._segmenter))

    def _encoding_with(self, segmenter: SegmenterSource) -> Encoding:
        return Encoding(segmenter, self._store_root, self._open_store, self._budget_bytes)

    def _read_now(self, project: Project | None, path: Path, *, scan: int | None = None) -> Changes:
        self._begin(project, None)
        try:
            return self._adopt(project, path, read(self._reading(project, path, scan=scan)), scan=scan)
        finally:
            self._begin(None, None)

    def _read_in_background(
        self, project: Project | None, path: Path, *, scan: int | None = None, also: tuple[Path, ...] = ()
    ) -> Changes:
        self._begin(project, path)
        try:
            work = partial(read, replace(self._reading(project, path, scan=scan), also=also))
        except BaseException:
            self._begin(None, None)
            raise
        self._read_lane.submit(work, partial(self._was_read, project, path, scan))
        return Changes(busy=True)

    def _was_read(self, project: Project | None, path: Path, scan: int | None, outcome: Outcome) -> None:
        if outcome.stale:
            return  # `_begin` saw to the project
        try:
            if outcome.error is not None:
                raise outcome.error
            opened: Opened = outcome.value
            if opened.segmenter is not self._segmenter:  # another model was taken into use meanwhile
                work = partial(with_model, opened, self._encoding_with(self._segmenter))
                self._read_lane.submit(work, partial(self._was_read, project, path, scan))
                return
            changes = self._adopt(project, path, opened, scan=scan)
        except MaskwrightError as error:
            changes = Changes.failure(error)
        self._begin(None, None)
        self._emit(changes | Changes(busy=True))

    # Taking over what was read.

    def _adopt(self, project: Project | None, root: Path, opened: Opened, *, scan: int | None = None) -> Changes:
        """Make a scan that was read the shown one. On an error nothing has changed."""
        self._flush_quietly()
        chosen = project if project is not None else self._project_of(root, opened)
        try:
            placed = place(self._list_of(chosen), opened, root=root, touched=chosen.journal.touched(), scan=scan)
            entry = placed.entry
            kept = chosen.journal.get(entry.id)
            state = chosen.state(entry.id)
            history = History(chosen.journal, entry.id)
            label = chosen.active_label()
            values = {(one.id, SCAN): one.to_bytes() for one in placed.changed}
            chosen.journal.put({**values, (PROJECT, snapshot.SHOWN): json.dumps(entry.id).encode()})
        except BaseException:
            self._release(chosen)
            raise
        if chosen is not self._project:
            if self._project is not None:
                self._project.close()
            self._project = chosen
            self._saved.clear()
        if not self._fixed_project:
            note_scan(opened.fingerprint, chosen.folder)
            note_moved(root, chosen.folder)
        return self._show(placed, opened, state, history, snapshot.view_from_bytes(kept.get(snapshot.VIEW)), label)

    def _show(
        self, placed: Placed, opened: Opened, state: ScanState, history: History, view: View | None, label: int | None
    ) -> Changes:
        volume = opened.volume
        view = view or volume.middle()
        self._worklist, self._state, self._history = placed.worklist, state, history
        self._view = View(view.axis, min(view.index, volume.n_slices(view.axis) - 1))
        self._choose_label(label)
        self._active_object = self._wish = None
        changes = _EVERYTHING | Changes(message=placed.message) | self._take_features(opened)
        return changes | self._update_preview() | self._encode_next()

    def _take_features(self, opened: Opened) -> Changes:
        """Go on with the features of another scan, or of another model: jobs on those before no longer count."""
        if self._requested is not None:
            self._head_lane.cancel()
        self._opened = opened
        self._ready = tuple(flags.copy() for flags in opened.flags)
        self._fresh.clear()
        self._forget_work()
        self._shown = self._requested = self._clicked_at = None
        # without a model, or a place for features, nothing is encoded until the user clicks
        self._halted = {type(None): "", StoreError: "store"}.get(type(opened.trouble), "encoder")
        changes = Changes(features=True, message="" if opened.store is None else opened.store.notice)
        return changes if opened.trouble is None else changes | Changes.failure(opened.trouble)

    def _list_of(self, project: Project) -> Worklist:
        return self._worklist if project is self._project else project.worklist()

    def _project_of(self, root: Path, opened: Opened) -> Project:
        """Project for a path that has none: the one the scan had before it was moved, or a new one."""
        folder = folder_of_scan(opened.fingerprint)
        if folder is not None:
            current = self._project is not None and self._project.folder == folder
            project = self._project if current and self._project is not None else Project.open(folder)
            known = [one for one in self._list_of(project) if one.fingerprint == opened.fingerprint]
            if any(not one.path.exists() for one in known):
                return project
            self._release(project)
        return Project.open(default_folder(root))

    def _flush_quietly(self) -> None:
        """Write down which slice was shown; a disk that is full now does not matter for that."""
        unsaved = self._unsaved()
        if self._project is not None and unsaved:
            try:
                self._project.journal.put(unsaved)
            except MaskwrightError:
                return
            self._saved.update(unsaved)
