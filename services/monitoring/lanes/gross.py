"""The gross lane: breakage, in one window, from the first window on.

Rows are compared with a fixed reference, and only what lies beyond a tolerance counts. Under a bet of size b on a score s of bins
with shares P: log e = b Σ s(x) - n log Σ P e^(b·s) - n |b| · tolerance (Hoeffding's exponential bound, with the reference's
shares instead of a range). P takes in some of the window's own rows, so that a bin the reference never saw proves nothing by itself.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from services.monitoring.lanes.evidence import DECIMALS, attribution, log_mean
from services.monitoring.tallies import Counts, Floats

BETS: Final[Floats] = np.array([-4.0, -2.0, -1.0, -0.5, -0.2, -0.1, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0])
CONFIDENCE: Final = 3.0  # standard errors of the reference that are no effect
SHARE_OF_WINDOW: Final = 0.1  # rows of the window that enter P, at most, as a share of the reference's rows
STRONGEST: Final = 50.0  # of a window alone: e^50 against "within tolerance" is as good as certain
STRETCH: Final = 2.0  # what w windows showed is stretched by 1 + 2/w: few windows know their extremes badly
MARGIN: Final = (
    2.0  # root mean squares of the effects seen, beyond the largest: where windows differ, records are broken
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A channel's counts over the reference and over the window, a score per bin, and how large an effect is tolerated."""

    reference: Counts
    window: Counts
    scores: Floats
    tolerance: float


def tolerance(materiality: float, rows: int, seen: Floats) -> float:
    """The largest effect that is nothing: what does not matter, what ``rows`` of reference leave open, what was ``seen`` before.

    The largest of w windows is exceeded by the next with probability 1 / (w + 1), so it alone is no bound.
    """
    sampling = CONFIDENCE / math.sqrt(max(rows, 1))
    if not len(seen):
        return max(materiality, sampling)
    largest, spread = float(np.abs(seen).max()), math.sqrt(float((seen * seen).mean()))
    return max(materiality, sampling, (largest + MARGIN * spread) * (1 + STRETCH / len(seen)))


def log_evidence(comparison: Comparison) -> float:
    """Log e-value of one window against "no effect beyond the tolerance"; 0 where there is nothing to compare.

    A window larger than the reference weighs no more than the reference, whose own error it cannot average away.
    """
    n, m = int(comparison.window.sum()), int(comparison.reference.sum())
    if n == 0 or m == 0:
        return 0.0
    taken = min(n, SHARE_OF_WINDOW * m)
    shares = (comparison.reference + comparison.window * (taken / n)) / (m + taken)
    exponents = BETS[:, None] * comparison.scores[None, :]
    used = shares > 0
    expected = log_mean(exponents[:, used].T, shares[used, None])
    gain = BETS * float((comparison.scores * comparison.window).sum()) / n
    found = min(n, m) * (gain - expected - np.abs(BETS) * comparison.tolerance)
    return float(log_mean(found, np.full(len(BETS), 1 / len(BETS))))


@dataclass(frozen=True, slots=True)
class GrossVerdict:
    """``evidence`` and ``limit`` are natural logarithms; ``named`` strongest first, empty unless alarming."""

    evidence: float
    limit: float
    named: tuple[str, ...]
    channels: Mapping[str, float]


@dataclass(slots=True)
class GrossLane:
    """Evidence by channel that lasts over windows (Page's recursion), natural logarithms."""

    evidence: dict[str, float] = field(default_factory=dict)

    def judge(
        self, comparisons: Mapping[str, Comparison], weights: Mapping[str, float], patience: float
    ) -> GrossVerdict | None:
        """A window's verdict, None of nothing; ``weights`` sum to 1. Evidence that raised an alarm starts again."""
        if not comparisons:
            return None
        for name, comparison in comparisons.items():
            gained = max(-STRONGEST, min(log_evidence(comparison), STRONGEST))
            self.evidence[name] = round(max(self.evidence.get(name, 0.0), 0.0) + gained, DECIMALS)
        names = list(comparisons)
        found = np.array([self.evidence[name] for name in names])
        shares = np.array([weights[name] for name in names])
        mean, limit = float(log_mean(found, shares)), math.log(patience)
        named: tuple[str, ...] = ()
        if mean >= limit:
            named = tuple(names[place] for place in attribution(found, shares, limit))
            for name in names:
                self.evidence.pop(name, None)
        return GrossVerdict(mean, limit, named, dict(zip(names, found.tolist(), strict=True)))

    def content(self) -> dict[str, float]:
        """As JSON, by channel."""
        return dict(sorted(self.evidence.items()))

    @classmethod
    def restored(cls, content: Mapping[str, float]) -> Self:
        """The inverse of `content`."""
        return cls(dict(content))
