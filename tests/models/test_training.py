"""The index of a small data set, training steps on it, resuming, starting from other weights, a save that is killed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from maskwright.core.errors import ModelError, ScanError
from maskwright_models.data.index import Dataset, read_dataset, read_index
from maskwright_models.data.samples import Mix, Sample, SampleSource
from maskwright_models.train.checkpoints import read_checkpoint
from maskwright_models.train.simulation import begin, look_ahead
from maskwright_models.train.trainer import Trainable, TrainConfig, Trainer, load_trained
from maskwright_models.zoo.dinov2_imsa import LOGITS, TEXT_WIDTH, TOKENS, Head
from tests.models.training_cases import CPU, SHAPE, SMALL, frozen_parts, make_set, words

RECIPE = TrainConfig(hours=1e6, views=2, objects=2, save_minutes=0.0, log_steps=1)


# The index.


def test_the_index_knows_sets_maps_labels_and_modalities(data: Path) -> None:
    photos, slices = read_index(data)
    assert (photos.name, photos.group, photos.modality) == ("Disks", "natural", "photo")
    assert (slices.name, slices.group, slices.modality) == ("ct_disks", "medical", "ct")
    entry = photos.images[1]
    assert entry.image.name == "1.png" and [m.name for m in entry.maps] == ["1.png"]
    assert entry.labels == {("1.png", 1): "left", ("1.png", 2): ""}
    assert [d.name for d in read_index(data, only=("ct_disks",))] == ["ct_disks"]
    assert photos.fingerprint != slices.fingerprint


def test_an_image_may_have_several_maps_or_none(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "natural" / "Disks", images=3)
    (folder / "objects" / "0.png").rename(folder / "objects" / "0@1.png")
    cv2.imwrite(str(folder / "objects" / "0@2.png"), np.ones(SHAPE, np.uint8))
    (folder / "objects" / "2.png").unlink()
    found = read_dataset(folder)
    assert [[m.name for m in e.maps] for e in found.images] == [["0@1.png", "0@2.png"], ["1.png"]]


def test_open_licences_leave_restricted_and_unknown_sets_out(tmp_path: Path) -> None:
    for name in "natural/ECSSD natural/CCP natural/unknown medical/nuclei_dsb2018 medical/derm_ham10000".split():
        make_set(tmp_path / name, images=1)
    assert [d.name for d in read_index(tmp_path, licences="open")] == ["CCP", "nuclei_dsb2018"]
    assert len(read_index(tmp_path)) == len(read_index(tmp_path, licences="all")) == 5
    with pytest.raises(ValueError, match="not 'free'"):
        read_index(tmp_path, licences="free")


def test_sets_that_are_incomplete_are_said(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="there are no training sets here"):
        read_index(tmp_path)
    folder = make_set(tmp_path / "natural" / "Disks")
    cv2.imwrite(str(folder / "objects" / "stray@1.png"), np.ones(SHAPE, np.uint8))
    with pytest.raises(ScanError, match="no image has the name of this map") as caught:
        read_index(tmp_path)
    assert caught.value.path == folder / "objects" / "stray@1.png"
    (folder / "labels.csv").unlink()
    with pytest.raises(ScanError, match=r"the training set has no labels\.csv"):
        read_index(tmp_path)


# Training.


class Enough(Exception):
    """Ends a run from within."""


def steps(
    folder: Path,
    source: SampleSource,
    until: int,
    *,
    start: Path | None = None,
    held: Sequence[Sample] = (),
    **changes: Any,
) -> Trainer:
    """Train (or go on) until step ``until``."""
    trainer = Trainer(
        folder, source, model=SMALL, recipe=replace(RECIPE, **changes), device=CPU, start=start, held=held
    )

    def stop(now: Trainer) -> None:
        if now.step >= until:
            raise Enough

    folder.mkdir(exist_ok=True)
    with pytest.raises(Enough):
        trainer.run(on_save=stop)
    return trainer


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def equal(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def talking(data: Path, store: Path, **mix: float) -> SampleSource:
    """Both sets, with a word for one of the two objects."""
    return SampleSource(read_index(data), store, frozen_parts(), words=words(left=("port",)), objects=2, mix=Mix(**mix))


@pytest.fixture
def source(data: Path, store: Path) -> SampleSource:
    return talking(data, store)


@pytest.fixture(scope="module")
def held(data: Path, store: Path) -> list[Sample]:
    """Two views for the validation curve, one asked for by text."""
    found = [talking(data, store, text=t).load(0, 1, 0, np.random.default_rng(0)) for t in (0.0, 1.0)]
    return [sample for sample in found if sample is not None]


@pytest.fixture(scope="module")
def trained(
    data: Path, store: Path, held: list[Sample], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Trainer]:
    """A run of three steps: of windows, of whole views and of windows."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    return folder, steps(folder, talking(data, store), 3, held=held)


def test_steps_change_the_weights_and_the_loss_is_finite(trained: tuple[Path, Trainer]) -> None:
    folder, trainer = trained
    rows = [row for row in log_of(folder) if "rate" in row]
    assert [row["step"] for row in rows] == [1, 2, 3] and trainer.step == 3 and trainer.seconds > 0
    for row in rows:
        assert all(math.isfinite(v) for v in row.values())
        assert row["mask0"] > 0 and row["grad"] > 0 and 0 <= row["iou1"] <= 1
    assert max(row["words"] for row in rows) > 0
    assert [row["rate"] for row in rows] == pytest.approx([k * 2e-3 / 150 for k in (1, 2, 3)], rel=1e-4)
    torch.manual_seed(RECIPE.seed)
    fresh = Trainable(SMALL)
    still = [k for k, v in fresh.named_parameters() if torch.equal(v, trainer.net.get_parameter(k))]
    assert set(still) <= {"head.text_token.bias"}  # which learns only where text asks


def test_the_averaged_weights_follow_the_trained_ones(trained: tuple[Path, Trainer]) -> None:
    torch.manual_seed(RECIPE.seed)
    fresh, net, mean = Trainable(SMALL), trained[1].net, trained[1].average
    for name in ("head.masks.weight", "neck.out.weight", "head.text_match.1.weight"):
        began, now, between = (m.get_parameter(name) for m in (fresh, net, mean))
        assert 0 < (between - began).norm() < (now - began).norm() + (now - between).norm()
        assert not torch.equal(between, now)
    assert not mean.training and not any(p.requires_grad for p in mean.parameters())


def test_a_checkpoint_holds_what_an_export_needs(trained: tuple[Path, Trainer]) -> None:
    folder, trainer = trained
    state = read_checkpoint(folder / "last.pt")
    assert (state["step"], state["config"], state["recipe"]["seed"]) == (3, asdict(SMALL), 1)
    net = load_trained(folder / "last.pt")
    assert equal(net, trainer.average) and not equal(net, trainer.net)
    assert not net.training and net.head.config == SMALL


def test_the_same_seed_gives_the_same_weights(
    trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path
) -> None:
    again = steps(tmp_path / "again", source, 3)  # the held views of the other run change nothing
    assert equal(again.net, trained[1].net) and equal(again.average, trained[1].average)
    assert not equal(steps(tmp_path / "other", source, 1, seed=2).net, trained[1].net)


def copied(run: Path, to: Path, *, log: str = "") -> Path:
    """A run folder with the checkpoint of ``run`` and its log, and more lines in it."""
    to.mkdir()
    (to / "last.pt").write_bytes((run / "last.pt").read_bytes())
    (to / "log.jsonl").write_text((run / "log.jsonl").read_text("utf-8") + log, "utf-8")
    return to


def test_a_run_goes_on_where_it_stopped(trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path) -> None:
    folder = copied(trained[0], tmp_path / "run", log='{"step": 4, "hours": 9}\n{"step": 5, "ho')
    trainer = Trainer(folder, source, model=SMALL, recipe=RECIPE, device=CPU)
    assert (trainer.step, trainer.seconds) == (3, trained[1].seconds)
    assert equal(trainer.net, trained[1].net) and equal(trainer.average, trained[1].average)
    kept = trained[1].optimiser.state_dict()["state"]
    mine = trainer.optimiser.state_dict()["state"]
    for name in ("exp_avg", "exp_avg_sq", "step"):
        assert kept.keys() == mine.keys() and all(torch.equal(kept[k][name], mine[k][name]) for k in kept)
    assert [row["step"] for row in log_of(folder)] == [1, 1, 2, 2, 3, 3]
    went_on = steps(folder, source, 4)
    assert went_on.step == 4 and log_of(folder)[-1]["step"] == 4 and log_of(folder)[-1]["hours"] < 9
    done = read_checkpoint(folder / "last.pt")
    assert done["step"] == 4 and done["seconds"] > trained[1].seconds
    again = steps(copied(trained[0], tmp_path / "again"), source, 4)
    assert equal(again.net, went_on.net) and equal(again.average, went_on.average)
    assert not equal(again.net, trained[1].net)


@pytest.mark.parametrize(("steps", "done"), [(None, 1), (2, 2)])
def test_a_used_up_budget_ends_the_run(steps: int | None, done: int, source: SampleSource, tmp_path: Path) -> None:
    recipe = TrainConfig(hours=1e-9, steps=steps, views=1, objects=1)  # steps hold however long they take
    trainer = Trainer(tmp_path, source, model=SMALL, recipe=recipe, device=CPU)
    trainer.run()
    assert trainer.step == done and trainer.progress == 1 and (tmp_path / "last.pt").exists()


def test_a_new_run_begins_with_the_averaged_weights_of_another(
    trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path
) -> None:
    start = trained[0] / "last.pt"
    trainer = Trainer(tmp_path / "new", source, model=SMALL, recipe=RECIPE, device=CPU, start=start)
    assert (trainer.step, trainer.seconds) == (0, 0.0) and trainer.optimiser.state_dict()["state"] == {}
    assert equal(trainer.net, trained[1].average) and equal(trainer.average, trained[1].average)
    one = steps(tmp_path / "new", source, 1, start=start)
    again = Trainer(tmp_path / "new", source, model=SMALL, recipe=RECIPE, device=CPU, start=start)
    assert again.step == 1 and equal(again.net, one.net)  # what a run has is not begun again


def test_weights_of_another_architecture_are_said(
    trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path
) -> None:
    start, other = trained[0] / "last.pt", replace(SMALL, match=16)
    little = {k: v for k, v in trained[1].average.state_dict().items() if k.startswith("neck.")}
    torch.save(read_checkpoint(start) | {"average": little}, tmp_path / "little.pt")
    with pytest.raises(ModelError, match="weights of another architecture") as caught:
        Trainer(tmp_path / "new", source, model=SMALL, recipe=RECIPE, device=CPU, start=tmp_path / "little.pt")
    assert caught.value.path == tmp_path / "little.pt"
    with pytest.raises(ModelError, match="a checkpoint of another architecture"):
        Trainer(copied(trained[0], tmp_path / "run"), source, model=other, recipe=RECIPE, device=CPU)
    with pytest.raises(ModelError, match="there is no checkpoint here"):
        Trainer(tmp_path / "new", source, model=SMALL, recipe=RECIPE, device=CPU, start=tmp_path / "none.pt")
    state = read_checkpoint(start)
    for change in ({"config": {**state["config"], "stem": 3}}, {"config": {**state["config"], "width": 32}}):
        torch.save(state | change, tmp_path / "old.pt")
        with pytest.raises(ModelError, match="a checkpoint of another architecture"):
            load_trained(tmp_path / "old.pt")


def test_a_new_run_begins_with_what_has_its_shape(
    trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path
) -> None:
    other = replace(SMALL, match=16)
    begun = Trainer(tmp_path, source, model=other, recipe=RECIPE, device=CPU, start=trained[0] / "last.pt")
    assert begun.new == ("neck.out.bias", "neck.out.weight")
    given, fresh = trained[1].average.state_dict(), Trainable(other).state_dict()
    for name, value in begun.net.state_dict().items():
        if name in begun.new:
            assert value.shape == fresh[name].shape and value.isfinite().all()
        else:
            assert torch.equal(value, given[name]), name


def test_the_held_views_are_measured_alike_each_time_and_change_nothing(
    trained: tuple[Path, Trainer], held: list[Sample]
) -> None:
    folder, trainer = trained
    before = {k: v.clone() for k, v in trainer.average.state_dict().items()}
    one = trainer.measure()
    assert list(one) == ["held1", "held2", "held3"] and all(0 <= v <= 1 for v in one.values())
    assert trainer.measure() == one and trainer.measure(clicks=1) == {"held1": one["held1"]}
    assert all(torch.equal(v, before[k]) for k, v in trainer.average.state_dict().items())
    rows = [row for row in log_of(folder) if "held1" in row]
    assert [row["step"] for row in rows] == [1, 2, 3] and {k: rows[-1][k] for k in one} == one
    trainer.held.clear()
    assert trainer.measure() == {}
    trainer.held.extend(held)


def test_a_save_that_is_killed_leaves_the_older_checkpoint(
    trained: tuple[Path, Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trained[1]
    monkeypatch.setattr(trainer, "folder", tmp_path)
    trainer.save()
    before = (tmp_path / "last.pt").read_bytes()

    def killed(state: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as kill:
        kill.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer.save()
    assert (tmp_path / "last.pt").read_bytes() == before
    assert read_checkpoint(tmp_path / "last.pt")["step"] == 3
    trainer.save()
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no checkpoint here"):
        load_trained(tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes(b"half of it")
    with pytest.raises(ModelError, match="this is no readable checkpoint") as caught:
        load_trained(tmp_path / "last.pt")
    assert caught.value.path == tmp_path / "last.pt"


def test_the_command_trains_begins_with_weights_and_goes_on(
    data: Path, store: Path, trained: tuple[Path, Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskwright_models.__main__ import main

    monkeypatch.setattr("maskwright_models.data.sources.pretrained_parts", frozen_parts)
    monkeypatch.setattr("maskwright_models.data.sources.vocabulary_table", lambda path, vocabulary: {})
    monkeypatch.setattr("maskwright_models.zoo.dinov2_imsa.HeadConfig", lambda: SMALL)
    command = ["train", str(data), "--store", str(store), "--out", str(tmp_path / "run"), "--views", "1"]
    command += ["--hours", "1e-9", "--device", "cpu", "--threads", "1", "--start"]
    assert main([*command, str(trained[0] / "last.pt")]) == 0
    state = read_checkpoint(tmp_path / "run" / "last.pt")
    assert state["step"] == 1 and state["recipe"]["views"] == 1
    moved = (state["average"]["neck.out.weight"] - trained[1].average.neck.out.weight).abs().max()
    assert 0 < moved < 1e-3
    assert main([*command, str(tmp_path / "none.pt")]) == 0  # the budget is used up; what to begin with is not read
    assert read_checkpoint(tmp_path / "run" / "last.pt")["step"] == 1


# Simulated clicks on a batch.


def square(asked: Sequence[bool] = (False, False), *, empty: bool = False) -> Sample:
    """Objects of a view as the users see them; its features are not looked at."""
    truths = np.zeros((len(asked), LOGITS, LOGITS), bool)
    if not empty:
        truths[:, 60:140, 80:150] = True
    text = np.random.default_rng(0).standard_normal((len(asked), TEXT_WIDTH)).astype(np.float32)
    return Sample(np.zeros(0), (), truths, np.ones_like(truths), np.array(asked), text)


def maps(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, SMALL.stored, TOKENS, TOKENS), torch.randn(batch, SMALL.fine, 128, 128)


@pytest.mark.parametrize("clicks", [0, 2])
def test_looking_ahead_changes_the_clicks_but_no_weight(clicks: int) -> None:
    torch.manual_seed(0)
    head = Head(SMALL).train()
    before = {k: v.clone() for k, v in head.state_dict().items()}
    state = begin([square()], np.random.default_rng(1), CPU, poor_masks=0.0)
    first = [len(user.labels) for user in state.users]
    assert min(first) >= 1 and state.has_mask.tolist() == [0, 0] == state.has_text.tolist()
    look_ahead(head, maps(2), state, clicks, lambda: torch.autocast("cpu", torch.bfloat16))
    assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())
    assert head.training and all(p.grad is None for p in head.parameters())
    after = [len(user.labels) for user in state.users]
    assert all(b - a >= clicks for a, b in zip(first, after, strict=True))
    assert state.has_mask.tolist() == [float(clicks > 0)] * 2
    assert not state.mask_input.requires_grad


def test_some_objects_start_from_a_poor_mask_and_its_correction() -> None:
    state = begin([square((False,) * 3)], np.random.default_rng(1), CPU, poor_masks=1.0)
    assert state.has_mask.tolist() == [1, 1, 1] and set(state.mask_input.unique().tolist()) == {-6.0, 6.0}
    assert all(len(user.labels) >= 1 for user in state.users)


def test_text_comes_alone_or_with_a_click_and_never_with_a_poor_mask() -> None:
    sample = square((True,) * 60)
    state = begin([sample, square((False,))], np.random.default_rng(1), CPU, poor_masks=1.0)
    assert state.has_text.tolist() == [1.0] * 60 + [0.0]
    assert torch.equal(state.text[:60], torch.from_numpy(sample.text))
    assert state.has_mask.tolist() == [0.0] * 60 + [1.0]
    clicked = sum(bool(user.labels) for user in state.users[:60])
    assert 4 <= clicked <= 22
    coords, labels, *_ = state.inputs(CPU)
    assert len(coords) == len(labels) == 61
    silent = [k for k, user in enumerate(state.users) if not user.labels]
    assert (labels[silent] == -1).all() and not coords[silent].any()


def test_text_that_names_nothing_is_corrected_where_something_is_marked() -> None:
    state = begin([square((True,) * 20, empty=True)], np.random.default_rng(1), CPU)
    assert not any(user.labels for user in state.users)
    logits = torch.full((20, 4, LOGITS, LOGITS), -5.0)
    state.advance(logits, torch.zeros(20, 4))
    assert not any(user.labels for user in state.users) and state.has_mask.tolist() == [1.0] * 20
    logits[:, :, 100:120, 30:60] = 5.0
    state.advance(logits, torch.zeros(20, 4))
    for user in state.users:
        assert user.labels and set(user.labels) == {0.0}
        assert all(59 < x < 121 and 199 < y < 241 for x, y in user.coords)


def test_every_set_in_the_table_of_restricted_licences_is_known_by_its_folder(shared_data: Path) -> None:
    sets: list[Dataset] = read_index(shared_data / "train")
    free = {d.name for d in read_index(shared_data / "train", licences="open")}
    assert len(free) < len(sets) and {"ECSSD", "COCO_instances", "derm_ham10000"} & free == set()
    assert {"CCP", "nuclei_dsb2018", "BuildingFacade"} <= free
