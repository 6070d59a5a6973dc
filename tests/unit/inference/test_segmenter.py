"""OnnxSegmenter on a small model of the contract: geometry, memory, choice of candidate, and what runs how often."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from maskwright.core.errors import ModelError
from maskwright.core.features import Features
from maskwright.core.fingerprint import fingerprint
from maskwright.core.geometry import Geometry
from maskwright.core.preprocess import STRETCH, Intensity, SliceTransform, intensity_for
from maskwright.core.prompts import Box, Point, Prompts, Scribble, Text
from maskwright.core.volume import View, Volume
from maskwright.inference import OnnxSegmenter
from maskwright.inference.ort import make_session
from maskwright.inference.segmenter import prompt_points
from maskwright.session.precompute import encode_slice
from tests.unit.inference.tiny_models import CELLS, RADIUS, SIZE, make_model, save_encoder, write_card

CLICK = Prompts().add(Point(60, 20))
BLACK, WHITE = np.zeros((48, 96), np.uint8), np.full((48, 96), 255, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path)


@pytest.fixture
def segmenter(folder: Path) -> OnnxSegmenter:
    return OnnxSegmenter(folder, threads=1)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was opened and run."""
    seen: Counter[str] = Counter()

    class Counting:
        def __init__(self, path: Path, *, threads: int | None = None, awake: bool = False) -> None:
            self.name, self.session = path.stem, make_session(path, threads=threads, awake=awake)
            seen[f"{self.name} opened"] += 1

        def get_inputs(self) -> Any:
            return self.session.get_inputs()

        def run(self, *arguments: Any) -> Any:
            seen[f"{self.name} run"] += 1
            return self.session.run(*arguments)

    monkeypatch.setattr("maskwright.inference.segmenter.make_session", Counting)
    return seen


# Prompts as tensors.


def test_prompts_become_points_in_the_order_they_were_given() -> None:
    transform = SliceTransform((48, 96), SIZE)  # 2 / 3 of a pixel a pixel
    prompts = Prompts().add(Point(0, 0)).add(Box(10.5, 4.5, 58.5, 25.5)).add(Point(94.75, 22.75, positive=False))
    coords, labels = prompt_points(prompts, transform)
    assert (coords.dtype, labels.dtype) == (np.float32, np.float32)
    assert labels.tolist() == [[1, 2, 3, 0]]
    want = [[-1 / 6, -1 / 6], [6.5, 2.5], [38.5, 16.5], [63, 15]]
    assert coords.shape == (1, 4, 2) and np.abs(coords[0] - want).max() < 1e-4


def test_a_box_round_all_pixels_ends_where_the_slice_ends() -> None:
    coords, _ = prompt_points(Prompts().add(Box(0, 0, 96, 48)), SliceTransform((48, 96), SIZE))
    assert np.abs(coords[0] - [[-0.5, -0.5], [63.5, 31.5]]).max() < 1e-5


def test_only_the_newest_box_counts_even_when_it_is_the_same_one() -> None:
    transform, box = SliceTransform((64, 64), SIZE), Box(1, 2, 11, 12)
    prompts = Prompts().add(box).add(Point(3, 3)).add(box)
    coords, labels = prompt_points(prompts, transform)
    assert labels.tolist() == [[1, 2, 3]]
    assert coords.tolist() == [[[3, 3], [0.5, 1.5], [10.5, 11.5]]]
    assert prompt_points(prompts.add(Box(0, 0, 4, 4)), transform)[0].tolist() == [[[3, 3], [-0.5, -0.5], [3.5, 3.5]]]


def test_a_stroke_is_dense_in_pixels_of_the_model_not_of_the_scan() -> None:
    stroke = Prompts().add(Scribble(np.array([[0, 10], [960, 10]]), positive=False))
    coords, labels = prompt_points(stroke, SliceTransform((480, 960), SIZE))
    assert labels.tolist() == [[0, 0, 0, 0, 0]]
    assert np.abs(np.diff(coords[0, :, 0]) - 16).max() < 1e-4


def test_no_prompt_is_one_pad() -> None:
    for prompts in (Prompts(), Prompts().add(Text("cup"))):
        coords, labels = prompt_points(prompts, SliceTransform((8, 8), SIZE))
        assert coords.shape == (1, 1, 2) and labels.tolist() == [[-1]]


# Encoding.


def test_features_are_what_the_card_says(segmenter: OnnxSegmenter) -> None:
    features = segmenter.encode(WHITE)
    assert features.shape_yx == (48, 96)
    (array,) = features.arrays
    assert (array.shape, array.dtype) == ((1, 3, 4, 4), np.float16)
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        assert np.abs(array[0, channel, :2] - (1 - mean) / std).max() < 2e-3
    assert (array[0, :, 2:] == 0).all()


def test_the_card_decides_mean_and_fit(folder: Path) -> None:
    write_card(folder, mean_rgb=(0.0, 0.0, 0.0), std_rgb=(0.5, 0.5, 0.25), preprocessing=STRETCH)
    (array,) = OnnxSegmenter(folder, threads=1).encode(WHITE).arrays
    assert (array[0].min((1, 2)).tolist(), array[0].max((1, 2)).tolist()) == ([2, 2, 4], [2, 2, 4])


def test_grey_levels_go_through_the_range_of_the_scan(segmenter: OnnxSegmenter) -> None:
    hounsfield = np.full((64, 64), 40, np.int16)
    middle = segmenter.encode(np.full((64, 64), 128, np.uint8)).arrays[0]
    assert np.array_equal(segmenter.encode(hounsfield, intensity=Intensity(-88, 167)).arrays[0], middle)
    ct = segmenter.encode(np.full((64, 64), 80, np.int16), modality="ct").arrays[0]
    assert np.array_equal(ct, segmenter.encode(np.full((64, 64), 153, np.uint8)).arrays[0])
    assert not np.array_equal(segmenter.encode(hounsfield, modality="mr").arrays[0], middle)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4), (4, 4, 1), (0, 5), (2, 3, 4, 3)])
def test_what_is_no_picture_is_refused(segmenter: OnnxSegmenter, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="an image is"):
        segmenter.encode(np.zeros(shape, np.uint8))


def test_features_do_not_depend_on_how_the_scan_is_shown(segmenter: OnnxSegmenter, tmp_path: Path) -> None:
    voxels = np.random.default_rng(4).integers(-900, 900, (3, 40, 50), np.int16)
    geometry = Geometry((3, 40, 50), np.eye(4))
    volumes = [Volume(voxels, geometry, "ct", tmp_path, header_window=w) for w in (None, (40, 400), (500, 3000))]
    first, *others = [
        encode_slice(v, View(0, 1), segmenter=segmenter, intensity=intensity_for(v.voxels, v.modality)) for v in volumes
    ]
    assert first.arrays[0].std() > 0.1
    assert all(np.array_equal(one.arrays[0], first.arrays[0]) for one in others)
    assert len({fingerprint(v) for v in volumes}) == 1


# Segmenting.


@pytest.mark.parametrize("shape", [(48, 96), (96, 48), (64, 64), (300, 500), (20, 30)])
@pytest.mark.parametrize("at", [(0.5, 0.5), (0.36, 0.6), (0.64, 0.36)])
def test_the_mask_lies_where_the_click_was(
    segmenter: OnnxSegmenter, shape: tuple[int, int], at: tuple[float, float]
) -> None:
    x, y = at[0] * (shape[1] - 1), at[1] * (shape[0] - 1)
    features = segmenter.encode(np.zeros(shape, np.uint8))
    answer = segmenter.segment(features, Prompts().add(Point(x, y)))
    assert (answer.mask.shape, answer.mask.dtype) == (shape, np.bool_)
    assert (answer.logits.shape, answer.logits.dtype) == ((CELLS, CELLS), np.float32)
    assert answer.score == pytest.approx(0.7) and answer.state is None and answer.label == ""
    pixel = max(shape) / SIZE  # of the model, in pixels of the slice
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    away = np.hypot(xx - x, yy - y)
    assert answer.mask[away <= (RADIUS - 0.55) * pixel].all()
    assert not answer.mask[away >= (RADIUS + 0.55) * pixel].any()


def test_the_best_score_decides_which_candidate_counts(segmenter: OnnxSegmenter) -> None:
    dark, bright = (segmenter.segment(segmenter.encode(image), CLICK) for image in (BLACK, WHITE))
    level = float(segmenter.encode(WHITE).arrays[0].astype(np.float32).mean())
    assert dark.score == pytest.approx(0.7) and bright.score == pytest.approx(level, abs=1e-3) and level > 0.7
    assert np.array_equal(bright.logits, -dark.logits)
    assert dark.mask[20, 60] and not bright.mask[20, 60]


def test_the_answer_before_is_gone_on_from_and_not_changed(segmenter: OnnxSegmenter) -> None:
    features = segmenter.encode(BLACK)
    first = segmenter.segment(features, CLICK)
    kept = first.logits.copy()
    elsewhere = Prompts().add(Point(20, 20))
    second = segmenter.segment(features, elsewhere, previous=first)
    fresh = segmenter.segment(features, elsewhere)
    assert np.array_equal(second.logits, np.maximum(first.logits, fresh.logits))
    assert second.mask[first.mask | fresh.mask].all() and not fresh.mask[first.mask].any()
    assert np.array_equal(first.logits, kept)


def test_a_family_that_remembers_gets_its_memory_back(tmp_path: Path) -> None:
    segmenter = OnnxSegmenter(make_model(tmp_path, state=True), threads=1)
    features = segmenter.encode(BLACK)
    answers = [segmenter.segment(features, CLICK)]
    for _ in range(3):
        answers.append(segmenter.segment(features, CLICK, previous=answers[-1]))
    states = [a.state for a in answers]
    assert [float(s[0, 0]) for s in states if s is not None] == [1, 2, 3, 4]
    undone = segmenter.segment(features, CLICK, previous=answers[1]).state
    assert undone is not None and float(undone[0, 0]) == 3
    again = segmenter.segment(features, CLICK).state
    assert again is not None and float(again[0, 0]) == 1


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_any_number_of_points_is_one_run(segmenter: OnnxSegmenter, counts: Counter[str], count: int) -> None:
    counting = OnnxSegmenter(segmenter.folder, threads=1)
    prompts = Prompts(tuple(Point(2 * i + 5, 24) for i in range(count)))
    answer = counting.segment(segmenter.encode(BLACK), prompts)
    assert counts["head run"] == 1
    assert all(answer.mask[24, 2 * i + 5] for i in range(count))


def test_text_is_refused_by_a_model_that_does_not_read(segmenter: OnnxSegmenter) -> None:
    with pytest.raises(ModelError, match="model tiny does not take text") as caught:
        segmenter.segment(segmenter.encode(BLACK), CLICK.add(Text("cup")))
    assert caught.value.hint == "Use clicks, a box or a scribble."


# What runs how often.


def test_one_click_is_one_run_of_the_head_and_no_encode(folder: Path, counts: Counter[str]) -> None:
    segmenter = OnnxSegmenter(folder, threads=1)
    assert counts == {"head opened": 1}
    features = segmenter.encode(BLACK)
    assert counts == {"head opened": 1, "encoder opened": 1, "encoder run": 1}
    answer = None
    for _ in range(5):
        answer = segmenter.segment(features, CLICK, previous=answer)
    assert counts == {"head opened": 1, "encoder opened": 1, "encoder run": 1, "head run": 5}
    segmenter.encode(WHITE)
    assert counts["encoder opened"] == 1 and counts["encoder run"] == 2


def test_threads_wait_awake_for_the_head_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[str, bool] = {}

    def telling(path: Path, *, threads: int | None = None, awake: bool = False) -> Any:
        opened[path.stem] = awake
        return make_session(path, threads=threads, awake=awake)

    monkeypatch.setattr("maskwright.inference.segmenter.make_session", telling)
    segmenter = OnnxSegmenter(folder, threads=1)
    segmenter.segment(segmenter.encode(BLACK), CLICK)
    assert opened == {"head": True, "encoder": False}


def test_a_card_may_have_its_first_answer_read_again(folder: Path, counts: Counter[str]) -> None:
    once = OnnxSegmenter(folder, threads=1)
    features = once.encode(BLACK)
    first = once.segment(features, CLICK)
    again = once.segment(features, CLICK, previous=first)
    write_card(folder, first_passes=2)
    twice = OnnxSegmenter(folder, threads=1)
    counts.clear()
    answer = twice.segment(features, CLICK)
    assert counts["head run"] == 2 and (answer.logits == again.logits).all()
    twice.segment(features, CLICK, previous=answer)
    assert counts["head run"] == 3


def test_features_from_elsewhere_need_no_encoder(folder: Path) -> None:
    features = OnnxSegmenter(folder, threads=1).encode(BLACK)
    (folder / "encoder.onnx").unlink()
    laptop = OnnxSegmenter(folder, threads=1)
    assert laptop.segment(features, CLICK).mask[20, 60]
    with pytest.raises(ModelError, match="the encoder of model tiny is missing"):
        laptop.encode(BLACK)


def test_encode_and_segment_run_at_the_same_time(folder: Path, counts: Counter[str]) -> None:
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (48, 96), np.uint8) for _ in range(4)]
    clicks = [Prompts().add(Point(float(x), 20)) for x in (15, 35, 60, 80)]
    alone = OnnxSegmenter(folder, threads=1)
    features = [alone.encode(image) for image in images]
    masks = [alone.segment(f, c).mask for f, c in zip(features, clicks, strict=True)]
    counts.clear()
    shared, start = OnnxSegmenter(folder, threads=1), threading.Barrier(4)

    def work(lane: int) -> bool:
        start.wait(20)
        good = True
        for turn in range(12):
            k = (lane + turn) % 4
            if lane % 2:
                good &= np.array_equal(shared.encode(images[k]).arrays[0], features[k].arrays[0])
            else:
                good &= np.array_equal(shared.segment(features[k], clicks[k]).mask, masks[k])
        return good

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [True] * 4
    assert counts == {"head opened": 1, "encoder opened": 1, "head run": 24, "encoder run": 24}


# Models that do not keep the contract.


def test_a_model_that_knows_boxes_alone_refuses_the_rest_in_a_sentence(folder: Path) -> None:
    write_card(folder, prompts=("box",))
    segmenter = OnnxSegmenter(folder, threads=1)
    features = segmenter.encode(BLACK)
    with pytest.raises(ModelError, match="does not take clicks"):
        segmenter.segment(features, CLICK)
    with pytest.raises(ModelError, match="does not take a scribble"):
        segmenter.segment(features, Prompts((Scribble(np.zeros((2, 2), np.float32)),)))
    assert segmenter.segment(features, Prompts((Box(10, 10, 30, 30), Text("")))).mask.any()


def test_garbage_with_the_right_hash_is_one_sentence(folder: Path) -> None:
    (folder / "head.onnx").write_bytes(b"not an onnx file")
    write_card(folder)
    with pytest.raises(ModelError, match="cannot open this file") as caught:
        OnnxSegmenter(folder)
    assert caught.value.path == folder / "head.onnx"


def test_a_broken_encoder_is_found_at_the_first_encode_and_each_time(folder: Path) -> None:
    features = OnnxSegmenter(folder, threads=1).encode(BLACK)
    (folder / "encoder.onnx").write_bytes(b"not an onnx file")
    write_card(folder)
    segmenter = OnnxSegmenter(folder, threads=1)
    for _ in range(2):
        with pytest.raises(ModelError, match="cannot open this file"):
            segmenter.encode(BLACK)
    assert segmenter.segment(features, CLICK).mask[20, 60]


def _other_size(folder: Path) -> None:
    save_encoder(folder / "encoder.onnx", size=32)


def _swapped(folder: Path) -> None:
    (folder / "encoder.onnx").write_bytes((folder / "head.onnx").read_bytes())


@pytest.mark.parametrize("change", [_other_size, _swapped])
def test_an_encoder_that_differs_from_its_card_is_one_sentence(folder: Path, change: Callable[[Path], None]) -> None:
    change(folder)
    write_card(folder)
    with pytest.raises(ModelError, match="does not run as its card says"):
        OnnxSegmenter(folder, threads=1).encode(BLACK)


def test_features_that_do_not_fit_the_head_are_one_sentence(segmenter: OnnxSegmenter) -> None:
    with pytest.raises(ModelError, match="does not run as its card says"):
        segmenter.segment(Features((np.zeros((1, 3, 5, 5), np.float16),), (48, 96)), CLICK)
