"""Stage 3: heartbeats of the platform's own services become one alert a service that is silent or not ready for long, and one
for each resource that its processes run short of.

Nothing of it touches windows. It follows from the topic's records alone, except that only what happens while this process
watches fires: of a past that it merely catches up with, people need not be woken.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

from schemas.envelope import format_time, header
from schemas.events.monitoring import AlertCommand, Evidence
from schemas.events.platform import Heartbeat
from schemas.reasons import RefusedRecordError
from services.monitoring.checkpoints import Checkpoint, under
from services.monitoring.presence import DEPARTED_MS, Limits, Presence, Trouble
from services.monitoring.service_book import News, ServiceBook, Subject, moment
from services.monitoring.shortage_news import news
from services.monitoring.shortages import RESOURCES, Processes, Resource, ShortageLimits
from shared.clock import Clock
from shared.dead_letters import code_of, dead_letter
from shared.records import Outgoing, Record, read

SERVICES: Final = "services"  # the third stage's keys in the checkpoint begin with it
PARTITION: Final = 0
CHECKPOINT_MS: Final = (
    60_000  # what is heard is kept at least so often; losing less delays an alert, and never makes one
)
CALM_MS: Final[dict[Resource, int]] = {  # witnessed, without any shortage, until an alert about it ends
    "memory": 300_000,  # a process that was killed and starts again is one alert
    "memory_growth": 3_600_000,
    "cpu": 600_000,
    "gpu_memory": 300_000,
}


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

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        present_from: int,
        resources: Resources,
        resource_limits: ShortageLimits = ShortageLimits(),  # noqa: B008 - frozen
    ) -> None:
        """``present_from``: the offset of heartbeats from which on nothing is past; only there alerts begin."""
        self._clock = clock
        self._present_from = present_from
        self._resources = resources
        self._presence = Presence(limits, watcher="monitoring")
        self._processes = Processes(resource_limits)
        self._short: dict[Subject, int] = {}  # when a subject was short of its resource last, witnessed
        self._checkpoint = Checkpoint(PARTITION, SERVICES)
        self._kept = 0  # when what is heard was last put into the checkpoint, as appended
        self._outgoing: list[Outgoing] = []
        self._book = ServiceBook(self._checkpoint, self._publish)

    def restore(self, entries: dict[str, dict[str, Any]]) -> None:
        """Take over the checkpoint."""
        for key in entries:
            self._checkpoint.restored(key)
        if "presence" in entries:
            self._presence.restore(entries["presence"])
        for content in under(entries, "process").values():
            self._processes.restore(content, self._presence.witnessed)
        self._book.restore(entries, RESOURCES)

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

    def _publish(self, alert: Outgoing) -> None:
        self._outgoing.append(alert)

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
        self._measure(beat, record.timestamp)
        present = record.offset >= self._present_from
        self._judge(record.timestamp, present=present)
        self._judge_resources(record.timestamp, present=present)
        if record.timestamp - self._kept >= CHECKPOINT_MS:
            self._keep(record.timestamp)

    def _measure(self, beat: Heartbeat, now: int) -> None:
        place = (beat.service, beat.instance)
        if self._processes.hear(beat, self._presence.witnessed, now):
            self._checkpoint.put(_process(*place), partial(self._processes.content, *place))
        for gone in self._processes.departed(self._presence.witnessed - DEPARTED_MS):
            self._checkpoint.delete(_process(*gone))

    def _judge(self, now: int, *, present: bool) -> None:
        for service in self._presence.given_up():
            self._resolve(Subject(service), now)
        for service, known in self._presence.services.items():
            subject = Subject(service)
            trouble, alert = self._presence.trouble(service), self._book.alert(subject)
            if trouble is not None and present and alert is None:
                self._fire(subject, _news(service, trouble), now)
            elif trouble is None and alert is not None and moment(known.steady_at) > alert.started_at:
                self._resolve(subject, now)

    def _judge_resources(self, now: int, *, present: bool) -> None:
        witnessed = self._presence.witnessed
        for (service, resource), shortages in self._processes.short().items():
            subject = Subject(service, resource)
            self._short[subject] = witnessed
            if present and self._book.alert(subject) is None:
                self._fire(subject, news(shortages), now)
        for subject in self._book.active():
            if subject.resource is None:
                continue
            # The checkpoint does not keep when that was: after a restart the calm begins anew.
            last = self._short.setdefault(subject, witnessed)
            if witnessed - last >= CALM_MS[subject.resource]:
                self._resolve(subject, now)

    def _fire(self, subject: Subject, told: News, now: int) -> None:
        self._book.fire(subject, told, now)
        self._keep(now)

    def _resolve(self, subject: Subject, now: int) -> None:
        self._short.pop(subject, None)
        if self._book.resolve(subject, now):
            self._keep(now)

    def _order(self, record: Record) -> None:
        """A person's command; what cannot be read is the second stage's dead letter."""
        try:
            order = read(AlertCommand, record)[1]
        except RefusedRecordError:
            return
        self._book.order(order)

    def _keep(self, now: int) -> None:
        self._kept = now
        self._checkpoint.put("presence", self._presence.content)


def _process(service: str, instance: str) -> str:
    return f"process/{service}/{instance}"


def _news(service: str, trouble: Trouble) -> News:
    evidence = Evidence(
        channel=f"service:{trouble.what}",
        statistic="seconds",
        value=trouble.lasted_ms / 1000,
        threshold=trouble.limit_ms / 1000,
    )
    return News("page", _summary(service, trouble), evidence, trouble.since)


def _summary(service: str, trouble: Trouble) -> str:
    since, seconds = format_time(moment(trouble.since)), round(trouble.lasted_ms / 1000)
    if trouble.what == "silent":
        return (
            f"The service {service} is silent: none of its processes has sent a heartbeat since {since} "
            f"({seconds} s). It may have stopped at too many dead letters: read the end of its log, then start it again."
        )
    return (
        f"The service {service} runs but was not steadily ready since {since} ({seconds} s): its processes wait "
        "for something, or end soon after their start, as at too many dead letters. /health/ready and its log say why."
    )
