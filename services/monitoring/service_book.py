"""The alerts about the platform's own services: what they are about, how they begin and end, and what is remembered of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.envelope import format_time
from schemas.events.monitoring import Alert, AlertCommand, AlertKind, Evidence, Severity, WindowBounds
from schemas.identities import alert_fingerprint, episode_id
from services.monitoring.alerting import Memory, command
from services.monitoring.checkpoints import Checkpoint, under
from services.monitoring.publications import alert_message
from services.monitoring.shortages import Resource
from shared.records import Outgoing

KIND: Final[AlertKind] = "errors"
NAME: Final = "service"  # no route is called so: the alert is not one of a model that has a service's name
ALERT: Final = "alert"  # keys in the checkpoint: alert/<service> about its presence, …
SHORTAGE: Final = "shortage"  # … shortage/<resource>/<service> about what its processes run short of


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about: whether a service is there and ready, or a resource of its processes."""

    service: str
    resource: Resource | None = None

    @property
    def key(self) -> str:
        """Its key in the checkpoint."""
        return f"{ALERT}/{self.service}" if self.resource is None else f"{SHORTAGE}/{self.resource}/{self.service}"

    @property
    def fingerprint(self) -> str:
        """Its alert's."""
        return alert_fingerprint(self.service, KIND, NAME if self.resource is None else f"{NAME}:{self.resource}")


@dataclass(frozen=True, slots=True)
class News:
    """What is told when an alert begins. ``since``: when that began, epoch milliseconds as appended."""

    severity: Severity
    summary: str
    evidence: Evidence
    since: int


class ServiceBook:
    """The memory of each subject, written down in ``checkpoint`` with every change; alerts go to ``publish``."""

    def __init__(self, checkpoint: Checkpoint, publish: Callable[[Outgoing], None]) -> None:
        """Nothing is remembered; `restore` brings it back."""
        self._checkpoint = checkpoint
        self._publish = publish
        self._memories: dict[Subject, Memory] = {}

    def restore(self, entries: Mapping[str, dict[str, Any]], resources: tuple[Resource, ...]) -> None:
        """Take over the checkpoint."""
        for service, content in under(entries, ALERT).items():
            self._memories[Subject(service)] = Memory.restored(content)
        for resource in resources:
            for service, content in under(entries, f"{SHORTAGE}/{resource}").items():
                self._memories[Subject(service, resource)] = Memory.restored(content)

    def alert(self, subject: Subject) -> Alert | None:
        """The alert of the present episode, if one goes on."""
        memory = self._memories.get(subject)
        return memory.alert if memory is not None and memory.active else None

    def active(self) -> list[Subject]:
        """Whatever has an alert now."""
        return [subject for subject, memory in self._memories.items() if memory.active]

    def fire(self, subject: Subject, news: News, now: int) -> None:
        """An episode begins."""
        memory = self._memories.get(subject, Memory())
        since, at, fingerprint = moment(news.since), moment(now), subject.fingerprint
        alert = Alert(
            fingerprint=fingerprint,
            model=subject.service,
            version=None,
            kind=KIND,
            severity=news.severity,
            state="firing",
            episode=episode_id(fingerprint, format_time(since)),
            summary=news.summary,
            evidence=(news.evidence,),
            window=WindowBounds(start=since, end=at),
            started_at=at,
            updated_at=at,
            silenced_until=memory.silenced_until,
        )
        self._remember(subject, replace(memory, alert=alert), alert)

    def resolve(self, subject: Subject, now: int) -> bool:
        """The episode ends, if one goes on; whether it did."""
        alert = self.alert(subject)
        if alert is None:
            return False
        at = moment(now)
        window = WindowBounds(start=alert.window.start, end=at)
        resolved = alert.model_copy(update={"state": "resolved", "window": window, "updated_at": at})
        self._remember(subject, replace(self._memories[subject], alert=resolved), resolved)
        return True

    def order(self, order: AlertCommand) -> None:
        """A person's command, if it is about one of these alerts."""
        for subject in [subject for subject in self._memories if subject.fingerprint == order.fingerprint]:
            self._remember(subject, *command(self._memories[subject], order))

    def _remember(self, subject: Subject, memory: Memory, alert: Alert | None) -> None:
        self._memories[subject] = memory
        self._checkpoint.put(subject.key, memory.content)
        if alert is not None:
            self._publish(alert_message(alert))


def moment(milliseconds: int) -> datetime:
    """Epoch milliseconds as a time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
