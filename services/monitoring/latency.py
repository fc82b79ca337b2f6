"""Latency histograms: logarithmic bins from 10 µs to 1,000 s, ten a decade doubled, so that a quantile is within 6 %."""

from typing import Final

import numpy as np

from services.monitoring.tallies import Counts, Floats

BINS_PER_DECADE: Final = 20
LOWEST_MS: Final = 0.01
DECADES: Final = 8
BINS: Final = BINS_PER_DECADE * DECADES + 2  # one below, one above
QUANTILES: Final = (0.5, 0.95, 0.99)


def histogram(milliseconds: Floats) -> Counts:
    """Counts [BINS] of ``milliseconds`` [n]; negative and tiny values are in the first bin, NaN is left out."""
    values = np.maximum(milliseconds[~np.isnan(milliseconds)], LOWEST_MS / 10)
    positions = np.floor(np.log10(values / LOWEST_MS) * BINS_PER_DECADE).astype(np.int64) + 1
    return np.bincount(np.clip(positions, 0, BINS - 1), minlength=BINS).astype(np.int64)


def quantile(counts: Counts, share: float) -> float | None:
    """The ``share`` quantile in milliseconds: the geometric middle of its bin; None without values."""
    total = int(counts.sum())
    if total == 0:
        return None
    rank = max(1, int(np.ceil(share * total)))
    position = int(np.searchsorted(np.cumsum(counts), rank))
    return _middle(position)


def slower(counts: Counts, milliseconds: float) -> int:
    """How many took longer."""
    return sum(int(count) for position, count in enumerate(counts) if count and _middle(position) > milliseconds)


def _middle(position: int) -> float:
    if position == 0:
        return LOWEST_MS
    return float(round(LOWEST_MS * 10 ** ((position - 0.5) / BINS_PER_DECADE), 6))
