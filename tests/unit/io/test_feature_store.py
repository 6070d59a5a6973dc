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
from maskwright.io.feature_store import USED, FeatureStore, Signature, evict, signature
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


# Least recently used stores make room.


def used(root: Path, fingerprint: str, seconds_ago: float) -> Path:
    store = opened(root, replace(SIGN, fingerprint=fingerprint * 64))
    store.write(MIDDLE, features(1))
    return aged(store.folder, seconds_ago)


def aged(folder: Path, seconds_ago: float) -> Path:
    import time

    then = time.time() - seconds_ago
    os.utime(folder / USED, (then, then))
    return folder


def size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_stores_go_least_recently_used_first_and_those_set_aside_before_them(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"x" * 5000)
    old, older, aside = (used(tmp_path, name, ago) for name, ago in (("1", 5000), ("2", 9000), ("3", 300)))
    aside = aside.rename(tmp_path / f"{aside.name}.aside-20260101-000000-000000")
    aged(aside, 0)
    assert evict(tmp_path, budget_bytes=3 * size(old)) == []
    assert evict(tmp_path, budget_bytes=3 * size(old) - 1) == [aside]
    assert evict(tmp_path, budget_bytes=2 * size(old) - 1) == [older]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([old.name, "photos"])
    assert evict(tmp_path, budget_bytes=0) == [old]
    assert (tmp_path / "photos" / "mine.jpg").exists()


def test_a_store_in_use_and_the_one_to_keep_stay(tmp_path: Path) -> None:
    kept, busy, idle = (used(tmp_path, name, ago) for name, ago in (("1", 9000), ("2", 60), ("3", 200)))
    assert evict(tmp_path, budget_bytes=0, keep=kept) == [idle]
    assert kept.exists() and busy.exists()


def test_a_folder_without_a_manifest_that_was_set_aside_goes_too(tmp_path: Path) -> None:
    store = opened(tmp_path)
    (store.folder / "zarr.json").unlink()
    store = opened(tmp_path, budget_bytes=10**9)
    assert len(asides(tmp_path)) == 1
    opened(tmp_path, budget_bytes=0)
    assert asides(tmp_path) == [] and store.folder.exists()


def test_opening_makes_room_but_keeps_what_is_opened(tmp_path: Path) -> None:
    other = used(tmp_path, "1", 9000)
    mine = used(tmp_path, "a", 9000)
    store = opened(tmp_path, budget_bytes=size(mine))
    assert store.folder == mine and store.ready(MIDDLE)
    assert not other.exists()


def test_a_store_that_was_read_counts_as_used(tmp_path: Path) -> None:
    first, second = used(tmp_path, "1", 5000), used(tmp_path, "2", 9000)
    opened(tmp_path, replace(SIGN, fingerprint="2" * 64))
    assert evict(tmp_path, budget_bytes=size(first)) == [first]
    assert second.exists()


# A disk that is full, a folder that may not be written.


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_said_and_the_slice_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    store.write(View(0, 0), features(0))
    real = Path.open

    def opens(path: Path, mode: str = "r", **more: object):
        return real(Path("/dev/full") if "w" in mode else path, mode, **more)  # type: ignore[call-overload]

    with monkeypatch.context() as disk:
        disk.setattr(Path, "open", opens)
        with pytest.raises(StoreError, match="^the disk is full: ") as caught:
            store.write(MIDDLE, features(1))
        with pytest.raises(StoreError, match="^the disk is full: "):
            opened(tmp_path, replace(SIGN, model_id="other"))
    assert caught.value.path == store.folder
    assert caught.value.hint == "Free some space or choose another feature folder."
    assert store.ready_flags().tolist() == [True, False, False, False]
    assert opened(tmp_path).ready_flags().tolist() == [True, False, False, False]
    store.write(MIDDLE, features(1))
    assert same(opened(tmp_path).read(MIDDLE), features(1))


def test_a_file_in_place_of_the_feature_folder(tmp_path: Path) -> None:
    (tmp_path / "features").write_bytes(b"mine")
    with pytest.raises(StoreError, match="features cannot be stored") as caught:
        opened(tmp_path / "features")
    assert caught.value.hint == "Choose another feature folder."
    assert (tmp_path / "features").read_bytes() == b"mine"


# Root may write anywhere, so a folder is read-only only for a process that is somebody else.

_AS_NOBODY = """
import os, sys
from pathlib import Path
from dataclasses import replace
from maskwright.core.errors import StoreError
from tests.unit.io.test_feature_store import MIDDLE, SIGN, View, features, opened, same
opened(Path(sys.argv[2])).write(MIDDLE, features(1))  # all modules are loaded while they can be read
opened(Path(sys.argv[2])).read(MIDDLE)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
root = Path(sys.argv[1])
store = opened(root)
print(store.notice, store.ready_flags().tolist(), same(store.read(MIDDLE), features(1)))
for call in (
    lambda: store.write(View(0, 0), features(0)),
    lambda: opened(root, replace(SIGN, model_id="other")),
    lambda: opened(root, replace(SIGN, model_sha256="c" * 64)),
    lambda: opened(root / "new"),
):
    try:
        call()
        print("written")
    except StoreError as error:
        print(error)
"""


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A folder that also somebody else can look into."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder.stat().st_mode & 0o005 != 0o005 and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders work otherwise there")
def test_a_read_only_folder_is_read_and_says_so_when_it_is_to_be_written(reachable: Path, repository: Path) -> None:
    root = reachable / "nur lesen"
    folder = opened(root).folder
    opened(root).write(MIDDLE, features(1))
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        command = [sys.executable, "-c", _AS_NOBODY, str(root), str(reachable / "warm")]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 0, done.stderr
    denied = "Change its permissions or choose another feature folder."
    assert done.stdout.splitlines() == [
        " [False, False, True, False] True",
        f"the folder is read-only: {folder}. Choose another feature folder.",
        f"the folder may not be written: {root / (SIGN.fingerprint[:24] + '-other')}. {denied}",
        f"the folder may not be written: {folder}. {denied}",
        f"the folder may not be written: {root / 'new' / SIGN.key}. {denied}",
    ]
    assert same(opened(root).read(MIDDLE), features(1)) and asides(root) == []
