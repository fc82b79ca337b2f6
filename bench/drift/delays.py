"""How many windows a change needs to be found, and whether what changed is named first."""

from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from bench.drift.ours import Monitor, artifact, profile
from bench.drift.streams import CHANGED, GROSS, INPUTS, SMALL, Stream

SERVED = 10  # windows before the change: what training data say nothing of, such as latency, is known from them
LONGEST = 40


def delay(name: str, seed: int, learnt: int) -> tuple[int, bool]:
    """Windows until the first alarm after a change, `LONGEST` + 1 if none came, and whether the right channel came first."""
    change = {**SMALL, **GROSS}[name]
    stream = Stream(seed)
    known = artifact(stream, learnt)
    monitor = Monitor(known)
    for _ in range(SERVED):
        monitor.judge(profile(stream.window(), known))
    for place in range(LONGEST):
        alarms = monitor.judge(profile(stream.window(change=change), known))
        if alarms:
            named = alarms.get("page") or next(iter(alarms.values()))
            kind, _, about = named[0].partition(":")
            return place + 1, bool({kind, about.partition("=")[0]} & CHANGED.get(name, INPUTS))
    return LONGEST + 1, False


def measure(repeats: int, learnt: tuple[int, ...], workers: int) -> list[dict[str, Any]]:
    """Median and 90 % quantile of the delay of every change, after ``learnt`` windows of training data and `SERVED` without a change."""
    found = []
    with ProcessPoolExecutor(workers) as pool:
        for windows in learnt:
            for name in (*SMALL, *GROSS):
                print(f"delay: {name} after {windows} windows", flush=True)
                jobs = [pool.submit(delay, name, seed, windows) for seed in range(repeats)]
                results = [job.result() for job in jobs]
                delays = [result[0] for result in results]
                found.append(
                    {
                        "change": name,
                        "learnt": windows,
                        "repeats": repeats,
                        "median": float(np.median(delays)),
                        "p90": float(np.quantile(delays, 0.9)),
                        "named_first": sum(result[1] for result in results) / repeats,
                    }
                )
    return found
