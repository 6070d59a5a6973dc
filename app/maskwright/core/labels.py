"""Labels: what an object is called, the colour it is shown in, and a palette that colour-blind eyes can tell apart."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from maskwright.core.errors import AnnotationError

Color = tuple[int, int, int]

# Okabe & Ito (2008) without black, then colours picked one by one to lie farthest (CIELAB, as seen with normal sight,
# protanopia, deuteranopia and tritanopia) from all before them, at a lightness that stands out on a dark scan.
PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (153, 51, 255),
    (187, 238, 153),
    (0, 255, 221),
    (221, 0, 68),
    (153, 119, 255),
    (204, 170, 85),
    (153, 255, 119),
    (136, 204, 153),
    (153, 85, 119),
)


@dataclass(frozen=True, slots=True)
class Label:
    """Name under which objects are annotated.

    Parameters
    ----------
    id
        1 or more; 0 is the background in every exported mask. Never changes, whatever the label is renamed to.
    name
        Unique in its set, upper and lower case counted as the same.
    color
        RGB, 0 to 255.
    code
        Terminology code, such as ``SCT:10200004``, or empty.
    attributes
        Further (key, value) pairs, kept in order.
    """

    id: int
    name: str
    color: Color
    code: str = ""
    attributes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.id < 1:
            raise ValueError(f"label ids start at 1, not {self.id}")
        if len(self.color) != 3 or not all(isinstance(c, int) and 0 <= c <= 255 for c in self.color):
            raise ValueError(f"a colour is three whole numbers from 0 to 255, not {self.color}")
        name = " ".join(self.name.split())
        if not name:
            raise AnnotationError("a label needs a name", hint="Type one.")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "color", tuple(self.color))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file or the journal."""
        return {
            "id": self.id,
            "name": self.name,
            "color": list(self.color),
            "code": self.code,
            "attributes": [list(pair) for pair in self.attributes],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Label:
        """Label from what `to_json` gave; code and attributes may be missing.

        Raises
        ------
        AnnotationError
            If a field is missing or has the wrong form.
        """
        try:
            attributes = tuple((str(key), str(value)) for key, value in data.get("attributes", ()))
            red, green, blue = (int(c) for c in data["color"])
            return cls(int(data["id"]), str(data["name"]), (red, green, blue), str(data.get("code", "")), attributes)
        except (KeyError, TypeError, ValueError) as error:
            raise AnnotationError(f"a stored label is damaged ({error})") from error


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels of a project, in the order they are listed; ids and names are unique."""

    labels: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if len({label.id for label in self.labels}) != len(self.labels):
            raise ValueError("two labels have the same id")
        names = [label.name.casefold() for label in self.labels]
        for label in self.labels:
            if names.count(label.name.casefold()) > 1:
                raise AnnotationError(f'there is already a label "{label.name}"', hint="Choose another name.")

    @classmethod
    def default(cls) -> LabelSet:
        """Labels of a new project: one, "Object"."""
        return cls((Label(1, "Object", PALETTE[0]),))

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label_id: object) -> bool:
        return any(label.id == label_id for label in self.labels)

    @property
    def next_id(self) -> int:
        """Id that `add` will give."""
        return max((label.id for label in self.labels), default=0) + 1

    def get(self, label_id: int) -> Label:
        """Label with this id.

        Raises
        ------
        KeyError
            If there is none.
        """
        for label in self.labels:
            if label.id == label_id:
                return label
        raise KeyError(label_id)

    def by_name(self, name: str) -> Label | None:
        """Label with this name, upper and lower case counted as the same, or None."""
        wanted = " ".join(name.split()).casefold()
        return next((label for label in self.labels if label.name.casefold() == wanted), None)

    def add(self, name: str, color: Color | None = None, *, code: str = "") -> tuple[LabelSet, Label]:
        """Set with one label more, and that label; without a colour it gets the first one not in use.

        Raises
        ------
        AnnotationError
            If the name is empty or taken.
        """
        label = Label(self.next_id, name, color or next_color(tuple(one.color for one in self.labels)), code)
        return LabelSet((*self.labels, label)), label

    def rename(self, label_id: int, name: str) -> LabelSet:
        """Set with another name for one label.

        Raises
        ------
        AnnotationError
            If the name is empty or taken.
        """
        return self.with_label(replace(self.get(label_id), name=name))

    def recolor(self, label_id: int, color: Color) -> LabelSet:
        """Set with another colour for one label."""
        return self.with_label(replace(self.get(label_id), color=color))

    def remove(self, label_id: int) -> LabelSet:
        """Set without one label; KeyError if there is none of this id."""
        gone = self.get(label_id)
        return LabelSet(tuple(label for label in self.labels if label is not gone))

    def with_label(self, label: Label) -> LabelSet:
        """Set in which this label replaces the one of its id, or comes last when its id is new."""
        if label.id not in self:
            return LabelSet((*self.labels, label))
        return LabelSet(tuple(label if one.id == label.id else one for one in self.labels))

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values for a file or the journal."""
        return [label.to_json() for label in self.labels]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> LabelSet:
        """Set from what `to_json` gave; AnnotationError if it is damaged."""
        return cls(tuple(Label.from_json(one) for one in data))


def next_color(used: tuple[Color, ...]) -> Color:
    """First palette colour not in use; past the palette, hues by the golden ratio, light and dark in turn."""
    for color in PALETTE:
        if color not in used:
            return color
    n = len(used) - len(PALETTE)
    red, green, blue = colorsys.hls_to_rgb((0.1 + n * 0.6180339887) % 1.0, 0.45 if n % 2 else 0.7, 0.8)
    return round(red * 255), round(green * 255), round(blue * 255)
