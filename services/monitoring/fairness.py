"""Fairness of labelled predictions: gaps between the groups of a feature, as mergeable integers, against the definition's bounds.

The names and formulas are those of the gates (`schemas.groups`). A gap alarms only where it is beyond its bound for certain: each
group has an interval, each pair of groups one of their difference from these (MOVER: Zou and Donner 2008; of shares with Wilson's
intervals it is Newcombe's 1998 method 10), and all pairs share the budget. The largest of many differences of small groups is large by chance.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from schemas.definitions import Gate, TargetType
from schemas.events.monitoring import ChannelResult
from schemas.groups import ACCURACY, BASE_RATE, DEMOGRAPHIC_PARITY, EQUAL_OPPORTUNITY, GAPS, RMSE, SMALLEST_GROUP
from services.monitoring.binning import CategoricalBinning
from services.monitoring.joins import Pair
from services.monitoring.quality import OVERDISPERSION, same
from services.monitoring.tallies import Counts, Floats, Tally, fixed_sum

FAIRNESS: Final = "fairness"
SHARES: Final = {  # which of which rows, as counts per group
    DEMOGRAPHIC_PARITY: ("chosen", "rows"),
    EQUAL_OPPORTUNITY: ("hit", "positive"),
    BASE_RATE: ("positive", "rows"),
    ACCURACY: ("correct", "rows"),
}

Groups = Mapping[str, CategoricalBinning]


class Spread(NamedTuple):
    """A figure of each group that is large enough, [groups], with its interval; ``names`` of the groups."""

    names: Sequence[str]
    values: Floats
    lows: Floats
    highs: Floats


class Gap(NamedTuple):
    """The largest difference between two groups, between what it may truly lie, and which group is how far over which."""

    value: float
    low: float
    high: float
    pair: str


# ---- stage 1: counts


def tally_groups(
    target: TargetType, classes: Sequence[bool | int | str], pairs: Sequence[Pair], groups: Groups, tally: Tally
) -> None:
    """Add what the gaps need of ``pairs``. Pairs that were filed without groups, or by others than ``groups``, are left out."""
    known = [pair for pair in pairs if pair.groups is not None and len(pair.groups) == len(groups)]
    if target is TargetType.REGRESSION:
        known = [pair for pair in known if pair.score is not None and not isinstance(pair.value, str)]
    else:
        known = [pair for pair in known if pair.predicted is not None]
    codes = np.array([pair.groups for pair in known], dtype=np.int64).reshape(len(known), len(groups))
    for place, (feature, binning) in enumerate(groups.items()):
        of, width = codes[:, place], len(binning.reference) - 2  # without missing and unseen
        if target is TargetType.REGRESSION:
            _squares(feature, known, of, width, tally)
            continue
        for what, held in _flags(target, classes, known).items():
            tally.count(f"{FAIRNESS}:{feature}:{what}", _counts(of[held], width))


def _flags(
    target: TargetType, classes: Sequence[bool | int | str], pairs: Sequence[Pair]
) -> dict[str, NDArray[np.bool_]]:
    """Which of ``pairs`` count as what."""
    flags: dict[str, Iterable[bool]] = {
        "rows": (True for _ in pairs),
        "correct": (same(pair.predicted, pair.value) for pair in pairs),
    }
    if target is TargetType.BINARY:
        positive = classes[-1] if classes else True
        flags["chosen"] = (same(pair.predicted, positive) for pair in pairs)
        flags["positive"] = (bool(pair.value) for pair in pairs)
        flags["hit"] = (bool(pair.value) and same(pair.predicted, positive) for pair in pairs)
    return {what: np.fromiter(held, dtype=np.bool_, count=len(pairs)) for what, held in flags.items()}


def _squares(feature: str, pairs: Sequence[Pair], of: Counts, width: int, tally: Tally) -> None:
    tally.count(f"{FAIRNESS}:{feature}:rows", _counts(of, width))
    errors = np.array([float(pair.score or 0.0) - float(pair.value) for pair in pairs], dtype=np.float64) ** 2
    for place in range(width):
        mine = errors[of == place]
        tally.add(f"{FAIRNESS}:{feature}:squared:{place}", fixed_sum(mine))
        tally.add(f"{FAIRNESS}:{feature}:squared²:{place}", fixed_sum(mine**2))


def _counts(codes: Counts, width: int) -> Counts:
    return np.bincount(codes[codes < width], minlength=width).astype(np.int64)


# ---- stage 2: gaps


def gaps(target: TargetType, tally: Tally, groups: Groups, gates: Sequence[Gate], alpha: float) -> list[ChannelResult]:
    """A row for each gap of each feature. Only those that a gate bounds may alarm; together they do with probability ``alpha``."""
    bounds = bounds_of(gates)
    wanted = [(feature, metric) for feature in groups for metric in GAPS[target]]
    tests = max(sum(bounds.get(each) is not None for each in wanted), 1)
    return [
        _row(
            metric,
            feature,
            _found(metric, feature, groups[feature], tally, alpha / tests),
            bounds.get((feature, metric)),
        )
        for feature, metric in wanted
        if f"{FAIRNESS}:{feature}:rows" in tally.counts
    ]


def bounds_of(gates: Sequence[Gate]) -> dict[tuple[str, str], float]:
    """The strictest upper bound of each feature and gap."""
    found: dict[tuple[str, str], float] = {}
    for gate in gates:
        if gate.group is not None and gate.max is not None:
            place = gate.group, gate.metric
            found[place] = min(gate.max, found.get(place, math.inf))
    return found


def widest(spread: Spread) -> Gap | None:
    """The gap over all pairs of ``spread``; None with fewer than two groups."""
    if len(spread.names) < 2:  # noqa: PLR2004 - a gap needs two sides
        return None
    difference = spread.values[:, None] - spread.values[None, :]
    below = np.hypot((spread.values - spread.lows)[:, None], (spread.highs - spread.values)[None, :])
    lows, highs = difference - below, difference + below.T
    np.fill_diagonal(highs, 0.0)
    most, least = divmod(int(np.argmax(np.where(np.eye(len(lows), dtype=np.bool_), -np.inf, lows))), len(lows))
    return Gap(
        float(difference.max()),
        max(float(lows[most, least]), 0.0),
        float(highs.max()),
        f"{spread.names[most]} over {spread.names[least]}",
    )


def _found(metric: str, feature: str, binning: CategoricalBinning, tally: Tally, alpha: float) -> Gap | None:
    kind = "rows" if metric == RMSE else SHARES[metric][1]
    of = tally.counts.get(f"{FAIRNESS}:{feature}:{kind}", np.zeros(0, dtype=np.int64))
    large = np.flatnonzero(of >= SMALLEST_GROUP)
    if len(large) < 2:  # noqa: PLR2004
        return None
    confidence = -float(ndtri(alpha / (len(large) * (len(large) - 1))))  # every ordered pair is a test
    names = [binning.labels[place] for place in large.tolist()]
    if metric == RMSE:
        return widest(_rmse(feature, names, large.tolist(), of[large], tally, confidence))
    held = tally.counts[f"{FAIRNESS}:{feature}:{SHARES[metric][0]}"]
    return widest(wilson(names, held[large], of[large], confidence))


def wilson(names: Sequence[str], counts: Counts, of: Counts, confidence: float) -> Spread:
    """Shares with Wilson's intervals (1927), of rows that are worth fewer than as many independent ones."""
    shares, rows, z = counts / of, of / OVERDISPERSION**2, confidence
    middle = (shares + z * z / (2 * rows)) / (1 + z * z / rows)
    margin = z / (1 + z * z / rows) * np.sqrt(shares * (1 - shares) / rows + z * z / (4 * rows * rows))
    return Spread(names, shares, np.minimum(middle - margin, shares), np.maximum(middle + margin, shares))


def _rmse(
    feature: str, names: Sequence[str], places: Sequence[int], of: Counts, tally: Tally, confidence: float
) -> Spread:
    """Roots of mean squares, with normal intervals of the mean squares."""
    total = np.array([tally.real(f"{FAIRNESS}:{feature}:squared:{place}") for place in places])
    squares = np.array([tally.real(f"{FAIRNESS}:{feature}:squared²:{place}") for place in places])
    means = total / of
    # Fourth powers of errors pass what fixed point holds, or vanish in it: then their scatter is not known.
    known = squares / of > means**2
    names, means, squares, of = (
        [n for n, k in zip(names, known, strict=True) if k],
        means[known],
        squares[known],
        of[known],
    )
    margin = confidence * OVERDISPERSION * np.sqrt(np.maximum(squares / of - means**2, 0.0) / of)
    return Spread(names, np.sqrt(means), np.sqrt(np.maximum(means - margin, 0.0)), np.sqrt(means + margin))


def _effect(metric: str, value: float, bound: float) -> float:
    """How far beyond the bound: of shares as they are, of errors, which have the target's unit, as a part of the bound."""
    beyond = value - bound
    return round(beyond / bound if metric == RMSE and bound > 0 else beyond, 6)


def gap_channel(metric: str, feature: str) -> str:
    """What the gap of a feature's groups is called."""
    return f"{FAIRNESS}:{metric}:{feature}"


def _row(metric: str, feature: str, found: Gap | None, bound: float | None) -> ChannelResult:
    channel = gap_channel(metric, feature)
    if found is None:
        why = f"not tested: fewer than two groups of {SMALLEST_GROUP} rows"
        return ChannelResult(channel=channel, statistic=why, value=None, threshold=bound)
    return ChannelResult(
        channel=channel,
        statistic=found.pair,
        value=round(found.value, 6),
        threshold=bound,
        effect=None if bound is None else _effect(metric, found.value, bound),
        alarming=bound is not None and found.low > bound,
        low=round(found.low, 6),
        high=round(found.high, 6),
    )
