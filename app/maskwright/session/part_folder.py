"""The hidden folder that a dataset is written into beside its target, and what killed exports left of theirs.

While it is written to, the folder is locked (flock, which the system lets go of when a process ends, however that
happens). Where there is no such lock (Windows, some network drives) a folder counts as left when nothing in it has
changed for an hour: an export writes, or reads back what it wrote, without such a pause.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

IDLE_SECONDS = 3600.0


class PartFolder:
    """A fresh folder on the drive of a target, with the permissions that the dataset will have, locked until `close`.

    Raises OSError when it cannot be made.
    """

    def __init__(self, out: Path) -> None:
        with _locked(out.parent):  # nobody may take it for left between its making and its locking
            remove_left(out)
            self.path = out.parent / f"{_stem(out)}{secrets.token_hex(6)}.part"
            self.path.mkdir()
            self._lock = contextlib.ExitStack()
            self._lock.enter_context(_locked(self.path))

    def close(self) -> None:
        """Remove the folder, if it still has this name, and let go of the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def remove_left(out: Path) -> list[Path]:
    """Remove the hidden folders that killed exports to the same target left beside it; returns what went.

    What a killed export had moved aside to replace it goes only where the new dataset did take its place.
    """
    name = re.compile(re.escape(_stem(out)) + r"[0-9a-f]{12}\.(part|old)")
    removed = []
    with contextlib.suppress(OSError):
        for path in sorted(out.parent.iterdir()):
            kind = name.fullmatch(path.name)
            if kind is None or path.is_symlink() or not path.is_dir() or (kind[1] == "old" and not out.is_dir()):
                continue
            if _is_left(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _stem(out: Path) -> str:
    """Beginning of the names of the hidden folders of a target."""
    return f".maskwright-{hashlib.sha256(os.fsencode(os.path.normcase(out.name))).hexdigest()[:8]}-"


def _is_left(path: Path) -> bool:
    """Whether nobody writes into a hidden folder any more."""
    if fcntl is not None:
        handle = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError:  # a drive without locks
            pass
        finally:
            os.close(handle)
    changed = [path.stat().st_mtime]
    for place, _, names in os.walk(path):
        changed += [os.stat(os.path.join(place, name)).st_mtime for name in (".", *names)]
    return time.time() - max(changed) > IDLE_SECONDS


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, where there are locks."""
    handle = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
