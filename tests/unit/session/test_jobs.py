"""Lanes: latest wins, errors come back as errors, and the thread survives them."""

from __future__ import annotations

import threading
import weakref

import pytest

from maskwright.core.errors import MaskwrightError, ModelError
from maskwright.session.jobs import Lane, Outcome, plain
from tests.fakes import MainThread


@pytest.fixture
def main() -> MainThread:
    return MainThread()


def test_work_runs_elsewhere_and_its_value_comes_back_here(main: MainThread):
    lane, got, threads = Lane("work", main.post), [], []
    lane.submit(lambda: threads.append(threading.current_thread()) or 42, got.append)
    assert lane.busy
    main.run_until(lambda: bool(got))
    assert got == [Outcome(42)] and not lane.busy
    assert threads[0] is not threading.current_thread() and threads[0].name == "maskwright work"
    assert lane.stop()


def test_a_waiting_job_is_replaced_and_the_running_one_is_stale(main: MainThread):
    lane, gate, ran, got = Lane("work", main.post), threading.Event(), [], []

    def job(name: str):
        def run() -> str:
            ran.append(name)
            assert gate.wait(10)
            return name

        return run

    started = threading.Event()
    lane.submit(lambda: started.set() or job("first")(), got.append)
    assert started.wait(10)
    lane.submit(job("second"), got.append)
    lane.submit(job("third"), got.append)
    gate.set()
    main.run_until(lambda: len(got) == 2)
    assert ran == ["first", "third"]
    assert got == [Outcome("first", stale=True), Outcome("third")]
    assert lane.stop()


def test_cancel_makes_the_running_job_stale_and_drops_the_waiting_one(main: MainThread):
    lane, gate, started, got = Lane("work", main.post), threading.Event(), threading.Event(), []
    lane.submit(lambda: started.set() or gate.wait(10), got.append)
    assert started.wait(10)
    lane.submit(lambda: 1, got.append)
    lane.cancel()
    gate.set()
    main.run_until(lambda: bool(got))
    assert got == [Outcome(True, stale=True)] and not lane.busy
    assert lane.stop()


def test_an_error_is_an_outcome_and_the_thread_goes_on(main: MainThread):
    lane, got = Lane("segment", main.post), []
    error = ModelError("the head is broken", hint="Import it again.")

    def fail() -> None:
        raise error

    lane.submit(fail, got.append)
    main.run_until(lambda: len(got) == 1)
    lane.submit(lambda: {}["x"], got.append)
    main.run_until(lambda: len(got) == 2)
    lane.submit(lambda: "fine", got.append)
    main.run_until(lambda: len(got) == 3)
    assert got[0].error is error
    assert type(got[1].error) is MaskwrightError
    assert str(got[1].error) == "could not segment (KeyError: 'x'). Please report this; nothing is lost."
    assert got[2] == Outcome("fine")
    assert lane.stop()


def test_even_an_exit_in_a_worker_does_not_end_the_thread(main: MainThread):
    lane, got = Lane("work", main.post), []

    def leave() -> None:
        raise SystemExit(3)

    lane.submit(leave, got.append)
    main.run_until(lambda: len(got) == 1)
    lane.submit(lambda: 1, got.append)
    main.run_until(lambda: len(got) == 2)
    assert got[0].error is not None and got[1] == Outcome(1)
    assert lane.stop()


def test_running_out_of_memory_is_said_in_plain_words():
    assert str(plain(MemoryError(), during="open the scan")) == (
        "not enough memory to open the scan. Close other programs and try again."
    )


def test_nothing_arrives_after_stop(main: MainThread):
    lane, gate, started, got = Lane("work", main.post), threading.Event(), threading.Event(), []
    lane.submit(lambda: started.set() or gate.wait(10), got.append)
    assert started.wait(10)
    assert not lane.stop(timeout_s=0.01)  # still at work
    gate.set()
    main.run_one()
    assert got == []
    lane.submit(lambda: 1, got.append)
    assert not lane.busy
    assert lane.stop()


def test_a_waiting_lane_keeps_nothing_of_its_last_job_alive(main: MainThread):
    class Big:
        pass

    lane, got = Lane("work", main.post), []
    big = Big()
    gone = weakref.ref(big)
    lane.submit(lambda big=big: big, lambda outcome: got.append(type(outcome.value)))
    del big
    main.run_until(lambda: bool(got))
    lane.submit(lambda: None, lambda outcome: got.append("flush"))  # the first job's frame is left for sure
    main.run_until(lambda: len(got) == 2)
    assert gone() is None
    assert lane.stop()
