"""The composition root of validation."""

from schemas.topics import DEFINITIONS
from services.validation.definitions import Definitions
from services.validation.processing import SERVICE
from services.validation.settings import Settings
from services.validation.subscribers import subscribe
from shared.broker import kafka_broker
from shared.clock import SystemClock
from shared.garbage_collection import calm_collector
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.publishing import Publisher
from shared.service import App
from shared.tables import Table


def build(settings: Settings) -> App:
    """Definitions are read to their end before the first record, and again before a record is rejected by one."""
    health, clock, definitions = Health(), SystemClock(), Definitions()
    broker = kafka_broker(settings, service=SERVICE)
    table = Table(settings, DEFINITIONS, apply=definitions.apply, name="definitions", health=health)
    subscribe(broker, settings, definitions=definitions, catch_up=table.catch_up, health=health, clock=clock)
    publisher = Publisher(settings)
    return App(
        health=health,
        broker=broker,
        components=(
            table,
            publisher,
            Heartbeats(settings, service=SERVICE, publisher=publisher, health=health, clock=clock),
        ),
        after_start=calm_collector,
    )
