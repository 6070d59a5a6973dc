"""The click protocol with a segmenter: the figures of an independent program, and what is run how often."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.core.errors import ScanError
from maskwright.core.features import Features
from maskwright.core.preprocess import Intensity
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.core.protocol import EvaluationItem, middle_stroke
from maskwright.core.stop import Stop
from maskwright.inference import Segmentation
from maskwright.inference.evaluate import evaluate, evaluate_prompts
from maskwright.inference.uncertainty import Uncertainty
from maskwright.io.evaluation_set import read_evaluation_set
from tests.fakes import FakeSegmenter

TIMES = ("encode_ms_median", "click_ms_median", "click_ms_p95")
SHAPE = (70, 100)


class Grower(FakeSegmenter):
    """A segmenter that takes what is as bright as the clicked pixel, more loosely with each prompt; boxes bound it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Prompts, bool]] = []

    def encode(
        self,
        image: np.ndarray,
        *,
        modality: str | None = None,
        intensity: Intensity | None = None,
        stop: Stop | None = None,
    ) -> Features:
        self.encoded += 1
        assert image.flags.c_contiguous
        return Features((image.astype(np.float32).reshape(*image.shape[:2], -1)[..., 0],), image.shape[:2])

    def segment(
        self, features: Features, prompts: Prompts, *, previous: Segmentation | None = None, stop: Stop | None = None
    ) -> Segmentation:
        self.asked.append((prompts, previous is not None))
        level, mask = features.arrays[0], np.zeros(features.shape_yx, bool)
        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
        if prompts.box is not None:
            box = prompts.box
            mask = (x >= box.x0 + 2) & (x < box.x1) & (y >= box.y0 + 2) & (y < box.y1)
        if prompts.text:
            mask = level > 150
        for point in prompts:
            if isinstance(point, Point):
                near = (x - point.x) ** 2 + (y - point.y) ** 2 <= (6 + 2 * len(prompts)) ** 2
                like = np.abs(level - level[int(point.y), int(point.x)]) < 12 + 6 * len(prompts)
                mask = mask | (near & like) if point.positive else mask & ~(near & like)
        return Segmentation(mask, np.zeros((16, 16), np.float32), 0.5)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Grey and colour images; nested, thin, touching and ignored regions; one empty mask; labels for some."""
    root, rng = tmp_path / "übung", np.random.default_rng(7)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    regions = {
        "a#1": (x - 30) ** 2 + (y - 30) ** 2 <= 20**2,
        "a#2": (x - 30) ** 2 + (y - 30) ** 2 <= 8**2,
        "a#3": (np.abs(y - 60) < 3) & (x > 5) & (x < 95),
        "b": (x < 50) & (y < 40),
        "c#1": (x > 60) ^ (y > 50),
        "c#2": np.zeros(SHAPE, bool),
    }
    for name in "abc":
        level = np.full(SHAPE, 90.0)
        for key, mask in regions.items():
            level[mask & (key[0] == name)] += 60
        noisy = np.clip(level + rng.normal(0, 9, SHAPE), 0, 255).astype(np.uint8)
        pixels = noisy if name == "b" else np.dstack([noisy // 2, noisy // 3, noisy])
        save(root / "images" / f"{name}.png", pixels)
    for key, mask in regions.items():
        pixels = mask.astype(np.uint8) * 255
        if key == "c#1":
            pixels[cv2.dilate(pixels, np.ones((5, 5), np.uint8)) != pixels] = 128
        save(root / "masks" / f"{key}.png", pixels)
    (root / "labels.csv").write_text('a#1.png,disk\na#3.png,"a, bar"\nb.png,corner\n', "utf-8")
    return root


@pytest.mark.parametrize(
    "options", [[], ["--prompt", "box"], ["--prompt", "text"], ["--clicks", "2"], ["--limit", "3"]]
)
@pytest.mark.filterwarnings("ignore:unclosed file .*labels.csv:ResourceWarning")  # the program's, not ours
def test_the_numbers_are_those_of_the_independent_program(
    options: list[str],
    folder: Path,
    shared_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = shared_folder / "eval" / "noc.py"
    if not program.is_file():
        pytest.skip(f"the independent program is not at {program}")
    spec = importlib.util.spec_from_file_location("noc", program)
    assert spec is not None and spec.loader is not None
    noc = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noc)
    theirs_ran, ours_ran, out = Grower(), Grower(), tmp_path / "noc.json"
    monkeypatch.setattr("maskwright.inference.load_segmenter", lambda *arguments, **named: theirs_ran)
    monkeypatch.setattr(sys, "argv", ["noc.py", str(folder), "--json", str(out), *options])
    noc.main()
    capsys.readouterr()
    theirs = json.loads(out.read_text("utf-8"))
    curves = theirs.pop("curves")
    told = dict(zip(options[::2], options[1::2], strict=True))
    limit, clicks = told.get("--limit"), int(told.get("--clicks", "20"))
    result = evaluate(
        read_evaluation_set(folder, limit=int(limit) if limit else None),
        segmenter=ours_ran,
        name=folder.name,
        prompt=told.get("--prompt", "click"),
        clicks=clicks,
    )
    ours = result.summary()
    for one in (ours, theirs):
        for name in ("model", *TIMES):
            one.pop(name)
    assert ours == theirs
    assert dict(zip(result.names, result.curves.round(4).tolist(), strict=True)) == curves
    assert len({tuple(row) for row in curves.values()}) == len(curves)
    assert ours_ran.encoded == theirs_ran.encoded == ours["images"]
    assert ours_ran.asked == theirs_ran.asked


def item(mask: np.ndarray, *, image: str = "a.png", text: str = "") -> EvaluationItem:
    return EvaluationItem(image, "m.png", lambda: np.zeros(mask.shape, np.uint8), lambda: mask, text)


def square(low: int = 20, high: int = 41) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[low:high, low:high] = 255
    return mask


class Exact(Grower):
    """Right from click ``when`` on, empty before."""

    def __init__(self, when: int) -> None:
        super().__init__()
        self.when = when

    def segment(
        self, features: Features, prompts: Prompts, *, previous: Segmentation | None = None, stop: Stop | None = None
    ) -> Segmentation:
        self.asked.append((prompts, previous is not None))
        mask = square() == 255 if len(prompts) >= self.when else np.zeros(SHAPE, bool)
        return Segmentation(mask, np.zeros((16, 16), np.float32), 0.5)


@pytest.mark.parametrize(("when", "runs", "noc"), [(1, 1, 1.0), (3, 3, 3.0), (8, 8, 8.0), (30, 20, 20.0)])
def test_clicks_stop_when_nothing_is_wrong_any_more(when: int, runs: int, noc: float) -> None:
    segmenter = Exact(when)
    result = evaluate([item(square())], segmenter=segmenter, name="set")
    assert len(segmenter.asked) == len(result.click_ms) == runs
    assert result.curves.tolist() == [[0.0] * (min(when, 21) - 1) + [1.0] * max(0, 21 - when)]
    summary = result.summary()
    assert (summary["noc@80"], summary["noc@90"], summary["nof@90"]) == (noc, noc, int(when > 20))
    assert [p for p, _ in segmenter.asked][0] == Prompts((Point(30.0, 30.0),))
    assert [goes_on for _, goes_on in segmenter.asked] == [False] + [True] * (runs - 1)


def test_one_encode_an_image_however_many_objects() -> None:
    segmenter, told = Exact(1), []
    items = [item(square()), item(square()), item(square(), image="b.png"), item(square() * 0, image="b.png")]
    result = evaluate(items, segmenter=segmenter, name="set", on_object=lambda done, total: told.append((done, total)))
    assert segmenter.encoded == 2 and len(result.names) == 3
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_box_a_stroke_or_words_come_first() -> None:
    stroke = Scribble(middle_stroke(square() == 255))
    for prompt, first in (("box", Box(20, 20, 41, 41)), ("scribble", stroke), ("text", Text("cup"))):
        segmenter = Exact(2)
        evaluate([item(square(), text="cup")], segmenter=segmenter, name="set", prompt=prompt)
        assert [p.items[0] for p, _ in segmenter.asked] == [first, first]
        assert segmenter.asked[1][0].items[1] == Point(30.0, 30.0)


@pytest.mark.parametrize(("prompt", "said"), [("click", "no object to measure"), ("text", "no object with a label")])
def test_a_set_with_nothing_to_measure_is_an_error(prompt: str, said: str) -> None:
    items = [item(square() * 0)] if prompt == "click" else [item(square())]
    with pytest.raises(ScanError, match=said):
        evaluate(items, segmenter=Grower(), name="set", prompt=prompt)


def test_an_unknown_first_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'lasso'"):
        evaluate([item(square())], segmenter=Grower(), name="set", prompt="lasso")


def test_few_clicks_give_few_figures() -> None:
    summary: dict[str, Any] = evaluate([item(square())], segmenter=Exact(2), name="set", clicks=2).summary()
    assert {k: v for k, v in summary.items() if k[:3] in ("iou", "dic")} == {"iou@1": 0.0, "iou@2": 1.0, "dice@1": 0.0}
    assert (summary["folder"], summary["model"], summary["prompt"], summary["objects"]) == ("set", "fake", "click", 1)


def test_several_first_prompts_share_the_encodes_and_change_nothing(folder: Path) -> None:
    items = read_evaluation_set(folder)
    together = Grower()
    found = evaluate_prompts(items, segmenter=together, name="set", prompts=("click", "box", "text"), clicks=6)
    assert together.encoded == 3
    for prompt, one in found.items():
        alone = evaluate(items, segmenter=Grower(), name="set", prompt=prompt, clicks=6)
        assert one.names == alone.names and np.array_equal(one.curves, alone.curves) and one.prompt == prompt
    assert len(found["text"].names) == 3 and len(found["click"].names) == 5


def test_a_first_prompt_without_objects_is_left_out() -> None:
    found = evaluate_prompts([item(square())], segmenter=Exact(1), name="set", prompts=("click", "text"))
    assert list(found) == ["click"]


class Scored(Grower):
    """Each click adds a fifth of the object, but the third gives one back; says 0.1 more than it reaches."""

    def segment(
        self, features: Features, prompts: Prompts, *, previous: Segmentation | None = None, stop: Stop | None = None
    ) -> Segmentation:
        truth = features.arrays[0] > 0
        rows = np.flatnonzero(truth.any(1))
        n = {1: 1, 2: 2, 3: 1}.get(len(prompts), 5)
        mask = truth.copy()
        mask[rows[0] + n * len(rows) // 5 :] = False
        return Segmentation(mask, np.zeros((16, 16), np.float32), n / 5 + 0.1)


def test_details_of_curve_sizes_and_calibration() -> None:
    def of(mask: np.ndarray) -> EvaluationItem:
        return EvaluationItem(f"{mask.sum()}.png", f"{mask.sum()}.png", lambda: mask, lambda: mask, "", "ct")

    small, large = square(20, 25), square(10, 60)
    items = [of(small), of(large)]
    run = evaluate_prompts(items, segmenter=Scored(), name="set", prompts=("click",), clicks=12, keep=(1, 3, 10))[
        "click"
    ]
    details = run.details()
    assert details["modality"] == "ct"
    assert details["curve"] == [0.2, 0.4, 0.2] + [1.0] * 9
    assert (details["largest_drop"], details["largest_drop_at"], details["monotone"]) == (0.2, 3, False)
    # Clicks 1 to 4, then nothing is wrong any more: eight answers, each 0.1 too sure of itself.
    assert details["answers"] == 8 and np.isclose(details["ece"], 0.1)
    assert sum(row[0] for row in details["reliability"]) == 8 and len(details["reliability"]) == 15
    assert {k: v["objects"] for k, v in details["sizes"].items()} == {"<1 %": 1, ">20 %": 1}
    assert details["sizes"]["<1 %"]["noc@90"] == 4.0 and details["sizes"]["<1 %"]["curve"] == details["curve"]
    assert [sorted(k) for k in run.kept] == [[1, 3, 10]] * 2
    assert run.kept[1][10].area == (large == 255).sum() and run.kept[1][3].area == run.kept[1][1].area
    json.dumps(details)


class Doubtful(Scored):
    """Is in doubt about the last row of what is missing, far from the error's centre; after three clicks no more."""

    def segment(
        self,
        features: Features,
        prompts: Prompts,
        *,
        previous: Segmentation | None = None,
        stop: Stop | None = None,
    ) -> Segmentation:
        self.asked.append((prompts, previous is not None))
        answer, n = super().segment(features, prompts, previous=previous), len(prompts)
        rows = np.flatnonzero((features.arrays[0] > 0).any(1))
        place = (20.0, float(rows[-1] - n), False) if n < 4 else None
        found = Uncertainty(np.zeros(SHAPE, np.float32), 0.5 - 0.1 * n, place)
        return Segmentation(answer.mask, answer.logits, answer.score, ask=lambda: found)


def test_clicks_where_the_model_proposes_carry_the_sign_of_the_user() -> None:
    truth, segmenter = square(10, 60), Doubtful()
    items = [EvaluationItem("a", "m.png", lambda: truth, lambda: truth)]
    found = evaluate_prompts(items, segmenter=segmenter, name="set", prompts=("proposal",), doubt=(1, 3, 10))
    (points,) = [p.items for p, _ in segmenter.asked][-1:]
    assert points == (
        Point(34.0, 34.0),  # the centre: nothing to propose before there is an answer
        Point(20.0, 58.0),
        Point(20.0, 57.0),
        Point(20.0, 56.0),  # the model says background each time, the user knows better
    )
    run = found["proposal"]
    assert {k: v.round(6).tolist() for k, v in run.doubts.items()} == {1: [0.4], 3: [0.2], 10: [0.1]}
    assert run.details()["doubt"] == {"1": [[0.4, 0.2]], "3": [[0.2, 0.2]], "10": [[0.1, 1.0]]}


def test_who_checks_a_proposal_clicks_it_only_in_an_error() -> None:
    truth, segmenter = square(10, 60), Doubtful()
    items = [EvaluationItem("a", "m.png", lambda: truth, lambda: truth)]
    evaluate(items, segmenter=segmenter, name="set", prompt="checked")
    (points,) = [p.items for p, _ in segmenter.asked][-1:]
    assert points[:2] == (Point(34.0, 34.0), Point(20.0, 58.0))  # the mask lacks the row that is proposed
    wrong, segmenter = square(10, 60), Scored()
    sure = Uncertainty(np.zeros(SHAPE, np.float32), 0.1, (0.0, 0.0, True))  # the corner is background in the mask too
    answered = segmenter.segment

    def segment(*args: Any, **options: Any) -> Segmentation:
        return dataclasses.replace(answered(*args, **options), ask=lambda: sure)

    segmenter.segment = segment  # type: ignore[method-assign]
    items = [EvaluationItem("a", "m.png", lambda: wrong, lambda: wrong)]
    found = evaluate(items, segmenter=segmenter, name="set", prompt="checked")
    assert np.array_equal(found.curves, evaluate(items, segmenter=Scored(), name="set").curves)


def test_without_a_doubt_of_its_own_a_model_gets_the_clicks_of_the_protocol() -> None:
    items = [EvaluationItem("a", "m.png", square, square)]
    segmenter, plain = Scored(), Scored()
    proposed = evaluate_prompts(items, segmenter=segmenter, name="set", prompts=("proposal",), doubt=(1,))["proposal"]
    assert np.array_equal(proposed.curves, evaluate(items, segmenter=plain, name="set").curves)
    assert np.isnan(proposed.doubts[1]).all() and proposed.details()["doubt"] == {}
