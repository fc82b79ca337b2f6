"""The composition root of the registry."""

from services.registry.adapters.projector import Projector
from services.registry.processor import SERVICE
from services.registry.settings import Settings
from services.registry.subscribers import subscribe
from shared.broker import kafka_broker
from shared.clock import SystemClock
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.publishing import Publisher
from shared.service import App
from shared.store import Store


def build(settings: Settings) -> App:
    """Decisions and projection know nothing of each other: with Mongo away the registry goes on deciding."""
    health, clock = Health(), SystemClock()
    broker = kafka_broker(settings, service=SERVICE)
    publisher = Publisher(settings)
    subscribe(broker, settings, publisher=publisher, health=health, clock=clock)
    return App(
        health=health,
        broker=broker,
        components=(
            publisher,
            Heartbeats(settings, service=SERVICE, publisher=publisher, health=health, clock=clock),
            Projector(settings, Store(settings.mongo, SERVICE)),
        ),
    )
