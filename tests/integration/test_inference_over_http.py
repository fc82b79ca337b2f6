"""The Open Inference Protocol over HTTP on a real Kafka: two edges, one inference, and a topic between them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import inference_models as made
import pytest
from edge_process import ServiceProcess, eventually
from inference_process import InferenceProcess

from schemas.topics import INFERENCE_REQUESTS
from shared.publishing import Publisher
from shared.settings import PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = pytest.mark.kafka

MODEL = made.binary(0.25)
CANDIDATE = made.candidate(MODEL)
DATATYPES = {
    "weight": "FP32", "value": "FP64", "hour": "INT64", "express": "BOOL", "zone": "BYTES", "note": "BYTES", "class": "INT64",
}  # fmt: skip


def body(identity: str, **changes: Any) -> bytes:
    """A request of one row."""
    inputs = [
        {"name": name, "shape": [1], "datatype": DATATYPES[name], "data": [value]}
        for name, value in made.features(**changes).items()
    ]
    return json.dumps({"id": identity, "inputs": inputs, "outputs": [{"name": "score"}]}).encode()


async def test_each_edge_answers_its_own_clients_and_says_what_went_wrong(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish(
            made.definition_message(),
            *made.candidate_messages(MODEL, CANDIDATE),
            made.deployment_message(made.deployment((1, CANDIDATE.digest))),
        )
    env = {**service_env, "HEADRACE_INGESTION__V2": "true"}
    logs = [tmp_path / f"edge-{number}.log" for number in range(2)]
    with ServiceProcess("ingestion", env, logs[0]) as one, ServiceProcess("ingestion", env, logs[1]) as two:
        await asyncio.gather(one.ready(), two.ready())
        async with (
            httpx.AsyncClient(base_url=one.url, timeout=60, headers={"content-type": "application/json"}) as first,
            httpx.AsyncClient(base_url=two.url, timeout=60, headers={"content-type": "application/json"}) as second,
        ):
            late = await first.post("/v2/models/late/infer", content=body("0"), headers={"request-timeout": "0.2"})
            assert (late.status_code, late.json()["type"]) == (504, "urn:headrace:problem:unanswered")
            assert (await first.get("/v2/health/ready")).status_code == 503
            with InferenceProcess(service_env, tmp_path / "inference", tmp_path / "inference.log") as process:
                await process.ready()
                answers = await asyncio.gather(
                    *(
                        (first if number % 2 else second).post(
                            "/v2/models/late/infer",
                            content=body(str(number)),
                            headers={"ce-partitionkey": f"parcel-{number}", "request-timeout": "30"},
                        )
                        for number in range(50)
                    )
                )
                assert [answer.status_code for answer in answers] == [200] * 50
                assert [answer.json()["id"] for answer in answers] == [str(number) for number in range(50)]
                assert {answer.json()["outputs"][0]["data"][0] for answer in answers} == {0.25}
                refused = await second.post("/v2/models/late/infer", content=body("50", hour=None))
                assert (refused.status_code, refused.json()["reasons"][0]["rule"]) == (422, "null")
                unknown = await second.post("/v2/models/early/infer", content=body("51"))
                assert unknown.status_code == 404
                described = (await first.get("/v2/models/late")).json()
                assert {each["name"]: each["datatype"] for each in described["inputs"]} == DATATYPES
                await eventually(
                    lambda: first.get("/v2/models/late/ready"), lambda answer: answer.status_code == 200, "readiness"
                )
    assert (
        len(await read_to_end(settings, INFERENCE_REQUESTS)) == 52
    )  # the late one, fifty, and the one that was refused
