"""Verbs on prompts, and the lane that turns them into a mask."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from maskwright.core.errors import MaskwrightError
from maskwright.core.prompts import Box, Point, Prompt, Prompts, Scribble, Text
from maskwright.session.behind import WorkBehind
from maskwright.session.changes import Changes, Rectangle, union
from maskwright.session.jobs import Outcome
from maskwright.session.opened import Opened
from maskwright.session.preview import Answer, Preview, PreviewKey, Request
from maskwright.session.steps import DraftChange


class PromptVerbs(WorkBehind, ABC):
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
        return self._change_prompts("add_prompt", _text(prompt), lambda before: before.add(prompt), clicked=True)

    @property
    def not_found(self) -> str:
        """That the words name nothing on the shown slice, as a sentence; empty where they do, or are not answered."""
        preview = self.preview
        return "" if preview is None or not self.preview_is_current else preview.not_found_sentence(self._where())

    def _where(self) -> str:
        return "picture" if self.volume is None or self.volume.is_photo else "slice"

    def say(self, text: str) -> Changes:
        """Let words name what is meant, in place of those said before; no words take those away.

        Raises like `add_prompt`.
        """
        words = " ".join(text.split())

        def change(before: Prompts) -> Prompts:
            others = tuple(prompt for prompt in before if not isinstance(prompt, Text))
            return Prompts((*others, Text(words)) if words else others)

        return self._change_prompts("say", "text" if words else "remove text", change, clicked=True)

    def remove_last_prompt(self) -> Changes:
        """Remove the newest prompt; nothing happens where there is none. Raises like `add_prompt`."""
        return self._change_prompts("remove_last_prompt", "remove prompt", Prompts.without_last, clicked=False)

    def clear_prompts(self) -> Changes:
        """Remove all prompts of the shown slice; nothing happens where there are none. Raises like `add_prompt`."""
        return self._change_prompts("clear_prompts", "clear prompts", lambda _: Prompts(), clicked=False)

    def _change_prompts(self, verb: str, text: str, change: Callable[[Prompts], Prompts], *, clicked: bool) -> Changes:
        started = time.perf_counter()
        _, _, view = self._checked_opened()
        before = self.prompts
        after = change(before)
        if after == before:
            return Changes()
        changes = self._record(verb, text, [DraftChange(view, before, after)])
        self._clicked_at = started if clicked and self._is_ready(view) else None
        return changes | Changes(prompts=True) | self._update_preview(retry=True)

    # Head lane: prompts -> mask.

    def _update_preview(self, *, retry: bool = False) -> Changes:
        """Show the best answer known to the prompts, and see to it that what is not answered yet will be."""
        key, before, unsure = self._key(), self._shown, self.uncertainty is not None
        found = None if key is None else self._previews.nearest(key)
        self._shown = None if found is None else found[1]
        changes = Changes(
            preview=None if self._shown is before else union(_box(before), _box(self._shown)),
            busy=True,
        )
        if unsure and self.uncertainty is None:
            changes |= Changes(preview=self._whole())
        if self._wish is not None and not self._still_there(self._wish.key):
            self._wish = None
        wanted = self._unanswered()
        if wanted is None:
            self._head_lane.cancel()
            self._requested = None
            return changes | self._encode_next()
        if self._is_ready(wanted.view):
            self._ask_head(wanted)
            return changes
        if retry and self._halted == "encoder":
            self._halted = ""
        return changes | self._encode_next()

    def _unanswered(self) -> PreviewKey | None:
        """What the head has to answer next: the prompts on screen, else those that a commit waits for."""
        keys = (self._key(), None if self._wish is None else self._wish.key)
        return next((key for key in keys if key is not None and self._previews.get(key) is None), None)

    def _still_there(self, key: PreviewKey) -> bool:
        """Whether these prompts are still those of their slice."""
        opened = self._opened
        return opened is not None and key.scan == opened.fingerprint and self._state.drafts.get(key.view) == key.prompts

    def _ask_head(self, key: PreviewKey) -> None:
        opened = self._opened
        if opened is None or (self._requested == key and self._head_lane.busy):
            return
        self._requested = key
        self._give_way()
        crops = self._crops.of(key.view)
        request = Request(key, self._previews.nearest(key), self._fresh.get(key.view), opened.reader, crops)
        self._head_lane.submit(partial(self._head.run, request), partial(self._answered, opened, key))

    def _answered(self, opened: Opened, key: PreviewKey, outcome: Outcome) -> None:
        self._rests = True
        changes = self._take_answer(key, outcome) if self._opened is opened else Changes()
        self._emit(changes | self._encode_next())
        self._look_next()

    def _take_answer(self, key: PreviewKey, outcome: Outcome) -> Changes:
        if not outcome.stale:
            self._requested = None
        if outcome.error is not None:
            if outcome.stale:
                return Changes()
            self._wish = self._clicked_at = None
            return Changes.failure(outcome.error)
        answer: Answer = outcome.value
        if answer.lost is not None:
            # the stored features are damaged: the slice counts as not ready and is encoded again
            self._ready[key.view.axis][key.view.index] = False
            return Changes(features=True, message=str(answer.lost)) | self._update_preview()
        for one, preview in answer.previews:
            self._previews.put(one, preview)
        if answer.features is not None:
            self._seen = (key.view, answer.features)
        if key == self._key() and self._clicked_at is not None:
            self._last_click_ms = (time.perf_counter() - self._clicked_at) * 1000
            self._clicked_at = None
        changes = self._update_preview()
        try:
            changes |= self._fulfil_wish()
        except MaskwrightError as error:
            changes |= Changes.failure(error)
        return changes

    @abstractmethod
    def _fulfil_wish(self) -> Changes:
        """Do the commit that waited for its mask, if that is there now; the verbs on objects know how."""


def _box(preview: Preview | None) -> Rectangle | None:
    return None if preview is None else preview.box


def _text(prompt: Prompt) -> str:
    if isinstance(prompt, Point):
        return "point" if prompt.positive else "negative point"
    if isinstance(prompt, Box):
        return "box"
    return "scribble" if isinstance(prompt, Scribble) else "text"
