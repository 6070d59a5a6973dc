"""Training on a small data set: index, features once, samples, two steps, resuming, and a save that is killed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwright.core.errors import ModelError, ScanError, StoreError
from maskwright.core.volume import View
from maskwright_models.data import features as data_features
from maskwright_models.data.index import Dataset, read_dataset, read_index
from maskwright_models.data.samples import SampleSource, object_map
from maskwright_models.data.views import crop_of, input_of, view_index
from maskwright_models.train.simulation import begin, look_ahead
from maskwright_models.train.trainer import TrainConfig, Trainer, load_trained, read_checkpoint
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, Head, HeadConfig, Trunk

CPU = torch.device("cpu")
SMALL = HeadConfig(coarse=16, fine=8, width=16, depth=1, heads=2, hidden=16, ratios=(8,), middle=8, candidates=3)
RECIPE = TrainConfig(hours=1e6, views=2, objects=2, save_minutes=0.0, log_steps=1)
SHAPE = (90, 120)


class Pooled(Trunk):
    """Stands for the frozen trunk: tokens are pixel means; counts the views it saw."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.register_buffer("weight", torch.ones(1))
        self.seen = 0

    def forward(self, image: Tensor) -> Tensor:
        self.seen += len(image)
        return nn.functional.adaptive_avg_pool2d(image, 32).repeat(1, 512, 1, 1)


def disk(x: int, y: int, radius: int) -> np.ndarray:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (xx - x) ** 2 + (yy - y) ** 2 <= radius**2


def make_set(folder: Path, *, modality: str = "", images: int = 2) -> Path:
    """Pictures of two bright disks each, with their index maps and labels."""
    (folder / "images").mkdir(parents=True)
    (folder / "objects").mkdir()
    rows = ["file,index,label"]
    for n in range(images):
        index = np.zeros(SHAPE, np.uint8)
        index[disk(35 + 3 * n, 40, 22)] = 1
        index[disk(85, 50 + 2 * n, 17)] = 2
        pixels = np.random.default_rng(n).integers(0, 60, (*SHAPE, 3), np.uint8) + (index > 0)[..., None] * 120
        cv2.imwrite(str(folder / "images" / f"{n}.png"), pixels.astype(np.uint8))
        cv2.imwrite(str(folder / "objects" / f"{n}.png"), index)
        rows += [f"{n}.png,1,left", f"{n}.png,2,"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", "utf-8")
    if modality:
        (folder / "modality.txt").write_text(modality + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images: two photos, two slices."""
    root = tmp_path_factory.mktemp("train")
    make_set(root / "natural" / "Disks")
    make_set(root / "medical" / "ct_disks", modality="ct")
    return root


@pytest.fixture(scope="module")
def store(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of all four."""
    root = tmp_path_factory.mktemp("features")
    assert data_features.compute(Pooled(), read_index(data), root, round_=0, device=CPU) == 4
    return root


@pytest.fixture
def source(data: Path, store: Path) -> SampleSource:
    return SampleSource(read_index(data), store, data_features.trunk_sha256(Pooled()), objects=2)


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


# Views and features.


def test_a_view_is_fixed_by_set_image_and_round(data: Path) -> None:
    photos, slices = read_index(data)
    whole = crop_of(photos, 0, 0, SHAPE)
    assert (whole.y0, whole.x0, whole.y1, whole.x1, whole.mirrored) == (0, 0, 90, 120, False)
    crops = [crop_of(d, n, r, SHAPE) for d in (photos, slices) for n in (0, 1) for r in (1, 2, 3)]
    assert crops == [crop_of(d, n, r, SHAPE) for d in (photos, slices) for n in (0, 1) for r in (1, 2, 3)]
    assert len({(c.y0, c.x0, c.y1, c.x1) for c in crops}) > 8 and {c.mirrored for c in crops} == {True, False}
    for c in crops:
        assert 0 <= c.y0 < c.y1 <= 90 and 0 <= c.x0 < c.x1 <= 120
        assert 32 <= c.y1 - c.y0 <= 77 and 42 <= c.x1 - c.x0 <= 102
        pixels = np.arange(90 * 120).reshape(SHAPE)
        cut = c.apply(pixels)
        assert cut[0, -1 if c.mirrored else 0] == pixels[c.y0, c.x0] and cut.shape == (c.y1 - c.y0, c.x1 - c.x0)


def test_features_are_computed_once(data: Path, tmp_path: Path) -> None:
    trunk, sets, told = Pooled(), read_index(data), []

    def compute(trunk: Trunk, round_: int) -> int:
        say: Callable[[str, int, int], None] = lambda *three: told.append(three)  # noqa: E731
        return data_features.compute(trunk, sets, tmp_path, round_=round_, device=CPU, batch=2, on_batch=say)

    assert compute(trunk, 0) == 4 and trunk.seen == 4
    assert told == [("Disks", 2, 2), ("ct_disks", 2, 2)]
    assert compute(trunk, 0) == 0 and trunk.seen == 4
    assert compute(trunk, 1) == 4 and trunk.seen == 8
    store = data_features.open_store(tmp_path, sets[0], data_features.trunk_sha256(trunk))
    assert np.flatnonzero(store.ready_flags()).tolist() == [0, 1, 2, 3]
    assert view_index(sets[0], 1, 1) == 3
    tokens = store.read(View(0, 3)).arrays[0]
    assert (tokens.shape, tokens.dtype) == ((1, 1536, 32, 32), np.float16)
    assert not np.array_equal(tokens, store.read(View(0, 1)).arrays[0])


def test_features_of_other_weights_are_not_used(data: Path, tmp_path: Path) -> None:
    sets, other = read_index(data), Pooled()
    data_features.compute(Pooled(), sets[:1], tmp_path, round_=0, device=CPU)
    other.get_buffer("weight").add_(1)
    assert data_features.trunk_sha256(other) != data_features.trunk_sha256(Pooled())
    assert data_features.compute(other, sets[:1], tmp_path, round_=0, device=CPU) == 2
    with pytest.raises(StoreError, match="no features of these sets are ready"):
        SampleSource(sets[1:], tmp_path, data_features.trunk_sha256(other))


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "natural" / "Disks")
    (folder / "images" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(ScanError, match="not a readable image") as caught:
        data_features.compute(Pooled(), read_index(tmp_path), tmp_path / "f", round_=0, device=CPU, batch=1)
    assert caught.value.path == folder / "images" / "1.png"


# Samples.


def test_a_sample_is_a_view_with_the_masks_of_its_objects(source: SampleSource) -> None:
    sample = source.load(0, 0, 0, np.random.default_rng(0))
    assert sample is not None
    assert (sample.tokens.shape, sample.tokens.dtype) == ((1536, 32, 32), np.float16)
    assert (sample.image.shape, sample.image.dtype) == ((3, INPUT_SIZE, INPUT_SIZE), np.float32)
    assert (sample.truths.shape, sample.valid.shape) == ((2, LOGITS, LOGITS), (LOGITS, LOGITS))
    assert sample.valid[:192].all() and not sample.valid[192:].any()  # 90 x 120 fills 384 x 512
    _, _, transform = input_of(source.datasets[0], 0, 0, INPUT_SIZE)
    left, right = (object_map(m, transform) for m in (disk(35, 40, 22), disk(85, 50, 17)))
    for truth in sample.truths:
        assert any(np.array_equal(truth, m) for m in (left, right, left | right))
    bright = nn.functional.avg_pool2d(torch.from_numpy(sample.image), 2)[0].numpy()
    assert bright[sample.truths[0]].mean() > bright[sample.valid].mean() + 0.3


def test_the_same_seed_draws_the_same_batches(source: SampleSource) -> None:
    def first(seed: int) -> list[np.ndarray]:
        batches = source.batches(2, seed=seed, ahead=1)
        return [s.truths for _ in range(3) for s in next(batches)]

    one, same, other = first(1), first(1), first(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_photos_and_scans_are_drawn_by_their_share(data: Path, store: Path) -> None:
    sha256 = data_features.trunk_sha256(Pooled())
    for share in (0.3, 0.9):
        weights = SampleSource(read_index(data), store, sha256, medical_share=share).weights
        assert weights.tolist() == pytest.approx([1 - share, share])
    assert SampleSource(read_index(data)[1:], store, sha256).weights.tolist() == [1.0]


def test_a_failure_while_drawing_reaches_the_trainer(source: SampleSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rng: np.random.Generator) -> None:
        raise StoreError("the stored features of slice 0 are damaged")

    monkeypatch.setattr(source, "draw", broken)
    with pytest.raises(StoreError, match="damaged"):
        next(source.batches(2, seed=1))


# Training.


class Enough(Exception):
    """Ends a run from within."""


def steps(folder: Path, source: SampleSource, until: int, **changes: Any) -> Trainer:
    """Train (or go on) until step ``until``."""
    trainer = Trainer(folder, source, model=SMALL, recipe=TrainConfig(**(asdict(RECIPE) | changes)), device=CPU)

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


@pytest.fixture(scope="module")
def trained(data: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer]:
    """A run of two steps."""
    source = SampleSource(read_index(data), store, data_features.trunk_sha256(Pooled()), objects=2)
    folder = tmp_path_factory.mktemp("runs") / "first"
    return folder, steps(folder, source, 2)


def test_two_steps_change_the_weights_and_the_loss_is_finite(trained: tuple[Path, Trainer]) -> None:
    folder, trainer = trained
    rows = log_of(folder)
    assert [row["step"] for row in rows] == [1, 2] and trainer.step == 2 and trainer.seconds > 0
    for row in rows:
        assert all(math.isfinite(v) for v in row.values())
        assert row["mask0"] > 0 and row["grad"] > 0 and 0 <= row["iou1"] <= 1
    assert [row["rate"] for row in rows] == pytest.approx([2e-3 / 150, 2 * 2e-3 / 150], rel=1e-4)
    torch.manual_seed(RECIPE.seed)
    fresh = type(trainer.net)(SMALL)
    still = [k for k, v in fresh.named_parameters() if torch.equal(v, trainer.net.get_parameter(k))]
    assert len(still) < 0.1 * len(list(fresh.named_parameters())), still


def test_a_checkpoint_holds_what_an_export_needs(trained: tuple[Path, Trainer]) -> None:
    folder, trainer = trained
    state = read_checkpoint(folder / "last.pt")
    assert (state["step"], state["config"], state["recipe"]["seed"]) == (2, asdict(SMALL), 1)
    net = load_trained(folder / "last.pt")
    assert equal(net, trainer.average) and not equal(net, trainer.net)
    assert not net.training


def test_the_same_seed_gives_the_same_weights(
    trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path
) -> None:
    again = steps(tmp_path / "again", source, 2)
    assert equal(again.net, trained[1].net) and equal(again.average, trained[1].average)
    assert not equal(steps(tmp_path / "other", source, 1, seed=2).net, trained[1].net)


def test_a_run_goes_on_where_it_stopped(trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "last.pt").write_bytes((trained[0] / "last.pt").read_bytes())
    log = (trained[0] / "log.jsonl").read_text("utf-8")
    (folder / "log.jsonl").write_text(log + '{"step": 3, "hours": 9}\n{"step": 4, "ho', "utf-8")
    trainer = Trainer(folder, source, model=SMALL, recipe=RECIPE, device=CPU)
    assert (trainer.step, trainer.seconds) == (2, trained[1].seconds)
    assert equal(trainer.net, trained[1].net) and equal(trainer.average, trained[1].average)
    kept = trained[1].optimiser.state_dict()["state"]
    mine = trainer.optimiser.state_dict()["state"]
    assert kept.keys() == mine.keys() and all(torch.equal(kept[k]["exp_avg"], mine[k]["exp_avg"]) for k in kept)
    assert [row["step"] for row in log_of(folder)] == [1, 2]
    assert steps(folder, source, 3).step == 3
    assert [row["step"] for row in log_of(folder)] == [1, 2, 3] and log_of(folder)[2]["hours"] < 9
    done = read_checkpoint(folder / "last.pt")
    assert done["step"] == 3 and done["seconds"] > trained[1].seconds


def test_a_budget_that_is_used_up_ends_the_run(
    trained: tuple[Path, Trainer], source: SampleSource, tmp_path: Path
) -> None:
    trainer = Trainer(tmp_path, source, model=SMALL, recipe=TrainConfig(hours=1e-9, views=1, objects=1), device=CPU)
    trainer.run()
    assert trainer.step == 1 and trainer.progress == 1 and (tmp_path / "last.pt").exists()


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
    assert read_checkpoint(tmp_path / "last.pt")["step"] == 2
    trainer.save()
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no checkpoint here"):
        load_trained(tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes(b"half of it")
    with pytest.raises(ModelError, match="this is no readable checkpoint") as caught:
        load_trained(tmp_path / "last.pt")
    assert caught.value.path == tmp_path / "last.pt"


@pytest.mark.parametrize("clicks", [0, 2])
def test_looking_ahead_changes_the_clicks_but_no_weight(clicks: int) -> None:
    torch.manual_seed(0)
    head = Head(SMALL).train()
    before = {k: v.clone() for k, v in head.state_dict().items()}
    truths = np.zeros((2, LOGITS, LOGITS), bool)
    truths[:, 60:140, 80:150] = True
    features = (torch.randn(2, SMALL.coarse, 32, 32), torch.randn(2, SMALL.fine, 128, 128))
    state = begin(truths, np.ones_like(truths), np.random.default_rng(1), CPU, poor_masks=0.0)
    first = [len(user.labels) for user in state.users]
    assert min(first) >= 1 and state.has_mask.tolist() == [0, 0]
    look_ahead(head, features, state, clicks, lambda: torch.autocast("cpu", torch.bfloat16))
    assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())
    assert head.training and all(p.grad is None for p in head.parameters())
    after = [len(user.labels) for user in state.users]
    assert all(b - a >= clicks for a, b in zip(first, after, strict=True))
    assert state.has_mask.tolist() == [float(clicks > 0)] * 2
    assert not state.mask_input.requires_grad


def test_some_objects_start_from_a_poor_mask_and_its_correction() -> None:
    truths = np.zeros((3, LOGITS, LOGITS), bool)
    truths[:, 60:140, 80:150] = True
    state = begin(truths, np.ones_like(truths), np.random.default_rng(1), CPU, poor_masks=1.0)
    assert state.has_mask.tolist() == [1, 1, 1] and set(state.mask_input.unique().tolist()) == {-6.0, 6.0}
    assert all(len(user.labels) >= 1 for user in state.users)


def test_every_set_in_the_table_of_restricted_licences_is_known_by_its_folder(shared_data: Path) -> None:
    sets: list[Dataset] = read_index(shared_data / "train")
    free = {d.name for d in read_index(shared_data / "train", licences="open")}
    assert len(free) < len(sets) and {"ECSSD", "COCO_instances", "derm_ham10000"} & free == set()
    assert {"CCP", "nuclei_dsb2018", "BuildingFacade"} <= free
