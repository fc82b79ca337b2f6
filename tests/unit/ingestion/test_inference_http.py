"""The Open Inference Protocol at the edge: what clients are told, and what reaches inference.requests."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ingestion_scene import EdgeScene
from rides import event_body, stored
from v2_scene import Inference, V2Scene, answering, candidate, deployment, heartbeat, silent

from schemas.definitions import TargetType
from schemas.envelope import decode_headers, format_time
from schemas.events.training import ModelOutputs
from schemas.topics import INFERENCE_REQUESTS, MODELS_CANDIDATES
from services.ingestion.app import build
from services.ingestion.openapi import document
from services.ingestion.settings import IngestionSettings, Settings
from services.ingestion.v2_routes import BODY_BYTES
from shared.errors import OutcomeUnknownError, PermanentError
from shared.records import message

PATH = "/v2/models/ride-late/infer"
SCORE = {"name": "score", "shape": [1], "datatype": "FP64", "data": [0.25]}
BODY = json.dumps(
    {"id": "mine", "inputs": [{"name": "distance", "shape": [1], "datatype": "FP32", "data": [3.5]}]}
).encode()
OK = answering("ok", id="mine", model_version="3", outputs=[SCORE])
UNKNOWN = {"field": "headers.ce_model", "rule": "unknown_model", "expected": "late", "observed": "ride-late"}
RANGE = {"field": "rows.0.features.hour", "rule": "range", "expected": "0..23", "observed": "99"}
TOO_MANY = {"field": "inputs", "rule": "too_large", "expected": "1 to 1000 rows", "observed": "1001"}


async def test_a_request_travels_byte_for_byte_and_its_answer_comes_back_as_inference_wrote_it() -> None:
    scene = V2Scene(OK)
    answer = await scene.post(b" " + BODY, PATH, {"ce-partitionkey": "ride-7", "ce-source": "shop"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"id": "mine", "model_name": "ride-late", "model_version": "3", "outputs": [SCORE]}
    [record] = scene.published
    assert (record.topic, record.key, record.value) == (INFERENCE_REQUESTS, b"ride-7", b" " + BODY)
    envelope = decode_headers(record.headers)
    assert (envelope.source, envelope.type) == ("shop", "headrace.inference-request.v1")
    assert set(envelope.extensions) == {"model", "deadline"}
    assert scene.answers == [("inference", 200)]


async def test_the_deadline_is_the_clients_or_the_settings() -> None:
    scene = V2Scene(OK)
    await scene.post(BODY, PATH, {"request-timeout": "1.5"})
    await scene.post(BODY, PATH)
    deadlines = [decode_headers(record.headers).extensions["deadline"] for record in scene.published]
    now = scene.clock.now()
    assert deadlines == [
        format_time(now.replace(second=1, microsecond=500_000)),
        format_time(now.replace(microsecond=50_000)),
    ]


async def test_requests_without_a_key_are_each_on_their_own() -> None:
    scene = V2Scene(OK)
    for _ in range(2):
        await scene.post(BODY, PATH)
    first, second = (record.key for record in scene.published)
    assert first
    assert first != second


async def test_the_trace_of_a_request_is_continued() -> None:
    scene = V2Scene(OK)
    await scene.post(BODY, PATH, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert (decode_headers(scene.published[0].headers).traceparent or "").startswith(f"00-{'a' * 32}-")


@pytest.mark.parametrize(
    ("inference", "status", "slug", "reasons"),
    [
        (silent, 504, "unanswered", []),
        (answering("expired", error="the deadline was 0.2 s ago"), 504, "unanswered", []),
        (answering("failed", error="row 0: NaN"), 500, "model-failed", []),
        (answering("refused", error="no model", reasons=[UNKNOWN]), 404, "unknown-model", [UNKNOWN]),
        (answering("refused", error="row 0, hour", reasons=[RANGE]), 422, "refused", [RANGE]),
        (answering("refused", error="1001 rows", reasons=[TOO_MANY]), 413, "refused", [TOO_MANY]),
        (answering("refused", error="an older inference gives a sentence alone"), 422, "refused", []),
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_a_problem_that_clients_of_the_protocol_can_read_too(
    inference: Inference, status: int, slug: str, reasons: list[Any]
) -> None:
    scene = V2Scene(inference)
    answer = await scene.post(BODY, PATH, {"request-timeout": "0.01"})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:headrace:problem:{slug}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["error"] == problem["detail"]
    assert problem.get("reasons", []) == reasons
    assert scene.answers == [("inference", status)]


@pytest.mark.parametrize(
    ("body", "headers", "status", "field"),
    [
        (b"{", {}, 400, "(record)"),
        (b"", {}, 400, "(record)"),
        (b'{"inputs": [{"name": "x"}]}', {}, 422, "inputs.0.shape"),
        (b'{"inputs": [], "inputs": []}', {}, 422, "inputs"),
        (BODY, {"request-timeout": "soon"}, 400, "headers.request-timeout"),
        (BODY, {"request-timeout": "nan"}, 400, "headers.request-timeout"),
        (BODY, {"request-timeout": "61"}, 400, "headers.request-timeout"),
        (BODY, {"ce-deadline": "2024-05-01T12:00:00Z"}, 400, "headers.ce_deadline"),
        (BODY, {"ce-partitionkey": "%F0%9F%9A%82" * 251}, 400, "headers.ce_partitionkey"),
        (BODY, {"ce-partitionkey": "x" * 300}, 400, "headers.ce_partitionkey"),
        (BODY, {"ce-partitionkey": ""}, 400, "headers.ce_partitionkey"),
        (BODY, {"ce-source": "with blanks"}, 422, "headers.ce_source"),
        (BODY, {"content-type": "text/plain"}, 415, "headers.content-type"),
        (BODY, {"inference-header-content-length": "10"}, 415, "headers.inference-header-content-length"),
        (b" " * (BODY_BYTES + 1), {}, 413, "(record)"),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused_before_it_travels(
    body: bytes, headers: dict[str, str], status: int, field: str
) -> None:
    scene = V2Scene(OK)
    answer = await scene.post(body, PATH, headers)
    assert (answer.status_code, answer.json()["reasons"][0]["field"]) == (status, field)
    assert scene.published == []


async def test_a_model_that_is_not_deployed_is_unknown_and_nothing_travels() -> None:
    scene = V2Scene(OK)
    scene.deploy(deployment(None, model="retired"))
    for name in ("nobody", "retired", "ride%2Flate"):
        answer = await scene.post(BODY, f"/v2/models/{name}/infer")
        assert answer.status_code == 404
    assert scene.published == []


async def test_a_deployment_that_arrives_meanwhile_is_waited_for() -> None:
    scene = V2Scene(OK, settings=IngestionSettings(definition_seconds=5))
    sending = asyncio.create_task(scene.post(BODY, "/v2/models/fresh/infer"))
    await asyncio.sleep(0.01)
    scene.deploy(deployment(model="fresh"))
    assert (await sending).status_code == 200


async def test_with_tokens_only_their_sources_may_ask() -> None:
    tokens = {hashlib.sha256(b"secret").hexdigest(): ("tests",)}
    scene = V2Scene(OK, settings=IngestionSettings(tokens=tokens))
    mine = {"authorization": "Bearer secret"}
    assert (await scene.post(BODY, PATH)).status_code == 401
    assert (await scene.post(BODY, PATH, {**mine, "ce-source": "others"})).status_code == 403
    assert (await scene.post(BODY, PATH, mine)).status_code == 200
    assert [decode_headers(record.headers).source for record in scene.published] == ["tests"]
    assert (await scene.get("/v2/models/ride-late"))[0] == 401
    assert (await scene.get("/v2/models/ride-late/ready"))[0] == 401
    assert (await scene.get("/v2/health/live"))[0] == 200


async def test_requests_that_wait_for_an_answer_are_bounded_and_keep_no_event_out() -> None:
    scene = V2Scene(silent, settings=IngestionSettings(v2_requests=1, v2_seconds=5))
    first = asyncio.create_task(scene.post(BODY, PATH))
    await scene.asked.wait()
    second = await scene.post(BODY, PATH)
    assert (second.status_code, second.headers["retry-after"]) == (503, "1")
    assert (await scene.post(event_body())).status_code == 202
    first.cancel()


async def test_the_room_of_a_client_that_leaves_is_free_when_its_request_has_ended() -> None:
    scene = V2Scene(silent, settings=IngestionSettings(v2_seconds=0.3))
    sent = iter([{"type": "http.request", "body": BODY, "more_body": False}])
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        for event in sent:
            return event
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        del event

    scope = {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
    }  # fmt: skip
    asking = asyncio.create_task(scene.application(scope, receive, send))
    await scene.asked.wait()
    assert scene.v2_in_flight.requests == 1
    left.set()
    done, _ = await asyncio.wait((asking,), timeout=0.1)
    assert not done
    assert scene.v2_in_flight.requests == 1  # it may still be scored
    async with asyncio.timeout(5):
        await asking
    assert (scene.v2_in_flight.requests, scene.v2_in_flight.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("failure", "status", "slug"),
    [
        (OutcomeUnknownError("no word"), 503, "outcome-unknown"),
        (PermanentError("not authorised"), 502, "broker-refused"),
    ],
)
async def test_a_broker_that_does_not_take_a_request_is_told(failure: Exception, status: int, slug: str) -> None:
    scene = V2Scene(OK)
    scene.failure = failure
    answer = await scene.post(BODY, PATH)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:headrace:problem:{slug}")


async def test_a_model_is_described_by_what_producers_send_and_what_inference_answers() -> None:
    scene = V2Scene()
    scene.deploy(deployment(3, canary=4))
    status, found = await scene.get("/v2/models/ride-late")
    assert status == 200
    assert found == {
        "name": "ride-late",
        "versions": ["3", "4"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "distance", "datatype": "FP32", "shape": [-1]},
            {"name": "hour", "datatype": "INT64", "shape": [-1]},
            {"name": "city", "datatype": "BYTES", "shape": [-1]},
            {"name": "phone", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BOOL", "shape": [-1]},
            {"name": "score", "datatype": "FP64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        ],
    }


@pytest.mark.parametrize(
    ("changes", "outputs"),
    [
        ({"target_type": TargetType.REGRESSION, "outputs": ModelOutputs(value="v"), "classes": ()}, ["value FP64"]),
        ({"target_type": TargetType.MULTICLASS, "outputs": ModelOutputs(label="l"), "classes": ("a", "b")}, ["label BYTES"]),
        ({"outputs": ModelOutputs(label="l"), "classes": (0, 1)}, ["label INT64"]),
    ],
)  # fmt: skip
async def test_outputs_follow_from_the_candidate(changes: dict[str, Any], outputs: list[str]) -> None:
    scene = V2Scene()
    scene.served.apply(stored(message(MODELS_CANDIDATES, candidate(**changes), key="k", source="tests")))
    _, found = await scene.get("/v2/models/ride-late")
    assert [f"{each['name']} {each['datatype']}" for each in found["outputs"]] == outputs


async def test_readiness_needs_a_deployment_and_a_process_of_inference_that_says_so() -> None:
    scene = V2Scene()
    paths = ("/v2/health/ready", "/v2/models/ride-late/ready")
    assert [(await scene.get(path))[0] for path in paths] == [200, 200]
    assert (await scene.get("/v2/models/nobody/ready"))[0] == 404
    scene.served.heard(heartbeat(ready=False))
    scene.served.heard(heartbeat(service="validation"))
    assert [(await scene.get(path))[0] for path in paths] == [503, 503]


async def test_the_server_says_what_it_is() -> None:
    scene = V2Scene()
    status, found = await scene.get("/v2")
    assert (status, found["name"], found["extensions"]) == (200, "headrace", [])
    assert await scene.get("/v2/health/live") == (200, {"live": True})
    scene.health.starting("table deployments")
    assert (await scene.get("/v2/health/ready"))[0] == 503
    assert (await scene.post(BODY, PATH)).status_code == 503


async def test_unless_it_is_switched_on_the_protocol_is_not_there() -> None:
    assert IngestionSettings().v2 is False
    off, on = (build(Settings(ingestion=IngestionSettings(v2=v2))) for v2 in (False, True))
    assert {"table responses", "table deployments", "table heartbeats"} == {*on.health.missing} - {*off.health.missing}
    assert len(on.components) - len(off.components) == 3
    answer = await EdgeScene().post(BODY, PATH)
    assert answer.status_code == 404
    async with V2Scene().client() as client:
        found = (await client.get("/openapi.json")).json()
    assert set(found["paths"]) - set(document()["paths"]) == {
        "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/{model}", "/v2/models/{model}/ready", PATH.replace("ride-late", "{model}"),
    }  # fmt: skip


async def test_a_body_that_never_ends_is_given_up() -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    scene = V2Scene(OK, settings=IngestionSettings(body_seconds=0.05))
    assert (await scene.post(stuck(), PATH)).status_code == 408
