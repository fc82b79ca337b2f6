"""The life of an alert: quiet → pending → firing → (acknowledged) → resolved, with hysteresis; what flaps resolves later.

Pure: `observe`, `command` and `end_unwatched` take what is remembered of an alert and give what is remembered next, and the alert to publish
if its state or its evidence changed.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self

from schemas.envelope import format_time
from schemas.events.monitoring import Alert, AlertCommand, AlertKind, ChannelResult, Evidence, WindowBounds
from schemas.identities import episode_id
from services.monitoring.flapping import CALM, Firings, flapping_words
from services.monitoring.observations import Observation

RESOLVE_AFTER: Final = 2  # quiet windows in a row
RESOLVE_CALIBRATED_AFTER: Final = 8  # the calibrated lane needs some windows to say again what still holds
EVIDENCE_LIMIT: Final = 50
UNWATCHED_WORDS: Final = "no longer watched: the model's definition does not have it any more"


@dataclass(frozen=True, slots=True)
class Rule:
    """After how many windows in a row beyond a limit a kind fires; one is enough where the effect is gross."""

    fire_after: int
    gross: float | None = None  # absolute effect


RULES: Final[dict[AlertKind, Rule]] = {
    "drift": Rule(1),
    "prediction_drift": Rule(1),
    "quality": Rule(2, 0.15),
    "latency": Rule(2),
    "errors": Rule(1),
    "throughput": Rule(2),
    "kpi": Rule(1),
    "missing_labels": Rule(1),
}


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a fingerprint. ``alert`` is the last one published in the present episode."""

    alert: Alert | None = None
    alarming: int = 0  # windows in a row
    quiet: int = 0
    resolve_after: int = RESOLVE_AFTER  # quiet windows in a row
    last_end: datetime | None = None
    silenced_until: datetime | None = None
    firings: Firings = field(default_factory=Firings)

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "alert": self.alert.model_dump(mode="json") if self.alert else None,
            "alarming": self.alarming,
            "quiet": self.quiet,
            "resolve_after": self.resolve_after,
            "last_end": format_time(self.last_end) if self.last_end else None,
            "silenced_until": format_time(self.silenced_until) if self.silenced_until else None,
            "firings": self.firings.content(),
        }

    @classmethod
    def restored(cls, content: dict[str, Any]) -> Self:
        """The inverse of `content`."""
        return cls(
            alert=Alert.model_validate(content["alert"]) if content["alert"] else None,
            alarming=content["alarming"],
            quiet=content["quiet"],
            resolve_after=content.get("resolve_after", RESOLVE_AFTER),
            last_end=_time(content["last_end"]),
            silenced_until=_time(content["silenced_until"]),
            firings=Firings.restored(content.get("firings", {})),
        )

    @property
    def active(self) -> bool:
        """Whether an episode goes on."""
        return self.alert is not None and self.alert.state != "resolved"

    def speaks_of_another(self, version: int) -> bool:
        """Whether an episode goes on that is about another version."""
        return self.alert is not None and self.active and self.alert.version != version

    @property
    def flapping(self) -> bool:
        """Whether the present episode is a flapping one."""
        return self.alert is not None and self.active and self.alert.flapping

    @property
    def explains(self) -> bool:
        """Whether what follows from it needs no alert of its own: it is active, and would be if it did not flap."""
        return self.active and not (self.flapping and self.quiet >= self.resolve_after)


def observe(memory: Memory, seen: Observation) -> tuple[Memory, Alert | None]:
    """What follows from a window. Windows that are not later than the last one seen change nothing, nor do those that are quiet
    of other versions than the alert's.
    """
    if memory.last_end is not None and seen.window.end <= memory.last_end:
        return memory, None
    if seen.of_others and not memory.speaks_of_another(seen.version):
        return (
            replace(memory, quiet=0) if memory.active and memory.quiet else memory
        ), None  # its version serves again
    memory = replace(memory, last_end=seen.window.end, firings=memory.firings.after_window())
    return _alarming(memory, seen) if seen.channels else _quiet(memory, seen)


def command(memory: Memory, order: AlertCommand) -> tuple[Memory, Alert | None]:
    """What follows from a person's command. Acknowledging what is not active changes nothing; silence outlives an episode.

    ``updated_at`` is event time and stays: a command is given by the wall clock, which in a replay is another age.
    """
    alert = memory.alert
    if order.action == "silence":
        memory = replace(memory, silenced_until=order.until)
        if alert is None or not memory.active:
            return memory, None
        alert = alert.model_copy(update={"silenced_until": order.until})
    else:
        if alert is None or alert.state not in ("pending", "firing"):
            return memory, None
        update = {"state": "acknowledged", "acknowledged_by": order.actor}
        alert = alert.model_copy(update=update)
    return replace(memory, alert=alert), alert


def end_unwatched(memory: Memory, window: WindowBounds, at: datetime) -> tuple[Memory, Alert | None]:
    """What follows where the definition has nothing any more of what the alert is about, as ``window`` is judged: it ends at once.

    Windows that say something about the same subject are still to come, earlier ones too, and whatever it fires for then is another matter.
    """
    alert = memory.alert
    if alert is None or not memory.active or (memory.last_end is not None and window.end <= memory.last_end):
        return memory, None
    said = alert.summary.removesuffix(f"; {flapping_words()}")
    resolved = alert.model_copy(
        update={"state": "resolved", "summary": f"{said}; {UNWATCHED_WORDS}", "window": window, "updated_at": at}
    )
    firings = Firings(memory.firings.windows)
    return replace(memory, alert=resolved, alarming=0, quiet=0, firings=firings), resolved


def _alarming(memory: Memory, seen: Observation) -> tuple[Memory, Alert | None]:
    rule = RULES[seen.kind]
    if seen.route != "champion" and memory.alert is not None and memory.alert.version != seen.version:
        memory = replace(
            memory, alert=None, alarming=0, firings=Firings(memory.firings.windows)
        )  # another rollout: what became of the last one is no news of this
    elif (
        seen.of_one_version and not memory.active and memory.alert is not None and memory.alert.version != seen.version
    ):
        memory = replace(memory, firings=Firings(memory.firings.windows))  # one bad deployment after the other
    streak = memory.alarming + 1
    by_lane = any(channel.method is not None for channel in seen.channels)  # a lane has weighed all windows before
    gross = rule.gross is not None and any(abs(channel.effect or 0) >= rule.gross for channel in seen.channels)
    fires = by_lane or gross or streak >= rule.fire_after
    patience = RESOLVE_CALIBRATED_AFTER if _calibrated(seen) else RESOLVE_AFTER
    before = memory.alert if memory.active else None
    state = before.state if before and before.state in ("firing", "acknowledged") else "firing" if fires else "pending"
    begins = state == "firing" and (before is None or before.state != "firing")
    firings = memory.firings.with_one_more() if begins else memory.firings
    flapping = memory.flapping or (begins and firings.flapping)
    alert = Alert(
        fingerprint=seen.fingerprint,
        model=seen.model,
        version=seen.version,
        kind=seen.kind,
        severity=seen.severity,
        state=state,
        episode=before.episode if before else episode_id(seen.fingerprint, format_time(seen.window.start)),
        summary=f"{seen.summary}; {flapping_words()}" if flapping else seen.summary,
        evidence=tuple(_evidence(channel) for channel in seen.channels[:EVIDENCE_LIMIT]),
        window=seen.window,
        started_at=before.started_at if before else seen.at,
        updated_at=seen.at,
        silenced_until=memory.silenced_until,
        acknowledged_by=before.acknowledged_by if before else None,
        flapping=flapping,
    )
    patience = max(patience, memory.resolve_after) if before else patience
    return replace(memory, alert=alert, alarming=streak, quiet=0, resolve_after=patience, firings=firings), alert


def _calibrated(seen: Observation) -> bool:
    return any(channel.method == "calibrated" for channel in seen.channels)


def _quiet(memory: Memory, seen: Observation) -> tuple[Memory, Alert | None]:
    memory = replace(memory, alarming=0, quiet=memory.quiet + 1)
    alert = memory.alert
    if alert is None or not memory.active:
        return memory, None
    needed = max(memory.resolve_after, CALM) if alert.flapping else memory.resolve_after
    if alert.state != "pending" and memory.quiet < needed:
        return memory, None
    resolved = alert.model_copy(
        update={"state": "resolved", "window": seen.window, "version": seen.version, "updated_at": seen.at}
    )
    return replace(memory, alert=resolved), resolved


def _evidence(channel: ChannelResult) -> Evidence:
    return Evidence(
        channel=channel.channel,
        statistic=channel.statistic,
        value=channel.value,
        threshold=channel.threshold,
        effect=channel.effect,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
