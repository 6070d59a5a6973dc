"""Adapting a head: what is trained on and kept back, what is encoded, and that a worse head never ships."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskwright.core.errors import AnnotationError, ModelError, StoreError
from maskwright.core.mask import Mask
from maskwright.core.metrics import iou
from maskwright.core.volume import View
from maskwright.inference import OnnxSegmenter
from maskwright.inference.model_folder import CARD, check_files, read_card
from maskwright_models.__main__ import main
from maskwright_models.adapt import judge as judging
from maskwright_models.adapt import run as running
from maskwright_models.adapt.clock import Clock
from maskwright_models.adapt.files import write_head
from maskwright_models.adapt.items import Item, Material, Place, Split, folder_material, project_material, split, spread
from maskwright_models.adapt.run import ADAPTED, KEPT, Options, adapt
from maskwright_models.adapt.shelf import Seen, crop_round
from maskwright_models.adapt.training import Draw, Recipe, between, is_frozen, sample_of, train_head
from maskwright_models.export.read_back import TRAINED_WITH, read_head
from maskwright_models.zoo.dinov2_imsa import TEXT_WIDTH, Head
from tests.models.adapt_cases import SHAPE, disk, make_base, make_folder, make_project, small_head, with_entries

QUICK = Recipe(least_steps=8, looks=1, rate=8e-3, objects=3, pull=0.0, warmup_steps=1, average=0.6)
"""Enough for an untrained head to find what is bright."""
LONG = Options(minutes=1e6, extra=0, threads=1)


class Counting(OnnxSegmenter):
    """Counts what the encoder is asked."""

    encoded = 0

    def encode(self, image: np.ndarray, **options: Any) -> Any:
        type(self).encoded += 1
        return super().encode(image, **options)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer clicks, and an encoder that counts."""
    monkeypatch.setattr(judging, "CLICKS", 4)
    monkeypatch.setattr(running, "OnnxSegmenter", Counting)
    Counting.encoded = 0


def items(*counts: Sequence[int]) -> list[Item]:
    """Masks on scans: for each scan how many each of its slices has."""
    mask = Mask.from_array(np.ones((2, 2), bool))
    return [
        Item(Place(scan + 1, View(0, z)), "a", mask)
        for scan, slices in enumerate(counts)
        for z, n in enumerate(slices)
        for _ in range(n)
    ]


def places(part: Sequence[Item]) -> set[Place]:
    return {item.place for item in part}


# What is trained on, and what is kept back.


def test_whole_scans_are_kept_back() -> None:
    given = items(*[[2, 1]] * 8)
    for seed in range(5):
        found = split(given, seed=seed)
        assert found.by == "scan" and (len(found.held), len(found.trained)) == (6, 18)
        assert not {p.scan for p in places(found.held)} & {p.scan for p in places(found.trained)}
    assert len({tuple(sorted(places(split(given, seed=s).held))) for s in range(5)}) > 1
    assert places(split(given, seed=3).held) == places(split(given, seed=3).held)


def test_of_one_volume_slices_that_follow_each_other_are_kept_back() -> None:
    for seed in range(5):
        found = split(items([1] * 20), seed=seed)
        held = sorted(p.view.index for p in places(found.held))
        assert found.by == "slice" and len(held) == 5
        gaps = [b - a for a, b in zip(held, [*held[1:], held[0] + 20], strict=True)]
        assert Counter(gaps)[1] == 4  # one stretch, which may go on at the first slice


def test_two_large_scans_are_parted_by_slice_rather_than_in_half() -> None:
    found = split(items([1] * 10, [1] * 10))
    assert found.by == "slice" and len(found.held) == 5


def test_a_number_of_images_can_be_asked_for() -> None:
    found = split(items(*[[1]] * 12), images=5)
    assert (len(found.trained), len(found.held), found.by) == (5, 7, "scan")
    with pytest.raises(AnnotationError, match="cannot be parted"):
        split(items(*[[1]] * 12), images=12)


def test_too_few_masks_are_refused_in_plain_words() -> None:
    for given, words in (
        (items(*[[1]] * 7), "photos has 7 accepted masks, and fewer than 8 say too little"),
        (items([9]), "all 9 masks of photos lie on one slice"),
    ):
        with pytest.raises(AnnotationError, match=words) as caught:
            Material("photos", tuple(given), {}).check()
        assert "Accept" in caught.value.hint
    Material("photos", tuple(items(*[[1]] * 8)), {}).check()
    with pytest.raises(AnnotationError, match="the 8 masks cannot be parted"):
        split(items([7, 1]))


def test_spread_takes_some_of_all() -> None:
    assert [i.place.scan for i in spread(items(*[[1]] * 9), 3)] == [1, 5, 9]
    assert len(spread(items([2]), 5)) == 2


# Features.


def test_a_cut_holds_its_object_and_stays_in_the_picture() -> None:
    cuts = [crop_round((30, 40, 50, 80), (90, 120), np.random.default_rng(n)) for n in range(50)]
    for c in cuts:
        assert 0 <= c.y0 <= 30 and 50 <= c.y1 <= 90 and 0 <= c.x0 <= 40 and 80 <= c.x1 <= 120
        assert 48 <= c.x1 - c.x0 <= 120
    assert len({(c.y0, c.x0, c.y1, c.x1) for c in cuts}) > 20 and {c.mirrored for c in cuts} == {True, False}
    whole = crop_round((0, 0, 10, 300), (10, 300), np.random.default_rng(0))
    assert (whole.y0, whole.x0, whole.y1, whole.x1) == (0, 0, 10, 300)


# Training.


def seen(head: Head, numbers: Sequence[int], *, label: str = "Coin") -> list[Seen]:
    """Views whose features and truths are made without an encoder."""
    out = []
    config = head.config
    for n in numbers:
        truth = np.zeros((256, 256), bool)
        truth[60 + 8 * n : 140 + 8 * n, 40 + 4 * n : 130] = True
        light = torch.from_numpy(truth).float()[None, None] * 2 - 1
        coarse = torch.nn.functional.avg_pool2d(light, 8).repeat(1, config.stored, 1, 1)
        fine = torch.nn.functional.avg_pool2d(light, 2).repeat(1, config.fine, 1, 1)
        arrays = (coarse.numpy().astype(np.float16), fine.numpy().astype(np.float16))
        out.append(Seen(arrays, truth[None], np.ones((1, 256, 256), bool), (label,)))
    return out


def moved(one: torch.nn.Module, other: torch.nn.Module) -> dict[str, float]:
    pairs = zip(one.named_parameters(), other.parameters(), strict=True)
    return {name: float((a - b).detach().abs().max()) for (name, a), b in pairs}


def first_iou(head: Head, views: Sequence[Seen]) -> float:
    """Mean IoU after a click in the middle of each object."""
    found = []
    for view in views:
        ys, xs = np.nonzero(view.truths[0])
        features = [torch.from_numpy(a).float() for a in view.arrays]
        click = torch.tensor([[[2.0 * xs.mean(), 2.0 * ys.mean()]]], dtype=torch.float32)
        nothing = torch.zeros(1, 1, 256, 256), torch.zeros(1), torch.zeros(1, TEXT_WIDTH), torch.zeros(1)
        with torch.no_grad():
            logits, scores = head(*features, click, torch.ones(1, 1), *nothing)
        found.append(iou(logits[0, int(scores.argmax())].numpy() > 0, view.truths[0], view.valid[0]))
    return float(np.mean(found))


def test_training_makes_it_better_and_leaves_base_and_words_alone() -> None:
    head = small_head()
    before = copy.deepcopy(head)
    views = seen(head, range(3))
    told: list[int] = []
    done, steps = train_head(head, views, recipe=QUICK, clock=Clock(1e9), on_step=lambda step, share: told.append(step))
    assert steps == 8 and told == list(range(1, 9))
    assert first_iou(done, views) > first_iou(before, views) + 0.05
    assert max(moved(head, before).values()) == 0
    changed = moved(done, before)
    assert {name for name, by in changed.items() if by == 0} == {n for n in changed if is_frozen(n)}
    norms = [m for m in zip(head.buffers(), done.buffers(), strict=True)]
    assert norms and all(torch.equal(a, b) for a, b in norms)
    half = moved(between(head, done, 0.5), done)
    assert all(abs(by - changed[name] / 2) < 1e-6 for name, by in half.items())
    assert max(moved(between(head, done, 1.0), done).values()) == 0


def test_the_clock_ends_training_and_a_strong_pull_keeps_it_at_home() -> None:
    head = small_head()
    times = iter(range(1000))
    clock = Clock(10.0, now=lambda: float(next(times)))
    recipe = replace(QUICK, least_steps=1000, until=0.95, pull=1e6, warmup_steps=1)
    done, steps = train_head(head, seen(head, [0]), recipe=recipe, clock=clock)
    assert 1 <= steps <= 10 and max(moved(head, done).values()) < 1e-6


def test_many_masks_are_worth_more_steps() -> None:
    head = small_head()
    assert Recipe().steps(seen(head, [0])) == 80 and Recipe().steps(seen(head, [0]) * 120) == 120


def test_rare_labels_are_drawn_more_often_than_their_number_says() -> None:
    head = small_head()
    views = seen(head, [0] * 9) + seen(head, [1], label="Rare")
    drawn = Draw(views, np.random.default_rng(0))(200)
    rare = sum(np.array_equal(s.truths, views[-1].truths) for s in drawn)
    assert 30 < rare < 70  # one in four
    plain = sample_of(views[0], 0)
    assert not plain.text.any() and not plain.asked.any() and len(plain.words) == 0


# Files.


def test_a_head_that_is_written_answers_as_in_torch(base: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    head = small_head()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += 0.01
    write_head(head, base / "head.onnx", tmp_path / "head.onnx")
    old, new = (onnx.load(str(p / "head.onnx")).graph for p in (base, tmp_path))
    assert [n.op_type for n in old.node] == [n.op_type for n in new.node]
    values = {t.name: numpy_helper.to_array(t) for t in new.initializer}
    assert {t.name: t.data_type for t in old.initializer} == {t.name: t.data_type for t in new.initializer}
    for name, parameter in head.named_parameters():
        if name not in TRAINED_WITH:
            (stored,) = (v for k, v in values.items() if k.removesuffix("_half").removeprefix("head.") == name)
            assert np.array_equal(stored, parameter.detach().numpy().astype(stored.dtype)), name


def test_a_head_of_another_shape_or_without_numbers_is_not_written(base: Path, tmp_path: Path) -> None:
    other = Head(replace(small_head().config, middle=16))
    with pytest.raises(ModelError, match="the head has no weight .* of this shape"):
        write_head(other, base / "head.onnx", tmp_path / "head.onnx")
    broken = small_head()
    with torch.no_grad():
        broken.out_norm.weight[0] = float("nan")
    with pytest.raises(ModelError, match=r"out_norm\.weight is no number"):
        write_head(broken, base / "head.onnx", tmp_path / "head.onnx")
    assert not (tmp_path / "head.onnx").exists()


# All of it.


@pytest.mark.slow
def test_a_project_is_adapted_to_from_stored_features(base: Path, tmp_path: Path) -> None:
    project, recipe = make_project(tmp_path / "work", tmp_path / "photos", 10), replace(QUICK, least_steps=20)
    material = project_material(project)
    assert (material.name, len(material.items)) == ("work", 10)
    report = adapt(material, base, tmp_path / "mine", options=LONG, store_root=tmp_path / "store", recipe=recipe)
    assert Counting.encoded == 10 and report["slices"] == {"from_store": 0, "encoded": 10, "extra_views": 0}
    assert report["decision"] == ADAPTED, report
    assert report["masks"] == {"accepted": 10, "trained": 7, "compared": 3, "late": 0}
    assert report["split"] == "scan" and report["steps"] == 20 and report["notes"] == []
    assert report["after"]["dice@1"] > report["before"]["dice@1"]
    assert set(report["labels"]) <= {"Object", "Coin"} and "box_dice" in report["after"]

    folder, card, old = tmp_path / "mine", read_card(tmp_path / "mine"), read_card(base)
    check_files(folder, card)
    assert card.sha256["encoder.onnx"] == old.sha256["encoder.onnx"] and card.features_id == "base"
    assert (folder / "encoder.onnx").read_bytes() == (base / "encoder.onnx").read_bytes()
    assert card.sha256["head.onnx"] != old.sha256["head.onnx"] == card.extra["adapted"]["base_head_sha256"]
    assert (card.id, card.name, card.text_shape) == ("mine", "Base, adapted to work", old.text_shape)
    assert "adapted to the masks of project work" in card.extra["adapted"]["data"] and "Made of dust." in card.notice
    assert (folder / "text.onnx").read_bytes() == (base / "text.onnx").read_bytes()
    changed = moved(read_head(base), read_head(folder))
    assert changed["masks.weight"] > 0 and changed["text_match.1.weight"] == changed["text_token.weight"] == 0
    assert {**json.loads((folder / "report.json").read_text("utf-8")), "notes": []} == report
    assert (folder / "LICENSE").read_text("utf-8") == "do as you like\n"
    readme = (folder / "README.md").read_text("utf-8")
    assert "The terms of the base model hold: Apache-2.0" in readme and "about the base" not in readme
    assert str(tmp_path) not in readme + json.dumps(report) + (folder / CARD).read_text("utf-8")

    with pytest.raises(ModelError, match="there is a model here"):
        adapt(material, base, tmp_path / "mine", options=LONG, recipe=QUICK)
    assert Counting.encoded == 10  # said before any work
    again = adapt(material, folder, tmp_path / "more", options=LONG, store_root=tmp_path / "store", recipe=QUICK)
    assert Counting.encoded == 10 and again["slices"] == {"from_store": 10, "encoded": 0, "extra_views": 0}


def test_where_nothing_is_won_the_base_stays_and_nothing_is_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = small_head()
    with torch.no_grad():
        for parameter in worse.masks.parameters():
            parameter.zero_()
    monkeypatch.setattr(running, "train_head", lambda *parts, **options: (worse, 3))
    talking = with_entries(shutil.copytree(base, tmp_path / "talking"), prompts=["point", "box", "text"])
    material = folder_material(make_folder(tmp_path / "coins", 8))
    report = adapt(material, talking, tmp_path / "mine", options=replace(LONG, extra=1))
    assert report["decision"] == KEPT and "the base stays" in report["reason"]
    assert report["after"]["dice@1"] <= report["before"]["dice@1"] and not (tmp_path / "mine").exists()
    assert report["slices"] == {"from_store": 0, "encoded": 8, "extra_views": 6} and Counting.encoded == 14
    assert list(report["labels"]) == ["coin"] and {p.name for p in tmp_path.iterdir()} == {"coins", "talking"}
    assert {"text_dice", "box_dice"} <= set(report["before"]) & set(report["after"])
    assert [one["share"] for one in report["tried"]] == list(running.SHARES)
    assert all("the base stays" in one["reason"] for one in report["tried"])


def test_time_that_does_not_suffice_is_said(base: Path, tmp_path: Path) -> None:
    material = folder_material(make_folder(tmp_path / "coins", 8))
    for seconds in (4.0, 6.5):  # no time for features, and none for training
        times = iter(np.arange(0, 1000, 0.5))
        clock = Clock(seconds, now=lambda times=times: float(next(times)))
        with pytest.raises(ModelError, match="8 minutes are too few") as caught:
            adapt(material, base, tmp_path / "mine", options=Options(extra=4, threads=1), clock=clock)
        assert "--minutes" in caught.value.hint and not (tmp_path / "mine").exists()


def test_scans_that_are_gone_or_changed_are_left_out_with_a_note(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "work", tmp_path / "photos", 11)
    (tmp_path / "photos" / "3.png").unlink()
    (tmp_path / "photos" / "5.png").write_bytes((tmp_path / "photos" / "6.png").read_bytes())
    monkeypatch.setattr(running, "train_head", lambda head, *parts, **options: (head, 1))
    material = project_material(tmp_path / "work")
    assert material.name == project.name and len(material.items) == 10
    report = adapt(material, base, tmp_path / "mine", options=LONG, store_root=tmp_path / "store")
    gone, changed = report["notes"]
    assert gone == "3.png is no longer at its place and was left out."
    assert changed.startswith("5.png was left out: the scan changed since it was annotated")
    assert report["slices"]["encoded"] == 9


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapt", str(tmp_path / "nothing"), "--out", str(tmp_path / "mine")]) == 1
    assert "there is no project here" in capsys.readouterr().err
    with pytest.raises(StoreError):
        project_material(tmp_path / "nothing")
    few = make_folder(tmp_path / "few", 3)
    assert main(["adapt", str(few), "--folder", "--out", str(tmp_path / "mine")]) == 1
    assert "few has 3 accepted masks" in capsys.readouterr().err and not (tmp_path / "mine").exists()


def test_pixels_that_are_not_known_are_left_out_of_a_folder(tmp_path: Path) -> None:
    import cv2

    folder = make_folder(tmp_path / "coins", 2)
    raw = disk(0).astype(np.uint8) * 255
    raw[:5] = 128
    cv2.imwrite(str(folder / "masks" / "00.png"), raw)
    first, second = folder_material(folder).items
    assert first.ignored is not None and first.ignored.area == 5 * SHAPE[1] and second.ignored is None
    assert first.mask == Mask.from_array(raw == 255) and (first.label, first.place.view) == ("coin", View(0, 0))
    assert isinstance(split([first, second] * 6), Split)
