"""CPU time of a piece of work, and how far its rounds lie apart; what a figure is worth where others use the machine too."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

BUSY = 0.75  # load average per core beyond which a figure is marked


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of CPU time per record: the best round, the middle one, the worst."""

    best: float
    median: float
    worst: float

    @property
    def per_second(self) -> float:
        """Records a second on one core, by the median."""
        return 1e6 / self.median

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.best:.2f}–{self.worst:.2f}]"


def measure(work: Callable[[], object], records: int, *, rounds: int = 15) -> Timing:
    """``work`` handles ``records`` of them a call; the first call is not counted."""
    work()
    found = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        found.append((time.process_time() - started) / records * 1e6)
    return Timing(min(found), statistics.median(found), max(found))


def machine() -> str:
    """Cores and load, in words; says so where the machine is busy with other things."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    busy = ", BUSY with other work: compare ratios within this run only" if load / cores > BUSY else ""
    return f"{cores} cores, load average {load:.1f}{busy}"
