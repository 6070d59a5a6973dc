"""FeatureStore on a disk that is full, read-only or over its budget: nothing lost, plain errors."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from maskwright.core.errors import StoreError
from maskwright.core.volume import View
from maskwright.io.feature_store import USED, evict
from tests.unit.io.test_feature_store import MIDDLE, SIGN, asides, features, opened, same


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
