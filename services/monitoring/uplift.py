"""Business figures by version: how much each KPI differs since a deployment from the windows of the champion before.

Windows are compared with windows: a KPI's value of each is one observation, less its season, and the difference of the means has
Welch's interval (1947), widened by the persistence of the windows before: a mean of n windows with lag-1 correlation r is worth one of
n (1 - r) / (1 + r) independent ones. What else changed at the same time is in the difference too; a canary's windows have none of that.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from schemas.definitions import Kpi
from schemas.events.monitoring import ChannelResult
from services.monitoring.detectors import patience
from services.monitoring.flapping import CALM
from services.monitoring.history import Change
from services.monitoring.knowledge import Watched
from services.monitoring.tallies import Floats, significant
from services.monitoring.window_values import WindowValues

UPLIFT: Final = "uplift"
COMPARED: Final = 14  # windows after a deployment, and as many before
LEAST_BEFORE: Final = 20  # of the champion before: fewer do not show how persistent the windows are
LEAST_AFTER: Final = 5
TOLD_AFTER: Final = CALM  # windows more in which the comparison is repeated without alarm: enough for an alert to end, a flapping one too
SHRUNK: Final = 5  # windows that a season's offset is shrunk by, as in the calibrated lane
MOST_PERSISTENT: Final = 0.9


class Values(NamedTuple):
    """A KPI over windows, oldest first: values, and the season of each."""

    values: Floats
    seasons: NDArray[np.int64]

    @classmethod
    def of(cls, windows: WindowValues, channel: str, watched: Watched) -> "Values":
        """The windows in which ``channel`` is known."""
        values = windows.matrix([channel])[:, 0]
        seasons = np.array([watched.season(start) for start in windows.starts], dtype=np.int64)
        known = ~np.isnan(values)
        return cls(values[known], seasons[known])

    def then(self, value: float, season: int) -> "Values":
        """With one window more."""
        return Values(np.append(self.values, value), np.append(self.seasons, season))


def uplifts(watched: Watched, measured: Sequence[ChannelResult], change: Change, start: int) -> Iterator[ChannelResult]:
    """A row for each KPI whose value in the window that begins at ``start`` is among those ``measured``."""
    kpis, found = watched.definition.spec.kpis, {row.channel: row.value for row in measured}
    alpha = 1 / patience(UPLIFT, watched.definition.spec.monitoring.false_alarms) / max(len(kpis), 1)
    for kpi in kpis:
        channel = f"kpi:{kpi.name}"
        value = found.get(channel)
        if value is not None:
            after = Values.of(change.after, channel, watched).then(value, watched.season(start))
            row = uplift(kpi, Values.of(change.before, channel, watched), after, alpha)
            if row is not None:
                yield row


ROUNDING: Final = 1e-9  # of a figure: what sums of equal numbers differ by is no difference


def worse_side(kpi: Kpi) -> int:
    """1 where higher is worse, -1 where lower is, 0 where the definition does not say."""
    return (kpi.max is not None) - (kpi.min is not None)


def uplift(kpi: Kpi, before: Values, after: Values, alpha: float) -> ChannelResult | None:
    """``kpi`` of the windows ``after`` a deployment less that of those ``before``, all that are remembered of either.

    None with too few windows, and once `COMPARED` have long passed: then it is how things are. A KPI with a ``max`` alone is worse where it is
    higher, with a ``min`` alone where it is lower; others are only shown. Alarms with probability ``alpha`` a window where nothing changed.
    """
    if len(before.values) < LEAST_BEFORE or not LEAST_AFTER <= len(after.values) <= COMPARED + TOLD_AFTER:
        return None
    over = len(after.values) > COMPARED
    after = Values(after.values[:COMPARED], after.seasons[:COMPARED])
    old, new = _without_season(before, before), _without_season(after, before)
    persistence = _persistence(old)
    old = old[-COMPARED:]
    difference = float(new.mean() - old.mean())
    rounding = ROUNDING * float(max(np.abs(old).max(), np.abs(new).max()))
    margin = max(_margin(old, new, persistence, alpha), rounding)
    worse = worse_side(kpi)
    return ChannelResult(
        channel=f"{UPLIFT}:{kpi.name}",
        statistic=f"after {len(new)} windows",
        value=significant(difference),
        threshold=0.0 if worse else None,
        effect=significant(difference),
        alarming=bool(worse) and worse * difference > margin and not over,
        low=significant(difference - margin),
        high=significant(difference + margin),
    )


def _without_season(held: Values, known: Values) -> Floats:
    """Values less their season's offset, as the windows ``known`` show it, shrunk where they are few."""
    middle, found = known.values.mean(), held.values.copy()
    for season in np.unique(known.seasons):
        same = known.values[known.seasons == season]
        found[held.seasons == season] -= (same.mean() - middle) * len(same) / (len(same) + SHRUNK)
    return np.asarray(found, dtype=np.float64)


def _persistence(values: Floats) -> float:
    """Lag-1 correlation, corrected for its bias (Kendall 1954), and half a standard error more: few windows hardly show it.

    Windows that foretell the opposite are taken for independent.
    """
    spread = values - values.mean()
    total = float((spread**2).sum())
    if total <= 0:
        return 0.0
    found = float((spread[1:] * spread[:-1]).sum()) / total
    corrected = found + (1 + 3 * found) / len(values) + 0.5 / math.sqrt(len(values))
    return min(max(corrected, 0.0), MOST_PERSISTENT)


def _margin(old: Floats, new: Floats, persistence: float, alpha: float) -> float:
    """Half of the interval's width: one-sided, ``alpha`` beyond it."""
    worth = (1 - persistence) / (1 + persistence)
    parts = [float(each.var(ddof=1)) / (len(each) * worth) for each in (old, new)]
    degrees: Sequence[float] = [max(len(each) * worth - 1, 1.0) for each in (old, new)]
    total = sum(parts)
    if total <= 0:
        return 0.0
    freedom = total**2 / sum(part**2 / degree for part, degree in zip(parts, degrees, strict=True))
    return float(-stdtrit(freedom, alpha)) * float(np.sqrt(total))
