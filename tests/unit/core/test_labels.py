"""Labels: unique names and ids, and a palette that stays apart for every kind of colour vision."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from maskwright.core.errors import AnnotationError
from maskwright.core.labels import PALETTE, Label, LabelSet, next_color

# Machado, Oliveira & Fernandes (2009), severity 1.0, for linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])


def lab(color: tuple[int, int, int], sight: str) -> np.ndarray:
    """CIELAB of an sRGB colour as a kind of colour vision sees it."""
    c = np.array(color) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    t = XYZ @ seen / np.array([0.95047, 1.0, 1.08883])
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_palette_colours_stay_apart(sight: str) -> None:
    seen = [lab(color, sight) for color in PALETTE]
    apart = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 15  # a difference of 2.3 is just noticeable


def test_the_measure_sees_what_colour_blind_eyes_confuse() -> None:
    red, green = (200, 80, 0), (110, 120, 0)
    assert np.linalg.norm(lab(red, "normal") - lab(green, "normal")) > 50
    assert np.linalg.norm(lab(red, "deuteranopia") - lab(green, "deuteranopia")) < 15


def test_a_new_project_has_one_label() -> None:
    labels = LabelSet.default()
    assert [(label.id, label.name, label.color) for label in labels] == [(1, "Object", PALETTE[0])]


def test_add_gives_the_next_id_and_an_unused_colour() -> None:
    labels, liver = LabelSet.default().add("Liver", code="SCT:10200004")
    assert (liver.id, liver.color, liver.code) == (2, PALETTE[1], "SCT:10200004")
    labels, red = labels.add("Red", (255, 0, 0))
    assert (red.id, red.color, len(labels)) == (3, (255, 0, 0), 3)
    assert labels.remove(2).add("Again")[1] == Label(4, "Again", PALETTE[1])


def test_names_are_unique_and_never_empty() -> None:
    labels = LabelSet.default()
    with pytest.raises(AnnotationError, match='already a label "Object"'):
        labels.add(" object ")
    with pytest.raises(AnnotationError, match="needs a name"):
        labels.add("  \n ")
    both, _ = labels.add("Liver")
    with pytest.raises(AnnotationError, match="already a label"):
        both.rename(2, "OBJECT")
    assert both.rename(2, "LIVER").get(2).name == "LIVER"


def test_by_name_ignores_case_and_spaces() -> None:
    labels, label = LabelSet.default().add("Left  Kidney")
    assert labels.by_name(" left kidney") == label
    assert labels.by_name("kidney") is None


def test_rename_recolor_remove_touch_one_label() -> None:
    labels, _ = LabelSet.default().add("Liver")
    changed = labels.rename(1, "Thing").recolor(1, (1, 2, 3))
    assert changed.get(1) == Label(1, "Thing", (1, 2, 3))
    assert changed.get(2) == labels.get(2)
    assert [label.id for label in changed.remove(1)] == [2]
    for verb in (labels.get, labels.remove):
        with pytest.raises(KeyError):
            verb(9)


def test_json_brings_the_same_set_back() -> None:
    labels = LabelSet((Label(3, "Ünïcode", (1, 2, 3), "RID:58", (("side", "left"),)), Label(1, "B", (0, 0, 0))))
    assert LabelSet.from_json(json.loads(json.dumps(labels.to_json()))) == labels


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"id": 1, "name": "A"},
        {"id": "x", "name": "A", "color": [1, 2, 3]},
        {"id": 0, "name": "A", "color": [1, 2, 3]},
        {"id": 1, "name": "A", "color": [1, 2, 300]},
    ],
)
def test_damaged_json_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(AnnotationError, match="damaged"):
        Label.from_json(bad)


def test_colours_past_the_palette_are_new() -> None:
    used = list(PALETTE)
    for _ in range(40):
        used.append(next_color(tuple(used)))
    assert len(set(used)) == len(PALETTE) + 40
    assert next_color(PALETTE[1:]) == PALETTE[0]


def test_two_labels_of_one_id_are_a_programmer_error() -> None:
    with pytest.raises(ValueError, match="same id"):
        LabelSet((Label(1, "A", (0, 0, 0)), Label(1, "B", (0, 0, 0))))
