"""What HTTP clients are told, and what reaches the raw topics."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

from ingestion_scene import EdgeScene
from rides import FEATURE_SET, event_body, label_body

from schemas.envelope import decode_headers
from services.ingestion.settings import IngestionSettings
from shared.errors import OutcomeUnknownError, PermanentError

CE = {"ce-id": "id-1", "ce-source": "tests", "ce-type": "headrace.event.v1", "ce-specversion": "1.0"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
NDJSON = {"content-type": "application/x-ndjson"}


def structured(data: bytes, **attributes: Any) -> bytes:
    """A structured CloudEvent around ``data``, byte for byte."""
    found = {"specversion": "1.0", "id": "id-1", "source": "tests", "type": "headrace.event.v1", **attributes}
    return json.dumps(found)[:-1].encode() + b', "data": ' + data + b"}"


async def test_an_event_is_published_byte_for_byte_under_its_entity_and_answered_with_its_place() -> None:
    scene = EdgeScene()
    body = b" " + event_body() + b"\n"
    answer = await scene.post(body, headers=CE)
    assert answer.status_code == 202
    assert answer.json() == {"id": "id-1", "topic": "t.events.raw", "partition": 0, "offset": 0}
    [record] = scene.published
    assert (record.topic.name, record.key, record.value, record.partition) == ("events.raw", b"e1", body, None)
    envelope = decode_headers(record.headers)
    assert (envelope.id, envelope.source, envelope.type) == ("id-1", "tests", "headrace.event.v1")


async def test_a_record_without_attributes_gets_an_id_that_is_returned() -> None:
    scene = EdgeScene()
    answer = await scene.post(event_body())
    envelope = decode_headers(scene.published[0].headers)
    assert answer.json()["id"] == envelope.id
    assert envelope.source == "headrace/http"


async def test_a_label_goes_to_the_topic_of_labels() -> None:
    scene = EdgeScene()
    assert (await scene.post(label_body(), "/v1/labels")).status_code == 202
    assert scene.published[0].topic.name == "labels.raw"


async def test_the_data_of_a_structured_event_is_published_byte_for_byte() -> None:
    scene = EdgeScene()
    body = event_body().replace(b'": ', b'" :  ')
    answer = await scene.post(structured(body, time="2024-05-01T12:00:00+02:00", tier=3), headers=STRUCTURED)
    assert answer.status_code == 202, answer.text
    [record] = scene.published
    assert record.value == body
    envelope = decode_headers(record.headers)
    assert envelope.extensions == {"tier": "3"}
    assert envelope.time is not None
    assert envelope.time.isoformat() == "2024-05-01T10:00:00+00:00"


async def test_a_trace_is_continued() -> None:
    scene = EdgeScene()
    await scene.post(event_body(), headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    trace = decode_headers(scene.published[0].headers).traceparent
    assert trace is not None
    assert trace.startswith(f"00-{'a' * 32}-")
    assert "b" * 16 not in trace


async def test_a_body_that_never_ends_is_given_up() -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await EdgeScene(settings=IngestionSettings(body_seconds=0.05)).post(stuck())
    assert answer.status_code == 408


async def test_lines_of_a_batch_are_answered_one_by_one_and_accepted_ones_stay_accepted() -> None:
    scene = EdgeScene()
    lines = [
        structured(event_body(), id="a"),
        b"{",
        b"",
        event_body(feature_set="nobody"),
        structured(event_body(), id="b"),
    ]
    status, answers = await scene.batch(*lines)
    assert status == 207
    assert [(each["line"], each["status"]) for each in answers] == [(1, 202), (2, 400), (3, 422), (4, 202)]
    assert [each.get("id") for each in answers] == ["a", None, None, "b"]
    assert [each["offset"] for each in answers if each["status"] == 202] == [0, 1]
    assert [decode_headers(each.headers).id for each in scene.published] == ["a", "b"]


async def test_a_batch_of_accepted_lines_is_answered_202() -> None:
    status, answers = await EdgeScene().batch(
        *[structured(label_body(), id=str(n), type="headrace.label.v1") for n in range(1200)], path="/v1/labels:batch"
    )
    assert status == 202
    assert [each["id"] for each in answers] == [str(n) for n in range(1200)]


async def test_a_silent_broker_means_outcome_unknown_with_the_id_to_retry() -> None:
    scene = EdgeScene()
    scene.failure = OutcomeUnknownError("the outcome is unknown, retry with the same id.")
    answer = await scene.post(event_body(), headers=CE)
    assert (answer.status_code, answer.json()["id"], answer.headers["retry-after"]) == (503, "id-1", "1")
    assert answer.json()["type"] == "urn:headrace:problem:outcome-unknown"
    assert scene.answers == [("events", 503)]


async def test_a_refusing_broker_is_not_the_clients_fault() -> None:
    scene = EdgeScene()
    scene.failure = PermanentError("not authorised")
    assert (await scene.post(event_body())).status_code == 502


async def test_beyond_the_bounds_clients_are_asked_to_come_back() -> None:
    scene = EdgeScene(settings=IngestionSettings(in_flight_requests=1))
    scene.gate = asyncio.Event()
    first = asyncio.create_task(scene.post(event_body()))
    await scene.asked.wait()
    second = await scene.post(event_body())
    assert (second.status_code, second.headers["retry-after"]) == (503, "1")
    scene.gate.set()
    assert (await first).status_code == 202
    assert (scene.in_flight.bytes, scene.in_flight.requests) == (0, 0)


async def test_bytes_in_flight_are_bounded_too() -> None:
    scene = EdgeScene(settings=IngestionSettings(in_flight_bytes=1024 * 1024))
    answer = await scene.post(b"\n" * (2 * 1024 * 1024), "/v1/events:batch", NDJSON)
    assert answer.status_code == 503
    assert scene.in_flight.bytes == 0


async def test_nothing_is_taken_before_the_process_is_ready() -> None:
    scene = EdgeScene()
    scene.health.starting("table definitions")
    assert (await scene.post(event_body())).status_code == 503


async def test_a_definition_that_arrives_meanwhile_is_waited_for() -> None:
    scene = EdgeScene(settings=IngestionSettings(definition_seconds=5))
    sending = asyncio.create_task(scene.post(event_body(feature_set="rides@2")))
    await asyncio.sleep(0.01)
    scene.apply({**FEATURE_SET, "spec": {**FEATURE_SET["spec"], "version": "2.0.0"}})
    assert (await sending).status_code == 202


async def test_with_tokens_configured_only_their_sources_are_taken() -> None:
    tokens = {hashlib.sha256(b"secret").hexdigest(): ("tests",)}
    scene = EdgeScene(settings=IngestionSettings(tokens=tokens))
    mine = {"authorization": "Bearer secret"}
    assert (await scene.post(event_body())).status_code == 401
    assert (await scene.post(event_body(), headers={"authorization": "Bearer guess"})).status_code == 401
    assert (await scene.post(event_body(), headers={**mine, **CE, "ce-source": "others"})).status_code == 403
    assert (await scene.post(event_body(), headers={**mine, **CE})).status_code == 202
    await scene.post(event_body(), headers=mine)
    assert decode_headers(scene.published[-1].headers).source == "tests"


async def test_unknown_paths_and_methods_are_problems_too() -> None:
    scene = EdgeScene()
    async with scene.client() as client:
        lost, wrong = await client.get("/nowhere"), await client.get("/v1/events")
    assert (lost.status_code, wrong.status_code) == (404, 405)
    assert lost.headers["content-type"] == wrong.headers["content-type"] == "application/problem+json"


async def test_an_error_of_ours_is_a_problem_without_details() -> None:
    scene = EdgeScene()
    scene.failure = ZeroDivisionError("inside")
    answer = await scene.post(event_body())
    assert (answer.status_code, "inside" in answer.text) == (500, False)


async def test_the_description_is_served() -> None:
    async with EdgeScene().client() as client:
        found = (await client.get("/openapi.json")).json()
    assert found["openapi"] == "3.1.0"
    assert set(found["paths"]) == {"/v1/events", "/v1/labels", "/v1/events:batch", "/v1/labels:batch"}
