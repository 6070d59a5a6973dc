"""Verbs on labels, which all scans of a project share."""

from __future__ import annotations

from dataclasses import replace

from maskwright.core.errors import AnnotationError
from maskwright.core.labels import Color, Label
from maskwright.session.changes import Changes
from maskwright.session.steps import LabelChange, Step
from maskwright.session.verbs_objects import ObjectVerbs

_LABELLED = Changes(labels=True, history=True, scans=True)


class LabelVerbs(ObjectVerbs):
    """Labels of the project."""

    def add_label(self, name: str, color: Color | None = None) -> Changes:
        """Add a label and make it the active one.

        Raises
        ------
        AnnotationError
            If the name is empty or taken.
        StoreError
            If it cannot be written down; nothing has changed then.
        """
        _, label = self.labels.add(name, color)
        label = replace(label, id=self._next_label_id())
        self._record("add_label", f"add label {label.name}", [LabelChange(None, label)])
        self._choose_label(label.id)
        return _LABELLED

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
        self._record(verb, f"{text} {old.name}", [LabelChange(old, label)])
        return _LABELLED | Changes(objects=True)

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
        self._record("remove_label", f"remove label {label.name}", step.parts)
        return _LABELLED

    def set_active_label(self, label_id: int) -> Changes:
        """Choose the label of the next object. Not an undo step. Raises AnnotationError if there is none of this id."""
        self._checked_label(label_id)
        self._choose_label(label_id)
        return Changes(labels=True)

    def _check_labels(self, step: Step) -> None:
        """Raise AnnotationError if a step takes away a label that an object of any scan has."""
        scan = 0 if self.scan is None else self.scan.id
        for part in step.parts:
            if (
                isinstance(part, LabelChange)
                and part.old is not None
                and part.new is None
                and self._project is not None
            ):
                here = sum(1 for one in self.annotation.objects if one.label_id == part.old.id)
                elsewhere = self._project.label_uses(part.old.id, except_scan=scan)
                if elsewhere or (here and step.parts == (part,)):
                    raise AnnotationError(
                        f'the label "{part.old.name}" is in use by {here + elsewhere} object(s)',
                        hint="Delete them or give them another label first.",
                    )
