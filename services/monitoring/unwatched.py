"""Alerts about what a definition names itself: a KPI, a bound of fairness. Taken out of the definition, it would never calm again."""

from typing import Final

from schemas.definitions import Model
from schemas.events.monitoring import Alert, ClosedWindow
from services.monitoring.detectors import DETECTORS
from services.monitoring.fairness import FAIRNESS, bounds_of, gap_channel
from services.monitoring.judgement import SUMMARY
from services.monitoring.uplift import UPLIFT, worse_side

KPI: Final = "kpi"
_NAMED: Final = (KPI, UPLIFT, FAIRNESS)
# Which windows speak of a kind: those of the other lane are of another time and end nothing.
_LANES: Final = {DETECTORS[KPI].kind: "performance", DETECTORS[FAIRNESS].kind: "quality"}


def unwatched(alert: Alert, closed: ClosedWindow, definition: Model) -> bool:
    """Whether ``definition`` of the model has nothing any more of what ``alert`` has as evidence; ``closed`` is a window of its champion."""
    if alert.model != closed.model or _LANES.get(alert.kind) != closed.lane or not alert.evidence:
        return False
    told = {each.channel.removeprefix(f"{SUMMARY}:") for each in alert.evidence}
    return all(channel.partition(":")[0] in _NAMED for channel in told) and told.isdisjoint(_channels(definition))


def _channels(definition: Model) -> set[str]:
    """What ``definition`` has its windows tested for by a name of its own."""
    kpis = definition.spec.kpis
    return {
        *(f"{KPI}:{kpi.name}" for kpi in kpis),
        *(f"{UPLIFT}:{kpi.name}" for kpi in kpis if worse_side(kpi)),
        *(gap_channel(metric, feature) for feature, metric in bounds_of(definition.spec.gates)),
    }
