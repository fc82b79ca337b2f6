"""How far a window may lie from the reference before it is called broken: by what matters, by chance, and by what windows have shown.

What windows have shown is robust. A broken day that went into the training data is one of the windows of the next version's reference; if it
counted as seen, the same breakage would never be told again. So windows that lie far beyond the tolerance of all others do not count: the
largest k, for the largest k at which even the smallest of them does (the order of Rosner's test, 1983, so that breaks do not mask each
other). More than a tenth of the windows are never left out: what is so frequent is how the data are. Windows served are judged when they
come, and those that were told as broken are not handed in; all others count.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.monitoring.tallies import Floats

CONFIDENCE: Final = 3.0  # standard errors of the reference that are no effect
STRETCH: Final = 2.0  # what w windows showed is stretched by 1 + 2/w: few windows know their extremes badly
# Root mean squares of the effects seen, beyond the largest: where windows differ, records are broken.
MARGIN: Final = 2.0
# Tolerances of the other windows. For what lies in the past it takes more than one, or every second storm of a season would be told.
BROKEN: Final = 2.0
UNSEEN_AT_MOST: Final = 0.1  # of the training windows, that do not count as seen
FEWEST: Final = (
    25  # training windows, below which nothing is left out: as Rosner's test, that needs as many to know what is usual
)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The largest effects that are nothing, ``down`` and ``up`` from the reference, both positive."""

    down: float
    up: float

    def of(self, effect: float) -> float:
        """That of the side on which ``effect`` lies."""
        return self.up if effect > 0 else self.down


@dataclass(frozen=True, slots=True)
class Reach:
    """The largest effects that a channel can show at all, ``down`` and ``up``, both positive.

    Tolerances stretch what windows have shown at most by ``room``, a share of what is left up to there: beyond the end of a scale nothing
    could be told any more, not even a feature that is missing in every row.
    """

    down: float
    up: float
    room: float


def tolerance(materiality: float, rows: int, seen: Floats) -> float:
    """The largest effect that is nothing: what does not matter, what ``rows`` of reference leave open, what was ``seen`` before.

    The largest of w windows is exceeded by the next with probability 1 / (w + 1), so it alone is no bound.
    """
    least = _least(materiality, rows)
    if not len(seen):
        return least
    largest, spread = float(np.abs(seen).max()), math.sqrt(float((seen * seen).mean()))
    return max(least, (largest + MARGIN * spread) * (1 + STRETCH / len(seen)))


def tolerances(materiality: float, rows: int, learnt: Floats, served: Floats, reach: Reach) -> Tolerances:
    """`tolerance` by side, within the ``reach`` of the channel and robust against training windows that were broken.

    ``learnt`` and ``served``: effects of windows of the training data and of those since, positive upwards. Their order does not change a
    bit of the result.
    """
    least = _least(materiality, rows)
    return Tolerances(
        max(least, _shown(-learnt, -served, reach.down, reach.room, least)),
        max(least, _shown(learnt, served, reach.up, reach.room, least)),
    )


def _least(materiality: float, rows: int) -> float:
    return max(materiality, CONFIDENCE / math.sqrt(max(rows, 1)))


def _shown(learnt: Floats, served: Floats, reach: float, room: float, least: float) -> float:
    """What windows tell to tolerate upwards, without those that would be broken; 0 without windows.

    The root mean square is that of the effects upwards, as if those downwards were their mirror image: what broke one way says nothing
    about the other.
    """
    count = len(learnt)
    if not count + len(served):
        return 0.0
    left = np.arange(
        1 + (int(UNSEEN_AT_MOST * count) if count >= FEWEST else 0)
    )  # how many of the largest are left out
    falling = np.append(np.maximum(np.sort(learnt)[::-1], 0.0), 0.0)
    since = np.maximum(np.sort(served), 0.0)
    largest, known = np.maximum(falling[left], since.max(initial=0.0)), count + len(served) - left
    squares = np.cumsum((falling * falling)[::-1])[
        ::-1
    ]  # from each place on: a huge first one costs the others no digits
    spread = np.sqrt(2 * (squares[left] + float((since * since).sum())) / known)
    stretched = (largest + MARGIN * spread) * (1 + STRETCH / known)
    ends = np.where(reach > largest, largest + room * (reach - largest), math.inf)
    found = np.minimum(stretched, ends)
    # Beyond that lies what does not count. Where windows hardly differ, what matters decides alone: it is no storm's worst day.
    broken = np.maximum(np.minimum(BROKEN * stretched, ends), least)
    beyond = np.flatnonzero(falling[left[1:] - 1] > broken[1:])
    return float(found[beyond[-1] + 1 if len(beyond) else 0])
