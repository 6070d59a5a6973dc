"""The window on the offscreen platform: start to first window, event to painted pixel, memory with a large volume.

Each part runs in a process of its own (``python -m benchmarks.window PART``) and prints one JSON line.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VOLUME_ZYX = (200, 512, 512)
PATIENCE_S = 240.0


def measure(part: str) -> dict[str, float]:
    """Run one part in a fresh process with a home of its own."""
    with tempfile.TemporaryDirectory(prefix="maskwright-bench-") as home:
        env = {**os.environ, "MASKWRIGHT_HOME": home, "QT_QPA_PLATFORM": "offscreen"}
        env["BENCH_START"] = repr(time.time())
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.window", part],
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S + 60,
        )
        if done.returncode != 0:
            raise RuntimeError(f"benchmark {part} failed: {done.stderr.strip()[-600:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])


def start() -> dict[str, float]:
    """Process start to the first window on the screen, seconds."""
    import maskwright.__main__  # noqa: F401  (the order of imports is the program's own)
    from maskwright.ui.app import run

    seconds: list[float] = []

    def shown(window: object) -> None:
        seconds.append(time.time() - float(os.environ["BENCH_START"]))
        window.close()  # type: ignore[attr-defined]

    run([], ready=shown)
    return {"start_to_window_s": round(seconds[0], 3)}


def paint() -> dict[str, float]:
    """Press to painted mask on a 1024 x 1024 photo, features ready, median over clicks, milliseconds."""
    import cv2
    import numpy as np
    import onnxruntime  # noqa: F401  (before Qt, as the program does it)
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    from maskwright.assets import sample_photo
    from maskwright.ui.app import application, build_window, segmenter_source

    image = cv2.imdecode(np.fromfile(sample_photo(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    path = Path(os.environ["MASKWRIGHT_HOME"]) / "photo.png"
    cv2.imwrite(str(path), cv2.resize(image, (1024, 1024), interpolation=cv2.INTER_AREA))
    app = application()
    window = build_window(load=segmenter_source("default", threads=2))
    window.resize(1400, 1100)
    window.show()
    session, view = window.session, window.slice_view
    times: list[float] = []
    view.event_to_paint.connect(times.append)
    window.bridge.open([path])
    _until(app, lambda: session.ready.size and session.ready.all())
    rng = np.random.default_rng(0)
    for n in range(40):
        if n % 5 == 0:
            window.bridge.act(lambda s: s.clear_prompts())
        x, y = rng.uniform(250, 780, 2)
        wx, wy = view.transform.to_widget(float(x), float(y))
        count = len(times)
        button = Qt.MouseButton.LeftButton if n % 5 < 3 else Qt.MouseButton.RightButton
        QTest.mouseClick(view, button, Qt.KeyboardModifier.NoModifier, QPoint(round(wx), round(wy)))
        _until(app, lambda count=count: len(times) > count)
    window.close()
    return {
        "event_to_paint_ms": round(statistics.median(times), 1),
        "event_to_paint_p95_ms": round(sorted(times)[int(0.95 * len(times))], 1),
    }


def memory() -> dict[str, float]:
    """Resident memory with a 512 x 512 x 200 int16 volume open, some slices encoded and one click made, MB."""
    import numpy as np
    import onnxruntime  # noqa: F401
    import psutil
    import SimpleITK as sitk  # noqa: N813
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    from maskwright.ui.app import application, build_window, segmenter_source

    path = Path(os.environ["MASKWRIGHT_HOME"]) / "volume.nii"
    code = (
        "import numpy as np, SimpleITK as s, sys;"
        f"v = np.random.default_rng(0).integers(-1000, 1000, {VOLUME_ZYX}, dtype=np.int16);"
        "s.WriteImage(s.GetImageFromArray(v), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert np and sitk  # their memory belongs to the app
    app = application()
    window = build_window(load=segmenter_source("default", threads=2))
    window.resize(1400, 1000)
    window.show()
    window.bridge.open([path])
    session = window.session
    _until(app, lambda: session.ready.sum() >= 4)
    QTest.mouseClick(window.slice_view, Qt.MouseButton.LeftButton)
    _until(app, lambda: session.preview_is_current)
    resident = psutil.Process().memory_info().rss / 1e6
    window.close()
    return {"resident_mb": round(resident, 1)}


def _until(app: object, done: object) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError("the window never came to that")
        app.processEvents()  # type: ignore[attr-defined]
        time.sleep(0.0005)


PARTS = {"start": start, "paint": paint, "memory": memory}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]]()))
