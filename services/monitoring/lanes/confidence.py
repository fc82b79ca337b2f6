"""Bounds for a mean of windows that hold at every look: an anytime-valid confidence sequence from three sums.

For window values x_1, x_2, … with mean μ and unknown scale, and any m,

    e_n(m) = √(g/(g+n)) · [(1 + T²/ν) / (1 + g/(g+n) · T²/ν)]^(n/2),    ν = n - 1,   T = (x̄ - m) / (s/√n)

is the likelihood ratio of the t statistic when μ/σ is drawn from N(m/σ, 1/g) instead of being m/σ: a test martingale of what
does not depend on scale, if windows are independent and normal. By Ville's inequality it reaches 1/α under μ = m with a
probability of at most α *over all n together*, so the m with e_n(m) < 1/α hold μ at every look: peeking costs nothing.
Source: Lai (1976), "On confidence sequences"; Wang and Ramdas (2023), "Anytime-valid t-tests and confidence sequences for
Gaussian means with unknown variance" (Gaussian mixture, closed form as below).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final, NamedTuple

ALPHA: Final = 0.05  # of both sides together
STRONGEST: Final = 0.8  # persistence beyond it cannot be told from a trend
SPREAD: Final = 0.2  # g: bounds are narrowest, compared with those of a fixed size, between 5 and 20 windows


class Bounds(NamedTuple):
    """What the mean is at every look, with probability 1 - α."""

    lower: float
    upper: float


def bounds(count: int, mean: float, variance: float, alpha: float = ALPHA) -> Bounds | None:
    """Bounds of the mean of ``count`` windows with that ``mean`` and (unbiased) ``variance``; None while they are infinite.

    Solving e_n(m) = 1/α: with r = g/(g+n) and q = (α² r)^(-1/n), T²/ν = (q - 1)/(1 - q r), which needs q r < 1. Windows that
    are all the same say nothing of how they scatter, so they have no bounds either.
    """
    if count < 2 or variance <= 0:  # noqa: PLR2004 - one window has no variance
        return None
    shrunk = SPREAD / (SPREAD + count)
    ratio = (alpha * alpha * shrunk) ** (-1 / count)
    if ratio * shrunk >= 1:
        return None
    squared = (count - 1) * (ratio - 1) / (1 - ratio * shrunk)
    half = math.sqrt(squared * variance / count)
    return Bounds(mean - half, mean + half)


def persistence(values: Sequence[float]) -> float:
    """By how much the variance of the mean of ``values``, in time order, exceeds that of independent ones; at least 1.

    (1 + ρ)/(1 - ρ) for the lag-1 correlation ρ, corrected for its bias by (1 + 3ρ)/n (Kendall 1954) and never negative: windows
    that take after the one before say less than their number.
    """
    if len(values) < 3:  # noqa: PLR2004 - two windows have no correlation
        return 1.0
    mean, count = fmean(values), len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    if squares <= 0:
        return 1.0
    lagged = math.fsum((new - mean) * (old - mean) for old, new in pairwise(values))
    found = lagged / squares
    rho = min(max(found + (1 + 3 * found) / count, 0.0), STRONGEST)
    return (1 + rho) / (1 - rho)
