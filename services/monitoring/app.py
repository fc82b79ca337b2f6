"""Composition root of monitoring."""

import asyncio

from services.monitoring.adapters.resource_gauges import ResourceGauges
from services.monitoring.knowledge import Knowledge
from services.monitoring.settings import Settings
from services.monitoring.subscribers import knowledge_tables, subscribe
from shared.broker import kafka_broker
from shared.clock import SystemClock
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.metrics import counter
from shared.publishing import Publisher
from shared.service import App

SERVICE = "monitoring"

unwatched = counter(
    "headrace_monitoring_unwatched",
    "Predictions of models without a definition or with windows of rows, which are not monitored.",
    unit="predictions",
)


def build(settings: Settings) -> App:
    """Tables first, so that the stages know the models; then the stages."""
    clock = SystemClock()
    health = Health(clock)
    knowledge = Knowledge()
    broker = kafka_broker(settings, service=SERVICE)
    tables = knowledge_tables(settings, knowledge, health)

    async def catch_up() -> None:
        await asyncio.gather(*(table.catch_up() for table in tables))

    subscribe(
        broker,
        settings,
        knowledge=knowledge,
        catch_up=catch_up,
        resources=ResourceGauges(),
        health=health,
        clock=clock,
        unwatched=unwatched.inc,
    )
    publisher = Publisher(settings)
    heartbeats = Heartbeats(settings, service=SERVICE, publisher=publisher, health=health, clock=clock)
    return App(health=health, broker=broker, components=[*tables, publisher, heartbeats])
