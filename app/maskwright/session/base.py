"""What all verbs of a session stand on: its state to read, and the one way in which a verb is written down."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwright.core.annotation import Annotation
from maskwright.core.errors import AnnotationError, ScanError, StoreError
from maskwright.core.features import Features
from maskwright.core.labels import LabelSet
from maskwright.core.model_card import ModelCard
from maskwright.core.prompts import Prompts
from maskwright.core.stop import Stop
from maskwright.core.volume import View, Volume
from maskwright.io.journal import PROJECT
from maskwright.session import snapshot
from maskwright.session.changes import Changes
from maskwright.session.crops import CropShelf, Target
from maskwright.session.history import History
from maskwright.session.jobs import Lane, Post
from maskwright.session.opened import Opened, OpenStore, SegmenterSource
from maskwright.session.precompute import open_store as open_store_on_disk
from maskwright.session.preview import Head, Preview, PreviewKey, Previews
from maskwright.session.project import Project
from maskwright.session.steps import Part, ScanState, Step
from maskwright.session.worklist import ScanEntry, Worklist

if TYPE_CHECKING:
    from maskwright.inference import Segmentation, Segmenter, Uncertainty


@dataclass(frozen=True, slots=True)
class CommitWish:
    """A commit as it was asked for: it may have to wait for its mask. Without an object a new one is made."""

    key: PreviewKey
    label_id: int | None
    object_id: int | None


class SessionBase:
    """State of a session. Belongs to the thread that made it."""

    def __init__(
        self,
        *,
        project: Project | None,
        segmenter: Segmenter | Callable[[], Segmenter],
        store_root: Path,
        post: Post,
        on_changes: Callable[[Changes], None],
        open_store: OpenStore = open_store_on_disk,
        store_budget_bytes: int | None = None,
        encode_ahead: bool = True,
        model: str = "default",
    ) -> None:
        self._owner = threading.get_ident()
        self._project = project
        self._fixed_project = project is not None
        self._store_root = store_root
        self._open_store = open_store
        self._budget_bytes = store_budget_bytes
        self._encode_ahead = encode_ahead
        self._on_changes = on_changes
        self._read_lane, self._model_lane, self._encode_lane, self._head_lane, self._look_lane = (
            Lane("open the scan", post),
            Lane("load the model", post),
            Lane("encode a slice", post),
            Lane("segment", post),
            Lane("look closer", post),
        )
        self._use(SegmenterSource(segmenter, name=model))
        self._loading = ""
        self._closed = False

        self._worklist = Worklist() if project is None else project.worklist()
        self._opened: Opened | None = None
        self._opening: Path | None = None
        self._pending: Project | None = None
        self._state = ScanState() if project is None else project.state(PROJECT)
        self._history = None if project is None else History(project.journal, PROJECT)
        self._view: View | None = None
        self._active_label: int | None = None
        self._active_object: int | None = None
        self._saved: dict[tuple[int, str], bytes] = {}
        self._choose_label(None if project is None else project.active_label())

        self._ready: tuple[np.ndarray, ...] = ()
        self._fresh: OrderedDict[View, Features] = OrderedDict()
        self._encoding: View | None = None
        self._halted = ""
        self._target: Target | None = None
        self._crops = CropShelf()
        self._encode_stop, self._look_stop = Stop(), Stop()
        self._rests = False
        self._seen: tuple[View, Features] | None = None  # what the newest answer came from
        self._looked: tuple[Preview, bool] | None = None
        self._wants_doubt = False
        self._doubt: tuple[Segmentation, Uncertainty] | None = None
        self._shown: Preview | None = None
        self._requested: PreviewKey | None = None
        self._wish: CommitWish | None = None
        self._clicked_at: float | None = None
        self._last_click_ms: float | None = None

    # What a screen reads.

    @property
    def project(self) -> Project | None:
        """Project in use; None before the first scan where none was given."""
        return self._project

    @property
    def scans(self) -> tuple[ScanEntry, ...]:
        """Scans of the project, in order."""
        return self._worklist.entries

    @property
    def worklist(self) -> Worklist:
        """Scans of the project and which one is shown."""
        return self._worklist

    @property
    def scan(self) -> ScanEntry | None:
        """Scan that is shown."""
        return self._worklist.current

    @property
    def volume(self) -> Volume | None:
        """Its voxels."""
        return None if self._opened is None else self._opened.volume

    @property
    def model_card(self) -> ModelCard | None:
        """What the model is; None until it is loaded, which the first scan that is opened does."""
        return self._segmenter.card

    @property
    def model_name(self) -> str:
        """What the settings call the model in use: its id, or its folder."""
        return self._segmenter.name

    @property
    def loading_model(self) -> str:
        """Name of the model that is being loaded to take over; empty when none is."""
        return self._loading

    @property
    def opening(self) -> Path | None:
        """What is being opened in the background."""
        return self._opening

    @property
    def view(self) -> View | None:
        """Slice that is shown."""
        return self._view

    @property
    def annotation(self) -> Annotation:
        """Labels of the project and objects of the shown scan."""
        return self._state.annotation

    @property
    def labels(self) -> LabelSet:
        """Labels of the project."""
        return self._state.annotation.labels

    @property
    def active_label(self) -> int | None:
        """Label that the next object gets; None only where there are no labels."""
        return self._active_label

    @property
    def active_object(self) -> int | None:
        """Object that the next commit adds to; None for a new one."""
        return self._active_object

    @property
    def prompts(self) -> Prompts:
        """Prompts of the unfinished object on the shown slice."""
        return Prompts() if self._view is None else self._state.drafts.get(self._view, Prompts())

    @property
    def draft_views(self) -> tuple[View, ...]:
        """Slices with prompts that were not committed yet, in order."""
        return tuple(sorted(self._state.drafts))

    @property
    def preview(self) -> Segmentation | None:
        """Answer to the prompts, or to as many of the first ones as are answered yet; None when there is none."""
        return None if self._shown is None else self._shown.segmentation

    @property
    def preview_mask(self) -> np.ndarray | None:
        """``(Y, X)`` bool mask of the preview."""
        return None if self._shown is None else self._shown.segmentation.mask

    @property
    def preview_is_current(self) -> bool:
        """Whether the preview is the answer to all prompts, also to none."""
        key = self._key()
        return key is None or self._previews.get(key) is not None

    @property
    def ready(self) -> np.ndarray:
        """``(n,)`` bool per slice along axis 0: whether a click on it is answered at once."""
        if not self._ready:
            return np.zeros(0, bool)
        flags = self._ready[0].copy()
        flags[[view.index for view in self._fresh if view.axis == 0]] = True
        return flags

    @property
    def encoding(self) -> View | None:
        """Slice that is being encoded."""
        return self._encoding

    @property
    def waiting(self) -> bool:
        """Whether there are prompts on a slice that is not ready, which is encoded first for that."""
        return self._view is not None and not self.preview_is_current and not self._is_ready(self._view)

    @property
    def last_click_ms(self) -> float | None:
        """Time from the last prompt on a ready slice to its mask."""
        return self._last_click_ms

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self.undo_text)

    @property
    def undo_text(self) -> str:
        """What undo would take back."""
        return "" if self._history is None else self._history.undo_text

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self.redo_text)

    @property
    def redo_text(self) -> str:
        """What redo would do again."""
        return "" if self._history is None else self._history.redo_text

    # What verbs are made of.

    def _use(self, segmenter: SegmenterSource) -> None:
        """Answer with this model from now on; answers of the one before are forgotten."""
        self._segmenter = segmenter
        self._head = Head(segmenter)
        self._previews = Previews()

    def _record(self, verb: str, text: str, parts: Iterable[Part]) -> Changes:
        """Write a verb down, then take over the state it leads to. On an error nothing has changed."""
        history = self._checked_history()
        unsaved = self._unsaved()
        step = Step(tuple(parts))
        after = history.record(self._state, step, verb=verb, text=text, unsaved=unsaved)
        return self._take_over(after, unsaved)

    def _take_over(self, state: ScanState, unsaved: Mapping[tuple[int, str], bytes]) -> Changes:
        """Make a state that was written down the current one, and let go of what is no longer there."""
        self._state = state
        self._saved.update(unsaved)
        self._choose_label(self._active_label)
        if self._active_object is not None and self._active_object not in self.annotation:
            self._active_object = None
        entry = self.scan
        if entry is None:
            return Changes(history=True)
        same = entry.with_status(done=state.done, started=state.is_started)
        self._worklist = self._worklist.with_entry(same)
        return Changes(history=True, scans=same is not entry)

    def _checked_history(self) -> History:
        if threading.get_ident() != self._owner:
            raise ValueError("a session belongs to the thread that made it")
        if self._closed:
            raise ValueError("the session is closed")
        if self._history is None:
            raise StoreError("there is no project yet", hint="Open a scan or a photo first.")
        return self._history

    def _checked_opened(self) -> tuple[ScanEntry, Opened, View]:
        entry, opened, view = self.scan, self._opened, self._view
        if entry is None or opened is None or view is None:
            raise ScanError("no scan is open", hint="Open a scan or a photo first.")
        return entry, opened, view

    def _checked_object(self, object_id: int) -> None:
        if object_id not in self.annotation:
            raise AnnotationError(f"there is no object {object_id}", hint="Choose one of the list.")

    def _checked_label(self, label_id: int) -> None:
        if label_id not in self.labels:
            raise AnnotationError(f"there is no label {label_id}", hint="Choose one of the list.")

    def _choose_label(self, label_id: int | None) -> None:
        """Make a label active, or the first one where there is none of this id."""
        first = next((label.id for label in self.labels), None)
        self._active_label = label_id if label_id is not None and label_id in self.labels else first

    def _unsaved(self) -> dict[tuple[int, str], bytes]:
        """State beside the annotation, written along with the next verb: active label, scan and slice shown."""
        values: dict[tuple[int, str], bytes] = {}
        if self._active_label is not None:
            values[PROJECT, snapshot.ACTIVE_LABEL] = json.dumps(self._active_label).encode()
        if self.scan is not None and self._view is not None:
            values[self.scan.id, snapshot.VIEW] = snapshot.view_to_bytes(self._view)
            values[PROJECT, snapshot.SHOWN] = json.dumps(self.scan.id).encode()
        return {key: value for key, value in values.items() if self._saved.get(key) != value}

    def _is_ready(self, view: View) -> bool:
        return bool(self._ready) and (view in self._fresh or bool(self._ready[view.axis][view.index]))

    def _key(self) -> PreviewKey | None:
        """Key of the answer that the shown prompts ask for; None where there are no prompts."""
        if self._opened is None or self._view is None or not self.prompts:
            return None
        return PreviewKey(self._opened.fingerprint, self._view, self.prompts)

    def _emit(self, changes: Changes) -> None:
        if changes and not self._closed:
            self._on_changes(changes)
