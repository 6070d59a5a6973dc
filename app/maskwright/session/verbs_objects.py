"""Verbs on objects: commit, delete, show and hide, relabel, replace a mask, import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from maskwright.core.annotation import AnnotationObject
from maskwright.core.edits import Edit
from maskwright.core.errors import AnnotationError
from maskwright.core.labels import Label, LabelSet, next_color
from maskwright.core.mask import Mask
from maskwright.core.prompts import Prompts
from maskwright.core.volume import View, Volume
from maskwright.session.base import CommitWish
from maskwright.session.changes import Changes
from maskwright.session.steps import DraftChange, Head, LabelChange, ObjectChange, Part
from maskwright.session.verbs_prompts import PromptVerbs

_ANNOTATED = Changes(objects=True)


class ObjectVerbs(PromptVerbs):
    """Objects of the shown scan."""

    def commit(self, label_id: int | None = None) -> Changes:
        """Make the preview part of the annotation and clear its prompts.

        With an active object the mask is added to what that object has on this slice; without one a new object is
        made, with this label or else the active one. While the mask is still being computed, the commit happens as
        soon as it is there, even if another slice is shown by then, unless the prompts change first.

        Raises
        ------
        ScanError
            If no scan is open.
        AnnotationError
            If there is no such label.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        self._checked_opened()
        if label_id is not None:
            self._checked_label(label_id)
        key = self._key()
        if key is None:
            return Changes(message="Nothing to commit: click on an object or draw a box first.")
        wish = CommitWish(key, label_id if label_id is not None else self._active_label, self._active_object)
        if not self.preview_is_current:
            self._wish = wish
            return Changes(busy=True)
        return self._commit(wish)

    def _fulfil_wish(self) -> Changes:
        wish = self._wish
        if wish is None or self._previews.get(wish.key) is None:
            return Changes()
        self._wish = None
        return self._commit(wish)

    def _commit(self, wish: CommitWish) -> Changes:
        view, prompts = wish.key.view, wish.key.prompts
        preview = self._previews.get(wish.key)
        if preview is not None and preview.segmentation.not_found:
            sentence = preview.segmentation.not_found_sentence(self._where())
            return Changes(busy=True, message=f"{sentence} Click on it to show where it is.")
        if preview is None or preview.box is None:
            return Changes(busy=True, message="The mask is empty: add a point on the object first.")
        mask = Mask.from_array(preview.segmentation.mask)
        parts: list[Part] = []
        if wish.object_id is not None and wish.object_id in self.annotation:
            one = self.annotation.get(wish.object_id)
            object_id, old, label = one.id, one.masks.get(view), self.labels.get(one.label_id)
            mask = mask if old is None else old | mask
        else:
            label = self._label_for(wish.label_id)
            parts += [] if label.id in self.labels else [LabelChange(None, label)]
            object_id, old = self.annotation.next_id, None
            score = round(float(preview.segmentation.score), 4)
            parts.append(ObjectChange(None, Head(object_id, label.id, True, score)))
        parts += [Edit.between(old, mask, object_id=object_id, view=view), DraftChange(view, prompts, Prompts())]
        changes = self._record("commit", f"commit {label.name}", parts) | _ANNOTATED | Changes(prompts=True)
        changes |= Changes(labels=any(isinstance(part, LabelChange) for part in parts)) | self._update_preview()
        return changes | Changes(preview=preview.box if view == self._view else None)

    def _label_for(self, label_id: int | None) -> Label:
        """Label for a new object; a new one where there is none at all."""
        if label_id is not None and label_id in self.labels:
            return self.labels.get(label_id)
        if self._active_label is not None:
            return self.labels.get(self._active_label)
        return replace(LabelSet.default().labels[0], id=self._next_label_id())

    def _next_label_id(self) -> int:
        """Id that no label has or had, so that undo in another scan never meets a stranger."""
        return max((label.id for label in (*self.labels, *self._state.retired)), default=0) + 1

    def set_active_object(self, object_id: int | None) -> Changes:
        """Choose the object that the next commit adds to, or none. Not an undo step. Raises AnnotationError."""
        if object_id is not None:
            self._checked_object(object_id)
        self._active_object = object_id
        return Changes(objects=True)

    def delete_object(self, object_id: int) -> Changes:
        """Delete an object with all its masks. Raises AnnotationError, or StoreError like every verb."""
        self._checked_object(object_id)
        one = self.annotation.get(object_id)
        edits = [Edit.between(mask, None, object_id=one.id, view=view) for view, mask in one.masks.items()]
        parts: list[Part] = [*edits, ObjectChange(Head.of(one), None)]
        return self._record("delete_object", f"delete {self._name(one)}", parts) | _ANNOTATED

    def set_object_visible(self, object_id: int, *, visible: bool) -> Changes:
        """Show or hide an object. Raises AnnotationError, or StoreError like every verb."""
        self._checked_object(object_id)
        one = self.annotation.get(object_id)
        verb = "show" if visible else "hide"
        return self._change_head(one, replace(Head.of(one), visible=visible), "set_object_visible", verb)

    def set_object_label(self, object_id: int, label_id: int) -> Changes:
        """Give an object another label. Raises AnnotationError, or StoreError like every verb."""
        self._checked_object(object_id)
        self._checked_label(label_id)
        one = self.annotation.get(object_id)
        return self._change_head(one, replace(Head.of(one), label_id=label_id), "set_object_label", "relabel")

    def _change_head(self, one: AnnotationObject, head: Head, verb: str, text: str) -> Changes:
        if head == Head.of(one):
            return Changes()
        return self._record(verb, f"{text} {self._name(one)}", [ObjectChange(Head.of(one), head)]) | _ANNOTATED

    def set_mask(self, object_id: int, view: View, mask: Mask) -> Changes:
        """Replace the mask of an object on one slice; an empty one takes it away.

        Raises
        ------
        AnnotationError
            If there is no such object or slice, or the mask is of another size.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        self._checked_object(object_id)
        _, opened, _ = self._checked_opened()
        _check_mask(opened.volume, view, mask)
        one = self.annotation.get(object_id)
        edit = Edit.between(one.masks.get(view), mask, object_id=object_id, view=view)
        if edit.is_empty:
            return Changes()
        return self._record("set_mask", f"edit {self._name(one)}", [edit]) | _ANNOTATED

    def import_objects(self, objects: Iterable[AnnotationObject], *, labels: LabelSet | None = None) -> Changes:
        """Add objects to the shown scan, under new ids, as one step.

        ``labels`` are those that the objects refer to; they are matched with the project's by name, and what is missing
        is added. Without them the objects refer to the labels of the project.

        Raises
        ------
        AnnotationError
            If a label is missing, or a mask does not fit the scan.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        _, opened, _ = self._checked_opened()
        incoming = tuple(objects)
        if not incoming:
            return Changes(message="There is nothing to import.")
        for one in incoming:
            for view, mask in one.masks.items():
                _check_mask(opened.volume, view, mask)
        ids, parts = self._match_labels({one.label_id for one in incoming}, labels)
        for object_id, one in enumerate(incoming, self.annotation.next_id):
            parts.append(ObjectChange(None, Head(object_id, ids[one.label_id], one.visible, one.score)))
            parts += [Edit.between(None, mask, object_id=object_id, view=view) for view, mask in one.masks.items()]
        count = f"{len(incoming)} object" + ("s" if len(incoming) != 1 else "")
        changes = self._record("import_objects", f"import {count}", parts)
        return changes | _ANNOTATED | Changes(labels=True, message=f"Imported {count}.")

    def _match_labels(self, needed: set[int], labels: LabelSet | None) -> tuple[Mapping[int, int], list[Part]]:
        """Id in the project for every id in ``labels``, and the labels to add for that."""
        if labels is None:
            for label_id in needed:
                self._checked_label(label_id)
            return {label_id: label_id for label_id in needed}, []
        ids: dict[int, int] = {}
        parts: list[Part] = []
        next_id, colors = self._next_label_id(), [label.color for label in self.labels]
        for label_id in sorted(needed):
            if label_id not in labels:
                raise AnnotationError(f"an imported object has the label {label_id}, which is not in the file")
            label = labels.get(label_id)
            known = self.labels.by_name(label.name)
            if known is None:
                color = label.color if label.color not in colors else next_color(tuple(colors))
                known, next_id = replace(label, id=next_id, color=color), next_id + 1
                colors.append(color)
                parts.append(LabelChange(None, known))
            ids[label_id] = known.id
        return ids, parts

    def _name(self, one: AnnotationObject) -> str:
        return f"{self.labels.get(one.label_id).name} {one.id}"


def _check_mask(volume: Volume, view: View, mask: Mask) -> None:
    if view.axis not in (0, 1, 2) or not 0 <= view.index < volume.n_slices(view.axis):
        raise AnnotationError(f"the scan has no slice {view.index} along axis {view.axis}")
    if mask.shape_yx != volume.slice_shape(view.axis):
        raise AnnotationError(
            f"a mask of {mask.shape_yx[0]} x {mask.shape_yx[1]} does not fit a slice of "
            f"{volume.slice_shape(view.axis)[0]} x {volume.slice_shape(view.axis)[1]}",
            hint="Choose the annotation that was made on this scan.",
        )
