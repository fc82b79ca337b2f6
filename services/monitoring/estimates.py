"""What quality probably is before labels come: expected metrics from the probabilities that the model gave, calibrated.

Confidence-based estimation: a row whose class has the calibrated probability c counts as c rows in which it happened and 1 - c in which
it did not (NannyML's documentation, "Confidence-based Performance Estimation (CBPE)"; Guillory et al. 2021, Predicting with
Confidence on Unseen Distributions, estimate accuracy by mean confidence; Kumar, Liang and Ma 2019 on why confidences are first
calibrated on labelled data). All follows from counts per bin, so partitions merge bit for bit and no row is kept.

An estimate holds as long as P(label | probability) is what it was when the calibration was fitted. It sees other inputs; it is blind to
concept drift. So it never alarms and is no evidence for anything. Its interval covers the chance in the labels, and how far past estimates were from
what came (`services.monitoring.past_errors`), as soon as some are known.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit

from schemas.definitions import TargetType
from schemas.events.monitoring import ChannelResult
from schemas.probability_bins import LOG_ODDS
from services.monitoring.calibration import Calibration, Line
from services.monitoring.channels import LEAST_ROWS
from services.monitoring.past_errors import LEAST, Past, PastError, reach
from services.monitoring.probabilities import SERVED, counted
from services.monitoring.tallies import Counts, Floats, Tally, significant

ESTIMATE: Final = "estimate"
ESTIMATE_ERROR: Final = "estimate_error"
ESTIMATE_INTERVAL: Final = "estimate_interval"
CALIBRATION: Final = "calibration"
METRICS: Final = {
    TargetType.BINARY: ("roc_auc", "log_loss", "brier", "accuracy"),
    TargetType.MULTICLASS: ("log_loss", "accuracy"),
    TargetType.REGRESSION: (),
}
BOUNDS: Final = {"log_loss": math.inf}  # every other metric ends at 1
SMALL_STEP: Final = 1e-3  # of a curve's intercept or slope, to see what a metric does

SURPRISE: Final[Floats] = np.logaddexp(0, -LOG_ODDS)  # [BINS] -log p
GIVEN: Final[Floats] = expit(LOG_ODDS)  # [BINS] p


class Expected(NamedTuple):
    """The expectation of a metric over labels, and its variance over them; of `expectations` with that of the calibration."""

    value: float
    variance: float


class Cases(NamedTuple):
    """Counts [BINS] of cases whose class was chosen, and of others."""

    chosen: Counts
    other: Counts


Chances = tuple[Floats, Floats]  # of chosen and other cases, [BINS] each: how probable a hit is


NOTHING: Final[Past] = MappingProxyType({})


def expectations(target: TargetType, tally: Tally, calibration: Calibration) -> dict[str, Expected]:
    """What can be told of `METRICS`; nothing of regressions or of fewer than `LEAST_ROWS` rows with probabilities."""
    cases = Cases(*(counted(tally.counts, name) for name in SERVED))
    if not METRICS[target] or rows_of(target, cases) < LEAST_ROWS:
        return {}
    return _expected(target, cases, calibration)


def estimates(
    target: TargetType, found: Mapping[str, Expected], calibration: Calibration, past: Past = NOTHING
) -> list[ChannelResult]:
    """A row a metric with its interval, null where it cannot be told; what each interval holds; what was calibrated on. None of regressions.

    ``past``: how wrong estimates were. ``estimate_interval:<metric>`` says of how many windows that was known (``value``), and by
    ``statistic`` whether it counted: ``past_errors``, or ``chance`` alone where they are too few.
    """
    if not METRICS[target]:
        return []
    basis = ChannelResult(
        channel=f"{ESTIMATE}:{CALIBRATION}", statistic=calibration.basis, value=float(calibration.rows)
    )
    rows = [_row(name, found.get(name), past.get(name, ())) for name in METRICS[target]]
    return [*rows, *(_interval_row(name, past.get(name, ())) for name in METRICS[target] if name in found), basis]


def errors(estimated: Mapping[str, float], measured: Sequence[ChannelResult]) -> list[ChannelResult]:
    """Estimate less what was measured with labels, a row for each metric that has both."""
    return [
        ChannelResult(
            channel=f"{ESTIMATE_ERROR}:{row.statistic}",
            statistic=row.statistic,
            value=significant(estimated[row.statistic] - row.value),
        )
        for row in measured
        if row.channel == f"quality:{row.statistic}" and row.value is not None and row.statistic in estimated
    ]


def rows_of(target: TargetType, cases: Cases) -> int:
    """How many rows ``cases`` are of: a binary row has one, any other row one that is chosen."""
    return int(cases.chosen.sum()) + (int(cases.other.sum()) if target is TargetType.BINARY else 0)


def binary(cases: Cases, chance: Floats) -> dict[str, Expected]:
    """Expected metrics of rows whose positive class has ``chance`` [BINS].

    For n rows of a bin with log-odds x, probability p and chance c: log loss -c log p - (1 - c) log(1 - p), Brier score
    c (1 - p)² + (1 - c) p², accuracy c where the positive class was chosen, else 1 - c. A label moves a row's log loss by x, its Brier score
    by 1 - 2p and its accuracy by 1, so the means have the variances Σ n c (1 - c) x² / N² and so on. ``roc_auc``: see there.
    """
    count = cases.chosen + cases.other
    total = float(count.sum())
    doubt = count * chance * (1 - chance)
    right = cases.chosen * chance + cases.other * (1 - chance)
    loss = count * (chance * SURPRISE + (1 - chance) * SURPRISE[::-1])
    square = count * (chance * (1 - GIVEN) ** 2 + (1 - chance) * GIVEN**2)
    found = {
        "log_loss": Expected(float(loss.sum()) / total, float((doubt * LOG_ODDS**2).sum()) / total**2),
        "brier": Expected(float(square.sum()) / total, float((doubt * (1 - 2 * GIVEN) ** 2).sum()) / total**2),
        "accuracy": Expected(float(right.sum()) / total, float(doubt.sum()) / total**2),
    }
    ranked = roc_auc(count, chance)
    return found if ranked is None else {"roc_auc": ranked, **found}


def roc_auc(count: Counts, chance: Floats) -> Expected | None:
    """Expected pairs of a positive row above a negative one, over expected pairs; None where no pair can be ranked.

    With n_b rows of chance c_b in bin b, P_b = n_b c_b and N_b = n_b (1 - c_b): A = Σ_b P_b (Σ_{a<b} N_a + N_b / 2), pairs P N; a row is no
    pair with itself, which takes Σ c (1 - c) from the pairs and half of it from A. Variance by the delta method: a label moves A / (P N)
    by (negatives below - positives above - AUC (N - P)) / (P N), ties half.
    """
    if int((count > 0).sum()) < 2:  # noqa: PLR2004 - one bin has no order
        return None
    positive, negative = count * chance, count * (1 - chance)
    doubt = float((positive * (1 - chance)).sum())
    below = np.cumsum(negative) - negative / 2
    above = positive.sum() - np.cumsum(positive) + positive / 2
    pairs = float(positive.sum() * negative.sum()) - doubt
    if pairs <= 0:
        return None
    auc = (float((positive * below).sum()) - doubt / 2) / pairs
    moved = (below - above - auc * float(negative.sum() - positive.sum())) / pairs
    return Expected(auc, float((positive * (1 - chance) * moved**2).sum()))


def multiclass(cases: Cases, chances: Chances) -> dict[str, Expected]:
    """Expected metrics of rows with a case for each class.

    Accuracy: the mean chance of the chosen class. Log loss: Σ hits · -log p over rows, where the hits of classes that were not chosen are
    scaled to the rows in which the chosen one did not happen. Its variance is that of -log p over hits, so it holds the rows' own differences too.
    """
    total = float(cases.chosen.sum())
    right, other = cases.chosen * chances[0], cases.other * chances[1]
    wrong = total - float(right.sum())
    other = other * (wrong / float(other.sum())) if other.sum() > 0 else other
    hits = right + other
    loss = float((hits * SURPRISE).sum()) / total
    scatter = max(float((hits * SURPRISE**2).sum()) / total - loss**2, 0.0)
    return {
        "log_loss": Expected(loss, scatter / total),
        "accuracy": Expected(float(right.sum()) / total, float((right * (1 - chances[0])).sum()) / total**2),
    }


def _expected(target: TargetType, cases: Cases, calibration: Calibration) -> dict[str, Expected]:
    chosen, other = calibration.curves

    def expected(chances: Chances) -> dict[str, Expected]:
        return binary(cases, chances[0]) if target is TargetType.BINARY else multiclass(cases, chances)

    def of_chosen(line: Line) -> dict[str, Expected]:
        found = chosen.at(line)
        return expected((found, found if calibration.shared else other.at(other.line)))

    def of_other(line: Line) -> dict[str, Expected]:
        return expected((chosen.at(chosen.line), other.at(line)))

    found = of_chosen(chosen.line)
    fits = [_fit_variance(of_chosen, chosen.line, chosen.covariance)]
    if not calibration.shared:
        fits.append(_fit_variance(of_other, other.line, other.covariance))
    return {
        name: Expected(metric.value, metric.variance + sum(fit.get(name, 0.0) for fit in fits))
        for name, metric in found.items()
        if math.isfinite(metric.value) and math.isfinite(metric.variance)
    }


def _fit_variance(
    expected: Callable[[Line], dict[str, Expected]], line: Line, covariance: Floats | None
) -> dict[str, float]:
    """What each metric owes to the curve's own error: gᵀ Σ g, g by central differences."""
    if covariance is None:
        return {}
    sides = []
    for step in ((SMALL_STEP, 0.0), (0.0, SMALL_STEP)):
        up, down = (expected((line[0] + sign * step[0], line[1] + sign * step[1])) for sign in (1, -1))
        sides.append({name: (up[name].value - down[name].value) / (2 * SMALL_STEP) for name in up.keys() & down})
    found = {}
    for name in sides[0].keys() & sides[1]:
        slope = np.array([side[name] for side in sides])
        found[name] = float(slope @ covariance @ slope)
    return found


def _row(name: str, metric: Expected | None, past: Sequence[PastError]) -> ChannelResult:
    if metric is None:
        return ChannelResult(channel=f"{ESTIMATE}:{name}", statistic=name, value=None)
    half = reach(metric.variance, past)
    return ChannelResult(
        channel=f"{ESTIMATE}:{name}",
        statistic=name,
        value=significant(metric.value),
        low=significant(max(metric.value - half, 0.0)),
        high=significant(min(metric.value + half, BOUNDS.get(name, 1.0))),
    )


def _interval_row(name: str, past: Sequence[PastError]) -> ChannelResult:
    return ChannelResult(
        channel=f"{ESTIMATE_INTERVAL}:{name}",
        statistic="past_errors" if len(past) >= LEAST else "chance",
        value=float(len(past)),
    )
