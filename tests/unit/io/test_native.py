"""What native code prints is swallowed; what Python prints before and after is not."""

from __future__ import annotations

import os
import threading

import pytest

from maskwright.io.native import quiet


def test_only_what_is_written_inside_is_lost(capfd):
    os.write(2, b"before ")
    with quiet():
        os.write(1, b"noise")
        os.write(2, b"noise")
    os.write(2, b"after")
    assert capfd.readouterr() == ("", "before after")


def test_the_terminal_comes_back_after_an_error_and_after_nesting(capfd):
    with pytest.raises(RuntimeError, match="inside"), quiet(), quiet():
        raise RuntimeError("inside")
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_two_threads_do_not_take_each_others_terminal(capfd):
    inside, leave = threading.Event(), threading.Event()

    def first():
        with quiet():
            inside.set()
            leave.wait(5)

    def second():
        with quiet():
            pass

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert inside.wait(5)
    two.start()
    leave.set()
    one.join(5)
    two.join(5)
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_no_descriptor_is_left_open():
    with quiet():
        pass
    before = os.dup(0)
    os.close(before)
    for _ in range(20):
        with quiet():
            pass
    after = os.dup(0)
    os.close(after)
    assert after == before
