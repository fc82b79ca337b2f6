"""Alerts about what a definition names itself: a KPI, a bound of fairness. Taken out of the definition, it would never calm again."""

from typing import Final

from schemas.definitions import Kpi, Model
from schemas.events.monitoring import Alert, ClosedWindow
from services.monitoring.detectors import DETECTORS
from services.monitoring.fairness import FAIRNESS, bounds_of
from services.monitoring.judgement import SUMMARY
from services.monitoring.uplift import UPLIFT

KPI: Final = "kpi"
# Which windows speak of a kind: those of the other lane are of another time and end nothing.
_LANES: Final = {DETECTORS[KPI].kind: "performance", DETECTORS[FAIRNESS].kind: "quality"}


def unwatched(alert: Alert, closed: ClosedWindow, definition: Model) -> bool:
    """Whether ``definition`` of the model has nothing any more of what ``alert`` has as evidence; ``closed`` is a window of its champion."""
    return (
        alert.model == closed.model
        and _LANES.get(alert.kind) == closed.lane
        and bool(alert.evidence)
        and not any(_watched(each.channel.removeprefix(f"{SUMMARY}:"), definition) for each in alert.evidence)
    )


def _watched(channel: str, definition: Model) -> bool:
    prefix, _, name = channel.partition(":")
    if prefix == KPI:
        return any(kpi.name == name for kpi in definition.spec.kpis)
    if prefix == UPLIFT:
        return any(kpi.name == name and _has_a_worse_side(kpi) for kpi in definition.spec.kpis)
    if prefix == FAIRNESS:
        metric, _, feature = name.partition(":")
        return (feature, metric) in bounds_of(definition.spec.gates)
    return True


def _has_a_worse_side(kpi: Kpi) -> bool:
    return (kpi.max is None) != (kpi.min is None)
