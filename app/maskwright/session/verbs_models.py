"""The verb on the model: another one answers from now on, on what is open and with the prompts that are there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from maskwright.session.changes import Changes
from maskwright.session.jobs import Outcome
from maskwright.session.opened import Encoding, Opened, SegmenterSource, with_model
from maskwright.session.verbs_scans import ScanVerbs

if TYPE_CHECKING:
    from maskwright.inference import Segmenter


class ModelVerbs(ScanVerbs):
    """Which model answers. That is no edit: nothing of it is in the journal, and undo does not take it back."""

    def use_model_async(self, load: Callable[[], Segmenter], *, name: str) -> Changes:
        """Load a model in the background and let it take over; the one in use answers until then.

        Features of the shown scan come from the store where it has those of the new model, and are made otherwise.
        Prompts stay and are answered again, a commit that waits for its mask gets that of the new model, and nothing
        that the old one still computes is used. When it cannot be loaded nothing changes, and the failure arrives
        through ``on_changes``. Asking for another model meanwhile makes this one stale.

        Parameters
        ----------
        load
            Opens the model, checked as a whole; called in a worker.
        name
            What the settings call it: its id, or its folder.
        """
        return self._load(SegmenterSource(load, name=name))

    def _load(self, source: SegmenterSource) -> Changes:
        self._loading = source.name
        work = partial(_load, source, self._opened, self._encoding_with(source))
        self._model_lane.submit(work, partial(self._loaded, source, self._opened))
        return Changes(busy=True)

    def _loaded(self, source: SegmenterSource, before: Opened | None, outcome: Outcome) -> None:
        if outcome.stale:
            return
        if outcome.error is None and self._opened is not before:  # another scan came, whose features are needed now
            self._load(source)
            return
        self._loading = ""
        if outcome.error is not None:
            self._emit(Changes.failure(outcome.error))
            return
        card, shown = source().card, self._shown
        self._use(source)
        self._encode_lane.cancel()
        self._last_click_ms = None
        changes = Changes(model=True, busy=True, message=f"{card.name} answers from now on.")
        if outcome.value is not None:
            box = None if shown is None else shown.box
            changes |= Changes(prompts=True, preview=box) | self._take_features(outcome.value)
            changes |= self._update_preview() | self._encode_next()
        self._emit(changes)


def _load(source: SegmenterSource, opened: Opened | None, encoding: Encoding) -> Opened | None:
    """The shown scan with the features of a model. Raises ModelError when the model cannot be loaded."""
    source()
    return None if opened is None else with_model(opened, encoding)
