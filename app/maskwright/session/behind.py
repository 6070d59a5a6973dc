"""What runs behind the clicks: slices and crops -> features, then a closer look and where the model is unsure.

All of it gives way to a click. The encoder is stopped in the middle of a slice, which is encoded again later, and goes
on when the click is answered; what only improves an answer is dropped when there is a newer one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.core.features import Features
from maskwright.core.stop import Stop, Stopped
from maskwright.core.volume import View
from maskwright.session.base import SessionBase
from maskwright.session.changes import Changes, Rectangle
from maskwright.session.crops import Target
from maskwright.session.jobs import Outcome
from maskwright.session.opened import Opened, SegmenterSource
from maskwright.session.precompute import encode_slice, nearest
from maskwright.session.preview import Preview, PreviewKey

if TYPE_CHECKING:
    from maskwright.inference import Segmentation, Uncertainty

FRESH = 4
"""Slices whose features are kept in memory after they were encoded."""
FRESH_WITHOUT_STORE = 24
"""The same while the features cannot be stored."""
REST_S = 0.1
"""How long the encoder stays quiet after a click was answered: its mask is painted, and often another click follows."""


class WorkBehind(SessionBase, ABC):
    """The lanes that a click does not wait for."""

    @property
    def uncertainty(self) -> Uncertainty | None:
        """Where the model is unsure of the preview; None where it is not to be shown, or not known yet."""
        if not self._wants_doubt or self._doubt is None or self._shown is None:
            return None
        return self._doubt[1] if self._doubt[0] is self._shown.segmentation else None

    @property
    def shows_uncertainty(self) -> bool:
        """Whether it is to be found out and shown."""
        return self._wants_doubt

    def show_uncertainty(self, *, on: bool) -> Changes:
        """Find out from now on where the model is unsure, or no longer. Not an undo step."""
        self._wants_doubt = on
        self._look_next()
        return Changes(preview=self._whole())

    @abstractmethod
    def _unanswered(self) -> PreviewKey | None:
        """What the head has to answer next."""

    @abstractmethod
    def _update_preview(self) -> Changes:
        """Show the best answer known to the prompts, and see to it that what is not answered yet will be."""

    @abstractmethod
    def _ask_head(self, key: PreviewKey) -> None:
        """Have prompts on a slice that is ready answered."""

    def _give_way(self) -> None:
        """A click is about to be answered."""
        self._encode_stop.set()
        self._look_stop.set()
        self._look_lane.cancel()

    def _forget_work(self) -> None:
        """What runs belongs to a scan or a model of before."""
        self._give_way()
        self._crops.clear()
        self._encoding = self._target = self._seen = self._looked = self._doubt = None

    def _whole(self) -> Rectangle | None:
        if self._opened is None or self._view is None:
            return None
        height, width = self._opened.volume.slice_shape(self._view.axis)
        return 0, 0, width, height

    # Encode lane: slices and crops -> features.

    def _encode_next(self) -> Changes:
        """Start on what is needed most, unless something is in work or a click is being answered."""
        opened = self._opened
        if opened is None or self._halted == "encoder":
            return Changes()
        target = self._next_to_encode()
        urgent = target is not None and target.view == self._waited_for()
        if self._encode_lane.busy:
            crop = self._target is not None and self._target.box is not None
            if (urgent or crop) and self._target != target:  # a crop that nobody wants any more
                self._encode_stop.set()
            return Changes()
        if target is None or self._head_lane.busy:
            return Changes()
        self._target, self._encoding = target, target.view if target.box is None else None
        self._encode_stop = Stop()
        rest_s = REST_S if self._rests and not urgent else 0.0
        self._rests = False
        work = partial(encode_and_store, opened, target, self._segmenter, stop=self._encode_stop, rest_s=rest_s)
        self._encode_lane.submit(work, partial(self._encoded, opened, target))
        return Changes(features=True, busy=True)

    def _waited_for(self) -> View | None:
        """Slice that is not ready and was clicked on."""
        wanted = self._unanswered()
        return None if wanted is None or self._is_ready(wanted.view) else wanted.view

    def _next_to_encode(self) -> Target | None:
        """First what a click waits for, then what makes its answer better, then the slices around."""
        waited_for, key = self._waited_for(), self._key()
        if waited_for is not None:
            return Target(waited_for)
        if key is not None and self._shown is not None and self._previews.get(key) is self._shown:
            box = self._shown.segmentation.wants_crop
            if box is not None and self._halted != "encoder" and box not in self._crops.of(key.view):
                return Target(key.view, box)
        if not self._encode_ahead or self._halted or self._view is None or self._opened is None:
            return None
        middle = self._opened.volume.middle()
        index = nearest(self.ready, self._view.index if self._view.axis == middle.axis else middle.index)
        return None if index is None else Target(View(middle.axis, index))

    def _encoded(self, opened: Opened, target: Target, outcome: Outcome) -> None:
        self._encoding = self._target = None
        if self._opened is not opened:
            self._emit(self._encode_next())
            return
        if outcome.error is not None:
            self._halted, self._wish = "encoder", None
            self._emit(Changes(features=True) | Changes.failure(outcome.error))
            return
        changes = Changes(features=True, busy=True)
        if outcome.value is not None:  # None where it gave way
            features, trouble = outcome.value
            if target.box is not None:
                self._crops.put(target, features)
            else:
                changes |= self._keep_fresh(target.view, features, trouble) | self._update_preview()
        self._emit(changes | self._encode_next())
        self._look_next()

    def _keep_fresh(self, view: View, features: Features, trouble: MaskwrightError | None) -> Changes:
        """Take the features of a slice over; ``trouble`` is why they could not be stored."""
        changes = Changes() if trouble is None or self._halted == "store" else Changes.failure(trouble)
        self._halted = "" if trouble is None else "store"
        self._fresh[view] = features
        self._fresh.move_to_end(view)
        if trouble is None:
            self._ready[view.axis][view.index] = True
        while len(self._fresh) > (FRESH if trouble is None else FRESH_WITHOUT_STORE):
            self._fresh.popitem(last=False)
        return changes

    # Look lane: a closer look at what is on the screen, and where the model is unsure of it.

    def _look_next(self) -> None:
        """Start on what is still to be found out about the answer on the screen, when nothing is more urgent."""
        opened, key, shown = self._opened, self._key(), self._shown
        if opened is None or key is None or shown is None or self._previews.get(key) is not shown:
            return
        if self._head_lane.busy or self._look_lane.busy:
            return
        box, crops = shown.segmentation.wants_crop, self._crops.of(key.view)
        closer = box is not None and box in crops
        comes = box is not None and not closer and self._halted != "encoder"
        if not closer and (comes or not self._wants_doubt or self.uncertainty is not None):
            return
        if self._looked is not None and self._looked[0] is shown and self._looked[1] == closer:
            return  # once is enough, also where it failed
        features = self._features_at(key.view)
        if features is None:
            if self._is_ready(key.view):
                self._ask_head(key)  # has them read
            return
        self._looked = (shown, closer)
        self._look_stop = Stop()
        features, source = features.with_crops(crops.get), self._segmenter
        if closer:
            before = self._previews.get(key.before())
            if before is None and len(key.prompts) > 1:
                return  # forgotten: without it the answer would be another one
            previous = None if before is None else before.segmentation
            work = partial(look_closer, source, features, key, previous, stop=self._look_stop)
        else:
            work = partial(find_doubt, source, features, key, shown.segmentation, stop=self._look_stop)
        self._look_lane.submit(work, partial(self._was_looked_at, opened, key, shown))

    def _was_looked_at(self, opened: Opened, key: PreviewKey, shown: Preview, outcome: Outcome) -> None:
        if self._opened is not opened or outcome.stale or self._shown is not shown or key != self._key():
            self._look_next()
            return
        if outcome.error is not None:
            self._emit(Changes.failure(outcome.error))
        elif isinstance(outcome.value, Preview):
            self._previews.put(key, outcome.value)
            self._emit(self._update_preview() | self._encode_next())
        elif outcome.value is not None:
            self._doubt = (shown.segmentation, outcome.value)
            self._emit(Changes(preview=self._whole()))
        self._look_next()

    def _features_at(self, view: View) -> Features | None:
        """Features of a slice that are in memory."""
        if self._seen is not None and self._seen[0] == view:
            return self._seen[1]
        return self._fresh.get(view)


Encoded = tuple[Features, MaskwrightError | None]


def encode_and_store(
    opened: Opened, target: Target, segmenter: SegmenterSource, *, stop: Stop, rest_s: float = 0.0
) -> Encoded | None:
    """Features of a slice, stored, and why they could not be, or those of a part of it, which are not stored.

    None where it gave way. Raises ModelError when the encoder cannot run.
    """
    try:
        stop.rest(rest_s)
        features = encode_slice(
            opened.volume, target.view, segmenter=segmenter(), intensity=opened.intensity, box=target.box, stop=stop
        )
    except Stopped:
        return None
    if target.box is not None:
        return features, None
    if opened.store is None:
        return features, opened.trouble
    try:
        opened.store.write(target.view, features)
    except StoreError as error:
        return features, error
    return features, None


def look_closer(
    segmenter: SegmenterSource, features: Features, key: PreviewKey, previous: Segmentation | None, *, stop: Stop
) -> Preview | None:
    """The answer to prompts again, with the features of the crop that it wanted; None where it gave way."""
    try:
        return Preview.of(segmenter().segment(features, key.prompts, previous=previous, stop=stop))
    except Stopped:
        return None


def find_doubt(
    segmenter: SegmenterSource, features: Features, key: PreviewKey, shown: Segmentation, *, stop: Stop
) -> Uncertainty | None:
    """Where the model is unsure of an answer; None where it gave way."""
    try:
        return segmenter().uncertainty(features, key.prompts, shown, stop=stop)
    except Stopped:
        return None
