"""The feature store: signed before anything else, a slice counts only with its flag, and nothing damaged is used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import StoreError
from maskwright.core.features import Features
from maskwright.core.model_card import FeatureSpec
from maskwright.core.preprocess import PREPROCESSING_VERSION, Intensity
from maskwright.core.volume import View
from maskwright.io import feature_store
from maskwright.io.feature_store import USED, FeatureStore, Signature, signature
from tests.fakes import FAKE_CARD

SHAPE = (4, 30, 20)
SPECS = (FeatureSpec("feat_0", (1, 3, 4, 4), "float16"), FeatureSpec("feat_1", (1, 1, 8, 8), "float32"))
SIGN = Signature("a" * 64, "tiny", "b" * 64, PREPROCESSING_VERSION, (-160.0, 240.0), SPECS)
MIDDLE = View(0, 2)


def opened(root: Path, sign: Signature = SIGN, *, budget_bytes: int | None = None) -> FeatureStore:
    return FeatureStore.open(root, sign, shape_zyx=SHAPE, budget_bytes=budget_bytes)


def features(seed: int, shape_yx: tuple[int, int] = (30, 20)) -> Features:
    rng = np.random.default_rng(seed)
    return Features(tuple(rng.standard_normal(s.shape).astype(s.dtype) for s in SPECS), shape_yx)


def same(one: Features, other: Features) -> bool:
    pairs = list(zip(one.arrays, other.arrays, strict=True))
    return one.shape_yx == other.shape_yx and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def chunk(store: FeatureStore, name: str, index: int) -> Path:
    found = [p for p in (store.folder / "0" / name / "c" / str(index)).rglob("*") if p.is_file()]
    assert len(found) == 1
    return found[0]


def asides(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if ".aside-" in p.name)


def test_a_signature_holds_all_that_features_depend_on() -> None:
    sign = signature("f" * 64, FAKE_CARD, Intensity(3.0, 900.0))
    assert sign == Signature("f" * 64, "fake", "e" * 64, PREPROCESSING_VERSION, (3.0, 900.0), FAKE_CARD.features)
    assert sign.key == "f" * 24 + "-fake"
    adapted = replace(FAKE_CARD, id="adapted", extra={"features_of": "fake"})
    assert signature("f" * 64, adapted, Intensity(3.0, 900.0)) == sign


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store.notice == "" and not store.ready(MIDDLE)
    store.write(MIDDLE, features(1))
    assert store.ready(MIDDLE) and same(store.read(MIDDLE), features(1))
    again = opened(tmp_path)
    assert again.notice == "" and again.folder == store.folder
    assert again.ready_flags().tolist() == [False, False, True, False]
    assert same(again.read(MIDDLE), features(1))
    again.write(MIDDLE, features(2))
    assert same(opened(tmp_path).read(MIDDLE), features(2))


def test_each_axis_has_slices_of_its_own(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(View(1, 29), features(1, (4, 20)))
    store.write(View(2, 0), features(2, (4, 30)))
    again = opened(tmp_path)
    assert [int(again.ready_flags(axis).sum()) for axis in range(3)] == [0, 1, 1]
    assert same(again.read(View(1, 29)), features(1, (4, 20)))
    assert same(again.read(View(2, 0)), features(2, (4, 30)))


def test_a_slice_of_zeros_is_a_slice(tmp_path: Path) -> None:
    zeros = Features(tuple(np.zeros(s.shape, s.dtype) for s in SPECS), (30, 20))
    opened(tmp_path).write(View(0, 0), zeros)
    store = opened(tmp_path)
    store.write(View(0, 1), zeros)
    assert same(opened(tmp_path).read(View(0, 0)), zeros) and same(opened(tmp_path).read(View(0, 1)), zeros)


def test_the_manifest_is_there_before_any_slice(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert sorted(p.name for p in store.folder.iterdir()) == [USED, "zarr.json"]
    assert json.loads((store.folder / "zarr.json").read_text("utf-8"))["attributes"]["maskwright"] == {
        "fingerprint": "a" * 64,
        "model_id": "tiny",
        "model_sha256": "b" * 64,
        "preprocessing_version": PREPROCESSING_VERSION,
        "intensity": [-160.0, 240.0],
        "features": [["feat_0", [1, 3, 4, 4], "float16"], ["feat_1", [1, 1, 8, 8], "float32"]],
        "store_version": 1,
        "shape_zyx": [4, 30, 20],
    }


def test_a_path_in_any_script(tmp_path: Path) -> None:
    root = tmp_path / "Merkmale für Ärzte" / "特徴 量"
    opened(root).write(MIDDLE, features(1))
    assert same(opened(root).read(MIDDLE), features(1))


_KILLED_BEFORE_THE_FLAG = """
import os, signal, sys
from pathlib import Path
import zarr
from tests.unit.io.test_feature_store import SHAPE, SIGN, View, features, opened
store = opened(Path(sys.argv[1]))
store.write(View(0, 0), features(0))
put = zarr.Array.__setitem__
def killed(self, at, value):
    if self.path == "0/done":
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, at, value)
zarr.Array.__setitem__ = killed
store.write(View(0, 2), features(2))
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL there")
def test_a_slice_that_was_killed_before_its_flag_does_not_count(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-c", _KILLED_BEFORE_THE_FLAG, str(tmp_path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = opened(tmp_path)
    assert store.notice == ""
    assert chunk(store, "feat_0", 2).stat().st_size == 2 * 48 + 4  # all of it is there, but for the flag
    assert store.ready_flags().tolist() == [True, False, False, False]
    assert same(store.read(View(0, 0)), features(0))
    with pytest.raises(StoreError, match="no features of slice 2"):
        store.read(MIDDLE)
    store.write(MIDDLE, features(5))
    assert same(opened(tmp_path).read(MIDDLE), features(5))


@pytest.mark.parametrize("made", [(), ("feat_0",), ("feat_0", "feat_1")])
def test_a_store_that_was_killed_while_its_arrays_were_made_goes_on(tmp_path: Path, made: tuple[str, ...]) -> None:
    import shutil

    store = opened(tmp_path)
    store.write(MIDDLE, features(1))
    for name in {"feat_0", "feat_1", "done"} - set(made):
        shutil.rmtree(store.folder / "0" / name)
    again = opened(tmp_path)
    assert again.notice == "" and not again.ready_flags().any()
    again.write(MIDDLE, features(2))
    assert same(opened(tmp_path).read(MIDDLE), features(2))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"fingerprint": "a" * 24 + "c" * 40}, "the scan changed"),
        ({"model_sha256": "c" * 64}, "the model changed"),
        ({"preprocessing_version": PREPROCESSING_VERSION + 1}, "the preprocessing changed"),
        ({"intensity": (-160.0, 241.0)}, "the intensity range changed"),
        ({"features": SPECS[:1]}, "its layout changed"),
        ({"features": (replace(SPECS[0], dtype="float32"), SPECS[1])}, "its layout changed"),
    ],
)
def test_another_signature_sets_the_store_aside(tmp_path: Path, change: dict[str, object], why: str) -> None:
    old = opened(tmp_path)
    old.write(MIDDLE, features(1))
    content = chunk(old, "feat_0", 2).read_bytes()
    other = replace(SIGN, **change)
    store = opened(tmp_path, other)
    (aside,) = asides(tmp_path)
    assert store.notice == (
        f"Stored features were set aside because {why}; this scan is encoded again (old folder: {aside.name})."
    )
    assert store.folder.name == SIGN.key and not store.ready_flags().any()
    assert next((aside / "0/feat_0/c/2").rglob("0")).is_dir()
    assert [p.read_bytes() for p in (aside / "0/feat_0/c/2").rglob("*") if p.is_file()] == [content]
    assert opened(tmp_path, other).notice == ""
    assert len(asides(tmp_path)) == 1


def test_another_size_or_another_release_sets_the_store_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path)
    larger = FeatureStore.open(tmp_path, SIGN, shape_zyx=(5, 30, 20))
    assert "because the scan has another size;" in larger.notice
    monkeypatch.setattr(feature_store, "STORE_VERSION", 2)
    assert "because its layout changed;" in FeatureStore.open(tmp_path, SIGN, shape_zyx=(5, 30, 20)).notice
    assert len(asides(tmp_path)) == 2


def test_another_model_has_a_store_beside_it(tmp_path: Path) -> None:
    opened(tmp_path).write(MIDDLE, features(1))
    other = opened(tmp_path, replace(SIGN, model_id="other", model_sha256="d" * 64))
    assert other.notice == "" and not other.ready(MIDDLE)
    assert opened(tmp_path).ready(MIDDLE)


@pytest.mark.parametrize("content", [b"", b'{"zarr_format": 3, "attri', b"[]", b'{"attributes": {"maskwright": 3}}'])
def test_a_manifest_that_cannot_be_read_sets_the_store_aside(tmp_path: Path, content: bytes) -> None:
    store = opened(tmp_path)
    store.write(MIDDLE, features(1))
    (store.folder / "zarr.json").write_bytes(content)
    again = opened(tmp_path)
    assert "because its manifest cannot be read;" in again.notice
    assert not again.ready_flags().any() and len(asides(tmp_path)) == 1


@pytest.mark.parametrize("path", ["0/zarr.json", "0/feat_0/zarr.json", "0/done/zarr.json"])
def test_a_truncated_description_sets_the_store_aside(tmp_path: Path, path: str) -> None:
    store = opened(tmp_path)
    store.write(MIDDLE, features(1))
    text = (store.folder / path).read_bytes()
    (store.folder / path).write_bytes(text[: len(text) // 2])
    again = opened(tmp_path)
    assert "because its files are damaged;" in again.notice
    assert not again.ready_flags().any()
    again.write(MIDDLE, features(2))
    assert same(opened(tmp_path).read(MIDDLE), features(2))


def test_flags_and_arrays_of_another_shape_set_the_store_aside(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(MIDDLE, features(1))
    flag = store.folder / "0/done/c/2"
    flag.write_bytes(b"")
    assert "because its files are damaged;" in opened(tmp_path).notice
    store = opened(tmp_path)
    store.write(MIDDLE, features(1))
    described = store.folder / "0/feat_1/zarr.json"
    described.write_text(described.read_text("utf-8").replace("8", "9"), "utf-8")
    assert "because its files are damaged;" in opened(tmp_path).notice


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda p: p.write_bytes(p.read_bytes()[:20])])
@pytest.mark.parametrize("name", ["feat_0", "feat_1"])
def test_damaged_features_are_said_and_encoded_again(tmp_path: Path, name: str, damage: object) -> None:
    opened(tmp_path).write(MIDDLE, features(1))
    store = opened(tmp_path)
    store.write(View(0, 1), features(2))
    damage(chunk(store, name, 2))  # type: ignore[operator]
    assert store.ready(MIDDLE)
    with pytest.raises(StoreError, match="the stored features of slice 2 are damaged") as caught:
        store.read(MIDDLE)
    assert caught.value.path == store.folder and caught.value.hint == "The slice will be encoded again."
    assert store.ready_flags().tolist() == [False, True, False, False]
    assert same(store.read(View(0, 1)), features(2))
    store.write(MIDDLE, features(3))
    assert store.ready(MIDDLE) and same(store.read(MIDDLE), features(3))


def test_features_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    one = features(1)
    for arrays in (one.arrays[:1], (one.arrays[0], one.arrays[1][:, :, 1:]), one.arrays[::-1]):
        with pytest.raises(ValueError, match="shapes of the signature|longer"):
            store.write(MIDDLE, Features(arrays, (30, 20)))
    assert not store.ready(MIDDLE) and not opened(tmp_path).ready(MIDDLE)
    for view in (View(0, 4), View(0, -1), View(3, 0), View(-1, 0)):
        for call in (store.ready, store.read, lambda v: store.write(v, one)):
            with pytest.raises(ValueError, match="outside the scan"):
                call(view)


def test_flags_are_read_only_and_follow_another_process_after_refresh(tmp_path: Path) -> None:
    store, other = opened(tmp_path), opened(tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        store.ready_flags()[0] = True
    other.write(MIDDLE, features(1))
    assert not store.ready(MIDDLE)
    store.refresh()
    assert store.ready(MIDDLE) and same(store.read(MIDDLE), features(1))


def test_a_flag_that_is_being_written_does_not_count_yet(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(MIDDLE, features(1))
    (store.folder / "0/done/c/1.0a1b.partial").write_bytes(b"")
    (store.folder / "0/done/c/3").write_bytes(b"\0")
    again = opened(tmp_path)
    assert again.notice == "" and again.ready_flags().tolist() == [False, False, True, False]


# Least recently used stores make room.
