"""Ingestion on a real Kafka: what is answered 202 stands on its topic, and has exactly one outcome."""

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from edge_process import ServiceProcess, eventually, outcomes, prepare, records_of
from rides import FEATURE_SET, FEATURES, event_body, label_body

from schemas.envelope import header
from schemas.events.ingestion import Tick
from schemas.identities import partition_of
from schemas.topics import EVENTS_RAW, LABELS_RAW
from shared.publishing import Publisher
from shared.records import read
from shared.settings import PlatformSettings
from shared.tables import read_to_end

pytestmark = pytest.mark.kafka

Start = Callable[[str], ServiceProcess]
JSON, NDJSON = {"content-type": "application/json"}, {"content-type": "application/x-ndjson"}
REPLAYED = {
    **FEATURE_SET,
    "metadata": {**FEATURE_SET["metadata"], "name": "replayed"},
    "spec": {**FEATURE_SET["spec"], "clock": "replay"},
}


@pytest.fixture
async def publisher(settings: PlatformSettings) -> AsyncIterator[Publisher]:
    found = Publisher(settings)
    await prepare(settings, found, REPLAYED)
    yield found
    await found.stop()


@pytest.fixture
def start(publisher: Publisher, service_env: dict[str, str], tmp_path: Path) -> Start:
    return lambda name: ServiceProcess(name, service_env, tmp_path / f"{name}.log")


def line(number: int, *, identity: str | None = None, feature_set: str = "replayed@1") -> bytes:
    data = {
        "feature_set": feature_set,
        "entity_id": f"e{number % 50}",
        "occurred_at": "2024-05-01T10:00:00Z",
        "features": {**FEATURES, "hour": number % 24},
    }
    event = {"specversion": "1.0", "id": identity or f"id-{number}", "source": "tests", "type": "headrace.event.v1"}
    return json.dumps({**event, "data": data}).encode()


async def test_what_is_answered_202_stands_where_the_answer_says(settings: PlatformSettings, start: Start) -> None:
    with start("ingestion") as edge:
        await edge.ready()
        async with httpx.AsyncClient(base_url=edge.url) as client:
            event = await client.post("/v1/events", content=event_body("e7"), headers={**JSON, "ce-id": "id-7"})
            label = await client.post("/v1/labels", content=label_body("e7"), headers=JSON)
            refused = await client.post("/v1/events", content=event_body(feature_set="nobody"), headers=JSON)
        assert (event.status_code, label.status_code, refused.status_code) == (202, 202, 422)
        assert event.json()["topic"] == f"{settings.topics.prefix}events.raw"
        assert event.json()["partition"] == partition_of(b"e7", 2)
        [record] = await records_of(settings, EVENTS_RAW)
        assert (record.partition, record.offset) == (event.json()["partition"], event.json()["offset"])
        assert (record.key, record.value, header(record.headers, "ce_id")) == (b"e7", event_body("e7"), "id-7")
        [record] = await records_of(settings, LABELS_RAW)
        assert header(record.headers, "ce_id") == label.json()["id"]
        assert edge.stop() == 0


async def test_an_endless_body_is_answered_before_it_ends(start: Start) -> None:
    with start("ingestion") as edge:
        await edge.ready()
        host, port = edge.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        async with asyncio.timeout(30):
            answering = asyncio.create_task(reader.readline())
            while not answering.done():
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await asyncio.wait({answering}, timeout=0.01)
        assert b" 413 " in answering.result()
        writer.close()


async def test_live_sets_are_ticked_in_every_partition_and_replayed_ones_are_not(
    settings: PlatformSettings, start: Start
) -> None:
    with start("ingestion") as edge:
        await edge.ready()
        for topic in (EVENTS_RAW, LABELS_RAW):
            found = await eventually(
                functools.partial(read_to_end, settings, topic),
                lambda records: {each.partition for each in records} == {0, 1} and len(records) >= 4,
                "ticks",
            )
            assert {read(Tick, each)[1].feature_set for each in found} == {"rides@1"}


async def test_the_accounts_balance_from_http_to_the_last_outcome_through_a_kill(
    settings: PlatformSettings, start: Start
) -> None:
    fresh = [line(number) for number in range(3000)]
    repeated = [line(number) for number in range(0, 3000, 5)]
    reused = [line(number + 1, identity=f"id-{number}") for number in range(0, 3000, 100)]
    with start("ingestion") as edge, start("validation") as judge:
        await asyncio.gather(edge.ready(), judge.ready())
        async with httpx.AsyncClient(base_url=edge.url, timeout=60) as client:
            accepted = 0
            for position, lines in enumerate((fresh[:1500], fresh[1500:], repeated + reused)):
                answer = await client.post("/v1/events:batch", content=b"\n".join(lines), headers=NDJSON)
                assert answer.status_code == 202, answer.text[:500]
                accepted += len(answer.content.splitlines())
                if position == 0:
                    judge.kill()
        with start("validation"):
            found = await outcomes(settings, accepted)
    assert accepted == 3000 + 600 + 30
    assert {name: len(records) for name, records in found.items()} == {
        "validated": 3000,
        "duplicates": 600,
        "rejected": 30,
    }


async def test_a_batch_of_thousands_of_lines_is_acknowledged_in_seconds(start: Start) -> None:
    lines = [line(number) for number in range(10_000)]
    with start("ingestion") as edge:
        await edge.ready()
        async with httpx.AsyncClient(base_url=edge.url, timeout=60) as client:
            began = time.perf_counter()
            answer = await client.post("/v1/events:batch", content=b"\n".join(lines), headers=NDJSON)
            took = time.perf_counter() - began
    assert answer.status_code == 202
    print(f"{len(lines) / took:,.0f} lines/s")
    assert took < 20
