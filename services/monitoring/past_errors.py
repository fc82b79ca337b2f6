"""How far estimates were from what was measured later: what widens the interval of the next one.

Chance in the labels is not all. Windows differ by more (weather, strikes), and so do estimates from measurements: an error e_i
has the variance v_i of chance plus τ², that of what whole windows have in common. From the last n errors τ² = max(0, Σ (e_i² - v_i) / n), the moments of
DerSimonian and Laird (1986) about 0, which an estimate without bias has for a mean, so that a bias counts as scatter. The next value lies
within estimate ± t_n √(v + τ²), the prediction interval of Higgins, Thompson and Spiegelhalter (2009) with the n degrees of freedom of a known
mean. It takes windows that do not depend on each other, and what comes to be like what came.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from scipy.special import ndtri, stdtrit

from schemas.events.monitoring import ChannelResult
from services.monitoring.channels import LEAST_ROWS
from services.monitoring.quality import LABELLED, ROWS
from services.monitoring.tallies import Tally, significant

COVERAGE: Final = 0.95
KEPT: Final = 20  # windows, the latest: a season's errors say little about the next
LEAST: Final = 5  # fewer say too little of how errors scatter


class PastError(NamedTuple):
    """An estimate less what was measured, and the variance that chance alone gives the difference."""

    error: float
    chance: float


Past = Mapping[str, Sequence[PastError]]  # by metric


def errors_of(told: Sequence[ChannelResult], variances: Mapping[str, float], tally: Tally) -> dict[str, PastError]:
    """Of the rows ``estimate_error:…`` of a quality window by metric; none of one with too few labels to mean anything.

    ``variances`` are those of the estimates, over all rows; what is measured on the labelled ones alone has the more chance in it.
    """
    rows, labelled = tally.total(ROWS), tally.total(LABELLED)
    if labelled < LEAST_ROWS:
        return {}
    return {
        row.statistic: PastError(row.value, significant(variances[row.statistic] * max(rows / labelled, 1.0)))
        for row in told
        if row.value is not None and row.statistic in variances
    }


def reach(chance: float, past: Sequence[PastError]) -> float:
    """Half the width of an interval that holds what will be measured with `COVERAGE`; with fewer than `LEAST` errors if chance is all.

    ``chance``: the variance of the estimate over what labels may come.
    """
    quantile = (1 + COVERAGE) / 2
    if len(past) < LEAST:
        return float(ndtri(quantile)) * math.sqrt(max(chance, 0.0))
    beyond = math.fsum(each.error**2 - each.chance for each in past) / len(past)
    return float(stdtrit(len(past), quantile)) * math.sqrt(max(chance, 0.0) + max(beyond, 0.0))
