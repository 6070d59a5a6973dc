"""Sessions of ONNX Runtime: on the CPU, few threads, and a broken file is one sentence."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from maskwright.core.errors import ModelError
from maskwright.core.stop import Stop, Stopped
from maskwright.inference.ort import default_threads, make_session, run_session
from tests.unit.inference.tiny_models import FLOAT, SIZE, save_encoder, save_graph


def save_slow(path: Path, *, nodes: int = 2000) -> None:
    """A long chain of small products."""
    from onnx import helper

    names = ["x", *(f"x{i}" for i in range(nodes - 1)), "y"]
    chain = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in zip(names, names[1:], strict=False)]
    ends = [(name, FLOAT, [64, 64]) for name in ("x", "y")]
    save_graph(path, chain, ends[:1], ends[1:], {"w": np.eye(64, dtype=np.float32) * 0.99})


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (4, 4), (64, 4), (None, 1)])
def test_threads_are_all_cores_up_to_four(monkeypatch: pytest.MonkeyPatch, cores: int | None, threads: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert default_threads() == threads


def test_a_session_runs_on_the_cpu_with_the_threads_that_were_asked_for(tmp_path: Path) -> None:
    save_encoder(tmp_path / "ä ö.onnx")
    session = make_session(tmp_path / "ä ö.onnx", threads=3)
    assert session.get_providers() == ["CPUExecutionProvider"]
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    (out,) = run_session(session, ["feat_0"], {"image": np.full((1, 3, SIZE, SIZE), 2, np.float32)})
    assert (out.shape, out.dtype, out.min(), out.max()) == ((1, 3, 4, 4), np.float16, 2, 2)


def test_threads_that_wait_awake_give_the_same_numbers_and_sleep_after_the_run(tmp_path: Path) -> None:
    save_slow(tmp_path / "slow.onnx", nodes=40)
    asleep, awake = (make_session(tmp_path / "slow.onnx", threads=2, awake=how) for how in (False, True))
    key = "session.intra_op.allow_spinning"
    assert [s.get_session_options().get_session_config_entry(key) for s in (asleep, awake)] == ["0", "1"]
    # the second without limit would keep a core of the laptop busy between clicks
    for key, value in (("session.intra_op.spin_duration_us", "200"), ("session.force_spinning_stop", "1")):
        assert awake.get_session_options().get_session_config_entry(key) == value
    inputs = {"x": np.random.default_rng(0).random((64, 64), np.float32)}
    (one,), (other,) = (run_session(s, ["y"], inputs) for s in (asleep, awake))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [b"", b"\x08\x07 not a graph at all", None])
def test_a_file_that_is_no_graph_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "head.onnx"
    if content is None:  # cut off in the middle
        save_encoder(path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(ModelError, match="ONNX Runtime cannot open this file") as caught:
        make_session(path)
    assert caught.value.path == path and caught.value.hint == "Install the model again."
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("outputs", "inputs"),
    [
        (["feat_0"], {"image": np.zeros((1, 3, 8, 8), np.float32)}),
        (["feat_0"], {"image": np.zeros((1, 3, SIZE, SIZE), np.float64)}),
        (["feat_0"], {}),
        (["feat_9"], {"image": np.zeros((1, 3, SIZE, SIZE), np.float32)}),
    ],
)
def test_a_graph_that_does_not_keep_the_contract_is_one_sentence(
    tmp_path: Path, outputs: list[str], inputs: dict[str, np.ndarray]
) -> None:
    save_encoder(tmp_path / "encoder.onnx")
    with pytest.raises(ModelError, match="the model does not run as its card says") as caught:
        run_session(make_session(tmp_path / "encoder.onnx", threads=1), outputs, inputs)
    assert "\n" not in str(caught.value)


def test_a_run_gives_way_before_it_begins_and_while_it_runs(tmp_path: Path) -> None:
    save_slow(tmp_path / "slow.onnx")
    session, inputs = make_session(tmp_path / "slow.onnx", threads=1), {"x": np.zeros((64, 64), np.float32)}
    (out,) = run_session(session, ["y"], inputs, stop=Stop())
    assert out.shape == (64, 64)
    asked = Stop()
    asked.set()
    with pytest.raises(Stopped):
        run_session(session, ["y"], inputs, stop=asked)
    for _ in range(20):  # the wish may come before the run, within it, or after: it never becomes an error
        stop, ran = Stop(), []
        thread = threading.Thread(target=lambda stop=stop: (time.sleep(0.002), stop.set()))
        thread.start()
        with contextlib.suppress(Stopped):
            ran.append(run_session(session, ["y"], inputs, stop=stop))
        thread.join()
    assert np.array_equal(run_session(session, ["y"], inputs)[0], out)  # the session is as good as before


def test_a_run_that_was_ended_ends_early(tmp_path: Path) -> None:
    """The wish comes at the first of thousands of nodes: no run that is not ended could be over by then."""
    save_slow(tmp_path / "slow.onnx")
    session, inputs = make_session(tmp_path / "slow.onnx", threads=1), {"x": np.zeros((64, 64), np.float32)}
    stop = Stop()

    class Session:
        def run(self, outputs, inputs, options):
            stop.set()
            return session.run(outputs, inputs, options)

    with pytest.raises(Stopped):
        run_session(Session(), ["y"], inputs, stop=stop)  # type: ignore[arg-type]


def test_a_fault_without_a_wish_is_still_a_fault(tmp_path: Path) -> None:
    save_encoder(tmp_path / "encoder.onnx")
    with pytest.raises(ModelError, match="does not run as its card says"):
        run_session(make_session(tmp_path / "encoder.onnx", threads=1), ["feat_9"], {}, stop=Stop())
