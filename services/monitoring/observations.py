"""What a closed window says to the alerts: its rows grouped by what they are about, with how loud that is."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.envelope import format_time
from schemas.events.monitoring import AlertKind, ChannelResult, ClosedWindow, Severity, WindowBounds
from schemas.identities import alert_fingerprint
from services.monitoring.detectors import DETECTORS, group_of
from services.monitoring.fairness import FAIRNESS
from services.monitoring.judgement import SUMMARY
from services.monitoring.rejections import REJECTED_LABELS
from services.monitoring.uplift import UPLIFT

BROKEN: Final = "broken"  # the subject of what the gross lane finds
SHADOW_KINDS: Final[frozenset[AlertKind]] = frozenset({"errors"})
NAMED: Final = 3  # channels that a summary names
UNFAIR_WORDS: Final = "groups fare more differently than the definition allows"
REFUSED_WORDS: Final = "labels are rejected"
WORSE_WORDS: Final = "a business figure is worse since this version was deployed"
BROKEN_WORDS: Final[dict[AlertKind, str]] = {
    "drift": "inputs are broken",
    "prediction_drift": "the predictions are broken",
    "latency": "predictions take many times as long as ever before",
}
WORDS: Final[dict[AlertKind, str]] = {
    "drift": "inputs have changed",
    "prediction_drift": "the predictions have changed",
    "quality": "labelled predictions are worse",
    "latency": "predictions are slow",
    "errors": "too many events fail",
    "throughput": "fewer predictions than usual",
    "kpi": "a business figure is out of bounds",
    "missing_labels": "labels are missing",
}


@dataclass(frozen=True, slots=True)
class Observation:
    """What a window says about one subject of a model; no alarming ``channels``, strongest first, means that it is quiet.

    ``of_others``: it is quiet about other versions than its own alone, since it was not they that served.
    """

    model: str
    version: int
    route: str
    kind: AlertKind
    subject: str
    window: WindowBounds
    at: datetime
    channels: tuple[ChannelResult, ...]
    of_others: bool = False

    @property
    def fingerprint(self) -> str:
        """What the alert is about, across versions."""
        return alert_fingerprint(self.model, self.kind, self.subject)

    @property
    def of_one_version(self) -> bool:
        """Whether it is about what a champion's deployment changed; a KPI may be called uplift, too."""
        return self.kind == "kpi" and self.subject.count(":") > 1

    @property
    def broken(self) -> bool:
        """Whether the gross lane speaks; a KPI may have any name, this one too."""
        return self.kind in BROKEN_WORDS and self.subject.endswith(f":{BROKEN}")

    @property
    def causes(self) -> tuple[str, ...]:
        """Alerts that make this one superfluous while they are active: breakage of the same kind, and that of the inputs."""
        kinds: tuple[AlertKind, ...] = (
            ("drift", "prediction_drift") if self.kind == "prediction_drift" else (self.kind,)
        )
        subject = f"{self.route}:{BROKEN}"
        found = tuple(alert_fingerprint(self.model, kind, subject) for kind in kinds if kind in BROKEN_WORDS)
        return tuple(each for each in found if each != self.fingerprint)

    @property
    def severity(self) -> Severity:
        """A canary wakes nobody, a shadow's users are none; what the registry does about either follows from the alert's kind."""
        if self.route == "shadow":
            return "inform"
        usual = next(each.severity for each in DETECTORS.values() if each.kind == self.kind)
        loud: Severity = "page" if self.broken else usual
        return loud if self.route == "champion" or loud != "page" else "warn"

    @property
    def summary(self) -> str:
        """One sentence for people."""
        told = [channel for channel in self.channels if not _is_summary(channel)] or list(self.channels)
        names = [_words(channel) for channel in told[:NAMED]]
        more = len(told) - len(names)
        listed = ", ".join(names) + (f" and {more} more" if more > 0 else "")
        where = f"{self.model} v{self.version}" + ("" if self.route == "champion" else f" ({self.route})")
        what = BROKEN_WORDS[self.kind] if self.broken else WORDS[self.kind]
        if (self.kind, self.subject) == ("quality", f"{self.route}:{FAIRNESS}"):
            what = UNFAIR_WORDS
        elif told and all(row.channel.startswith(REJECTED_LABELS) for row in told):
            what = REFUSED_WORDS
        elif self.kind == "kpi" and self.subject.count(":") > 1:
            what = WORSE_WORDS
        between = f"{format_time(self.window.start)}/{format_time(self.window.end)}"
        return f"{where}: {what} in {between}: {listed}"


def observations(closed: ClosedWindow) -> list[Observation]:
    """Subjects of ``closed`` that could be tested: a group of channels each, every KPI by itself, and what is broken.

    What was not tested, because there were too few rows or there is nothing to compare with, neither alarms nor calms.
    A shadow serves nobody, so it speaks of its failures alone: they end its rollout. Breakage comes first.
    A champion is also quiet `of_others` about each KPI that was not compared.
    """
    subjects: dict[tuple[AlertKind, str], list[ChannelResult]] = {}
    for row in closed.channels:
        about = _about(row, closed.route)
        if about is None or (closed.route == "shadow" and about[0] not in SHADOW_KINDS):
            continue
        if row.alarming or _tested(row):
            found = subjects.setdefault(about, [])
            if row.alarming:
                found.append(row)
    seen = [
        _observation(closed, kind, subject, sorted(found, key=_strongest_first))
        for (kind, subject), found in subjects.items()
    ]
    return sorted([*seen, *_relieved(closed, subjects)], key=lambda each: (not each.broken, each.kind))


def _relieved(closed: ClosedWindow, subjects: Collection[tuple[AlertKind, str]]) -> Iterator[Observation]:
    """Of each KPI that was not compared since a deployment: whatever was said of another version is over once this one serves."""
    if closed.route != "champion":
        return
    kind = DETECTORS[UPLIFT].kind
    for row in closed.channels:
        prefix, _, figure = row.channel.partition(":")
        subject = _uplift_of(closed.route, figure)
        if prefix == "kpi" and row.method is None and (kind, subject) not in subjects:
            yield _observation(closed, kind, subject, (), of_others=True)


def _observation(
    closed: ClosedWindow, kind: AlertKind, subject: str, channels: Sequence[ChannelResult], *, of_others: bool = False
) -> Observation:
    return Observation(
        closed.model,
        closed.version,
        closed.route,
        kind,
        subject,
        closed.window,
        closed.closed_at,
        tuple(channels),
        of_others,
    )


def _uplift_of(route: str, figure: str) -> str:
    return f"{route}:{figure}:{UPLIFT}"


def _about(row: ChannelResult, route: str) -> tuple[AlertKind, str] | None:
    """Kind and subject of a row; None for what is only shown."""
    if row.method == "anchor":
        return None
    prefix, _, name = row.channel.partition(":")
    group = name if prefix == SUMMARY else group_of(row.channel)
    if group is None:
        return None
    figure = name.partition(":")[2] if group.startswith("kpi:") else name if group == "kpi" else ""
    detector = DETECTORS[group.partition(":")[0]]
    if figure:
        return detector.kind, f"{route}:{figure}"
    if group == FAIRNESS:
        return detector.kind, f"{route}:{FAIRNESS}"
    if group == UPLIFT:
        return detector.kind, _uplift_of(route, name)
    if group == "label_drift":
        return detector.kind, f"{route}:labels"
    return detector.kind, f"{route}:{BROKEN}" if row.method == "gross" else route


def _tested(row: ChannelResult) -> bool:
    return row.value is not None and (row.threshold is not None or row.channel.startswith("kpi:"))


def _is_summary(row: ChannelResult) -> bool:
    return row.channel.startswith(f"{SUMMARY}:")


def _words(row: ChannelResult) -> str:
    value = "unknown" if row.value is None else f"{row.value:.4g}"
    limit = "" if row.threshold is None else f" (threshold {row.threshold:.4g})"
    usual = (
        "" if row.threshold is not None or row.effect is None or row.value is None else _usual(row.value, row.effect)
    )
    name = row.channel if row.method else row.channel.partition(":")[2] or row.channel
    return f"{name} {row.statistic} {value}{limit}{usual}"


def _usual(value: float | None, effect: float | None) -> str:
    return "" if value is None or effect is None else f" (usually {value - effect:.4g})"


def _strongest_first(row: ChannelResult) -> tuple[bool, float, float, str]:
    return _is_summary(row), -(row.evidence or 0.0), -abs(row.effect or 0.0), row.channel
