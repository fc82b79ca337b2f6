"""What is new in each window of a channel: without its season and without what the window before foretold.

Windows are rows, oldest first, channels are columns, NaN is unknown. Seasons are estimated over all rows including the last,
the one to be judged, so that rows stay exchangeable (Vovk, Gammerman and Shafer 2005); persistence without the last ones,
because a level that has just changed looks like persistence.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.monitoring.tallies import Floats

LEAST_PAIRS: Final = 10  # neighbouring windows before a persistence is believed
LARGEST_PERSISTENCE: Final = 0.95
FENCE: Final = 3.0  # quartile ranges beyond the quartiles: what lies outside moves no estimate
RESOLUTION: Final = 1e-9  # of the largest usual value: differences below it are rounding
FARTHEST: Final = 1e6  # largest usual values

Integers = NDArray[np.int64]


class New(NamedTuple):
    """What is new [windows, channels], in each channel's ``unit`` [channels]."""

    values: Floats
    unit: Floats


def innovations(values: Floats, seasons: Integers, follows: NDArray[np.bool_], recent: int) -> New:
    """``values`` [windows, channels] less their seasonal offset and ``rho`` times the value before.

    ``seasons`` [windows]: which windows have a season in common. ``follows`` [windows]: the row before is the window before.
    ``recent``: how many of the last rows say nothing about persistence.
    """
    unit = _unit(values)
    values = np.clip(values / unit, -FARTHEST, FARTHEST)  # so that no square overflows
    fenced = _fenced(values)
    level = _means(fenced)
    shift = level + _offsets(fenced, seasons, level)
    known = np.nan_to_num(fenced - shift)
    before = np.zeros_like(known)
    before[1:] = np.where(follows[1:, None], known[:-1], 0.0)
    return New(values - shift - _persistence(known[:-recent], before[:-recent]) * before, unit)


def rounded(new: Floats) -> Floats:
    """``new`` without what floating-point arithmetic made of equal values, so that ties are ties."""
    return np.asarray(np.rint(new / RESOLUTION), dtype=np.float64)


def _unit(values: Floats) -> Floats:
    """Each channel's largest usual value; its largest if the usual ones are 0, 1 if all are."""
    largest, usual = _largest(values), _largest(_fenced(values))
    return np.where(usual > 0, usual, np.where(largest > 0, largest, 1.0))


def _largest(values: Floats) -> Floats:
    return np.asarray(np.nan_to_num(np.abs(values)).max(axis=0), dtype=np.float64)


def _fenced(values: Floats) -> Floats:
    """``values`` clipped to `FENCE` quartile ranges beyond the quartiles of their channel."""
    ordered = np.sort(values, axis=0)  # NaN come last
    last = np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0)
    columns = np.arange(values.shape[1])
    lower, upper = ordered[last // 4, columns], ordered[last - last // 4, columns]
    reach = FENCE * (upper - lower)
    return np.clip(values, lower - reach, upper + reach)


def _means(values: Floats) -> Floats:
    known = (~np.isnan(values)).sum(axis=0)
    return np.asarray(np.nan_to_num(values).sum(axis=0) / np.maximum(known, 1), dtype=np.float64)


def _offsets(values: Floats, seasons: Integers, level: Floats) -> Floats:
    """How much the season of each row lies above ``level``, shrunk towards it by tau² / (tau² + sigma² / count).

    tau² and sigma² are the variances between and within seasons of each channel (the method of moments): where there is no
    season, none is taken out, and a large one goes whole.
    """
    names, place = np.unique(seasons, return_inverse=True)
    if len(names) == 1:
        return np.zeros_like(values)
    groups = [values[place == season] for season in range(len(names))]
    counts = np.stack([(~np.isnan(rows)).sum(axis=0) for rows in groups])
    means = np.where(counts > 0, np.stack([_means(rows) for rows in groups]), level)
    rest = values - means[place]
    freedom = np.maximum(counts.sum(axis=0) - (counts > 0).sum(axis=0), 1)
    within = (np.nan_to_num(rest) ** 2).sum(axis=0) / freedom
    spread = (counts * (means - level) ** 2).sum(axis=0) - within * ((counts > 0).sum(axis=0) - 1)
    between = np.maximum(spread, 0.0) / np.maximum(counts.sum(axis=0), 1)
    whole = between * counts + within
    share = np.divide(between * counts, whole, out=np.zeros_like(whole), where=whole > 0)
    return np.asarray((share * (means - level))[place], dtype=np.float64)


def _persistence(known: Floats, before: Floats) -> Floats:
    """Lag-1 autocorrelation per channel, never negative; 0 of a constant and of few windows.

    The estimate is short by (1 + 3 rho) / n on average (Kendall 1954), which is added: what is left in would look like drift.
    """
    products, squares = (known * before).sum(axis=0), (before * before).sum(axis=0)
    pairs = (before != 0).sum(axis=0)
    plain = np.divide(products, squares, out=np.zeros_like(squares), where=(squares > 0) & (pairs >= LEAST_PAIRS))
    corrected = plain + np.where(squares > 0, (1 + 3 * plain) / np.maximum(pairs, LEAST_PAIRS), 0.0)
    return np.asarray(np.clip(corrected, 0.0, LARGEST_PERSISTENCE), dtype=np.float64)
