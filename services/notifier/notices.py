"""What people are told: one notice per alert state or registry fact that matters to them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.envelope import format_time
from schemas.events.monitoring import Alert, Severity
from schemas.events.registry import (
    CandidateRefused,
    ChampionPromoted,
    ChampionRolledBack,
    CommandRefused,
    GatesEvaluated,
    RegistryEvent,
    ServingRefused,
    VersionRejected,
)

SEVERITIES: Final[tuple[Severity, ...]] = ("inform", "warn", "page")
FIRING: Final = "firing"
EVIDENCE_SHOWN: Final = 8
BRIEF: Final = ("fingerprint", "episode", "model", "version", "kind", "severity", "state")  # of an alert among many


@dataclass(frozen=True, slots=True)
class Notice:
    """A message before it takes a channel's form. All texts are plain: channels escape them.

    ``subject``, ``episode`` and ``state`` identify it; ``opening`` is the state whose message it continues, if any.
    """

    subject: str
    episode: str
    state: str
    severity: Severity
    title: str
    text: str
    facts: tuple[tuple[str, str], ...]
    kind: str  # what ``body`` is, as a ce_type
    body: dict[str, Any]
    opening: str | None = None


def loud_enough(severity: Severity, least: Severity) -> bool:
    """Whether ``severity`` reaches ``least``."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def silenced(alert: Alert) -> bool:
    """Whether nobody is to be told. In event time, as everything about an alert is: a replay of 2013 is silenced in 2013."""
    return alert.silenced_until is not None and alert.updated_at < alert.silenced_until


def by_severity(notices: Iterable[Notice]) -> str:
    """How many there are of each severity, the loudest first: ``2 page, 40 inform``."""
    counts = Counter(notice.severity for notice in notices)
    return ", ".join(f"{counts[severity]} {severity}" for severity in reversed(SEVERITIES) if counts[severity])


def of_alert(alert: Alert) -> Notice | None:
    """The notice of an alert's state; None while it is only pending."""
    brief = brief_of_alert(alert)
    return brief and replace(brief, facts=_facts(alert), body=alert.model_dump(mode="json"))


def brief_of_alert(alert: Alert) -> Notice | None:
    """`of_alert` without facts, and of the body what is in `BRIEF`: for one among thousands."""
    if alert.state == "pending":
        return None
    words = {"firing": alert.severity.upper(), "acknowledged": "ACKNOWLEDGED", "resolved": "RESOLVED"}
    version = "" if alert.version is None else f" v{alert.version}"
    flapping = " (flapping)" if alert.flapping else ""
    return Notice(
        subject=alert.fingerprint,
        episode=alert.episode,
        state=alert.state,
        severity=alert.severity,
        title=f"[{words[alert.state]}] {alert.model}{version}: {alert.kind.replace('_', ' ')}{flapping}",
        text=alert.summary,
        facts=(),
        kind=Alert.ce_type,
        body={name: getattr(alert, name) for name in BRIEF},
        opening=None if alert.state == FIRING else FIRING,
    )


def _facts(alert: Alert) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Window", f"{format_time(alert.window.start)} to {format_time(alert.window.end)}"),
        ("Since", format_time(alert.started_at)),
        *(
            (item.channel, _value(item.statistic, item.value, item.threshold))
            for item in alert.evidence[:EVIDENCE_SHOWN]
        ),
    ]
    if len(alert.evidence) > EVIDENCE_SHOWN:
        facts.append(("More", f"{len(alert.evidence) - EVIDENCE_SHOWN} channels"))
    if alert.acknowledged_by:
        facts.append(("Acknowledged by", alert.acknowledged_by))
    if alert.runbook:
        facts.append(("Runbook", alert.runbook))
    return tuple(facts)


def of_registry(event: RegistryEvent, *, needs_approval: bool) -> Notice | None:
    """The notice of a registry fact; None for those that nobody waits for. ``needs_approval``: the model's are manual."""
    told = _fact(event, needs_approval=needs_approval)
    if told is None:
        return None
    severity, title, text = told
    facts = [("By", event.actor)]
    if event.reason:
        facts.append(("Reason", event.reason))
    return Notice(
        subject=event.model,
        episode=str(event.sequence),
        state=event.fact.type,
        severity=severity,
        title=title,
        text=text,
        facts=tuple(facts),
        kind=RegistryEvent.ce_type,
        body=event.model_dump(mode="json"),
    )


def _fact(event: RegistryEvent, *, needs_approval: bool) -> tuple[Severity, str, str] | None:
    fact, model = event.fact, event.model
    match fact:
        case ChampionPromoted():
            how = "automatically" if fact.automatic else f"by {event.actor}"
            before = f"; a rollback returns to v{fact.previous}" if fact.previous else ""
            return (
                "inform",
                f"{model} v{fact.version} is champion",
                f"Version {fact.version} was promoted {how}{before}.",
            )
        case ChampionRolledBack():
            text = f"Version {fact.version} is champion again; version {fact.previous} was withdrawn."
            return "warn", f"{model} rolled back to v{fact.version}", text
        case GatesEvaluated(passed=True) if needs_approval:
            text = (
                f"Version {fact.version} passed its gates. Approve it: headrace models approve {model} {fact.version}"
            )
            return "inform", f"{model} v{fact.version} waits for approval", text
        case GatesEvaluated(passed=False):
            failed = ", ".join(f"{item.gate} {item.value} ({item.bound})" for item in fact.results if not item.passed)
            return "inform", f"{model} v{fact.version} did not pass its gates", f"Not met: {failed}."
        case VersionRejected():
            return "inform", f"{model} v{fact.version} was rejected", f"{fact.code}: {fact.message}"
        case CandidateRefused(code="known"):
            return "inform", f"{model}: a candidate was known already", fact.message
        case CandidateRefused():
            return "warn", f"{model}: a candidate was refused", f"{fact.code}: {fact.message}"
        case CommandRefused():
            text = f"{fact.claimed_actor} ({event.actor}) tried to {fact.action}: {fact.message}"
            return "warn", f"{fact.model or 'registry'}: a command was refused", text
        case ServingRefused():
            return "page", f"{model} v{fact.version} cannot be served", fact.message
        case _:
            return None


def _value(statistic: str, value: float | None, threshold: float | None) -> str:
    shown = "unknown" if value is None else f"{value:.4g}"
    limit = "" if threshold is None else f", threshold {threshold:.4g}"
    return f"{statistic} {shown}{limit}"
