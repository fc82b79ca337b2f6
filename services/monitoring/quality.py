"""Quality of labelled predictions as mergeable integers, and the metrics they give.

Scores are counted per class in `SCORE_BINS` equal bins of [0, 1] and in bins of log-odds, so ROC AUC is exact up to ties within a bin of
those that tie fewer pairs; losses are fixed-point sums with their squares, so each metric has a standard error.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from schemas.definitions import TargetType
from schemas.probability_bins import BINS
from services.monitoring.joins import Pair
from services.monitoring.probabilities import HITS, SERVED, counted
from services.monitoring.tallies import Counts, Floats, Tally, fixed_sum

SCORE_BINS: Final = 1000
LEAST_PROBABILITY: Final = 1e-7
ROWS: Final = "rows"  # predictions that could have a label
LABELLED: Final = "labelled"
OVERDISPERSION: Final = 1.5  # rows of a window are not independent: standard errors are this much larger
REVISIONS: Final = "revisions"  # label versions beyond the first


class Metric(NamedTuple):
    """A metric with its standard error; ``better`` is +1 where more is better, -1 where less is."""

    value: float
    error: float
    better: int


def tally_pairs(target: TargetType, classes: Sequence[bool | int | str], pairs: Sequence[Pair], rows: int) -> Tally:
    """The quality of ``pairs``, out of ``rows`` predictions."""
    tally = Tally()
    tally.add(ROWS, rows)
    tally.add(LABELLED, len(pairs))
    tally.add(REVISIONS, sum(pair.version - 1 for pair in pairs))
    if target is TargetType.REGRESSION:
        _regression(pairs, tally)
        return tally
    decided = [pair for pair in pairs if pair.predicted is not None]
    tally.add("decided", len(decided))
    tally.add("correct", sum(same(pair.predicted, pair.value) for pair in decided))
    if target is TargetType.BINARY:
        _binary(pairs, tally)
    else:
        _multiclass(pairs, classes, tally)
    return tally


def losses(target: TargetType, classes: Sequence[bool | int | str], pairs: Sequence[Pair]) -> dict[str, Floats]:
    """The loss of each of ``pairs`` [n] by name, NaN where a prediction has no such loss; less is better.

    ``brier`` and ``log_loss`` of classes, ``absolute`` and ``squared`` of numbers.
    """
    if target is TargetType.REGRESSION:
        errors = np.array([_error(pair) for pair in pairs], dtype=np.float64)
        return {"squared": errors**2, "absolute": np.abs(errors)}
    if target is TargetType.BINARY:
        scores = np.array([math.nan if pair.score is None else pair.score for pair in pairs], dtype=np.float64)
        labels = np.array([bool(pair.value) for pair in pairs], dtype=np.bool_)
        return {"log_loss": _log_loss(np.where(labels, scores, 1 - scores)), "brier": (scores - labels) ** 2}
    places = {str(value): place for place, value in enumerate(classes)}
    return {"log_loss": _log_loss(np.array([_likelihood(pair, places) for pair in pairs], dtype=np.float64))}


def correct(pairs: Sequence[Pair]) -> Floats:
    """1 for each of ``pairs`` [n] whose predicted class is the label, else 0; NaN where no class was predicted."""
    found = [math.nan if pair.predicted is None else float(same(pair.predicted, pair.value)) for pair in pairs]
    return np.array(found, dtype=np.float64)


def metrics(target: TargetType, tally: Tally) -> dict[str, Metric]:
    """Every metric that ``tally`` allows: roc_auc, log_loss, brier, accuracy; or rmse, mae, r2."""
    found: dict[str, Metric] = {}
    if target is TargetType.REGRESSION:
        return _regression_metrics(tally)
    if decided := tally.total("decided"):
        share = tally.total("correct") / decided
        found["accuracy"] = Metric(share, math.sqrt(max(share * (1 - share), 1 / decided) / decided), 1)
    if target is TargetType.BINARY:
        auc = roc_auc(*min(_scores(tally), key=_ties))
        if auc is not None:
            found["roc_auc"] = auc
    if scored := tally.total("scored"):
        found["log_loss"] = _mean(tally, "log_loss", scored)
        if target is TargetType.BINARY:
            found["brier"] = _mean(tally, "brier", scored)
    return found


def roc_auc(positive: Counts, negative: Counts) -> Metric | None:
    """Area under the ROC curve from scores counted per class; None without both classes.

    Standard error by Hanley and McNeil (1982).
    """
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    if n_positive == 0 or n_negative == 0:
        return None
    below = np.cumsum(negative) - negative
    doubled = int((positive * (2 * below + negative)).sum())
    auc = doubled / (2 * n_positive * n_negative)
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc) + (n_positive - 1) * (q1 - auc * auc) + (n_negative - 1) * (q2 - auc * auc)
    return Metric(auc, math.sqrt(max(variance, 0.0) / (n_positive * n_negative)), 1)


def _scores(tally: Tally) -> list[tuple[Counts, Counts]]:
    """Counts of positive and of negative rows, in equal bins and, if those hold the same rows, in bins of log-odds.

    Of rare events nearly all scores are in the first of the equal bins, where none would rank above another.
    """
    positive = tally.counts.get("score:positive", np.zeros(SCORE_BINS, dtype=np.int64))
    negative = tally.counts.get("score:negative", np.zeros(SCORE_BINS, dtype=np.int64))
    hits = sum((counted(tally.counts, name) for name in HITS), start=np.zeros(BINS, dtype=np.int64))
    missed = sum((counted(tally.counts, name) for name in SERVED), start=-hits)
    same = (hits.sum(), missed.sum()) == (positive.sum(), negative.sum())
    return [(positive, negative), (hits, missed)] if same else [(positive, negative)]


def _ties(scores: tuple[Counts, Counts]) -> int:
    positive, negative = scores
    return int((positive * negative).sum())


def positive_rate(tally: Tally) -> float | None:
    """Share of positive labels (binary)."""
    positive, negative = tally.counts.get("score:positive"), tally.counts.get("score:negative")
    if positive is None or negative is None or positive.sum() + negative.sum() == 0:
        return None
    return float(positive.sum() / (positive.sum() + negative.sum()))


def _binary(pairs: Sequence[Pair], tally: Tally) -> None:
    scored = [pair for pair in pairs if pair.score is not None]
    scores = np.array([pair.score for pair in scored], dtype=np.float64)
    labels = np.array([bool(pair.value) for pair in scored], dtype=np.bool_)
    bins = np.minimum((np.clip(scores, 0, 1) * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    tally.count("score:positive", np.bincount(bins[labels], minlength=SCORE_BINS).astype(np.int64))
    tally.count("score:negative", np.bincount(bins[~labels], minlength=SCORE_BINS).astype(np.int64))
    _sum(tally, losses(TargetType.BINARY, (), scored))
    tally.add("scores", fixed_sum(scores))
    tally.add("scored", len(scored))


def _multiclass(pairs: Sequence[Pair], classes: Sequence[bool | int | str], tally: Tally) -> None:
    found = losses(TargetType.MULTICLASS, classes, pairs)
    _sum(tally, found)
    tally.add("scored", int((~np.isnan(found["log_loss"])).sum()))


def _regression(pairs: Sequence[Pair], tally: Tally) -> None:
    scored = [pair for pair in pairs if not math.isnan(_error(pair))]
    actual = np.array([float(pair.value) for pair in scored], dtype=np.float64)
    _sum(tally, losses(TargetType.REGRESSION, (), scored))
    tally.add("actual", fixed_sum(actual))
    tally.add("actual²", fixed_sum(actual**2))
    tally.add("scored", len(scored))


def _error(pair: Pair) -> float:
    return math.nan if pair.score is None or isinstance(pair.value, str) else pair.score - float(pair.value)


def _likelihood(pair: Pair, places: Mapping[str, int]) -> float:
    """The probability that was given to the label; NaN where there are no probabilities of ``places``."""
    if pair.probabilities is None or len(pair.probabilities) != len(places):
        return math.nan
    place = places.get(str(pair.value))
    return 0.0 if place is None else pair.probabilities[place]


def _log_loss(likelihood: Floats) -> Floats:
    return -np.log(np.clip(likelihood, LEAST_PROBABILITY, 1))


def _regression_metrics(tally: Tally) -> dict[str, Metric]:
    scored = tally.total("scored")
    if not scored:
        return {}
    squared = _mean(tally, "squared", scored)
    rmse = math.sqrt(squared.value)
    found = {
        "rmse": Metric(rmse, squared.error / (2 * rmse) if rmse else 0.0, -1),
        "mae": _mean(tally, "absolute", scored),
    }
    variance = tally.real("actual²") / scored - (tally.real("actual") / scored) ** 2
    if variance > 0:
        found["r2"] = Metric(1 - squared.value / variance, squared.error / variance, 1)
    return found


def _sum(tally: Tally, found: Mapping[str, Floats]) -> None:
    for name, values in found.items():
        tally.add(name, fixed_sum(values))
        tally.add(f"{name}²", fixed_sum(values**2))


def _mean(tally: Tally, name: str, count: int) -> Metric:
    mean = tally.real(name) / count
    variance = max(tally.real(f"{name}²") / count - mean * mean, 0.0)
    return Metric(mean, math.sqrt(variance / count), -1)


def same(predicted: object, value: object) -> bool:
    """Whether two labels are one; a class may be told as text in one place and as itself in another."""
    if isinstance(predicted, str) or isinstance(value, str):
        return str(predicted) == str(value)
    return predicted == value
