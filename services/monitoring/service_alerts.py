"""Stage 3: heartbeats of the platform's own services become one alert a service that is silent or not ready for long.

Nothing of it touches windows. It follows from the topic's records alone, except that only what happens while this process
watches fires: of a past that it merely catches up with, people need not be woken.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from schemas.envelope import format_time, header
from schemas.events.monitoring import Alert, AlertCommand, AlertKind, Evidence, WindowBounds
from schemas.events.platform import Heartbeat
from schemas.identities import alert_fingerprint, episode_id
from schemas.reasons import RefusedRecordError
from services.monitoring.alerting import Memory, command
from services.monitoring.checkpoints import Checkpoint, under
from services.monitoring.presence import Limits, Presence, Trouble
from services.monitoring.publications import alert_message
from shared.clock import Clock
from shared.dead_letters import code_of, dead_letter
from shared.records import Outgoing, Record, read

SERVICES: Final = "services"  # the third stage's keys in the checkpoint begin with it
PARTITION: Final = 0
KIND: Final[AlertKind] = "errors"
SUBJECT: Final = "service"  # no route is called so: the alert is not one of a model that has a service's name
CHECKPOINT_MS: Final = (
    60_000  # what is heard is kept at least so often; losing less delays an alert, and never makes one
)


class Resources(Protocol):
    """Where the resources of processes are shown."""

    def show(self, beat: Heartbeat) -> None:
        """The latest of a process."""
        ...

    def forget(self, service: str, instance: str) -> None:
        """The process has ended."""
        ...

    def clear(self) -> None:
        """Another process shows them now."""
        ...


class ServiceWatch:
    """The state of the third stage. A `shared.transactions.PartitionProcessor`."""

    def __init__(self, clock: Clock, limits: Limits, present_from: int, resources: Resources) -> None:
        """``present_from``: the offset of heartbeats from which on nothing is past; only there alerts begin."""
        self._clock = clock
        self._present_from = present_from
        self._resources = resources
        self._presence = Presence(limits, watcher="monitoring")
        self._memories: dict[str, Memory] = {}  # by service
        self._checkpoint = Checkpoint(PARTITION, SERVICES)
        self._kept = 0  # when what is heard was last put into the checkpoint, as appended
        self._outgoing: list[Outgoing] = []

    def restore(self, entries: dict[str, dict[str, Any]]) -> None:
        """Take over the checkpoint."""
        for key in entries:
            self._checkpoint.restored(key)
        if "presence" in entries:
            self._presence.restore(entries["presence"])
        for service, content in under(entries, "alert").items():
            self._memories[service] = Memory.restored(content)

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Alerts that begin or end, and the checkpoint."""
        self._outgoing = []
        for record in records:
            if header(record.headers, "ce_type") == AlertCommand.ce_type:
                self._order(record)
            else:
                self._hear(record)
        return [*self._outgoing, *self._checkpoint.changes()]

    def close(self) -> None:
        """The resources are another process's to show."""
        self._resources.clear()

    def _hear(self, record: Record) -> None:
        try:
            beat = read(Heartbeat, record)[1]
        except RefusedRecordError as error:
            self._outgoing.append(
                dead_letter(record, service="monitoring", code=code_of(error), message=str(error), clock=self._clock)
            )
            return
        self._presence.hear(beat, record.timestamp)
        self._resources.show(beat)
        for service, instance in self._presence.departed():
            self._resources.forget(service, instance)
        self._judge(record.timestamp, present=record.offset >= self._present_from)
        if record.timestamp - self._kept >= CHECKPOINT_MS:
            self._keep(record.timestamp)

    def _judge(self, now: int, *, present: bool) -> None:
        for service in self._presence.given_up():
            self._resolve(service, now)
        for service, known in self._presence.services.items():
            trouble, memory = self._presence.trouble(service), self._memories.get(service, Memory())
            if trouble is not None and present and not memory.active:
                self._remember(service, memory, _firing(service, trouble, memory, _moment(now)), now)
            elif trouble is None and memory.alert is not None and _moment(known.steady_at) > memory.alert.started_at:
                self._resolve(service, now)

    def _resolve(self, service: str, now: int) -> None:
        memory = self._memories.get(service, Memory())
        if memory.alert is not None and memory.active:
            at = _moment(now)
            window = WindowBounds(start=memory.alert.window.start, end=at)
            update = {"state": "resolved", "window": window, "updated_at": at}
            self._remember(service, memory, memory.alert.model_copy(update=update), now)

    def _order(self, record: Record) -> None:
        """A person's command, if it is about one of these alerts; what cannot be read is the second stage's dead letter."""
        try:
            order = read(AlertCommand, record)[1]
        except RefusedRecordError:
            return
        for service in list(self._memories):
            if _fingerprint(service) == order.fingerprint:
                memory, alert = command(self._memories[service], order)
                self._memories[service] = memory
                self._checkpoint.put(f"alert/{service}", memory.content)
                if alert is not None:
                    self._outgoing.append(alert_message(alert))

    def _remember(self, service: str, memory: Memory, alert: Alert, now: int) -> None:
        self._memories[service] = memory = replace(memory, alert=alert)
        self._checkpoint.put(f"alert/{service}", memory.content)
        self._outgoing.append(alert_message(alert))
        self._keep(now)

    def _keep(self, now: int) -> None:
        self._kept = now
        self._checkpoint.put("presence", self._presence.content)


def _firing(service: str, trouble: Trouble, memory: Memory, now: datetime) -> Alert:
    since, fingerprint = _moment(trouble.since), _fingerprint(service)
    return Alert(
        fingerprint=fingerprint,
        model=service,
        version=None,
        kind=KIND,
        severity="page",
        state="firing",
        episode=episode_id(fingerprint, format_time(since)),
        summary=_summary(service, trouble, since),
        evidence=(
            Evidence(
                channel=f"service:{trouble.what}",
                statistic="seconds",
                value=trouble.lasted_ms / 1000,
                threshold=trouble.limit_ms / 1000,
            ),
        ),
        window=WindowBounds(start=since, end=now),
        started_at=now,
        updated_at=now,
        silenced_until=memory.silenced_until,
    )


def _summary(service: str, trouble: Trouble, since: datetime) -> str:
    seconds = round(trouble.lasted_ms / 1000)
    if trouble.what == "silent":
        return (
            f"The service {service} is silent: none of its processes has sent a heartbeat since {format_time(since)} "
            f"({seconds} s). It may have stopped at too many dead letters: read the end of its log, then start it again."
        )
    return (
        f"The service {service} runs but was not steadily ready since {format_time(since)} ({seconds} s): its processes wait "
        "for something, or end soon after their start, as at too many dead letters. /health/ready and its log say why."
    )


def _fingerprint(service: str) -> str:
    return alert_fingerprint(service, KIND, SUBJECT)


def _moment(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
