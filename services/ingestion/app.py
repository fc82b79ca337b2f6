"""The composition root of ingestion."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any, Final

from prometheus_client import Counter
from starlette.routing import Route

from schemas.topics import DEFINITIONS, DEPLOYMENTS, MODELS_CANDIDATES, PLATFORM_HEARTBEATS
from services.ingestion.admission import Admission
from services.ingestion.asking import Asking
from services.ingestion.definitions import Definitions
from services.ingestion.edge import Edge
from services.ingestion.in_flight import InFlight
from services.ingestion.routes import routes
from services.ingestion.served import ServedModels
from services.ingestion.settings import Settings
from services.ingestion.ticks import Ticker
from services.ingestion.v2_routes import v2_routes
from shared.clock import Clock, SystemClock
from shared.garbage_collection import calm_collector
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.inference_client import InferenceClient
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
v2_in_flight_requests = gauge(
    "headrace_ingestion_v2_in_flight_requests", "Inference requests not answered yet.", unit="requests"
)


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
    admission = Admission(bounds, in_flight=in_flight, health=health)
    spoken, v2 = _v2(settings, definitions, publisher, health, clock) if bounds.v2 else ((), [])
    return App(
        health=health,
        components=(
            Table(settings, DEFINITIONS, apply=definitions.apply, name="definitions", health=health),
            publisher,
            *spoken,
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
        routes=routes(edge=edge, admission=admission, v2=v2),
        after_start=calm_collector,
    )


def _v2(
    settings: Settings, definitions: Definitions, publisher: Publisher, health: Health, clock: Clock
) -> tuple[Sequence[AbstractAsyncContextManager[Any]], list[Route]]:
    """The Open Inference Protocol: what it needs entered, and its addresses. Its requests have bounds of their own, so that a
    slow model cannot keep events out.
    """
    bounds = settings.ingestion
    served = ServedModels(clock)
    client = InferenceClient(settings, source=bounds.source, clock=clock, publish=publisher.publish, health=health)
    asking = Asking(bounds, served=served, definitions=definitions, ask=client.ask, clock=clock, count=count_answer)
    in_flight = InFlight(limit_bytes=bounds.in_flight_bytes, limit_requests=bounds.v2_requests)
    v2_in_flight_requests.set_function(lambda: in_flight.requests)
    components = (
        Table(settings, DEPLOYMENTS, MODELS_CANDIDATES, apply=served.apply, name="deployments", health=health),
        Table(
            settings, PLATFORM_HEARTBEATS, apply=served.heard, name="heartbeats", health=health, from_beginning=False
        ),
        client,
    )
    return components, v2_routes(asking, admission=Admission(bounds, in_flight=in_flight, health=health), health=health)


def count_answer(kind: str, status: int) -> None:
    """A record of ``kind`` was answered with ``status``."""
    _answered(kind, status).inc()


@cache  # as many as there are kinds and status codes
def _answered(kind: str, status: int) -> Counter:
    return answers.labels(kind, str(status))
