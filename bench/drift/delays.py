"""How many windows a change needs to be found, and whether what changed is named first."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any, Final

import numpy as np

from bench.drift.ours import NAMES, Monitor, artifact, profile
from bench.drift.streams import CHANGED, GROSS, INPUTS, SMALL, Stream

SERVED = 10  # windows before the change: what training data say nothing of, such as latency, is known from them
LONGEST = 40
# The same change where the model hangs on the feature by another share than all others; else no importance is known.
IMPORTANT: Final[dict[str, tuple[str, float]]] = {
    "+0.25 sd, feature has half of the importance": ("+0.25 sd", 0.5),
    "+0.25 sd, feature has no importance": ("+0.25 sd", 0.0),
}
ALL: Final = (*SMALL, *IMPORTANT, *GROSS)


def delay(name: str, seed: int, learnt: int) -> tuple[int, bool]:
    """Windows until the first alarm after a change, `LONGEST` + 1 if none came, and whether the right channel came first."""
    about, share = IMPORTANT.get(name, (name, None))
    change = {**SMALL, **GROSS}[about]
    stream = Stream(seed)
    known = artifact(stream, learnt)
    if share is not None:
        known = replace(known, importance={**dict.fromkeys(NAMES, (1 - share) / (len(NAMES) - 1)), "n3": share})
    monitor = Monitor(known, f"bench-{seed}")
    for _ in range(SERVED):
        monitor.judge(profile(stream.window(), known))
    for place in range(LONGEST):
        alarms = monitor.judge(profile(stream.window(change=change), known))
        if alarms:
            named = alarms.get("page") or next(iter(alarms.values()))
            kind, _, of = named[0].partition(":")
            return place + 1, bool({kind, of.partition("=")[0]} & CHANGED.get(about, INPUTS))
    return LONGEST + 1, False


def measure(repeats: int, learnt: tuple[int, ...], workers: int) -> list[dict[str, Any]]:
    """Median and 90 % quantile of the delay of every change, after ``learnt`` windows of training data and `SERVED` without a change."""
    found = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:  # other parts have started threads
        for windows in learnt:
            for name in ALL:
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
                        "mean": float(np.mean(delays)),
                        "p90": float(np.quantile(delays, 0.9)),
                        "named_first": sum(result[1] for result in results) / repeats,
                    }
                )
    return found
