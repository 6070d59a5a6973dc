"""Training samples: truths on the grid, windows, objects that text asks for, what is drawn how often and held back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.core.errors import StoreError
from maskwright.core.preprocess import SliceTransform
from maskwright_models.data.features import compute
from maskwright_models.data.index import read_index, read_map
from maskwright_models.data.samples import EMPHASIS, WINDOW, Mix, Sample, SampleSource, best_cells, to_grid
from maskwright_models.data.views import place_of
from maskwright_models.data.words import NOT_SHOWN, Words
from maskwright_models.train.batch import of_objects
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, TEXT_WIDTH, TOKENS
from tests.models.training_cases import CPU, SHAPE, compute_all, disk, frozen_parts, make_set, words

PLAIN = Mix(text=0.0, joined=0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def loaded(sample: Sample | None) -> Sample:
    assert sample is not None
    return sample


# Truths on the grid.


def test_a_view_of_the_size_of_the_input_gives_the_means_of_four_pixels() -> None:
    mask = rng().random((333, 512)) < 0.5  # an odd number of rows
    padded = np.zeros((INPUT_SIZE, INPUT_SIZE))
    padded[:333] = mask
    want = padded.reshape(LOGITS, 2, LOGITS, 2).mean((1, 3))
    assert np.allclose(to_grid(mask, SliceTransform((333, 512), INPUT_SIZE)), want, atol=1e-6)


@pytest.mark.parametrize("shape", [(87, 120), (120, 87), (700, 1011), (45, 512), (1024, 1024)])
def test_truths_lie_where_the_picture_does(shape: tuple[int, int]) -> None:
    transform = SliceTransform(shape, INPUT_SIZE)
    h, w = shape
    for x, y in ((0.3 * w, 0.3 * h), (0.8 * w, 0.3 * h), (0.3 * w, 0.8 * h), (0.8 * w, 0.8 * h)):
        mask = disk(int(x), int(y), int(0.15 * min(shape)), shape)
        grid = to_grid(mask, transform)
        centre = np.array([np.nonzero(mask)[::-1]]).mean((0, 2))  # of the pixels, (x, y)
        want = (transform.points_to_input(centre[None])[0] + 0.5) / 2 - 0.5
        yy, xx = np.mgrid[:LOGITS, :LOGITS]
        found = np.array([(grid * xx).sum(), (grid * yy).sum()]) / grid.sum()
        assert np.abs(found - want).max() < 0.02
        ratio = transform.inner_yx[0] / h * transform.inner_yx[1] / w / 4
        assert grid.sum() == pytest.approx(mask.sum() * ratio, rel=0.01)
        back = transform.logits_to_slice(grid * 2 - 1) > 0  # as the app draws it
        assert (back & mask).sum() / (back | mask).sum() > 0.9


def test_a_row_that_padding_shares_is_covered_by_half() -> None:
    transform = SliceTransform((87, 120), INPUT_SIZE)
    assert transform.inner_yx == (371, 512)
    rows = to_grid(np.ones((87, 120), bool), transform)[:, 100]
    assert rows[:185].min() == 1 and rows[185] == 0.5 and rows[186:].max() == 0


def test_tokens_are_covered_by_the_share_of_their_pixels() -> None:
    mask = np.zeros((512, 512), bool)
    mask[:24, :16] = True
    cover = to_grid(mask, SliceTransform((512, 512), INPUT_SIZE), TOKENS)
    assert cover[:3, 0].tolist() == [1.0, 0.5, 0.0] and cover.sum() == 1.5


def test_the_cells_of_a_truth_are_those_that_come_closest_to_the_mask() -> None:
    for share in (rng().random((9, 9)), rng(1).random((9, 9)) ** 4, np.full((9, 9), 0.4)):
        best = best_cells(share)

        def dice(cells: np.ndarray, share: np.ndarray = share) -> float:
            return 2 * share[cells].sum() / (cells.sum() + share.sum())

        assert dice(best) == pytest.approx(max(dice(share >= t) for t in np.unique(share)))
    assert not best_cells(np.zeros((3, 3))).any()


def test_a_line_thinner_than_a_cell_stays_in_one_piece() -> None:
    grid = to_grid(np.pad(np.ones((512, 1), bool), ((0, 0), (101, 410))), SliceTransform((512, 512), INPUT_SIZE))
    assert grid.max() == 0.5
    drawn = np.zeros((512, 512), bool)
    for k in range(512):
        drawn[k, 100 + k // 3] = True
    assert best_cells(to_grid(drawn, SliceTransform((512, 512), INPUT_SIZE))).any(1).all()


# Samples of whole views.


def test_a_sample_is_a_view_with_the_masks_of_its_objects(data: Path, store: Path) -> None:
    source = SampleSource(read_index(data), store, frozen_parts(), objects=2, mix=PLAIN)
    sample = loaded(source.load(0, 0, 0, rng()))
    assert (sample.tokens.shape, sample.tokens.dtype) == ((1536, 32, 32), np.float16)
    assert [(a.shape, a.dtype) for a in sample.stem] == [((24, 128, 128), np.float16), ((40, 64, 64), np.float16)]
    assert (sample.truths.shape, sample.valid.shape) == ((2, LOGITS, LOGITS), (2, LOGITS, LOGITS))
    assert sample.valid[:, :192].all() and not sample.valid[:, 192:].any()  # 90 x 120 fills 384 x 512
    assert sample.text.shape == (2, TEXT_WIDTH)
    assert (sample.words.shape, sample.shares.shape) == ((0, TEXT_WIDTH), (0, TOKENS, TOKENS))  # without words
    assert sample.corners is None and not sample.asked.any() and not sample.text.any()
    transform = SliceTransform(SHAPE, INPUT_SIZE)
    left, right = (best_cells(to_grid(m, transform)) for m in (disk(35, 40, 22), disk(85, 50, 17)))
    for truth in sample.truths:
        assert np.array_equal(truth, left) or np.array_equal(truth, right)
        edges = sample.stem[0][0].repeat(2, 0).repeat(2, 1)
        assert edges[truth].mean() > edges[sample.valid[0]].mean() + 0.3


def test_objects_of_photos_are_joined_with_a_neighbour_and_those_of_scans_never(data: Path, store: Path) -> None:
    source = SampleSource(read_index(data), store, frozen_parts(), objects=2, mix=Mix(text=0.0, joined=1.0))
    transform = SliceTransform(SHAPE, INPUT_SIZE)
    both = best_cells(to_grid(disk(35, 40, 22) | disk(85, 50, 17), transform))
    photo, scan = (loaded(source.load(which, 0, 0, rng())) for which in (0, 1))
    assert all(np.array_equal(truth, both) for truth in photo.truths)
    assert not any(np.array_equal(truth, both) for truth in scan.truths)


def test_a_view_without_a_large_object_gives_nothing(tmp_path: Path) -> None:
    make_set(tmp_path / "natural" / "Specks", disks=[(60, 45, 1)], labels=("speck",))
    sets = read_index(tmp_path)
    compute_all(sets, tmp_path / "f")
    source = SampleSource(sets, tmp_path / "f", frozen_parts())
    assert source.load(0, 0, 0, rng()) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskwright_models.data.samples.MOST_TRIES", 5)
        with pytest.raises(StoreError, match="no view shows an object of 24 pixels or more"):
            source.draw(rng())


# Windows.


def test_a_window_holds_all_of_its_object_and_the_features_over_it(data: Path, store: Path) -> None:
    source = SampleSource(read_index(data), store, frozen_parts(), mix=PLAIN)
    transform, cell = SliceTransform(SHAPE, INPUT_SIZE), LOGITS // TOKENS
    wholes = [best_cells(to_grid(m, transform)) for m in (disk(35, 40, 22), disk(85, 50, 17))]
    seen, corners = set(), set()
    for seed in range(6):
        sample = loaded(source.load(0, 0, 0, rng(seed), windows=True))
        side = WINDOW * cell
        assert sample.corners is not None and sample.corners.shape == (8, 2)
        assert sample.truths.shape == sample.valid.shape == (8, side, side)
        assert not sample.asked.any()
        edges = of_objects([torch.from_numpy(sample.stem[0].astype(np.float32))[None]], [sample])[0]
        assert edges.shape == (8, 24, side // 2, side // 2)
        for k, (y, x) in enumerate(sample.corners):
            assert 0 <= y <= TOKENS - WINDOW and 0 <= x <= TOKENS - WINDOW
            place = slice(y * cell, y * cell + side), slice(x * cell, x * cell + side)
            found = [i for i, whole in enumerate(wholes) if np.array_equal(sample.truths[k], whole[place])]
            assert len(found) == 1 and sample.truths[k].sum() == wholes[found[0]].sum()
            assert sample.valid[k].sum() == max(0, min(192 - y * cell, side)) * side
            bright = edges[k, 0].numpy().repeat(2, 0).repeat(2, 1)
            assert bright[sample.truths[k]].mean() > bright[~sample.truths[k]].mean() + 0.3
            seen.add(found[0])
            corners.add((int(y), int(x)))
    assert seen == {0, 1} and len(corners) > 8


def test_corners_name_the_first_row_and_column_of_every_map() -> None:
    corners = np.array([[0, 0], [3, 16], [16, 5]])
    none = np.zeros(0)
    sample = Sample(none, (), np.zeros((3, 128, 128), bool), none, none, none, corners=corners)
    maps = []
    for n in (32, 128):
        yy, xx = np.mgrid[:n, :n]
        maps.append(torch.from_numpy(np.stack([yy, xx])[None].astype(np.float32)))
    coarse, fine = of_objects(maps, [sample])
    assert coarse.shape == (3, 2, 16, 16) and fine.shape == (3, 2, 64, 64)
    for k, (y, x) in enumerate(corners):
        assert (coarse[k, :, 0, 0].tolist(), coarse[k, :, -1, -1].tolist()) == ([y, x], [y + 15, x + 15])
        assert (fine[k, :, 0, 0].tolist(), fine[k, :, -1, -1].tolist()) == ([4 * y, 4 * x], [4 * y + 63, 4 * x + 63])


def test_each_object_of_a_batch_gets_the_maps_of_its_own_view() -> None:
    none, maps = np.zeros(0), torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1).expand(2, 1, 32, 32)
    whole = Sample(none, (), np.zeros((3, 4, 4), bool), none, none, none)
    assert of_objects([maps], [whole, whole])[0][:, 0, 0, 0].tolist() == [1, 1, 1, 2, 2, 2]
    cut = Sample(none, (), np.zeros((2, 4, 4), bool), none, none, none, corners=np.array([[0, 0], [4, 4]]))
    assert of_objects([maps], [cut, cut])[0][:, 0, 0, 0].tolist() == [1, 1, 2, 2]


def test_objects_too_large_for_a_window_are_seen_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path / "natural" / "Large", disks=[(60, 45, 40)], labels=("large",))
    sets = read_index(tmp_path)
    compute_all(sets, tmp_path / "f")
    source = SampleSource(sets, tmp_path / "f", frozen_parts(), mix=Mix(windows=1.0))
    assert source.load(0, 0, 0, rng(), windows=True) is None
    monkeypatch.setattr("maskwright_models.data.samples.MOST_WINDOW_TRIES", 3)
    for sample in source._batch(rng(), 2):
        assert sample.corners is None and sample.truths.shape == (3, LOGITS, LOGITS)
    assert source.mix.windows == 0  # not tried again


def test_a_batch_is_of_one_kind_and_kinds_alternate_by_chance(source: SampleSource) -> None:
    batches = source.batches(2, seed=3, ahead=1)
    kinds = []
    for _ in range(8):
        batch = next(batches)
        kinds.append({sample.corners is not None for sample in batch})
    assert all(len(kind) == 1 for kind in kinds) and {True} in kinds and {False} in kinds


# Objects that text asks for.


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with two cells and a wall, and a scan of a liver."""
    root = tmp_path_factory.mktemp("cells")
    disks = [(25, 30, 16), (70, 30, 12), (95, 70, 14)]
    make_set(root / "natural" / "Cells", images=1, disks=disks, labels=("cell", "cell", "wall"))
    make_set(root / "medical" / "ct_liver", images=1, modality="ct", disks=[(60, 45, 20)], labels=("liver",))
    compute_all(read_index(root), root / "f")
    return root


def asking(cells: Path, known: Words, **mix: float) -> SampleSource:
    return SampleSource(read_index(cells), cells / "f", frozen_parts(), words=known, objects=8, mix=Mix(**mix))


def covered(cells: Path, *ids: int, n: int = LOGITS) -> np.ndarray:
    photos = read_index(cells)[0]
    return to_grid(np.isin(read_map(photos.images[0].maps[0]), ids), place_of(photos, 0, 0, INPUT_SIZE)[1], n)


KNOWN = words(cell=("bleb", "corpuscle"), wall=(), liver=("hepar",))


def phrases(vectors: np.ndarray) -> list[str]:
    return [next(p for p, v in KNOWN.vectors.items() if np.array_equal(v, text)) for text in vectors]


def test_text_asks_for_all_objects_of_its_label(cells: Path) -> None:
    sample = loaded(asking(cells, KNOWN, text=1.0, absent=0.0).load(0, 0, 0, rng()))
    assert sample.asked.all()
    asked = phrases(sample.text)
    assert {"cell", "wall"} <= set(asked) <= {"cell", "bleb", "corpuscle", "wall"}
    for phrase, truth in zip(asked, sample.truths, strict=True):
        assert np.array_equal(truth, best_cells(covered(cells, *((3,) if phrase == "wall" else (1, 2)))))


@pytest.mark.parametrize("windows", [False, True])
def test_every_view_says_where_its_labels_are_and_that_others_are_not(cells: Path, windows: bool) -> None:
    source = asking(cells, KNOWN, text=0.0, joined=0.0)
    sample = loaded(source.load(0, 0, 0, rng(), windows=windows))
    assert not sample.asked.any()
    named = dict(zip(phrases(sample.words), sample.shares, strict=True))
    shown = {p for p in named if p in ("cell", "bleb", "corpuscle", "wall")}
    assert len(shown) == 2 and "wall" in shown
    for phrase in shown:
        assert np.array_equal(named[phrase], covered(cells, *((3,) if phrase == "wall" else (1, 2)), n=TOKENS))
    absent = set(named) - shown
    assert absent and absent <= {"liver", "hepar"} and not any(named[p].any() for p in absent)
    assert len(sample.words) <= 2 + NOT_SHOWN


def test_what_another_map_of_the_image_shows_is_never_said_to_be_absent(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "medical" / "fundus", modality="fundus", images=1, labels=("disc", ""))
    objects = folder / "objects"
    (objects / "0.png").rename(objects / "0@1.png")
    shutil.copy(objects / "0@1.png", objects / "0@2.png")
    (folder / "labels.csv").write_text("file,index,label\n0@1.png,1,disc\n0@2.png,1,cup\n", "utf-8")
    sets = read_index(tmp_path)
    compute_all(sets, tmp_path / "f")
    source = SampleSource(
        sets, tmp_path / "f", frozen_parts(), words=words(disc=(), cup=()), mix=Mix(text=1.0, absent=1.0)
    )
    for seed in range(10):
        sample = loaded(source.load(0, 0, 0, rng(seed)))
        assert sample.truths.any((1, 2)).all() and len(sample.words) == 1 and sample.shares.any()


def test_text_that_names_nothing_here_has_an_empty_truth(cells: Path) -> None:
    sample = loaded(asking(cells, KNOWN, text=1.0, absent=1.0).load(0, 0, 0, rng()))
    assert sample.asked.all() and sample.valid.any()
    absent = np.array([max(t @ KNOWN.vectors["liver"], t @ KNOWN.vectors["hepar"]) == 1 for t in sample.text])
    # half look for an absent label in their own set; the photo shows both of those, and so they stay as they are
    assert absent.any() and not absent.all()
    assert not sample.truths[absent].any() and sample.truths[~absent].any((1, 2)).all()


def test_an_object_without_words_is_asked_for_by_clicks(cells: Path) -> None:
    sample = loaded(asking(cells, words(wall=()), text=1.0, absent=0.0, joined=0.0).load(0, 0, 0, rng()))
    walls = np.array([np.array_equal(t, best_cells(covered(cells, 3))) for t in sample.truths])
    assert walls.any() and not walls.all()
    assert np.array_equal(sample.asked, walls) and not sample.text[~walls].any()
    single = [best_cells(covered(cells, i)) for i in (1, 2)]
    assert all(any(np.array_equal(t, one) for one in single) for t in sample.truths[~walls])


def test_a_word_is_the_label_more_often_than_a_synonym() -> None:
    drawn = [int(np.argmax(KNOWN.draw("cell", rng(seed)))) for seed in range(300)]  # type: ignore[arg-type]
    assert set(drawn) == {0, 1, 2} and 190 <= drawn.count(0) <= 250
    assert KNOWN.draw("", rng()) is None and KNOWN.draw("never heard of", rng()) is None


# What is drawn.


def test_the_same_seed_draws_the_same_batches(source: SampleSource) -> None:
    def first(seed: int) -> list[np.ndarray]:
        batches = source.batches(2, seed=seed, ahead=1)
        return [s.truths for _ in range(3) for s in next(batches)]

    one, same, other = first(1), first(1), first(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_photos_and_scans_are_drawn_by_their_share(data: Path, store: Path) -> None:
    parts, sets = frozen_parts(), read_index(data)
    for share in (0.3, 0.9):
        weights = SampleSource(sets, store, parts, mix=Mix(medical=share)).weights
        assert weights.tolist() == pytest.approx([1 - share, share])
    assert SampleSource(sets[1:], store, parts).weights.tolist() == [1.0]


def test_some_sets_are_drawn_more_often_than_their_size_says(data: Path, tmp_path: Path) -> None:
    for name in ("One", "Other"):
        shutil.copytree(data / "natural" / "Disks", tmp_path / "natural" / name)
    sets = read_index(tmp_path)
    compute_all(sets, tmp_path / "f")
    assert SampleSource(sets, tmp_path / "f", frozen_parts()).weights.tolist() == [0.5, 0.5]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EMPHASIS, "One", 3.0)
        assert SampleSource(sets, tmp_path / "f", frozen_parts()).weights.tolist() == [0.75, 0.25]


def test_images_held_back_are_never_trained_on(data: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright_models.data.samples.HELD_EVERY", 2)
    sets, parts = read_index(data), frozen_parts()
    train, held = (SampleSource(sets, store, parts, held=h) for h in (False, True))
    assert [v.tolist() for v in train.views] == [[[0, 0]], [[0, 0]]]
    assert [v.tolist() for v in held.views] == [[[1, 0]], [[1, 0]]]
    second = [to_grid(read_map(d.images[1].maps[0]) > 0, SliceTransform(SHAPE, INPUT_SIZE)) > 0 for d in sets]
    for seed in range(10):
        for sample, inside in ((train.draw(rng(seed)), False), (held.draw(rng(seed)), True)):
            assert all((not (t & ~second[0]).any()) == inside for t in sample.truths)


def test_few_images_leave_none_to_hold_back(data: Path, store: Path) -> None:
    held = SampleSource(read_index(data), store, frozen_parts(), held=True)
    assert not held.any
    assert SampleSource(read_index(data), store, frozen_parts()).any


def test_views_that_are_computed_meanwhile_are_drawn_after_a_look(data: Path, tmp_path: Path) -> None:
    sets, parts = read_index(data), frozen_parts()
    compute_all(sets, tmp_path)
    source = SampleSource(sets, tmp_path, parts, rounds=2)
    assert [v.tolist() for v in source.views] == [[[0, 0], [1, 0]]] * 2
    assert compute_all(sets[:1], tmp_path, round_=1) == 2  # opens the stores anew, as another process does
    source.refresh()
    assert [v.tolist() for v in source.views] == [[[0, 0], [1, 0], [0, 1], [1, 1]], [[0, 0], [1, 0]]]
    assert source.load(0, 1, 1, rng()) is not None
    once = SampleSource(sets, tmp_path, parts)
    assert [v.tolist() for v in once.views] == [[[0, 0], [1, 0]]] * 2  # of one round only


def test_a_view_counts_only_where_both_parts_saw_it(data: Path, tmp_path: Path) -> None:
    sets, parts = read_index(data), frozen_parts()
    compute(parts[0], sets, tmp_path, round_=0, device=CPU)
    with pytest.raises(StoreError, match="no features of these sets are ready"):
        SampleSource(sets, tmp_path, parts)
    compute(parts[1], sets[:1], tmp_path, round_=0, device=CPU)
    assert [len(v) for v in SampleSource(sets, tmp_path, parts).views] == [2, 0]


def test_a_failure_while_drawing_reaches_the_trainer(source: SampleSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rng: np.random.Generator, size: int) -> None:
        raise StoreError("the stored features of slice 0 are damaged")

    monkeypatch.setattr(source, "_batch", broken)
    with pytest.raises(StoreError, match="damaged"):
        next(source.batches(2, seed=1))
