"""E-processes: evidence against "nothing has changed" that may be looked at after every window.

A channel's evidence under a bet of size b is M ← max(1, M) · exp(b·g - b²/2), g a standard normal if nothing changed (Page's
recursion on an e-value, Shin, Ramdas and Rinaldo 2023). The weighted mean over bets and channels stays below A for at least A
windows on average. All arrays are [bets, channels], natural logarithms, rounded so that a checkpoint holds them exactly.
"""

from typing import Final

import numpy as np

from services.monitoring.tallies import Floats

BETS: Final[Floats] = np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0])
DECIMALS: Final = 6


def step(evidence: Floats, normal: Floats, variance: Floats) -> Floats:
    """``evidence`` after a window with ``normal`` [channels], NaN says nothing and changes nothing.

    ``variance`` [channels]: 1 for independent normals, more where they have an error in common.
    """
    bets = BETS[:, None]
    after = np.maximum(evidence, 0.0) + bets * normal - bets * bets / 2 * variance
    return np.where(np.isnan(normal), evidence, np.round(after, DECIMALS))


def per_channel(evidence: Floats, directions: Floats) -> Floats:
    """Log of the mean over the bets that a channel allows [channels]; ``directions``: 1 only upwards, -1 only downwards, 0 both."""
    allowed = np.sign(BETS)[:, None] * directions >= 0
    shares = np.where(allowed, 1.0 / allowed.sum(axis=0), 0.0)
    return log_mean(evidence, shares)


def log_mean(logarithms: Floats, weights: Floats) -> Floats:
    """Log of Σ weight · exp(logarithm) over axis 0, without overflow."""
    highest = logarithms.max(axis=0)
    with np.errstate(divide="ignore"):
        return np.asarray(highest + np.log((weights * np.exp(logarithms - highest)).sum(axis=0)), dtype=np.float64)


def attribution(logarithms: Floats, weights: Floats, log_limit: float) -> list[int]:
    """Channels that explain an alarm, strongest first: e-BH (Wang and Ramdas 2022), the largest k with e_(k) ≥ A·F/k.

    The e-values are weighted ones, F · weight · M, and at least the strongest is named: the alarm itself is beyond doubt.
    """
    count = len(logarithms)
    with np.errstate(divide="ignore"):
        scaled = logarithms + np.log(weights * count)
    order = np.argsort(-scaled, kind="stable")
    enough = scaled[order] >= log_limit + np.log(count / np.arange(1, count + 1))
    named = int(np.flatnonzero(enough)[-1]) + 1 if enough.any() else 1
    return [int(place) for place in order[:named]]
