"""What the tests of ingestion share: an edge whose broker is a list, reached over ASGI."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import msgspec
from rides import FEATURE_SET, MODEL, NOW, stored

from schemas.events.registry import DefinitionRecord
from schemas.topics import DEFINITIONS
from services.ingestion.admission import Admission
from services.ingestion.definitions import Definitions
from services.ingestion.edge import Edge
from services.ingestion.in_flight import InFlight
from services.ingestion.routes import routes
from services.ingestion.settings import IngestionSettings
from shared.clock import FixedClock
from shared.health import Health
from shared.records import Outgoing, message


@dataclass(frozen=True)
class Place:
    """Where the list says that a record stands."""

    topic: str
    partition: int
    offset: int


class TickingClock(FixedClock):
    """Stands still by the wall; its monotonic side runs, so that waiting ends."""

    def monotonic(self) -> float:
        return time.monotonic()


class EdgeScene:
    """An application, what it published, and what its broker is to answer."""

    def __init__(self, *, settings: IngestionSettings | None = None, now: datetime = NOW) -> None:
        self.settings = settings or IngestionSettings(definition_seconds=0.05)
        self.published: list[Outgoing] = []
        self.answers: list[tuple[str, int]] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None  # holds acknowledgements back
        self.asked = asyncio.Event()  # the broker was asked
        self.definitions = Definitions()
        self.health = Health()
        self.in_flight = InFlight(
            limit_bytes=self.settings.in_flight_bytes, limit_requests=self.settings.in_flight_requests
        )
        self.apply(FEATURE_SET)
        self.apply(MODEL)
        self.clock = TickingClock(now)
        self.edge = Edge(
            self.settings,
            definitions=self.definitions,
            publish=self.publish,
            clock=self.clock,
            count=self.count,
        )
        self.admission = Admission(self.settings, in_flight=self.in_flight, health=self.health)
        self.application = routes(edge=self.edge, admission=self.admission)

    def apply(self, definition: dict[str, Any]) -> None:
        """Put a definition in force."""
        major = int(definition["spec"].get("version", "1").split(".")[0])
        body = DefinitionRecord(
            kind=definition["kind"], name=definition["metadata"]["name"], major=major, revision=1, definition=definition
        )
        self.definitions.apply(stored(message(DEFINITIONS, body, key="k", source="headrace/registry")))

    def count(self, kind: str, status: int) -> None:
        """An answer was given."""
        self.answers.append((kind, status))

    async def publish(self, *outgoing: Outgoing) -> list[Place]:
        """What the broker would do."""
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        first = len(self.published)
        self.published.extend(outgoing)
        return [Place(f"t.{each.topic.name}", 0, first + n) for n, each in enumerate(outgoing)]

    def client(self) -> httpx.AsyncClient:
        """A client of the application."""
        transport = httpx.ASGITransport(app=self.application, raise_app_exceptions=False)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://edge")

    async def post(
        self, body: Any, path: str = "/v1/events", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """POST as JSON unless ``headers`` say otherwise."""
        async with self.client() as client:
            return await client.post(
                path, content=body, headers={"content-type": "application/json", **(headers or {})}
            )

    async def batch(self, *lines: bytes, path: str = "/v1/events:batch") -> tuple[int, list[dict[str, Any]]]:
        """POST NDJSON; the status and the answer of each line."""
        answer = await self.post(b"\n".join(lines), path, {"content-type": "application/x-ndjson"})
        return answer.status_code, [msgspec.json.decode(line) for line in answer.content.splitlines()]
