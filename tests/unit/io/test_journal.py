"""The journal: one row and one transaction per verb, and what happens when the file is not as it should be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from maskwright.core.errors import StoreError
from maskwright.io.journal import APPLICATION_ID, PROJECT, VERSION, Journal


def record(journal: Journal, scan: int, text: str, **state: bytes | None) -> int:
    values = {(scan, key): value for key, value in state.items()}
    return journal.append(scan, verb="verb", text=text, payload=text.encode(), state=values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "größer projekt" / "journal.sqlite3"


def test_what_was_appended_is_there_after_reopening(path: Path):
    journal = Journal.open(path)
    first = record(journal, 1, "one", a=b"1", b=b"2")
    second = record(journal, 2, "two", a=b"3")
    assert second == first + 1
    journal.close()

    again = Journal.open(path)
    assert again.get(1) == {"a": b"1", "b": b"2"}
    assert again.get(2) == {"a": b"3"}
    assert again.get(PROJECT) == {}
    rows = list(again.rows())
    assert [(r.id, r.scan, r.text, r.kind, r.target) for r in rows] == [
        (first, 1, "one", "do", None),
        (second, 2, "two", "do", None),
    ]
    assert again.payload(rows[0]) == b"one"
    assert [r.id for r in again.rows(after=first)] == [second]
    assert again.touched() == {1, 2}
    again.close()


def test_a_value_of_none_takes_the_key_away(path: Path):
    journal = Journal.open(path)
    record(journal, 1, "one", a=b"1", b=b"2")
    record(journal, 1, "two", a=None, c=b"3")
    assert journal.get(1) == {"b": b"2", "c": b"3"}
    journal.put({(1, "b"): None, (2, "x"): b"4"})
    assert journal.get(1) == {"c": b"3"}
    assert len(list(journal.rows())) == 2  # `put` is no verb
    assert journal.touched() == {1}
    journal.close()


def test_find_takes_a_prefix_over_all_scans(path: Path):
    journal = Journal.open(path)
    journal.put({(2, "object/1"): b"b", (1, "object/2"): b"a", (1, "objects"): b"no", (1, "mask/1"): b"no"})
    assert journal.find("object/") == [(1, "object/2", b"a"), (2, "object/1", b"b")]
    assert journal.scans_with("object/") == {1, 2}
    assert journal.scans_with("mask/") == {1}
    assert journal.scans_with("label/") == set()
    journal.close()


def test_undo_and_redo_walk_back_and_forth_and_a_new_verb_ends_redo(path: Path):
    journal = Journal.open(path)
    for text in ("a", "b", "c"):
        record(journal, 1, text, state=text.encode())
    record(journal, 2, "other scan")

    for expected in ("c", "b"):
        row = journal.to_undo(1)
        assert row is not None and row.text == expected
        journal.turn(row, undo=True, payload=b"", state={(1, "state"): b"-" + expected.encode()})
    assert journal.to_undo(1).text == "a"  # type: ignore[union-attr]
    row = journal.to_redo(1)
    assert row is not None and row.text == "b"  # what was undone last comes first
    journal.turn(row, undo=False, payload=b"", state={(1, "state"): b"b"})
    assert journal.to_undo(1).text == "b"  # type: ignore[union-attr]
    assert journal.to_redo(1).text == "c"  # type: ignore[union-attr]

    record(journal, 1, "d")
    assert journal.to_redo(1) is None
    assert [(r.text, r.kind) for r in journal.rows()] == [
        ("a", "do"),
        ("b", "do"),
        ("c", "do"),
        ("other scan", "do"),
        ("c", "undo"),
        ("b", "undo"),
        ("b", "redo"),
        ("d", "do"),
    ]
    journal.close()

    again = Journal.open(path)
    texts = []
    while (row := again.to_undo(1)) is not None:
        texts.append(row.text)
        again.turn(row, undo=True, payload=b"", state={})
    assert texts == ["d", "b", "a"]
    assert again.to_undo(2).text == "other scan"  # type: ignore[union-attr]
    again.close()


def test_a_row_that_was_dropped_is_neither_undone_nor_redone(path: Path):
    journal = Journal.open(path)
    record(journal, 1, "a")
    record(journal, 1, "b")
    row = journal.to_undo(1)
    assert row is not None
    journal.drop(row)
    assert journal.to_undo(1).text == "a"  # type: ignore[union-attr]
    assert journal.to_redo(1) is None
    journal.close()


def test_every_verb_is_flushed_to_the_disk(path: Path):
    journal = Journal.open(path)
    pragma = {
        name: journal._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2}
    journal.close()
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # the log is folded in


def test_a_journal_that_is_open_cannot_be_opened_again_until_it_is_closed(path: Path):
    journal = Journal.open(path)
    with pytest.raises(StoreError, match="open in another maskwright") as caught:
        Journal.open(path)
    assert caught.value.path == path and "--project" in caught.value.hint
    record(journal, 1, "still works", a=b"1")
    journal.close()
    journal.close()
    again = Journal.open(path)
    assert again.get(1) == {"a": b"1"}
    again.close()


def test_a_failed_transaction_leaves_rows_and_state_as_they_were(path: Path):
    journal = Journal.open(path)
    record(journal, 1, "a", k=b"1")
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full") as caught:
        record(journal, 1, "too big", k=b"x" * 100_000)
    assert caught.value.hint == "Free some space and do it again."
    assert journal.get(1) == {"k": b"1"}
    assert [r.text for r in journal.rows()] == ["a"]
    row = journal.to_undo(1)
    assert row is not None
    with pytest.raises(StoreError, match="the disk is full"):
        journal.turn(row, undo=True, payload=b"x" * 100_000, state={})
    assert journal.to_undo(1) == row

    journal._connection.execute("PRAGMA max_page_count = 1000000")
    record(journal, 1, "fits again", k=b"x" * 100_000)
    assert [r.text for r in journal.rows()] == ["a", "fits again"]
    journal.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is not a database, but a text that someone put here" * 20, "not a journal of maskwright"),
        (b"SQLite format 3\0" + b"\xff" * 4000, "not a journal|damaged|cannot be used"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_was(path: Path, content: bytes, message: str):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=message) as caught:
        Journal.open(path)
    assert "left as it is" in caught.value.hint and "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_database_of_another_program_is_refused_and_left_as_it_was(path: Path):
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("INSERT INTO theirs VALUES (1)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a journal of maskwright"):
        Journal.open(path)
    assert path.read_bytes() == before


def test_a_journal_of_a_newer_version_is_refused_and_left_as_it_was(path: Path):
    Journal.open(path).close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"newer maskwright .version {VERSION + 1}") as caught:
        Journal.open(path)
    assert "Update maskwright" in caught.value.hint
    assert path.read_bytes() == before
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    connection.close()


def test_a_damaged_journal_is_refused(path: Path):
    journal = Journal.open(path)
    for i in range(200):
        record(journal, 1, f"verb {i}", **{f"key{i}": bytes([i]) * 500})
    journal.close()
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(content)
    with pytest.raises(StoreError, match="the journal is damaged"):
        Journal.open(path)
    assert path.read_bytes() == content


def test_a_folder_where_the_file_should_be_is_refused(path: Path):
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="may not be written"):
        Journal.open(path)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="folder cannot be made") as caught:
        Journal.open(tmp_path / "file" / "journal.sqlite3")
    assert caught.value.path == tmp_path / "file"


def test_opening_takes_no_longer_with_many_rows(path: Path):
    journal = Journal.open(path)
    with journal._transaction():
        for i in range(20_000):
            journal._insert(1, "v", "t", "do", None, b"", {(1, f"k{i % 7}"): b"%d" % i})
    journal.close()
    again = Journal.open(path)
    seen: list[str] = []
    again._connection.set_trace_callback(seen.append)
    assert len(again.get(1)) == 7
    assert again.to_undo(1) is not None and again.to_redo(1) is None
    plans = [again._connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in list(seen)]
    details = [step[3] for plan in plans for step in plan]
    assert len(details) == 3 and all(detail.startswith("SEARCH") and "USING" in detail for detail in details)
    again.close()
