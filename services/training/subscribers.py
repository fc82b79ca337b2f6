"""The bus: which record leads to which call. Requests come through a group, so each bad one becomes one dead letter."""

from collections.abc import Callable, Sequence
from typing import Final

from faststream.kafka import KafkaBroker

from schemas.envelope import header
from schemas.events.monitoring import Alert
from schemas.events.registry import DefinitionRecord
from schemas.events.training import DatasetMaterialized, RunCompleted, RunFailed, RunStarted, TrainingRequest
from schemas.topics import ALERTS, DEFINITIONS, TRAINING_EVENTS, TRAINING_REQUESTS
from services.training.arrivals import STORED_TYPES
from services.training.ledger import RunEvent
from services.training.state import State
from services.training.store import RETRY
from shared.consuming import consume
from shared.health import Health
from shared.publishing import Publisher
from shared.records import Outgoing, Record, read, topic_name
from shared.settings import PlatformSettings
from shared.tables import Table

_RUN_EVENTS: Final[dict[str, type[RunEvent]]] = {
    cls.ce_type: cls for cls in (RunStarted, DatasetMaterialized, RunCompleted, RunFailed)
}


def subscribe(
    broker: KafkaBroker,
    settings: PlatformSettings,
    *,
    state: State,
    publisher: Publisher,
    health: Health,
    asked: Callable[[], None],
) -> None:
    """Take training.requests: a well-formed one enters the ledger and ``asked`` is called, any other is a dead letter.

    A replayed request is passed on to training.requests, where it is remembered; replayed records are the store's affair.
    """
    retried = topic_name(settings, RETRY)

    async def request(record: Record) -> Sequence[Outgoing]:
        if record.topic == retried:
            if header(record.headers, "ce_type") in STORED_TYPES:
                return ()
            read(TrainingRequest, record)
            return [Outgoing(TRAINING_REQUESTS, record.key, record.value, record.headers)]
        _, body = read(TrainingRequest, record)
        state.ledger.add(body, record.offset)
        asked()
        return ()

    consume(
        broker,
        settings,
        TRAINING_REQUESTS,
        RETRY,
        group="training.requests",
        service="training",
        handle=request,
        publisher=publisher,
        health=health,
    )


def tables(settings: PlatformSettings, state: State, health: Health, changed: Callable[[], None]) -> tuple[Table, ...]:
    """What must be known before the first decision: definitions, alerts, and what was asked and done before."""

    def definition(record: Record) -> None:
        if record.value is None:
            return
        _, body = read(DefinitionRecord, record)
        state.catalog = state.catalog.with_record(body)
        changed()

    def alert(record: Record) -> None:
        if record.value is None:
            state.alerts.pop((record.key or b"").decode(), None)
            return
        _, body = read(Alert, record)
        state.alerts[body.fingerprint] = body
        changed()

    def history(record: Record) -> None:
        kind = header(record.headers, "ce_type") or ""
        if kind == TrainingRequest.ce_type:
            _, body = read(TrainingRequest, record)
            state.ledger.add(body, record.offset)
        elif kind in _RUN_EVENTS:
            _, event = read(_RUN_EVENTS[kind], record)
            state.ledger.observe(event)
        changed()

    return (
        Table(settings, DEFINITIONS, apply=definition, name="definitions", health=health),
        Table(settings, ALERTS, apply=alert, name="alerts", health=health),
        Table(settings, TRAINING_REQUESTS, TRAINING_EVENTS, apply=history, name="history", health=health),
    )
