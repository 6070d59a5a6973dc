"""Verbs on prompts, and the two lanes behind them: features of the slice, then the mask."""

from __future__ import annotations

import time
from functools import partial

from maskwright.core.errors import MaskwrightError, ScanError, StoreError
from maskwright.core.features import Features
from maskwright.core.prompts import Box, Point, Prompt, Prompts, Scribble
from maskwright.core.volume import View
from maskwright.session.base import SessionBase
from maskwright.session.changes import Changes, union
from maskwright.session.jobs import Outcome
from maskwright.session.opened import Opened, SegmenterSource
from maskwright.session.precompute import encode_slice, nearest
from maskwright.session.preview import Answer, Preview, PreviewKey, Request
from maskwright.session.steps import DraftChange

FRESH = 4
"""Slices whose features are kept in memory after they were encoded."""
FRESH_WITHOUT_STORE = 24
"""The same while the features cannot be stored."""


class PromptVerbs(SessionBase):
    """Prompts of the unfinished object on the shown slice."""

    def add_prompt(self, prompt: Prompt) -> Changes:
        """Add a prompt; the mask follows through ``on_changes``.

        Raises
        ------
        ScanError
            If no scan is open.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        before = self.prompts
        return self._change_prompts("add_prompt", _text(prompt), before.add(prompt), clicked=True)

    def remove_last_prompt(self) -> Changes:
        """Remove the newest prompt; nothing happens where there is none. Raises like `add_prompt`."""
        if not self.prompts:
            return Changes()
        return self._change_prompts("remove_last_prompt", "remove prompt", self.prompts.without_last(), clicked=False)

    def clear_prompts(self) -> Changes:
        """Remove all prompts of the shown slice; nothing happens where there are none. Raises like `add_prompt`."""
        if not self.prompts:
            return Changes()
        return self._change_prompts("clear_prompts", "clear prompts", Prompts(), clicked=False)

    def _change_prompts(self, verb: str, text: str, prompts: Prompts, *, clicked: bool) -> Changes:
        started = time.perf_counter()
        _, _, view = self._checked_opened()
        self._record(verb, text, [DraftChange(view, self.prompts, prompts)])
        self._clicked_at = started if clicked and self._is_ready(view) else None
        return Changes(prompts=True, history=True, scans=True) | self._update_preview(retry=True)

    # Head lane: prompts -> mask.

    def _update_preview(self, *, retry: bool = False) -> Changes:
        """Show the best answer known to the prompts, and ask for the exact one where it is missing."""
        key, before = self._key(), self._shown
        found = None if key is None else self._previews.nearest(key)
        self._shown = None if found is None else found[1]
        if self._commit_asked is not None and self._commit_asked[0] != key:
            self._commit_asked = None
        changed = None if self._shown is before else union(_box(before), _box(self._shown))
        if key is None or (found is not None and found[0] == key):
            self._head_lane.cancel()
            self._requested = None
            return Changes(preview=changed, busy=True)
        if self._is_ready(key.view):
            self._ask_head(key, found)
            return Changes(preview=changed, busy=True)
        if retry:
            self._halted = ""
        return Changes(preview=changed, busy=True) | self._encode_next()

    def _ask_head(self, key: PreviewKey, known: tuple[PreviewKey, Preview] | None) -> None:
        opened = self._opened
        if opened is None or (self._requested == key and self._head_lane.busy):
            return
        self._requested = key
        request = Request(key, known, self._fresh.get(key.view), opened.reader)
        self._head_lane.submit(partial(self._head.run, request), partial(self._answered, opened, key))

    def _answered(self, opened: Opened, key: PreviewKey, outcome: Outcome) -> None:
        if self._opened is not opened:
            return
        if outcome.error is not None:
            if not outcome.stale:
                self._requested = self._commit_asked = self._clicked_at = None
                self._emit(Changes.failure(outcome.error))
            return
        answer: Answer = outcome.value
        if answer.lost is not None:
            self._lost(key.view, answer.lost)
            return
        for one, preview in answer.previews:
            self._previews.put(one, preview)
        if key != self._key():
            return
        self._requested = None
        if self._clicked_at is not None:
            self._last_click_ms = (time.perf_counter() - self._clicked_at) * 1000
            self._clicked_at = None
        asked = self._commit_asked
        changes = self._update_preview()
        if asked is not None:
            self._commit_asked = None
            try:
                changes |= self._commit_shown(asked[1])
            except MaskwrightError as error:
                changes |= Changes.failure(error)
        self._emit(changes)

    def _lost(self, view: View, error: StoreError) -> None:
        """Stored features could not be read: the slice counts as not ready and is encoded again."""
        self._ready[view.axis][view.index] = False
        self._requested = None
        self._emit(Changes(features=True, message=str(error)) | self._update_preview())

    def _commit_shown(self, label_id: int | None) -> Changes:
        raise NotImplementedError  # the verbs on objects know how

    # Encode lane: slices -> features.

    def _encode_next(self) -> Changes:
        """Start on the slice that is needed most, unless one is being encoded; the next one is chosen when that is done."""
        opened = self._opened
        if opened is None or self._encode_lane.busy or self._halted == "encoder":
            return Changes()
        view = self._next_to_encode()
        if view is None:
            return Changes()
        self._encoding = view
        self._encode_lane.submit(
            partial(encode_and_store, opened, view, self._segmenter), partial(self._encoded, opened, view)
        )
        return Changes(features=True, busy=True)

    def _next_to_encode(self) -> View | None:
        if self.waiting:
            return self._view
        if not self._encode_ahead or self._halted or self._view is None or self._opened is None:
            return None
        middle = self._opened.volume.middle()
        index = nearest(self.ready, self._view.index if self._view.axis == middle.axis else middle.index)
        return None if index is None else View(middle.axis, index)

    def _encoded(self, opened: Opened, view: View, outcome: Outcome) -> None:
        self._encoding = None
        if self._opened is not opened:
            self._emit(self._encode_next())
            return
        if outcome.error is not None:
            self._halted, self._commit_asked = "encoder", None
            self._emit(Changes(features=True) | Changes.failure(outcome.error))
            return
        features, trouble = outcome.value
        changes = Changes(features=True, busy=True)
        self._keep_fresh(view, features, stored=trouble is None)
        if trouble is not None and self._halted != "store":
            self._halted = "store"
            changes |= Changes.failure(trouble)
        elif trouble is None:
            self._halted = ""
        if view == self._view:
            changes |= self._update_preview()
        self._emit(changes | self._encode_next())

    def _keep_fresh(self, view: View, features: Features, *, stored: bool) -> None:
        self._fresh[view] = features
        self._fresh.move_to_end(view)
        if stored:
            self._ready[view.axis][view.index] = True
        while len(self._fresh) > (FRESH if stored else FRESH_WITHOUT_STORE):
            self._fresh.popitem(last=False)


def encode_and_store(opened: Opened, view: View, segmenter: SegmenterSource) -> tuple[Features, StoreError | None]:
    """Features of one slice, and why they could not be stored. Raises ModelError when the encoder cannot run."""
    features = encode_slice(opened.volume, view, segmenter=segmenter(), intensity=opened.intensity)
    if opened.store is None:
        return features, StoreError("features cannot be stored", hint="Slices are encoded when they are clicked.")
    try:
        opened.store.write(view, features)
    except StoreError as error:
        return features, error
    return features, None


def _box(preview: Preview | None) -> tuple[int, int, int, int] | None:
    return None if preview is None else preview.box


def _text(prompt: Prompt) -> str:
    if isinstance(prompt, Point):
        return "point" if prompt.positive else "negative point"
    if isinstance(prompt, Box):
        return "box"
    return "scribble" if isinstance(prompt, Scribble) else "text"


def checked_prompt(prompt: Prompt, shape_yx: tuple[int, int]) -> Prompt:
    """Prompt that lies on the slice at least in part. Raises ScanError when it does not."""
    if isinstance(prompt, Point) and not (
        -0.5 <= prompt.x < shape_yx[1] - 0.5 and -0.5 <= prompt.y < shape_yx[0] - 0.5
    ):
        raise ScanError("the point lies outside the slice", hint="Click on the picture.")
    return prompt
