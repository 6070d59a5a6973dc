"""Verbs on labels, which all scans of a project share."""

from __future__ import annotations

from dataclasses import replace

from maskwright.core.errors import AnnotationError
from maskwright.core.labels import Color, Label
from maskwright.io.journal import PROJECT
from maskwright.session.changes import Changes
from maskwright.session.steps import LabelChange, ObjectChange, Step
from maskwright.session.verbs_objects import ObjectVerbs

_LABELLED = Changes(labels=True)


class LabelVerbs(ObjectVerbs):
    """Labels of the project."""

    @property
    def suggested_label(self) -> str:
        """Name that the present prompts suggest for the new object, empty where they suggest none or it has it already.

        It is what the model sees in the mask, where it says so, else the words that the mask was found by.
        """
        preview = self.preview
        if preview is None or not self.preview_is_current or self.active_object is not None or not preview.mask.any():
            return ""
        name = preview.label or ("" if preview.missing else " ".join(self.prompts.text.split()))
        known = self.labels.by_name(name)
        return "" if known is not None and known.id == self.active_label else name

    def use_label(self, name: str) -> Changes:
        """Make the label of this name the active one; where there is none it is added, with its code if known.

        Raises like `add_label`.
        """
        known = self.labels.by_name(name)
        if known is not None:
            return self.set_active_label(known.id)
        about = {} if self.model_card is None else self.model_card.extra.get("text", {})
        return self.add_label(name, code=str(about.get("codes", {}).get(name.casefold(), "")))

    def add_label(self, name: str, color: Color | None = None, *, code: str = "") -> Changes:
        """Add a label and make it the active one; ``code`` is its entry in a terminology, such as ``SCT:10200004``.

        Raises
        ------
        AnnotationError
            If the name is empty or taken.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        _, label = self.labels.add(name, color, code=code)
        label = replace(label, id=self._next_label_id())
        changes = self._record("add_label", f"add label {label.name}", [LabelChange(None, label)])
        self._choose_label(label.id)
        return changes | _LABELLED

    def rename_label(self, label_id: int, name: str) -> Changes:
        """Give a label another name. Raises AnnotationError if it is empty or taken, or StoreError like every verb."""
        self._checked_label(label_id)
        return self._change_label(self.labels.rename(label_id, name).get(label_id), "rename_label", "rename label")

    def recolor_label(self, label_id: int, color: Color) -> Changes:
        """Give a label another colour, RGB 0 to 255. Raises AnnotationError, or StoreError like every verb."""
        self._checked_label(label_id)
        return self._change_label(self.labels.recolor(label_id, color).get(label_id), "recolor_label", "recolour label")

    def _change_label(self, label: Label, verb: str, text: str) -> Changes:
        old = self.labels.get(label.id)
        if label == old:
            return Changes()
        changes = self._record(verb, f"{text} {old.name}", [LabelChange(old, label)])
        return changes | _LABELLED | Changes(objects=True)

    def remove_label(self, label_id: int) -> Changes:
        """Remove a label that no object of any scan has.

        Raises
        ------
        AnnotationError
            If there is none of this id, or it is in use.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        self._checked_label(label_id)
        label = self.labels.get(label_id)
        step = Step((LabelChange(label, None),))
        self._check_labels(step)
        return self._record("remove_label", f"remove label {label.name}", step.parts) | _LABELLED

    def set_active_label(self, label_id: int) -> Changes:
        """Choose the label of the next object. Not an undo step. Raises AnnotationError if there is none of this id."""
        self._checked_label(label_id)
        self._choose_label(label_id)
        return Changes(labels=True)

    def _check_labels(self, step: Step) -> None:
        """Raise AnnotationError if a step takes away a label that an object of any scan has."""
        for part in step.parts:
            if not isinstance(part, LabelChange) or part.old is None or part.new is not None:
                continue
            gone = {one.old.id for one in step.parts if isinstance(one, ObjectChange) and one.old and not one.new}
            here = [one.id for one in self.annotation.objects if one.label_id == part.old.id and one.id not in gone]
            scan = PROJECT if self.scan is None else self.scan.id
            elsewhere = 0 if self._project is None else self._project.label_uses(part.old.id, except_scan=scan)
            if here or elsewhere:
                raise AnnotationError(
                    f'the label "{part.old.name}" is in use by {len(here) + elsewhere} object(s)',
                    hint="Delete them or give them another label first.",
                )
