"""``python -m tests.faults.launch --control FILE [--mutant NAME] [--skew SECONDS] services.NAME``: a service under the harness.

It is the product's own ``main``, with crash points around what it calls. ``FILE`` arms them (see `crash_points`).
"""

import argparse
import runpy
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults import crash_points
from tests.faults.mutants import MUTANTS


def skew_clock(seconds: float) -> None:
    """This process's wall clock is wrong by ``seconds``; its monotonic one is not."""
    from shared.clock import SystemClock

    true_time = time.time
    wrong = timedelta(seconds=seconds)
    time.time = lambda: true_time() + seconds  # type: ignore[assignment]
    SystemClock.now = lambda _: datetime.now(UTC) + wrong  # type: ignore[method-assign]


def main() -> None:
    """Install what was asked for, then be the service."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--skew", type=float, default=0.0)
    parser.add_argument("module")
    given = parser.parse_args()
    if given.mutant:
        MUTANTS[given.mutant]()  # before the crash points, so that these lie around it
    crash_points.install(crash_points.Trap(given.control), given.module)
    if given.skew:
        skew_clock(given.skew)
    runpy.run_module(given.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
