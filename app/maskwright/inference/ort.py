"""ONNX Runtime sessions as this app wants them: CPU, few threads, no surprises, and a run that can give way."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import ModelError
from maskwright.core.stop import Stop, Stopped

if TYPE_CHECKING:
    import onnxruntime


ASLEEP = {"session.intra_op.allow_spinning": "0"}
AWAKE = {
    "session.intra_op.allow_spinning": "1",
    "session.intra_op.spin_duration_us": "200",
    "session.force_spinning_stop": "1",
}
"""How threads wait for the next node of a run: asleep, or awake for a while."""


def default_threads() -> int:
    """Threads for one lane: all cores up to four; more gain little on a light head."""
    return max(1, min(4, os.cpu_count() or 1))


def make_session(path: Path, *, threads: int | None = None, awake: bool = False) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the CPU. Raises ModelError where ONNX Runtime refuses it.

    ``awake`` is for runs of a few milliseconds that somebody waits for. Many of their small nodes end sooner than a
    thread wakes up, so threads stay awake between nodes, but for 0.2 ms at most: on busy cores a longer wait takes more
    from the run than it saves. After the run they sleep. The numbers are the same.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in (AWAKE if awake else ASLEEP).items():
        options.add_session_config_entry(key, value)
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own that share no public base
        raise ModelError(
            f"ONNX Runtime cannot open this file ({str(error).splitlines()[0]})",
            path=path,
            hint="Install the model again.",
        ) from error


def run_session(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
    inputs: Mapping[str, Any],
    *,
    stop: Stop | None = None,
) -> list[Any]:
    """Outputs by name.

    Raises ModelError where the graph does not take the inputs or fails on them, and Stopped where ``stop`` was set: the
    run then ends before its next node.
    """
    try:
        if stop is None:
            return list(session.run(list(outputs), dict(inputs)))
        return _run_until(stop, session, list(outputs), dict(inputs))
    except Stopped:
        raise
    except Exception as error:  # as above
        if stop is not None and stop.is_set:
            raise Stopped from error
        raise ModelError(
            f"the model does not run as its card says ({str(error).splitlines()[0]})", hint="Install the model again."
        ) from error


def _run_until(
    stop: Stop, session: onnxruntime.InferenceSession, outputs: list[str], inputs: dict[str, Any]
) -> list[Any]:
    import onnxruntime as ort

    stop.check()
    options = ort.RunOptions()
    options.log_severity_level = 4  # that a run was ended is no error to print
    with stop.calling(lambda: setattr(options, "terminate", True)):
        return list(session.run(outputs, inputs, options))
