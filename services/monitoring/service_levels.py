"""Failures, throughput and business figures of a window: judged whatever its size, down to a window without any rows.

No floor for the number of rows: an outage is a window with few rows or none. Instead a figure that is out of bounds alarms
only if chance does not explain it: exact binomial and Poisson tails, so that one failure of two events does not page.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

from scipy.stats import binom, poisson

from schemas.definitions import Kpi
from schemas.events.monitoring import ChannelResult
from services.monitoring import kpis
from services.monitoring.artifacts import THROUGHPUT
from services.monitoring.channels import LEAST_ROWS
from services.monitoring.knowledge import Watched
from services.monitoring.refusals import REFUSED
from services.monitoring.tallies import Tally

FAILED_SHARE: Final = 0.05
REJECTED_SHARE: Final = 0.2
USUAL: Final = 0.2  # of a limit: what is taken to be usual where nothing better is known
QUIET_SHARE: Final = 0.2  # throughput below this share of the usual
QUIET_BEFORE: Final = 0.05  # share of the windows before: quiet more often than that is a habit (nights, weekends)
LEAST_HISTORY: Final = 5


def more_than_chance(count: int, of: int, usual: float) -> float:
    """Probability of ``count`` or more ``of`` so many, if each has the ``usual`` probability."""
    return float(binom.sf(count - 1, of, min(usual, 1.0)))


def errors(tally: Tally, alpha: float) -> list[ChannelResult]:
    """Shares of failed predictions and rejected events; unknown where there were none."""
    rows, failed, rejected = tally.total("rows"), tally.total("failed"), tally.total(REFUSED)
    return [
        share_row("errors:failed_share", failed, rows, FAILED_SHARE, alpha),
        share_row("errors:rejected_share", rejected, rows + rejected, REJECTED_SHARE, alpha),
    ]


def share_row(
    channel: str, count: int, of: int, limit: float, alpha: float, usual: float | None = None
) -> ChannelResult:
    """The share ``count`` / ``of`` against ``limit``: alarming where it is above, and by more than chance makes of the ``usual`` one."""
    if of == 0:
        return ChannelResult(channel=channel, statistic="share", value=None)
    share, p = count / of, more_than_chance(count, of, USUAL * limit if usual is None else usual)
    return ChannelResult(
        channel=channel,
        statistic="share",
        value=round(share, 6),
        threshold=limit,
        p_value=p,
        effect=round(share - limit, 6),
        alarming=share > limit and p <= alpha,
    )


def known_traffic(rates: Sequence[float]) -> bool:
    """Whether the ``rates`` of the windows before are enough to say what traffic is usual."""
    return len(rates) >= LEAST_HISTORY


def throughput(tally: Tally, seconds: float, rates: Sequence[float], alpha: float) -> ChannelResult:
    """Far fewer rows than usual; ``rates``: rows a second of the windows before, oldest first.

    A series that was often as quiet before has such hours; the present lull is not counted.
    """
    rows, before = tally.total("rows"), list(rates)
    busy = [rate for rate in before if rate > 0]
    usual = median(busy) if known_traffic(before) and busy else None
    rate = rows / seconds
    if usual is None:
        return ChannelResult(channel=THROUGHPUT, statistic="rows_per_second", value=rate)
    limit = QUIET_SHARE * usual
    while before and before[-1] < limit:
        before.pop()
    habit = sum(each < limit for each in before) > QUIET_BEFORE * len(before)
    p = float(poisson.cdf(rows, usual * seconds))
    return ChannelResult(
        channel=THROUGHPUT,
        statistic="rows_per_second",
        value=rate,
        threshold=limit,
        p_value=p,
        effect=rate / limit - 1,
        alarming=rate < limit and p <= alpha and not habit,
    )


def business_figures(tally: Tally, watched: Watched, alpha: float) -> list[ChannelResult]:
    """KPIs against their bounds. Sums and counts are what they are; an average of few rows other than a share says nothing."""
    bounds: dict[str, Kpi] = {kpi.name: kpi for kpi in watched.definition.spec.kpis}
    return [_figure(item, bounds[item.name], tally, alpha) for item in watched.kpis]


def _figure(item: kpis.Plan, kpi: Kpi, tally: Tally, alpha: float) -> ChannelResult:
    value = kpis.value(item, tally)
    broken = None if value is None else _broken(kpi, value)
    trusted = broken is None or _trusted(item, tally, broken, alpha, above=broken == kpi.max)
    shown = broken if broken is not None else (kpi.max if kpi.max is not None else kpi.min)
    return ChannelResult(
        channel=f"kpi:{item.name}",
        statistic="value",
        value=value,
        threshold=shown,
        effect=None if broken is None or value is None else value - broken,
        alarming=broken is not None and trusted,
    )


def _broken(kpi: Kpi, value: float) -> float | None:
    """The bound that ``value`` breaks."""
    if kpi.min is not None and value < kpi.min:
        return kpi.min
    return kpi.max if kpi.max is not None and value > kpi.max else None


def _trusted(item: kpis.Plan, tally: Tally, bound: float, alpha: float, *, above: bool) -> bool:
    """Whether more than chance breaks ``bound``."""
    if not item.divides or tally.total("rows") >= LEAST_ROWS:
        return True
    share = kpis.share(item, tally)
    if share is None:
        return False
    count, of = share
    return more_than_chance(count, of, bound) <= alpha if above else float(binom.cdf(count, of, bound)) <= alpha
