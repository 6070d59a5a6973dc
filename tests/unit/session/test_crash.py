"""kill -9 at any moment: every verb that was acknowledged is there, and the snapshot equals the rows played again."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.annotation import Annotation
from maskwright.core.errors import MaskwrightError
from maskwright.core.mask import Mask
from maskwright.core.prompts import Box, Point
from maskwright.core.volume import View
from maskwright.io.journal import Journal, Row
from maskwright.session import Project, Session
from maskwright.session.project import JOURNAL
from maskwright.session.steps import ScanState, Step, apply
from tests.fakes import FakeSegmenter, MainThread, MemoryStores

from .conftest import Desk, write_photo, write_scan


def random_verb(session: Session, main: MainThread, rng: random.Random) -> None:
    """Do one of all verbs, with whatever is there; those that cannot be done now are refused and change nothing."""
    main.run_until(lambda: session.preview_is_current)
    objects = [one.id for one in session.annotation.objects]
    labels = [label.id for label in session.labels]
    x, y = rng.uniform(5, 45), rng.uniform(5, 35)
    volume = session.volume
    assert volume is not None
    view = View(0, rng.randrange(volume.n_slices()))
    shape = volume.slice_shape(0)
    verbs = {
        "point": lambda: session.add_prompt(Point(x, y, rng.random() < 0.7)),
        "box": lambda: session.add_prompt(Box(x, y, x + 9, y + 7)),
        "commit": lambda: session.commit(),
        "commit to": lambda: (session.set_active_object(rng.choice(objects)), session.commit()) if objects else None,
        "view": lambda: session.set_view(view),
        "undo": lambda: session.undo(),
        "undo twice": lambda: (session.undo(), session.undo()),
        "redo": lambda: session.redo(),
        "remove": lambda: session.remove_last_prompt(),
        "clear": lambda: session.clear_prompts(),
        "no object": lambda: session.set_active_object(None),
        "add label": lambda: session.add_label(f"label {rng.randrange(30)}") if len(labels) < 6 else None,
        "rename": lambda: session.rename_label(rng.choice(labels), f"label {rng.randrange(30)}") if labels else None,
        "remove label": lambda: session.remove_label(rng.choice(labels)) if labels else None,
        "hide": lambda: session.set_object_visible(rng.choice(objects), visible=False) if objects else None,
        "relabel": lambda: session.set_object_label(rng.choice(objects), rng.choice(labels)) if objects else None,
        "delete": lambda: session.delete_object(rng.choice(objects)) if objects else None,
        "done": lambda: session.set_scan_done(done=rng.random() < 0.5),
        "mask": lambda: session.set_mask(rng.choice(objects), view, noise(shape, rng)) if objects else None,
        "next": lambda: session.next_scan(),
        "previous": lambda: session.previous_scan(),
    }
    weights = [
        6 if name in ("point", "commit", "undo") else 2 if name in ("view", "redo", "box") else 1 for name in verbs
    ]
    try:
        verbs[rng.choices(list(verbs), weights)[0]]()
    except MaskwrightError:
        return


def noise(shape: tuple[int, int], rng: random.Random) -> Mask:
    y, x = rng.randrange(20), rng.randrange(20)
    array = np.zeros(shape, bool)
    array[y : y + rng.randrange(12), x : x + rng.randrange(12)] = True
    return Mask.from_array(array)


def replayed(journal: Journal) -> dict[int, ScanState]:
    """State of every scan from the rows alone, played from the first; the labels go from one scan to the next."""
    states: dict[int, ScanState] = {}
    latest = ScanState()
    for row in journal.rows():
        before = with_labels_of(latest, states.get(row.scan, ScanState()))
        states[row.scan] = latest = apply(before, Step.from_bytes(journal.payload(row)))
    return {scan: with_labels_of(latest, state) for scan, state in states.items()}


def with_labels_of(latest: ScanState, state: ScanState) -> ScanState:
    annotation = Annotation(latest.annotation.labels, state.annotation.objects)
    return replace(state, annotation=annotation, retired=latest.retired)


@pytest.mark.parametrize("seed", range(6))
def test_the_snapshot_equals_the_rows_played_again_and_the_memory(desk: Desk, tmp_path: Path, seed: int):
    rng = random.Random(seed)
    for i in range(2):
        write_scan(tmp_path / "scans" / f"{i}.nrrd", seed=i, shape=(4, 40, 50))
    session = desk.session(encode_ahead=False)
    session.open(tmp_path / "scans")
    for _ in range(3):
        for _ in range(60):
            random_verb(session, desk.main, rng)
        assert session.project is not None and session.scan is not None
        shown, memory, active = session.scan.id, session._state, session.active_label
        undo, redo, view = session.undo_text, session.redo_text, session.view
        session.close()
        journal = Journal.open(desk.project / JOURNAL)
        played = replayed(journal)
        journal.close()
        project = Project.open(desk.project)
        for scan, state in played.items():
            assert project.state(scan) == state
        project.close()
        session = desk.session(encode_ahead=False)
        session.open(tmp_path / "scans")
        assert (session.scan.id if session.scan else None, session._state) == (shown, memory)
        assert (session.undo_text, session.redo_text, session.view) == (undo, redo, view)
        assert session.active_label == active

    while session.can_undo:  # all the way back
        try:
            session.undo()
        except MaskwrightError:
            continue
    assert session.annotation.objects == () and session.draft_views == () and not session._state.done


# The real thing: a process that is killed.


def work(project: Path, scans: Path, seed: int) -> None:
    """Do random verbs for ever, saying the id of the last row and the state's digest after each."""
    main, rng = MainThread(), random.Random(seed)
    session = Session(
        project=Project.open(project),
        segmenter=FakeSegmenter(),
        store_root=project,
        post=main.post,
        on_changes=lambda changes: None,
        open_store=MemoryStores(),
        encode_ahead=False,
    )
    session.open(scans)
    journal = session.project.journal  # type: ignore[union-attr]
    told = max((row.id for row in journal.rows()), default=0)
    while True:
        random_verb(session, main, rng)
        for row in journal.rows(after=told):
            told = row.id
            sys.stdout.write(f"{row.id} {row.kind} {row.verb} {row.target or 0} {digest(journal.payload(row))}\n")
        sys.stdout.flush()


def digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()[:16]


_WORK = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.unit.session.test_crash import work
work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
"""


def line_of(journal: Journal, row: Row) -> str:
    return f"{row.id} {row.kind} {row.verb} {row.target or 0} {digest(journal.payload(row))}"


def test_every_acknowledged_verb_survives_kill_9_at_any_moment(tmp_path: Path, repository: Path):
    project, scans = tmp_path / "project", tmp_path / "scans"
    write_photo(scans / "a.png", shape=(40, 50))
    write_scan(scans / "b.nrrd", shape=(3, 40, 50))
    rng = random.Random(7)
    acknowledged: list[str] = []
    for kill in range(7):
        process = subprocess.Popen(
            [sys.executable, "-c", _WORK, str(project), str(scans), str(kill)],
            cwd=repository,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 60)):
            acknowledged.append(process.stdout.readline().strip())
        try:
            process.wait(rng.random() / 20)  # somewhere in the middle of a verb
        except subprocess.TimeoutExpired:
            pass
        process.kill()
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait() != 0
        acknowledged += [line for line in rest.split("\n")[:-1]]  # a line that was cut off was not acknowledged

        journal = Journal.open(project / JOURNAL)
        found = [line_of(journal, row) for row in journal.rows()]
        assert found[: len(acknowledged)] == acknowledged
        unheard = found[len(acknowledged) :]
        assert len(unheard) <= 3  # at most the gesture under the finger: one turn of the loop
        acknowledged += unheard
        played = replayed(journal)
        journal.close()
        opened = Project.open(project)
        assert {scan: opened.state(scan) for scan in played} == played
        opened.close()
    assert len(acknowledged) > 50
