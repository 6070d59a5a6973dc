"""Views of training images: crops round objects, other intensities after round 0, and features computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskwright.core.errors import ScanError
from maskwright.core.preprocess import SliceTransform, normalised
from maskwright.core.volume import View
from maskwright_models.data import features as data_features
from maskwright_models.data.features import Frozen, compute, frozen_trunk, module_sha256, open_store
from maskwright_models.data.index import Dataset, read_index, read_map
from maskwright_models.data.intensity import augment
from maskwright_models.data.views import ROUNDS, crop_of, input_of, place_of, read_rgb, view_index
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE
from tests.models.training_cases import CPU, SHAPE, Means, disk, frozen_parts, make_set

VIEWS = [(n, r) for n in range(4) for r in range(1, ROUNDS)]
CROPS = [(n, r) for n, r in VIEWS if r % 2]
NEARLY_WHOLE = [(n, r) for n, r in VIEWS if r % 2 == 0]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four photos: a disk at the right border, a small one, and a speck that is too small to cut round."""
    root = tmp_path_factory.mktemp("views")
    disks = [(30, 40, 20), (110, 70, 9), (5, 5, 1)]
    make_set(root / "natural" / "Disks", images=4, disks=disks, labels=("a", "b", "c"))
    return read_index(root)[0]


def test_the_first_view_is_the_image_as_it_is(photos: Dataset) -> None:
    crop = crop_of(photos, 0, 0, SHAPE)
    assert (crop.y0, crop.x0, crop.y1, crop.x1, crop.mirrored) == (0, 0, 90, 120, False)
    rgb, again, transform = input_of(photos, 0, 0, INPUT_SIZE)
    assert again == crop and transform == SliceTransform(SHAPE, INPUT_SIZE)
    assert np.array_equal(rgb, transform.image_to_input(read_rgb(photos.images[0].image)))


def test_a_view_is_fixed_by_set_image_and_round(photos: Dataset, data: Path) -> None:
    crops = [crop_of(photos, n, r, SHAPE) for n, r in VIEWS]
    assert crops == [crop_of(photos, n, r, SHAPE) for n, r in VIEWS]
    assert len({(c.y0, c.x0, c.y1, c.x1) for c in crops}) > 20 and {c.mirrored for c in crops} == {True, False}
    one, other = read_index(data)  # the same pictures under two names
    assert [crop_of(one, 0, r, SHAPE) for r in (1, 2, 3)] != [crop_of(other, 0, r, SHAPE) for r in (1, 2, 3)]


def test_features_of_views_that_showed_something_else_are_not_taken(
    photos: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = frozen_parts()[0]
    assert compute(part, [photos], tmp_path, round_=0, device=CPU) == 4
    assert open_store(tmp_path, photos, part).ready_flags(0).sum() == 4
    monkeypatch.setattr("maskwright_models.data.features.VIEWS_VERSION", 99)
    assert open_store(tmp_path, photos, part).ready_flags(0).sum() == 0


def test_crops_lie_in_the_image_and_hold_a_whole_object(photos: Dataset) -> None:
    seen = set()
    for n, r in CROPS:
        crop = crop_of(photos, n, r, SHAPE)
        assert 0 <= crop.y0 < crop.y1 <= 90 and 0 <= crop.x0 < crop.x1 <= 120
        assert crop.y1 - crop.y0 >= 48 and crop.x1 - crop.x0 >= 48
        index = read_map(photos.images[n].maps[0])
        cut = crop.apply(index)
        whole = {k for k in (1, 2) if (cut == k).sum() == (index == k).sum()}
        assert whole
        sides = [max(np.ptp(axis) + 1 for axis in np.nonzero(index == k)) for k in whole]
        assert any(max(cut.shape) <= max(3 * s + 1, 48) for s in sides)  # not more than three times as wide
        assert any(max(cut.shape) >= min(round(1.2 * s), 90) for s in sides)
        seen |= whole
    assert seen == {1, 2}


def test_every_other_view_shows_nearly_all_of_the_image_and_two_of_three_mirrored(photos: Dataset) -> None:
    crops = [crop_of(photos, n, r, SHAPE) for n, r in NEARLY_WHOLE]
    shares = np.array([((c.y1 - c.y0) / 90, (c.x1 - c.x0) / 120) for c in crops])
    assert shares.min() > 0.74 and shares.max() <= 1 and np.ptp(shares) > 0.1
    assert np.abs(shares[:, 0] - shares[:, 1]).max() < 0.01  # the image keeps its proportions
    assert all(0 <= c.y0 and c.y1 <= 90 and 0 <= c.x0 and c.x1 <= 120 for c in crops)
    assert {(r, c.mirrored) for (_, r), c in zip(NEARLY_WHOLE, crops, strict=True)} == {
        (2, True),
        (4, False),
        (6, True),
    }


def test_objects_lie_anywhere_in_their_crop(photos: Dataset) -> None:
    at = []
    for n, r in CROPS:
        crop = crop_of(photos, n, r, SHAPE)
        ys, xs = np.nonzero(crop.apply(read_map(photos.images[n].maps[0])) == 1)
        if len(ys) > 1000:  # of about 1257
            at.append((ys.mean() / (crop.y1 - crop.y0), xs.mean() / (crop.x1 - crop.x0)))
    assert len(at) > 5 and np.ptp(at, axis=0).min() > 0.1


def test_a_speck_is_nothing_to_cut_round_and_an_empty_map_gives_the_whole(tmp_path: Path) -> None:
    make_set(tmp_path / "natural" / "Disks", images=1, disks=[(60, 45, 0)], labels=("speck",))
    photos = read_index(tmp_path)[0]
    for r in range(1, ROUNDS, 2):
        crop = crop_of(photos, 0, r, SHAPE)
        assert (crop.y0, crop.x0, crop.y1, crop.x1) == (0, 0, 90, 120)


def test_a_crop_cuts_and_mirrors_picture_and_map_alike(photos: Dataset) -> None:
    pixels = np.arange(90 * 120).reshape(SHAPE)
    for n, r in VIEWS[:10]:
        crop = crop_of(photos, n, r, SHAPE)
        cut = crop.apply(pixels)
        assert cut.flags.c_contiguous and cut.shape == (crop.y1 - crop.y0, crop.x1 - crop.x0)
        assert cut[0, -1 if crop.mirrored else 0] == pixels[crop.y0, crop.x0]
        assert cut[-1, 0 if crop.mirrored else -1] == pixels[crop.y1 - 1, crop.x1 - 1]
        again, transform = place_of(photos, n, r, INPUT_SIZE)
        _, told, used = input_of(photos, n, r, INPUT_SIZE)
        assert (again, transform) == (told, used) == (crop, SliceTransform(cut.shape, INPUT_SIZE))


def test_views_after_the_first_have_other_intensities_and_the_same_shapes(photos: Dataset) -> None:
    changed = 0
    for n, r in VIEWS:
        rgb, crop, transform = input_of(photos, n, r, INPUT_SIZE)
        assert np.array_equal(rgb, input_of(photos, n, r, INPUT_SIZE)[0])
        part = crop.apply(read_rgb(photos.images[n].image))
        rng = np.random.default_rng([1, view_index(photos, n, r)])
        assert np.array_equal(rgb, transform.image_to_input(augment(part, "photo", rng)))
        changed += not np.array_equal(rgb, transform.image_to_input(part))
        bright, index = rgb.mean(2), crop.apply(read_map(photos.images[n].maps[0]))
        inside = transform.image_to_input(np.repeat((index > 0)[..., None] * np.uint8(255), 3, 2))[..., 0] == 255
        inner = np.zeros_like(inside)
        inner[: transform.inner_yx[0], : transform.inner_yx[1]] = True
        assert bright[inside].mean() > bright[inner & ~inside].mean()  # what was brighter still is
    assert changed > 0.8 * len(VIEWS)


# Features.


def test_features_are_computed_once(data: Path, tmp_path: Path) -> None:
    net, sets, told = Means((1536, 32)), read_index(data), []
    trunk = frozen_trunk(net)  # type: ignore[arg-type]

    def compute(round_: int) -> int:
        say: Callable[[str, int, int], None] = lambda *three: told.append(three)  # noqa: E731
        return data_features.compute(trunk, sets, tmp_path, round_=round_, device=CPU, batch=2, on_batch=say)

    assert compute(0) == 4 and net.seen == 4
    assert told == [("Disks", 2, 2), ("ct_disks", 2, 2)]
    assert compute(0) == 0 and net.seen == 4
    assert compute(1) == 4 and net.seen == 8
    store = data_features.open_store(tmp_path, sets[0], trunk)
    assert np.flatnonzero(store.ready_flags()).tolist() == [0, 1, 2, 3]
    assert view_index(sets[0], 1, 1) == 3
    tokens = store.read(View(0, 3)).arrays[0]
    assert (tokens.shape, tokens.dtype) == ((1, 1536, 32, 32), np.float16)
    assert not np.array_equal(tokens, store.read(View(0, 1)).arrays[0])


def test_stored_features_are_those_of_the_view(data: Path, store: Path) -> None:
    photos = read_index(data)[0]
    rgb, _, transform = input_of(photos, 1, 0, INPUT_SIZE)
    grey = normalised(rgb, transform.inner_yx)[0].mean(0)
    trunk, stem = (data_features.open_store(store, photos, p).read(View(0, 1)).arrays for p in frozen_parts())
    assert [a.shape for a in (*trunk, *stem)] == [(1, 1536, 32, 32), (1, 24, 128, 128), (1, 40, 64, 64)]
    for array in (*trunk, *stem):
        n = array.shape[-1]
        want = grey.reshape(n, INPUT_SIZE // n, n, INPUT_SIZE // n).mean((1, 3))
        assert np.abs(array[0, 5] - want).max() < 0.02  # bfloat16


def test_features_of_other_weights_are_not_used(data: Path, tmp_path: Path) -> None:
    sets, net = read_index(data), Means((1536, 32))
    mine = frozen_trunk(net)  # type: ignore[arg-type]
    data_features.compute(mine, sets[:1], tmp_path, round_=0, device=CPU)
    net.get_buffer("weight").add_(1)
    other: Frozen = frozen_trunk(net)  # type: ignore[arg-type]
    assert other.sha256 == module_sha256(net) != mine.sha256
    store = data_features.open_store(tmp_path, sets[0], other)
    assert not store.ready_flags().any() and "set aside" in store.notice
    assert data_features.compute(other, sets[:1], tmp_path, round_=0, device=CPU) == 2


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "natural" / "Disks")
    (folder / "images" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(ScanError, match="not a readable image") as caught:
        data_features.compute(frozen_parts()[0], read_index(tmp_path), tmp_path / "f", round_=0, device=CPU, batch=1)
    assert caught.value.path == folder / "images" / "1.png"


def test_a_map_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "natural" / "Disks")
    (folder / "objects" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(ScanError, match="not a readable index map") as caught:
        crop_of(read_index(tmp_path)[0], 0, 1, SHAPE)
    assert caught.value.path == folder / "objects" / "0.png"
    cv2.imwrite(str(folder / "objects" / "0.png"), disk(30, 30, 20).astype(np.uint8))
    assert crop_of(read_index(tmp_path)[0], 0, 1, SHAPE).y1 > 0
