"""Stop: a wish made once, heard wherever the work is."""

from __future__ import annotations

import threading

import pytest

from maskwright.core.stop import Stop, Stopped


def test_nothing_happens_until_it_is_set():
    stop, called = Stop(), []
    stop.check()
    stop.rest(0)
    with stop.calling(lambda: called.append(1)):
        pass
    assert not stop.is_set and called == []
    stop.set()
    assert stop.is_set and called == []  # that work is done
    with pytest.raises(Stopped):
        stop.check()
    with pytest.raises(Stopped):
        stop.rest(100)


def test_a_call_runs_when_the_wish_comes_or_came_before():
    stop, called = Stop(), []
    with stop.calling(lambda: called.append("first")):
        stop.set()
        stop.set()
    with stop.calling(lambda: called.append("late")):
        pass
    assert called == ["first", "first", "late"]


def test_rest_ends_when_another_thread_asks():
    stop, out, resting = Stop(), [], threading.Event()

    def work() -> None:
        resting.set()
        try:
            stop.rest(30)
        except Stopped:
            out.append("stopped")

    thread = threading.Thread(target=work)
    thread.start()
    assert resting.wait(10)
    stop.set()
    thread.join(10)
    assert out == ["stopped"]
