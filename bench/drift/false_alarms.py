"""How often we alarm while nothing changes: many streams a world, with an interval for the average run length."""

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
from scipy.stats import chi2

from bench.drift.ours import MODEL, SEVERITIES, Monitor, artifact, profile
from bench.drift.shuffled import shuffled_alarms
from bench.drift.streams import Stream

WORLDS: Final = ("independent", "wobbling", "autocorrelated", "shuffled flights")
LEARNT: Final = 60  # windows of the training data
SERVED: Final = 25  # windows before the first that counts: latency and throughput are judged from the 26th on


@dataclass(frozen=True, slots=True)
class Found:
    """Alarms of one severity over ``windows`` windows; ``budget`` windows are promised between two."""

    world: str
    severity: str
    streams: int
    windows: int
    alarms: int
    budget: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the average run length: alarms are counted as Poisson."""
        low = chi2.ppf(0.025, 2 * self.alarms) / 2 if self.alarms else 0.0
        high = chi2.ppf(0.975, 2 * self.alarms + 2) / 2
        return self.windows / high, self.windows / low if low else math.inf

    def document(self) -> dict[str, Any]:
        """As JSON."""
        low, high = self.interval
        return {
            "world": self.world,
            "severity": self.severity,
            "streams": self.streams,
            "windows": self.windows,
            "alarms": self.alarms,
            "budget": self.budget,
            "run_length": [round(low), None if math.isinf(high) else round(high)],
        }


def alarms_of(world: str, seed: int, windows: int) -> dict[str, int]:
    """Alarms by severity of one stream."""
    stream = Stream(seed, world)
    known = artifact(stream, LEARNT)
    monitor = Monitor(known, f"bench-{seed}")
    found = dict.fromkeys(SEVERITIES, 0)
    for _ in range(SERVED):
        monitor.judge(profile(stream.window(), known))
    for _ in range(windows):
        for severity in monitor.judge(profile(stream.window(), known)):
            found[severity] += 1
    return found


def measure(streams: int, windows: int, workers: int) -> list[Found]:
    """All worlds."""
    budgets = MODEL.spec.monitoring.false_alarms
    found = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:  # other parts have started threads
        for world in WORLDS:
            print(f"false alarms: {world}", flush=True)
            if world == "shuffled flights":
                jobs = [pool.submit(shuffled_alarms, seed, windows, LEARNT) for seed in range(streams)]
            else:
                jobs = [pool.submit(alarms_of, world, seed, windows) for seed in range(streams)]
            results = [job.result() for job in jobs]
            told = (
                ("page", "inform") if world == "shuffled flights" else SEVERITIES
            )  # those have no model that could warn
            for severity in told:
                count = int(np.sum([result[severity] for result in results]))
                budget: int = getattr(budgets, severity)
                found.append(Found(world, severity, streams, streams * windows, count, budget))
    return found
