"""The gross lane: breakage, in one window, from the first window on.

Rows are compared with a fixed reference, and only what lies beyond a tolerance counts. What is tolerated is the reference with shares P tilted
to P_k e^(t·s_k) until its mean score lies at the tolerance. A bet of size b on the scores s then gains log e = b Σ s(x) - n (ψ(t+b) - ψ(t))
with ψ(t) = log Σ P e^(t·s): an e-value for every smaller tilt too, as likelihood ratios of an exponential family are monotone. Near the end of a
scale, where windows hardly scatter any more, it knows that; a bound that only adds the tolerance to the mean (Hoeffding's) does not.
P takes in some of the window's own rows, so that a bin the reference never saw proves nothing by itself.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from services.monitoring.lanes.evidence import DECIMALS, attribution, log_mean
from services.monitoring.lanes.tolerances import BROKEN, Tolerances
from services.monitoring.tallies import Counts, Floats

BETS: Final[Floats] = np.array([0.1, 0.2, 0.5, 1.0, 2.0, 4.0])  # of either sign
SHARE_OF_WINDOW: Final = 0.1  # rows of the window that enter P, at most, as a share of the reference's rows
STRONGEST: Final = 50.0  # of a window alone: e^50 against "within tolerance" is as good as certain
HALVINGS: Final = 50  # of an interval for the tilt
STEEPEST: Final = 1e4  # tilt


@dataclass(frozen=True, slots=True)
class Comparison:
    """A channel's counts over the reference and over the window, a score per bin, and how large effects are tolerated."""

    reference: Counts
    window: Counts
    scores: Floats
    tolerance: Tolerances

    @property
    def effect(self) -> float:
        """The window's mean score less the reference's; 0 where there is nothing to compare."""
        if not self.window.sum() or not self.reference.sum():
            return 0.0
        return _mean(self.scores, self.window) - _mean(self.scores, self.reference)

    @property
    def far_beyond(self) -> bool:
        """Whether the effect is one that would not count as seen among training windows either."""
        effect = self.effect
        return abs(effect) > BROKEN * self.tolerance.of(effect)


def log_evidence(comparison: Comparison) -> float:
    """Log e-value of one window against "no effect beyond the tolerance"; 0 where there is nothing to compare.

    A window within the tolerance is as good as certain to be whole. One larger than the reference weighs no more than the reference, whose own
    error it cannot average away.
    """
    n, m = int(comparison.window.sum()), int(comparison.reference.sum())
    if n == 0 or m == 0:
        return 0.0
    usual, found = _mean(comparison.scores, comparison.reference), _mean(comparison.scores, comparison.window)
    limit = comparison.tolerance.of(found - usual)
    if abs(found - usual) <= limit:
        return -STRONGEST
    taken = min(n, SHARE_OF_WINDOW * m)
    shares = (comparison.reference + comparison.window * (taken / n)) / (m + taken)
    used, side = shares > 0, math.copysign(1.0, found - usual)
    scores = comparison.scores[used] * side  # so that the effect is positive
    tilt = _tilt(scores, np.log(shares[used]), usual * side + limit)
    tilted = np.log(shares[used]) + tilt * scores
    tilted -= log_mean(tilted, np.ones(len(tilted)))
    expected = log_mean(tilted[:, None] + scores[:, None] * BETS, np.ones((len(tilted), 1)))
    gained = min(n, m) * (BETS * found * side - expected)
    return float(log_mean(gained, np.full(len(BETS), 0.5 / len(BETS))))  # the other half bet on the other side


def _mean(scores: Floats, counts: Counts) -> float:
    return float((scores * counts).sum() / counts.sum())


def _tilt(scores: Floats, logarithms: Floats, mean: float) -> float:
    """The t ≥ 0 at which weights exp(``logarithms`` + t·``scores``) have this ``mean`` score; 0 if they exceed it anyway."""

    def short(tilt: float) -> bool:
        weights = logarithms + tilt * scores
        weights = np.exp(weights - weights.max())
        return float((weights * scores).sum()) < mean * float(weights.sum())

    low, high = 0.0, 1.0
    while short(high) and high < STEEPEST:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class GrossVerdict:
    """``evidence`` and ``limit`` are natural logarithms; ``named`` strongest first, empty unless alarming."""

    evidence: float
    limit: float
    named: tuple[str, ...]
    channels: Mapping[str, float]


@dataclass(slots=True)
class GrossLane:
    """Evidence by channel that lasts over windows (Page's recursion), natural logarithms. ``far_beyond``: channels of the last window with evidence."""

    evidence: dict[str, float] = field(default_factory=dict)
    far_beyond: set[str] = field(default_factory=set)

    def judge(
        self, comparisons: Mapping[str, Comparison], weights: Mapping[str, float], patience: float
    ) -> GrossVerdict | None:
        """A window's verdict, None of nothing; ``weights`` sum to 1 or less. Evidence that raised an alarm starts again."""
        if not comparisons:
            return None
        for name, comparison in comparisons.items():
            gained = max(-STRONGEST, min(log_evidence(comparison), STRONGEST))
            self.evidence[name] = round(max(self.evidence.get(name, 0.0), 0.0) + gained, DECIMALS)
        self.far_beyond -= comparisons.keys()
        self.far_beyond |= {name for name, each in comparisons.items() if self.evidence[name] > 0 and each.far_beyond}
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

    @property
    def suspects(self) -> list[str]:
        """Channels far beyond their tolerance in the last window, whose evidence is not enough yet: of a few rows it cannot be."""
        return sorted(name for name in self.far_beyond if self.evidence.get(name, 0.0) > 0)

    def content(self) -> dict[str, float]:
        """As JSON, by channel."""
        return dict(sorted(self.evidence.items()))

    @classmethod
    def restored(cls, content: Mapping[str, float]) -> Self:
        """The inverse of `content`."""
        return cls(dict(content))
