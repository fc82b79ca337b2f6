"""The composition root of ingestion."""

from functools import cache
from typing import Final

from prometheus_client import Counter

from schemas.topics import DEFINITIONS
from services.ingestion.definitions import Definitions
from services.ingestion.edge import Edge
from services.ingestion.in_flight import InFlight
from services.ingestion.routes import routes
from services.ingestion.settings import Settings
from services.ingestion.ticks import Ticker
from shared.clock import SystemClock
from shared.garbage_collection import calm_collector
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.metrics import counter, gauge
from shared.publishing import Publisher
from shared.service import App
from shared.tables import Table

SERVICE: Final = "ingestion"

answers = counter(
    "headrace_ingestion_answers",
    "Records by the status that answered them; a request that the broker did not take counts once.",
    unit="records",
    labels=("kind", "status"),
)
in_flight_bytes = gauge(
    "headrace_ingestion_in_flight_bytes", "Bytes of requests that are not answered yet.", unit="bytes"
)
in_flight_requests = gauge("headrace_ingestion_in_flight_requests", "Requests not answered yet.", unit="requests")


def build(settings: Settings) -> App:
    """Definitions are read to their end before the first record is taken."""
    health, clock, definitions = Health(), SystemClock(), Definitions()
    publisher = Publisher(settings)
    bounds = settings.ingestion
    in_flight = InFlight(limit_bytes=bounds.in_flight_bytes, limit_requests=bounds.in_flight_requests)
    in_flight_bytes.set_function(lambda: in_flight.bytes)
    in_flight_requests.set_function(lambda: in_flight.requests)
    edge = Edge(
        bounds,
        definitions=definitions,
        publish=publisher.publish,
        clock=clock,
        count=count_answer,
    )
    return App(
        health=health,
        components=(
            Table(settings, DEFINITIONS, apply=definitions.apply, name="definitions", health=health),
            publisher,
            Heartbeats(settings, service=SERVICE, publisher=publisher, health=health, clock=clock),
            Ticker(
                live_sets=definitions.live_sets,
                publish=publisher.publish,
                clock=clock,
                partitions=settings.topics.partitions,
                period=bounds.tick_seconds,
                failed=health.fail,
            ),
        ),
        routes=routes(bounds, edge=edge, in_flight=in_flight, health=health),
        after_start=calm_collector,
    )


def count_answer(kind: str, status: int) -> None:
    """A record of ``kind`` was answered with ``status``."""
    _answered(kind, status).inc()


@cache  # as many as there are kinds and status codes
def _answered(kind: str, status: int) -> Counter:
    return answers.labels(kind, str(status))
