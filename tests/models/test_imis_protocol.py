"""IMIS-Net's protocol with a segmenter that is seen through: what a round sends, and how figures are averaged."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.errors import ScanError
from maskwright.core.features import Features
from maskwright.core.prompts import Box, Point, Prompts, Text
from maskwright.core.protocol import EvaluationItem
from maskwright.core.stop import Stop
from maskwright.inference import Segmentation
from maskwright_models.evaluate.imis import FIRST_PROMPTS, interact
from tests.fakes import FakeSegmenter

SHAPE = (60, 80)


def square(low: int, high: int) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[low:high, low:high] = 255
    return mask


def item(mask: np.ndarray, name: str, image: str = "a.png", text: str = "") -> EvaluationItem:
    return EvaluationItem(image, name, lambda: np.zeros(SHAPE, np.uint8), lambda: mask, text, "ct")


class Watched(FakeSegmenter):
    """Keeps what it was asked, and answers the square from 10 to ``10 + 5 * (1 + calls for this object)``."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Prompts, bool]] = []

    def segment(
        self, features: Features, prompts: Prompts, *, previous: Segmentation | None = None, stop: Stop | None = None
    ) -> Segmentation:
        self.asked.append((prompts, previous is not None))
        n = 1 if previous is None else int(previous.logits[0, 0]) + 1
        mask = square(10, 10 + 5 * n) == 255
        return Segmentation(mask, np.full(self.card.logits_shape, float(n), np.float32), 0.9)


def test_a_round_sends_its_one_point_with_the_answer_before() -> None:
    segmenter, truth = Watched(), square(10, 30)
    found = interact([item(truth, "m.png")], segmenter=segmenter, name="set", prompts=("point+box",), rounds=7)
    # Rounds reach sides of 5, 10, 15 and 20 pixels, then nothing is wrong any more.
    assert np.allclose(found["point+box"].curves, [[25 / 400, 100 / 400, 225 / 400, 1, 1, 1, 1]])
    first, *later = [p for p, _ in segmenter.asked]
    assert first.items[0] == Box(10, 10, 30, 30) and isinstance(first.items[1], Point) and len(first) == 2
    assert [len(p) for p in later] == [1, 1, 1]
    for n, prompts in enumerate(later):
        (point,) = prompts
        assert isinstance(point, Point) and point.positive and truth[int(point.y), int(point.x)]
        assert max(point.x, point.y) >= 10 + 5 * (n + 1)
    assert [goes_on for _, goes_on in segmenter.asked] == [False, True, True, True]


def test_earlier_prompts_go_along_when_asked_to() -> None:
    segmenter = Watched()
    interact([item(square(10, 30), "m.png")], segmenter=segmenter, name="set", prompts=("box",), rounds=3, resend=True)
    assert [len(p) for p, _ in segmenter.asked] == [1, 2, 3]
    assert segmenter.asked[2][0].items[:2] == segmenter.asked[1][0].items


@pytest.mark.parametrize("kind", FIRST_PROMPTS)
def test_every_first_prompt(kind: str) -> None:
    segmenter = Watched()
    interact([item(square(20, 40), "m.png", text="cyst")], segmenter=segmenter, name="set", prompts=(kind,), rounds=1)
    ((prompts, _),) = segmenter.asked
    want = {"point": Point, "box": Box, "text": Text}
    assert [type(p) for p in prompts] == [want[part] for part in FIRST_PROMPTS[kind]]
    assert prompts.text == ("cyst" if "text" in kind else "")
    for point in prompts:
        assert not isinstance(point, Point) or (np.hypot(point.x - 29.5, point.y - 29.5) < 8.3 and point.positive)


def test_points_come_from_the_seed_and_the_name_alone() -> None:
    def first(items: list[EvaluationItem], seed: int = 42) -> Prompts:
        segmenter = Watched()
        interact(items, segmenter=segmenter, name="set", rounds=1, seed=seed)
        return segmenter.asked[-1][0]

    last = item(square(10, 40), "z.png")
    alone = first([last])
    assert first([item(square(5, 9), "a.png"), last]) == alone == first([last])
    assert first([last], seed=43) != alone
    assert first([item(square(10, 40), "y.png")]) != alone


def test_image_level_is_the_mean_of_the_images_and_mask_level_that_of_the_objects() -> None:
    # First round: a square of 5. Exact for the first object, a quarter and a sixteenth of the others.
    items = [item(square(10, 15), "1.png"), item(square(10, 20), "2.png"), item(square(10, 30), "3.png", image="b.png")]
    items.insert(2, item(np.zeros(SHAPE, np.uint8), "none.png"))
    segmenter, told = Watched(), []
    found = interact(
        items, segmenter=segmenter, name="set", rounds=1, on_object=lambda n, total: told.append((n, total))
    )
    row = found["point"].row()
    assert (row["objects"], row["images"], row["modality"], row["protocol"]) == (3, 2, "ct", "imis")
    assert row["iou"] == [round(((1 + 1 / 4) / 2 + 1 / 16) / 2, 4)]
    assert row["mask_iou"] == [round((1 + 1 / 4 + 1 / 16) / 3, 4)]
    assert row["mask_dice"] == [round((1 + 0.4 + 2 / 17) / 3, 4)]
    assert row["dice"] == [round((0.7 + 2 / 17) / 2, 4)]
    assert segmenter.encoded == 2 and told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_words_need_labels_and_a_set_needs_objects() -> None:
    items = [item(square(10, 20), "1.png"), item(square(10, 20), "2.png", text="cyst")]
    found = interact(items, segmenter=Watched(), name="set", prompts=("point", "text"), rounds=2)
    assert {k: len(v.names) for k, v in found.items()} == {"point": 2, "text": 1}
    with pytest.raises(ScanError, match="no object to measure"):
        interact(items[:1], segmenter=Watched(), name="set", prompts=("text",))
    with pytest.raises(ValueError, match="not 'lasso'"):
        interact(items, segmenter=Watched(), name="set", prompts=("lasso",))
