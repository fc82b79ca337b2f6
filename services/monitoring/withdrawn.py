"""Alerts about what a definition names itself: a KPI, a bound of fairness. Taken out of the definition, it would never calm again."""

from typing import Final

from schemas.definitions import Model
from schemas.events.monitoring import Alert
from services.monitoring.detectors import DETECTORS
from services.monitoring.fairness import FAIRNESS, bounds_of
from services.monitoring.judgement import SUMMARY
from services.monitoring.uplift import UPLIFT

_FIGURES: Final = ("kpi", UPLIFT)
KINDS: Final = frozenset(DETECTORS[group].kind for group in (*_FIGURES, FAIRNESS))


def withdrawn(alert: Alert, definition: Model) -> bool:
    """Whether ``definition`` has nothing any more of what ``alert`` has as evidence."""
    return (
        alert.kind in KINDS
        and bool(alert.evidence)
        and not any(_defined(each.channel.removeprefix(f"{SUMMARY}:"), definition) for each in alert.evidence)
    )


def _defined(channel: str, definition: Model) -> bool:
    prefix, _, name = channel.partition(":")
    if prefix in _FIGURES:
        return any(kpi.name == name for kpi in definition.spec.kpis)
    if prefix == FAIRNESS:
        metric, _, feature = name.partition(":")
        return (feature, metric) in bounds_of(definition.spec.gates)
    return True
