"""Champion against shadow, event by event: what a window's paired differences are, as mergeable integers.

An event that both scored gives one difference of their losses, so what makes an event hard for both cancels. Differences are
not independent within a window, so only their mean over the window is used (`comparing.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from schemas.definitions import TargetType
from services.monitoring import quality
from services.monitoring.joins import Pair, Twin
from services.monitoring.quality import Metric
from services.monitoring.tallies import SCALE, Floats, Tally, fixed_sum

PAIRED: Final = "paired"
METRIC_OF: Final = {"brier": "brier", "log_loss": "log_loss", "absolute": "mae"}  # means over events; an rmse is none
Classes = Sequence[bool | int | str]


class Difference(NamedTuple):
    """How much better the challenger was in a window, and over how many events; positive is better."""

    improvement: float
    events: int


def tally_twins(target: TargetType, classes: Mapping[int, Classes], own: Classes, twins: Iterable[Twin]) -> Tally:
    """Sums of the differences per champion version; ``classes`` of each, ``own`` are the shadow's."""
    tally, held = Tally(), dict[int, list[Twin]]()
    for twin in twins:
        held.setdefault(twin.version, []).append(twin)
    for version, pairs in held.items():
        before = _scores(target, classes.get(version, ()), [twin.champion for twin in pairs])
        after = _scores(target, own, [twin.shadow for twin in pairs])
        for metric in before:
            _count(tally, f"{PAIRED}/{version}/{metric}", after[metric] - before[metric])
    return tally


def paired(tally: Tally, champion: int) -> dict[str, Difference]:
    """The mean differences in a shadow's window by metric."""
    prefix = f"{PAIRED}/{champion}/"
    found = {}
    for name, total in tally.sums.items():
        events = tally.total(f"{name}/events")
        if name.startswith(prefix) and not name.endswith("/events") and events:
            found[name.removeprefix(prefix)] = Difference(total / SCALE / events, events)
    return found


def unpaired(champion: Mapping[str, Metric], challenger: Mapping[str, Metric], events: int) -> dict[str, Difference]:
    """The differences of two windows' metrics: of other entities (a canary), or of what is no mean over events (ROC AUC)."""
    return {
        name: Difference((challenger[name].value - metric.value) * metric.better, events)
        for name, metric in champion.items()
        if name in challenger
    }


def _scores(target: TargetType, classes: Classes, pairs: Sequence[Pair]) -> dict[str, Floats]:
    """Per event [n], more is better."""
    found = {
        METRIC_OF[name]: -values for name, values in quality.losses(target, classes, pairs).items() if name in METRIC_OF
    }
    return found if target is TargetType.REGRESSION else {**found, "accuracy": quality.correct(pairs)}


def _count(tally: Tally, name: str, differences: Floats) -> None:
    tally.add(name, fixed_sum(differences))
    tally.add(f"{name}/events", int((~np.isnan(differences)).sum()))
