"""What killed exports leave beside their target goes at the next export to it, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maskwright.session import part_folder
from maskwright.session.export_job import export
from maskwright.session.part_folder import IDLE_SECONDS, PartFolder, remove_left
from tests.dataset_items import photo_item

_EXPORT_THAT_HANGS = """
import sys, time
from pathlib import Path
from maskwright.session.part_folder import PartFolder
part = PartFolder(Path(sys.argv[1]))
(part.path / "half.png").write_bytes(b"half")
print(part.path, flush=True)
time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left(out: Path, *, kind: str = "part") -> Path:
    """A hidden folder of a target, as a killed export leaves it."""
    part = PartFolder(out)
    (part.path / "masks").mkdir()
    (part.path / "masks" / "1.png").write_bytes(b"half")
    part._lock.close()
    return part.path.rename(part.path.with_suffix(f".{kind}"))


def test_what_a_killed_process_left_goes_at_the_next_export_to_the_same_target(tmp_path: Path) -> None:
    out = tmp_path / "out ü"
    out.mkdir()
    target = out / "data set"
    process = subprocess.Popen(
        [sys.executable, "-c", _EXPORT_THAT_HANGS, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    made = Path(process.stdout.readline().strip())
    item = photo_item(tmp_path)
    if part_folder.fcntl is not None:
        export([item], format="png", out=target)  # while the other one is at work
        assert names(out) == sorted([made.name, "data set"])
    process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (made / "half.png").exists()
    if part_folder.fcntl is None:
        for path in (made / "half.png", made):
            os.utime(path, (0, 0))
    export([item], format="png", out=out / "another")
    assert made.exists()
    export([item], format="png", out=target, overwrite=True)
    assert names(out) == ["another", "data set"]


def test_only_its_own_names_go(tmp_path: Path) -> None:
    out = tmp_path / "x"
    mine, other = left(out), left(tmp_path / "y")
    stem = mine.name[: -len("0123456789ab.part")]
    strange = [
        f"{stem}notes.part",
        f"{stem}0123456789ab.zip",
        f"x{stem}0123456789ab.part",
        ".maskwright-0123456789ab.part",
    ]
    for name in strange:
        (tmp_path / name).mkdir()
    (tmp_path / f"{stem}0123456789aa.part").write_bytes(b"a file")
    (tmp_path / f"{stem}0123456789ac.part").symlink_to(other, target_is_directory=True)
    assert remove_left(out) == [mine]
    kept = [*strange, other.name, f"{stem}0123456789aa.part", f"{stem}0123456789ac.part"]
    assert names(tmp_path) == sorted(kept) and (other / "masks" / "1.png").exists()


def test_an_earlier_export_that_was_moved_aside_stays_until_a_new_one_took_its_place(tmp_path: Path) -> None:
    out = tmp_path / "x"
    old = left(out, kind="old")
    assert remove_left(out) == [] and old.exists()
    out.mkdir()
    assert remove_left(out) == [old]


def test_without_locks_only_what_was_idle_for_an_hour_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_folder, "fcntl", None)
    out = tmp_path / "x"
    made = left(out)
    file = made / "masks" / "1.png"
    now = file.stat().st_mtime
    assert remove_left(out) == []
    long_ago = now - 2 * IDLE_SECONDS
    for path in (made / "masks", made):
        os.utime(path, (long_ago, long_ago))
    assert remove_left(out) == []  # a file in it is new
    os.utime(file, (long_ago, long_ago))
    os.utime(made / "masks", (now, now))
    assert remove_left(out) == []  # a folder in it is new
    os.utime(made / "masks", (long_ago, long_ago))
    assert remove_left(out) == [made]


def test_a_folder_that_cannot_be_listed_is_left_alone(tmp_path: Path) -> None:
    assert remove_left(tmp_path / "missing" / "x") == []
