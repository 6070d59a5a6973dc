"""Changes: which parts of a session a verb or a worker changed, so that a screen repaints no more than that."""

from __future__ import annotations

from dataclasses import dataclass, fields

from maskwright.core.errors import MaskwrightError

Rectangle = tuple[int, int, int, int]
"""(x0, y0, x1, y1), half-open, pixels of the shown slice."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What to look at again.

    Attributes
    ----------
    scan
        Another scan is shown: everything that depends on it changed.
    scans
        The list of scans of the project, or the status of one.
    view
        Another slice is shown.
    prompts
        The prompts of the shown slice.
    objects
        Objects, their masks, their visibility, or which one is active.
    labels
        Labels, or which one is active.
    features
        Which slices are ready, or which one is being encoded.
    history
        What undo and redo would do.
    model
        Another model answers.
    busy
        Whether something is being opened, waited for or computed.
    preview
        Rectangle of the shown slice in which the preview mask, or where the model is unsure of it, changed.
    message
        One plain sentence for the user, or empty.
    error
        Set when the message is a failure that deserves a dialog.
    """

    scan: bool = False
    scans: bool = False
    view: bool = False
    prompts: bool = False
    objects: bool = False
    labels: bool = False
    features: bool = False
    history: bool = False
    model: bool = False
    busy: bool = False
    preview: Rectangle | None = None
    message: str = ""
    error: MaskwrightError | None = None

    def __or__(self, other: Changes) -> Changes:
        """Both: flags of either, the rectangle around both, the sentences one after the other."""
        flags = {
            field.name: getattr(self, field.name) or getattr(other, field.name)
            for field in fields(self)
            if field.name not in ("preview", "message")
        }
        return Changes(
            **flags,
            preview=union(self.preview, other.preview),
            message=" ".join(dict.fromkeys(part for part in (self.message, other.message) if part)),
        )

    def __bool__(self) -> bool:
        return self != Changes()

    @classmethod
    def failure(cls, error: MaskwrightError) -> Changes:
        """A failure to show; nothing else changed, except that nothing is being waited for any more."""
        return cls(busy=True, message=str(error), error=error)


def union(one: Rectangle | None, other: Rectangle | None) -> Rectangle | None:
    """Smallest rectangle around both; None stands for no pixels."""
    if one is None or other is None:
        return one if other is None else other
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
