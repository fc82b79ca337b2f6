"""The only bus code of the notifier: alerts and registry events in, deliveries out, the ledger both ways."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from schemas.definitions import Model
from schemas.envelope import header
from schemas.events.monitoring import Alert
from schemas.events.notifier import Notification
from schemas.events.registry import DefinitionRecord, RegistryEvent
from schemas.identities import derived_id
from schemas.reasons import RefusedRecordError
from schemas.topics import ALERTS, DEFINITIONS, NOTIFICATIONS, REGISTRY_EVENTS, retry
from services.notifier.delivery import Delivery, Late, Write
from services.notifier.gathering import Gathering
from services.notifier.lateness import MOST_TOGETHER, Overdue
from services.notifier.ledger import Ledger
from services.notifier.notices import Notice, brief_of_alert, of_alert, of_registry, silenced
from services.notifier.settings import Settings
from services.notifier.storms import Waiting
from shared.broker import on_stop
from shared.clock import Clock
from shared.consuming import consume
from shared.dead_letters import replay_origin
from shared.errors import HeadraceError
from shared.health import Health
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import Outgoing, Record, TopicNames, message, read, topic_name
from shared.tables import Table, scan

SERVICE: Final = "notifier"
SOURCE: Final = "headrace/notifier"
TOPICS: Final = (ALERTS, REGISTRY_EVENTS, retry(SERVICE))
BATCH: Final = 500  # records that are committed together; what a crash repeats of them, the ledger knows
LONGEST_BATCH: Final = 5.0  # seconds until the rest of a batch is left to the next one, as messages take their time

log = get_logger(__name__)


class Approvals:
    """Which models wait for people: a fold of definitions."""

    def __init__(self) -> None:
        """None yet."""
        self._manual: set[str] = set()

    def apply(self, record: Record) -> None:
        """One definition."""
        if record.value is None:
            return
        _, body = read(DefinitionRecord, record)
        if body.kind == "Model":
            manual = Model.model_validate(body.definition).spec.approval.mode == "manual"
            (self._manual.add if manual else self._manual.discard)(body.name)

    def needed(self, model: str) -> bool:
        """Whether a version of ``model`` goes live only by a person's approval."""
        return model in self._manual


def tables(settings: Settings, ledger: Ledger, approvals: Approvals, health: Health) -> list[Table]:
    """The ledger, and which models wait for people."""

    def entry(record: Record) -> None:
        if record.value is not None:
            ledger.apply(read(Notification, record)[1])

    return [
        Table(settings, NOTIFICATIONS, apply=entry, name="notifications", health=health),
        Table(settings, DEFINITIONS, apply=approvals.apply, name="notifier definitions", health=health),
    ]


def ledger_writer(publisher: Publisher) -> Write:
    """How `Delivery` writes to the ledger's topic."""

    def record(entry: Notification) -> Outgoing:
        identity = derived_id("notification", entry.notification_id, entry.status, str(entry.attempts))
        return message(NOTIFICATIONS, entry, key=entry.subject, source=SOURCE, id=identity, time=entry.at)

    async def write(entries: Sequence[Notification]) -> None:
        await publisher.publish(*map(record, entries))

    return write


def notice_among_many(record: Record, needed: Callable[[str], bool] = lambda _: False) -> Notice | None:
    """What people are told of a record, briefly if it is an alert; ``needed``: `Approvals.needed`.

    None as well for what cannot be read: its own turn comes, and then it is a dead letter.
    """
    try:
        return _notice(record, brief_of_alert, needed)
    except RefusedRecordError:
        return None


def _notice(
    record: Record, alert_notice: Callable[[Alert], Notice | None], needed: Callable[[str], bool]
) -> Notice | None:
    if record.value is None:
        return None
    if header(record.headers, "ce_type") == Alert.ce_type:
        _, alert = read(Alert, record)
        return None if silenced(alert) else alert_notice(alert)
    _, event = read(RegistryEvent, record)
    return of_registry(event, needs_approval=needed(event.model))


async def _behind(settings: Settings, record: Record) -> list[Record]:
    """The records behind ``record`` on its topic, the first few hundred of them."""
    topic = TopicNames(settings.topics.prefix).logical(record.topic)
    found: list[Record] = []
    if topic is None:
        return found
    async with aclosing(scan(settings, topic, since=datetime.fromtimestamp(record.timestamp / 1000, UTC))) as batches:
        async for records in batches:
            found += [each for each in records if each.offset > record.offset]
            if len(found) >= MOST_TOGETHER:
                break
    return found


def subscribe(
    broker: KafkaBroker,
    settings: Settings,
    *,
    delivery: Delivery,
    gathering: Gathering,
    approvals: Approvals,
    publisher: Publisher,
    health: Health,
    clock: Clock,
) -> None:
    """One record at a time: a channel that is slow holds back, it never drops. A replay tries again what had failed.

    A record's age never keeps anybody from being told of it: see `StartingPoint` for where a new group begins.
    """
    late_after, alerts = settings.notifier.late_after, topic_name(settings, ALERTS)

    async def age_of(record: Record) -> timedelta:
        # append times are the broker's: by a clock of our own that runs ahead, everything would be late
        now = clock.now() + await publisher.broker_ahead()
        return now - datetime.fromtimestamp(record.timestamp / 1000, UTC)

    async def behind(record: Record) -> list[Overdue]:
        try:
            return [
                Overdue(notice, age)
                for each in await _behind(settings, record)
                if (age := await age_of(each)) > late_after
                and (notice := notice_among_many(each, approvals.needed)) is not None
            ]
        except (KafkaError, HeadraceError) as error:
            log.warning("what waits behind a late message cannot be read: it is told alone", why=str(error))
            return []

    async def storm(record: Record, notice: Notice, *, late: bool) -> Sequence[Notice]:
        if record.topic != alerts:
            return ()
        return await gathering.with_those_behind(Waiting(record.offset, record.timestamp, notice), late=late)

    async def handle(record: Record) -> list[Outgoing]:
        notice = _notice(record, of_alert, approvals.needed)
        if notice is None:
            return []
        age, again = await age_of(record), replay_origin(record) is not None
        late = Late(age, partial(behind, record)) if age > late_after else None
        others = await storm(record, notice, late=late is not None)
        await delivery.deliver(notice, again=again, late=late, storm=others)
        return []

    async def nothing() -> None:
        """The topic's reader is a component of its own."""

    on_stop(broker, nothing, drain=gathering.hurry)

    consume(
        broker,
        settings,
        *TOPICS,
        group=SERVICE,
        service=SERVICE,
        handle=handle,
        publisher=publisher,
        health=health,
        clock=clock,
        commit_every=BATCH,
        max_records=BATCH,
        longest_batch=LONGEST_BATCH,
        patience=delivery.longest + settings.notifier.storm.window.total_seconds(),
    )
