"""Runs the inference service and writes, every second, the stacks that a timer of CPU time met: ``python sampled_service.py FILE``.

What comes before the first scored batch does not count. The service itself knows nothing of it.
"""

import json
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from bench.sampling import EVERY_SECONDS, Stack, stack_of

SCORING = "services/inference/partition_scoring.py"
stacks: Counter[Stack] = Counter()
written = time.monotonic()
begun = taking = False


def take(number: int, frame: FrameType | None) -> None:
    """Count where the process is, unless it is in here: handlers interrupt each other."""
    del number
    global taking  # noqa: PLW0603 - a signal handler has nowhere else to keep it
    if taking:
        return
    taking = True
    try:
        _count(stack_of(frame, run.__code__))
    finally:
        taking = False


def _count(stack: Stack | None) -> None:
    global written, begun  # noqa: PLW0603 - as above
    if stack is None:
        return
    begun = begun or any(label.startswith(SCORING) for label in stack)
    if begun:
        stacks[stack] += 1
    if begun and time.monotonic() - written > 1.0:
        written = time.monotonic()
        file = Path(sys.argv[1])
        file.with_suffix(".new").write_text(json.dumps([[list(stack), count] for stack, count in stacks.items()]))
        file.with_suffix(".new").replace(file)


def run() -> None:
    """The service, as a process of its own runs it."""
    runpy.run_module("services.inference", run_name="__main__")


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, take)
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    run()
