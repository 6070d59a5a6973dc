"""``make bench``: all figures of the default model in one run, two threads, as JSON on stdout and in a file.

usage: python -m benchmarks [--out build/bench.json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

TARGETS = {
    "click_ms": 40.0,
    "event_to_paint_ms": 60.0,
    "encode_ms": 1500.0,
    "start_to_window_s": 2.5,
    "resident_mb": 900.0,
}
"""Most that each may be on two cores without a GPU."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    args = parser.parse_args()
    from benchmarks import latency, window
    from benchmarks.unit import unit_ms

    unit = unit_ms()
    figures = latency.measure()
    for part in window.PARTS:
        figures |= window.measure(part)
    report = {
        "cpu_count": os.cpu_count(),
        "threads": 2,
        "unit_ms": round(unit, 1),
        **figures,
        "encode_units": round(figures["encode_ms"] / unit, 2),
        "click_units": round(figures["click_ms"] / unit, 3),
        "event_to_paint_units": round(figures["event_to_paint_ms"] / unit, 3),
        "over_target": [name for name, most in TARGETS.items() if figures[name] > most],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
