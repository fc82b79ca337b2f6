"""Whether the memory of a process grows towards its limit: a leak, told while there is time.

Judged are the troughs of five minutes, over the last two to four hours. Growth counts once it is new ground (a sawtooth returns to
heights where it has been) and the limit is within reach at the rate that it has, allowing for how fast it slackens (what fills up
after a start comes to rest). The rate is Theil and Sen's: the median slope over all pairs of points, which outliers do not move.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import islice
from statistics import median
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

HOUR_MS: Final = 3_600_000
BLOCK_MS: Final = 300_000  # one point each
WARM_UP_MS: Final = HOUR_MS // 2  # of a process, in which growth says nothing
LEAST_POINTS: Final = 24  # two hours
MOST_POINTS: Final = 48  # four hours: the trend
KEPT_POINTS: Final = 312  # 26 hours: heights where it has been, those of the same hour of yesterday too

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Growth:
    """A trend that reaches the limit: in ``hours`` from now, at ``rate`` bytes an hour at present, seen since ``since`` (ms)."""

    hours: float
    rate: float
    since: int


@dataclass(slots=True)
class Troughs:
    """The least memory of each block of a process's life after its warm-up, oldest first: epoch milliseconds and bytes."""

    points: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=KEPT_POINTS))
    block: int = 0  # the one that is open
    least: int = 0

    def add(self, at: int, memory: int) -> bool:
        """One heartbeat, as appended; whether a block ended with it. Time that runs backwards is passed over."""
        block = at // BLOCK_MS
        if block < self.block:
            return False
        if block == self.block:
            self.least = min(self.least, memory)
            return False
        ended = self.block > 0
        if ended:
            self.points.append((self.block * BLOCK_MS, self.least))
        self.block, self.least = block, memory
        return ended

    def growth(self, limit: int, within_hours: float) -> Growth | None:
        """Growth that reaches ``limit`` bytes within so many hours, if that is what the points say."""
        if len(self.points) < LEAST_POINTS:
            return None
        window = list(self.points)[-MOST_POINTS:]
        half = len(window) // 2
        before = max(least for _, least in islice(self.points, len(self.points) - len(window) + half))
        if median(least for _, least in window[-(half // 2) :]) <= before:
            return None
        times = np.array([at for at, _ in window]) / HOUR_MS
        memory = np.array([least for _, least in window], dtype=np.float64)
        now = median(memory[-3:])
        early, late = slope(times[:half], memory[:half]), slope(times[half:], memory[half:])
        whole = slope(times, memory)
        if min(early, late, whole) <= 0:
            return None
        rate, slackening = min(whole, late), min(1.0, late / early)
        hours = hours_until(limit - now, rate, slackening, float(times[half:].mean() - times[:half].mean()))
        watched = (self.points[-1][0] - self.points[0][0]) / HOUR_MS
        return Growth(hours, rate, window[0][0]) if hours <= min(within_hours, watched) else None

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return {"points": [list(point) for point in self.points], "block": self.block, "least": self.least}

    @classmethod
    def restored(cls, content: dict[str, Any]) -> Self:
        """The inverse of `content`."""
        points = ((at, least) for at, least in content["points"])
        return cls(deque(points, maxlen=KEPT_POINTS), content["block"], content["least"])


def warm(started_at: datetime, at: datetime) -> bool:
    """Whether a process is over its start."""
    return (at - started_at).total_seconds() * 1000 >= WARM_UP_MS


def slope(times: Floats, values: Floats) -> float:
    """Theil and Sen's estimate: the median of the slopes between all pairs of at least two points."""
    first, second = _pairs(len(times))
    return float(np.median((values[second] - values[first]) / (times[second] - times[first])))


def hours_until(room: float, rate: float, slackening: float, apart: float) -> float:
    """Hours until ``room`` bytes are full, at ``rate`` bytes an hour that shrinks by the factor ``slackening`` in ``apart`` hours.

    A rate that shrinks like that fills rate · τ in all, τ = apart / -ln(slackening); infinite where that is less than the room.
    """
    if room <= 0:
        return 0.0
    if slackening >= 1:
        return room / rate
    decay = apart / -math.log(slackening)
    share = room / (rate * decay)
    return math.inf if share >= 1 else -decay * math.log1p(-share)


@cache
def _pairs(points: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(points, 1)
    return first, second
