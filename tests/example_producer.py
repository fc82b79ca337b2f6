"""A producer of examples: HTTP for the records, ticks straight to Kafka; and what came out at the other end."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import httpx
import msgspec
from example_models import Example, Row

from cli.accounts import Accounts, accounts
from cli.draining import until_drained
from cli.producing import ticks
from cli.registry import history
from schemas.envelope import header
from schemas.events.contract import Contract
from schemas.events.registry import Fact, ServingConfirmed
from schemas.topics import Topic
from shared.publishing import Publisher
from shared.records import read
from shared.settings import PlatformSettings
from shared.tables import read_to_end

PATIENCE = 60.0  # seconds that a record is offered again and again
DRAIN = 90.0
C = TypeVar("C", bound=Contract)


class ExampleProducer:
    """Sends rows of an example. What is not acknowledged is sent again under the same id, as a careful producer does."""

    def __init__(self, settings: PlatformSettings, ingestion_url: str, example: Example) -> None:
        self._settings = settings
        self._url = ingestion_url
        self._example = example
        self.resent = 0

    def send(self, rows: Sequence[Row], *, until: datetime | None = None) -> None:
        """Events, their labels, and then the ticks that say it is ``until``."""
        example = self._example
        self._post("/v1/events:batch", [example.event_line(row) for row in rows])
        self._post("/v1/labels:batch", [example.label_line(row) for row in rows])
        if until is not None:
            self.tick(until)

    def tick(self, time: datetime) -> None:
        """Event time has reached ``time``."""

        async def publish() -> None:
            async with Publisher(self._settings) as publisher:
                await publisher.publish(*ticks(self._settings, self._example.ref, time))

        asyncio.run(publish())

    def _post(self, path: str, lines: list[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while lines:
            assert time.monotonic() < deadline, f"ingestion did not take {len(lines)} records within {PATIENCE:g} s"
            try:
                answer = httpx.post(
                    self._url + path,
                    content=b"\n".join(lines),
                    headers={"content-type": "application/x-ndjson"},
                    timeout=20,
                )
            except httpx.TransportError:
                self.resent += len(lines)
                time.sleep(0.2)
                continue
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                self.resent += len(lines)
                time.sleep(0.2)
                continue
            results = [msgspec.json.decode(each) for each in answer.content.splitlines() if each]
            assert answer.is_success, answer.text
            refused = [each for each in results if each["status"] not in (202, 503)]
            assert not refused, refused[:3]
            lines = [line for line, result in zip(lines, results, strict=True) if result["status"] == 503]
            self.resent += len(lines)


def balance(settings: PlatformSettings) -> Accounts:
    """The accounts once nothing is in flight."""

    async def drawn_up() -> Accounts:
        await until_drained(settings, seconds=DRAIN)
        return await accounts(settings)

    return asyncio.run(drawn_up())


def records_of(settings: PlatformSettings, topic: Topic, kind: type[C]) -> list[C]:
    """Everything of one kind that is committed on a topic."""
    records = asyncio.run(read_to_end(settings, topic))
    return [read(kind, record)[1] for record in records if header(record.headers, "ce_type") == kind.ce_type]


def facts_of(settings: PlatformSettings, model: str) -> list[Fact]:
    """What the registry's log says of a model, oldest first."""
    return [entry.fact for entry in asyncio.run(history(settings, lambda entry: entry.model == model))]


def serves(settings: PlatformSettings, model: str, version: int = 1) -> bool:
    """Whether inference has told the registry that it serves this version."""
    return any(isinstance(fact, ServingConfirmed) and fact.version == version for fact in facts_of(settings, model))
