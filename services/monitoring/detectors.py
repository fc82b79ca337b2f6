"""Which channels are watched together, which way a change of them matters, and how rare a false alarm of theirs must be.

Every group of channels has one detector. The detectors of a severity share its budget: each gets that many times the windows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.definitions import FalseAlarms
from schemas.events.monitoring import AlertKind, Severity
from services.monitoring.lanes.calibrated import Group

RISES: Final = frozenset(
    {"unseen", "errors", "latency", "labels:never_labelled", "labels:rejected"}
    | {"quality:log_loss", "quality:brier", "quality:rmse", "quality:mae"}
)
FALLS: Final = frozenset({"throughput", "quality:roc_auc", "quality:accuracy", "quality:r2"})


@dataclass(frozen=True, slots=True)
class Detector:
    """What an alarm of a group is."""

    kind: AlertKind
    severity: Severity


DETECTORS: Final[dict[str, Detector]] = {
    "drift": Detector("drift", "inform"),
    "prediction_drift": Detector("prediction_drift", "warn"),
    "label_drift": Detector("prediction_drift", "warn"),
    "latency": Detector("latency", "warn"),
    "throughput": Detector("throughput", "warn"),
    "missing_labels": Detector("missing_labels", "warn"),
    "errors": Detector("errors", "page"),
    "quality": Detector("quality", "page"),
    "fairness": Detector("quality", "page"),
    "kpi": Detector("kpi", "page"),
    "uplift": Detector("kpi", "page"),
    "broken_inputs": Detector("drift", "page"),
    "broken_predictions": Detector("prediction_drift", "page"),
}
GROUPS: Final[dict[str, str]] = {
    "location": "drift",
    "scale": "drift",
    "missing": "drift",
    "unseen": "drift",
    "category": "drift",
    "correlation": "drift",
    "group": "drift",
    "prediction": "prediction_drift",
    "labels:positive_rate": "label_drift",
    "labels:never_labelled": "missing_labels",
    "labels:rejected": "missing_labels",
    "latency": "latency",
    "throughput": "throughput",
    "errors": "errors",
    "quality": "quality",
    "fairness": "fairness",
    "kpi": "kpi",
    "uplift": "uplift",
}
OF_FEATURES: Final = frozenset({"location", "scale", "missing", "unseen", "category", "correlation"})
BY_IMPORTANCE: Final = 0.5  # of a family's weight
# Judged by bounds alone: the gaps of small windows are larger by chance, and a difference of means is no window's own.
BOUNDED: Final = frozenset({"fairness", "uplift"})


def patience(detector: str, alarms: FalseAlarms) -> float:
    """Windows between two false alarms of ``detector``, so that all of its severity together keep the budget."""
    severity = DETECTORS[detector].severity
    sharing = sum(each.severity == severity for each in DETECTORS.values())
    budget: int = getattr(alarms, severity)
    return float(budget * sharing)


def groups(
    channels: Sequence[str],
    alarms: FalseAlarms,
    importance: Mapping[str, float] | None = None,
    expected: Sequence[str] = (),
) -> list[Group]:
    """``channels`` by detector; each KPI is a group of its own, called ``kpi:<name>``, and they share the budget.

    ``importance``, of features, shares of 1: what the model hangs on weighs more. ``expected``: channels of the model, of which a window
    may have no value; they keep their weights, because the budget holds for weights that windows do not change.
    """
    members: dict[str, list[str]] = {}
    for channel in channels:
        group = group_of(channel)
        if group is not None:
            members.setdefault(channel if group == "kpi" else group, []).append(channel)
    known: dict[str | None, list[str]] = {}
    for channel in expected:
        known.setdefault(group_of(channel), []).append(channel)
    figures = sum(name.startswith("kpi:") for name in members)
    return [
        Group(
            name,
            held,
            _weights(held, known.get(name, ()), importance or {}),
            [direction(channel) for channel in held],
            patience("kpi", alarms) * figures if name.startswith("kpi:") else patience(name, alarms),
        )
        for name, held in members.items()
    ]


def group_of(channel: str) -> str | None:
    """The group of ``channel``: by its whole name, or by what stands before a colon; None if it is only shown."""
    return GROUPS.get(channel) or GROUPS.get(_family(channel))


def direction(channel: str) -> int:
    """1 if only a rise of ``channel`` is bad, -1 if only a fall is, 0 for both."""
    names = {channel, _family(channel)}
    return 1 if names & RISES else -1 if names & FALLS else 0


def _weights(channels: Sequence[str], expected: Sequence[str], importance: Mapping[str, float]) -> list[float]:
    """Equal shares for every family (location, scale, …): many pairs must not drown few features.

    Within a family one half is equal, the other goes by ``importance`` of the features: none is ever without a voice.
    """
    families: dict[str, list[str]] = {}
    for channel in dict.fromkeys([*expected, *channels]):
        families.setdefault(_family(channel), []).append(channel)
    weights = {
        channel: weight / len(families)
        for family, held in families.items()
        for channel, weight in zip(held, _within_family(held, importance if family in OF_FEATURES else {}), strict=True)
    }
    return [weights[channel] for channel in channels]


def _within_family(channels: Sequence[str], importance: Mapping[str, float]) -> list[float]:
    about = [features_of(channel) for channel in channels]
    sharing = Counter(about)  # the categories of a feature share what is its
    shares = [sum(importance.get(name, 0.0) for name in names) / len(names) / sharing[names] for names in about]
    total, equal = sum(shares), 1 / len(channels)
    if total <= 0:
        return [equal] * len(channels)
    return [(1 - BY_IMPORTANCE) * equal + BY_IMPORTANCE * share / total for share in shares]


def features_of(channel: str) -> tuple[str, ...]:
    """The features that ``channel`` is about, two of a correlation."""
    return tuple(channel.partition(":")[2].partition("=")[0].split(","))


def _family(channel: str) -> str:
    """What stands before the last colon where that is known by itself (``labels:rejected``), else before the first."""
    longer = channel.rpartition(":")[0]
    return longer if longer in GROUPS else channel.partition(":")[0]
