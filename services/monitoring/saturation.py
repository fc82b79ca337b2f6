"""Whether a process has no CPU left while records wait for it. Busy alone is no trouble: so is whoever catches up.

Busy means nine of ten beats at 95 % of the cores that it may use, or steadily at one core: Python's own code runs on one at a time,
so that a process with more is at its end there. Waiting means a lag that stood all the time and is not getting less, worth a minute of its work.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from schemas.events.platform import Heartbeat
from services.monitoring.memory_growth import slope

BEATS: Final = 60  # at most so many are kept
LEAST_APART_MS: Final = 5_000  # a beat for a change of readiness says little about CPU
BUSY_BEATS: Final = 0.9
ONE_CORE: Final = 0.05  # so far from one core is at it
LEAST_LAG: Final = 100  # fewer records wait for one that takes long, as a training does


@dataclass(frozen=True, slots=True)
class Saturation:
    """On average ``cores`` of ``of`` were used; ``lag`` records wait, ``waiting`` seconds of the process's work (None: it does none)."""

    cores: float
    of: float
    lag: int
    waiting: float | None
    since: int  # appended, epoch milliseconds
    lasted_ms: int


@dataclass(frozen=True, slots=True)
class _Beat:
    now: int
    at: int
    busy: bool
    cpu: float
    cores: float
    lag: int | None
    processed: int


@dataclass(slots=True)
class Load:
    """The last beats of one process, as long as saturation must last."""

    beats: deque[_Beat] = field(default_factory=lambda: deque(maxlen=BEATS))

    def add(self, beat: Heartbeat, share: float, span_ms: int, now: int, at: int) -> None:
        """One beat of a process that says its cores. ``span_ms`` is kept, in at most `BEATS` beats."""
        if self.beats and now - self.beats[-1].now < max(LEAST_APART_MS, span_ms // (BEATS - 2)):
            return
        cores = beat.cores or 1.0
        busy = beat.cpu >= share * cores or abs(beat.cpu - 1) <= ONE_CORE
        self.beats.append(_Beat(now, at, busy, beat.cpu, cores, beat.lag, beat.processed))
        while len(self.beats) > 1 and self.beats[1].now <= now - span_ms:
            self.beats.popleft()

    def saturation(self, span_ms: int, lag_seconds: float) -> Saturation | None:
        """The saturation of the last ``span_ms``, if there is one whose lag is worth ``lag_seconds`` of work."""
        first, last = self.beats[0], self.beats[-1]
        if last.now - first.now < span_ms or last.lag is None or last.lag < LEAST_LAG:
            return None
        judged = list(self.beats)[1:]  # the first beat's CPU is of the time before
        if sum(each.busy for each in judged) < BUSY_BEATS * len(judged) or not self._waits():
            return None
        seconds = (last.now - first.now) / 1000
        done = last.processed - first.processed
        waiting = last.lag * seconds / done if done > 0 else None
        if waiting is not None and waiting < lag_seconds:
            return None
        cores = sum(each.cpu for each in judged) / len(judged)
        return Saturation(cores, last.cores, last.lag, waiting, first.at, last.now - first.now)

    def _waits(self) -> bool:
        """Whether lag stands all the time and does not get less. Partitions that came or went meanwhile are no trend."""
        lags = [(each.now, each.lag) for each in self.beats if each.lag is not None]
        if len(lags) < len(self.beats):
            return False
        times, waiting = np.array(lags, dtype=np.float64).T
        standing = int((waiting >= LEAST_LAG).sum()) >= BUSY_BEATS * len(waiting)
        return standing and waiting[-1] >= waiting[0] and slope(times, waiting) >= 0
