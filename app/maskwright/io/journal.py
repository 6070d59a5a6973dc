"""Journal: one SQLite file that holds every verb of a project and the state they led to.

A verb is one row of ``rows`` and one transaction. The same transaction brings ``state`` up to date, a table of
(scan, key) -> bytes that always equals the rows played from the start: the snapshot. Opening a project reads the
snapshot and never the rows, so it takes the same time after ten verbs and after a hundred thousand. Undo marks a row
as undone and adds a row of its own; rows are never removed.

The file is written through a write-ahead log and flushed to the disk before a verb is acknowledged. It is locked as
long as it is open; the lock belongs to the process and dies with it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.errors import StoreError

APPLICATION_ID = 0x6D61736B  # "mask"; in the header of the file, so that a foreign database is never touched
VERSION = 1
PROJECT = 0
"""Number that stands for the project as a whole where a scan is asked for; scans count from 1."""

_SCHEMA = (
    """CREATE TABLE rows (
        id INTEGER PRIMARY KEY, scan INTEGER NOT NULL, verb TEXT NOT NULL, text TEXT NOT NULL,
        kind TEXT NOT NULL, target INTEGER, standing INTEGER NOT NULL, payload BLOB NOT NULL, time REAL NOT NULL)""",
    "CREATE INDEX rows_by_standing ON rows (scan, kind, standing, id)",
    "CREATE TABLE state (scan INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (scan, key))",
)
_DONE, _UNDONE, _GONE = 0, 1, 2
_COLUMNS = "id, scan, verb, text, kind, target, time"

_KEPT = "The file was left as it is. Put a copy of it back, or choose another folder with --project."
_FAILURES = {
    "SQLITE_FULL": ("the disk is full, so this was not recorded and not done", "Free some space and do it again."),
    "SQLITE_READONLY": (
        "the project may not be written",
        "Change its permissions, or choose another folder with --project.",
    ),
    "SQLITE_CANTOPEN": (
        "the project may not be written",
        "Change its permissions, or choose another folder with --project.",
    ),
    "SQLITE_PERM": (
        "the project may not be written",
        "Change its permissions, or choose another folder with --project.",
    ),
    "SQLITE_BUSY": (
        "the project is open in another maskwright",
        "Close it there, or choose another folder with --project.",
    ),
    "SQLITE_LOCKED": (
        "the project is open in another maskwright",
        "Close it there, or choose another folder with --project.",
    ),
    "SQLITE_IOERR": (
        "the disk reports an error, so this was not recorded and not done",
        "Check the disk and do it again.",
    ),
    "SQLITE_NOTADB": ("this is not a journal of maskwright", _KEPT),
    "SQLITE_CORRUPT": ("the journal is damaged", _KEPT),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One verb as recorded: ``kind`` is ``do``, ``undo`` or ``redo``, ``target`` the row that was undone or redone."""

    id: int
    scan: int
    verb: str
    text: str
    kind: str
    target: int | None
    time: float


class Journal:
    """The journal of one project; open it with `Journal.open`. Belongs to the thread that opened it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open or create, and lock.

        Raises
        ------
        StoreError
            If the file is damaged, foreign, of a newer version, not writable, or open elsewhere. It is then unchanged.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                "the project folder cannot be made", path=path.parent, hint="Choose another folder with --project."
            ) from error
        for place in (path, path.parent):
            if place.exists() and not os.access(place, os.W_OK):  # SQLite would only report an error of the disk
                raise StoreError(_FAILURES["SQLITE_READONLY"][0], path=place, hint=_FAILURES["SQLITE_READONLY"][1])
        with _failures(path):
            connection = sqlite3.connect(path, timeout=0.5, isolation_level=None)
        journal = cls(path, connection)
        try:
            with _failures(path):
                journal._prepare()
        except BaseException:
            connection.close()
            raise
        return journal

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        application, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        fresh = application == 0 and run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not fresh and application != APPLICATION_ID:
            raise StoreError(_FAILURES["SQLITE_NOTADB"][0], path=self.path, hint=_KEPT)
        if version > VERSION:
            raise StoreError(
                f"the journal is of a newer maskwright (version {version} of the format, this one knows {VERSION})",
                path=self.path,
                hint="Update maskwright, or choose another folder with --project.",
            )
        if fresh:
            with self._transaction():
                for statement in _SCHEMA:
                    run(statement)
                run(f"PRAGMA application_id = {APPLICATION_ID}")
                run(f"PRAGMA user_version = {VERSION}")
        run("PRAGMA journal_mode = WAL")  # where the file system cannot, SQLite keeps a rollback journal: safe, slower
        run("PRAGMA synchronous = FULL")
        run("PRAGMA journal_size_limit = 16777216")
        if run("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise StoreError(_FAILURES["SQLITE_CORRUPT"][0], path=self.path, hint=_KEPT)
        with self._transaction():  # takes the lock now, not at the first verb, and finds out about a read-only place
            run(f"PRAGMA user_version = {VERSION}")

    def append(self, scan: int, *, verb: str, text: str, payload: bytes, state: State) -> int:
        """Record a verb and the state it leads to; what is undone can then not be redone. Returns its id."""
        with _failures(self.path), self._transaction():
            self._connection.execute(
                "UPDATE rows SET standing = ? WHERE scan = ? AND kind = 'do' AND standing = ?", (_GONE, scan, _UNDONE)
            )
            return self._insert(scan, verb, text, "do", None, payload, state)

    def turn(self, row: Row, *, undo: bool, payload: bytes, state: State) -> int:
        """Record that a row was undone, or redone, and the state this leads to. Returns the id of the new row."""
        kind, standing = ("undo", _UNDONE) if undo else ("redo", _DONE)
        with _failures(self.path), self._transaction():
            self._connection.execute("UPDATE rows SET standing = ? WHERE id = ?", (standing, row.id))
            return self._insert(row.scan, row.verb, row.text, kind, row.id, payload, state)

    def drop(self, row: Row) -> None:
        """Pass a row over from now on: it is neither undone nor redone any more."""
        with _failures(self.path), self._transaction():
            self._connection.execute("UPDATE rows SET standing = ? WHERE id = ?", (_GONE, row.id))

    def put(self, state: State) -> None:
        """Change the state without a verb: what is no part of the annotation, such as the slice that is shown."""
        with _failures(self.path), self._transaction():
            self._write(state)

    def get(self, scan: int) -> dict[str, bytes]:
        """Whole state of one scan, or of the project."""
        with _failures(self.path):
            found = self._connection.execute("SELECT key, value FROM state WHERE scan = ? ORDER BY key", (scan,))
            return {key: bytes(value) for key, value in found}

    def find(self, prefix: str) -> list[tuple[int, str, bytes]]:
        """(scan, key, value) of every scan, of the keys that begin with ``prefix``, by scan and key."""
        with _failures(self.path):
            found = self._connection.execute(
                "SELECT scan, key, value FROM state WHERE key >= ? AND key < ? ORDER BY scan, key",
                (prefix, prefix + "\U0010ffff"),
            )
            return [(scan, key, bytes(value)) for scan, key, value in found]

    def to_undo(self, scan: int) -> Row | None:
        """Newest verb of a scan that is done."""
        return self._one(scan, _DONE, "DESC")

    def to_redo(self, scan: int) -> Row | None:
        """Verb of a scan that was undone last."""
        return self._one(scan, _UNDONE, "ASC")

    def payload(self, row: Row) -> bytes:
        """What a row changed, in the form that `append` or `turn` was given."""
        with _failures(self.path):
            return bytes(self._connection.execute("SELECT payload FROM rows WHERE id = ?", (row.id,)).fetchone()[0])

    def touched(self) -> set[int]:
        """Scans to which anything was ever done, undone or not."""
        with _failures(self.path):
            return {scan for (scan,) in self._connection.execute("SELECT DISTINCT scan FROM rows")}

    def scans_with(self, prefix: str) -> set[int]:
        """Scans whose state has a key that begins with ``prefix``."""
        with _failures(self.path):
            found = self._connection.execute(
                "SELECT DISTINCT scan FROM state WHERE key >= ? AND key < ?", (prefix, prefix + "\U0010ffff")
            )
            return {scan for (scan,) in found}

    def rows(self, *, after: int = 0) -> Iterator[Row]:
        """Every row of the project in order, undo and redo among them, beginning after the row with this id."""
        with _failures(self.path):
            for values in self._connection.execute(f"SELECT {_COLUMNS} FROM rows WHERE id > ? ORDER BY id", (after,)):
                yield Row(*values)

    def close(self) -> None:
        """Fold the write-ahead log into the file and give the lock back; closing twice is fine."""
        self._connection.close()

    def _one(self, scan: int, standing: int, order: str) -> Row | None:
        where = f"WHERE scan = ? AND kind = 'do' AND standing = ? ORDER BY id {order} LIMIT 1"
        with _failures(self.path):
            found = self._connection.execute(f"SELECT {_COLUMNS} FROM rows {where}", (scan, standing))
            values = found.fetchone()
        return None if values is None else Row(*values)

    def _insert(
        self, scan: int, verb: str, text: str, kind: str, target: int | None, payload: bytes, state: State
    ) -> int:
        self._write(state)
        cursor = self._connection.execute(
            "INSERT INTO rows (scan, verb, text, kind, target, standing, payload, time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (scan, verb, text, kind, target, _DONE, payload, time.time()),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _write(self, state: State) -> None:
        gone = [key for key, value in state.items() if value is None]
        kept = [(*key, value) for key, value in state.items() if value is not None]
        self._connection.executemany("DELETE FROM state WHERE scan = ? AND key = ?", gone)
        self._connection.executemany("INSERT OR REPLACE INTO state (scan, key, value) VALUES (?, ?, ?)", kept)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


State = Mapping[tuple[int, str], bytes | None]
"""(scan, key) -> value, None for a key that goes away."""


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Turn what SQLite raises about the file into a StoreError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        known = next((value for key, value in _FAILURES.items() if name.startswith(key)), None)
        if known is None:
            raise StoreError(f"the journal cannot be used ({error})", path=path, hint=_KEPT) from error
        raise StoreError(known[0], path=path, hint=known[1]) from error
