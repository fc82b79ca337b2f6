"""Whatever a client makes of the edge's OpenAPI document, the edge answers what the document says and never fails."""

import json

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from v2_scene import V2Scene, answering, heartbeat

from schemas.topics import EDGE_RECORD_BYTES
from services.ingestion.openapi import document
from services.ingestion.problems import MEDIA_TYPE
from services.ingestion.settings import IngestionSettings

SCORE = {"name": "score", "shape": [1], "datatype": "FP64", "data": [0.25]}
SCENE = V2Scene(
    answering("ok", id="mine", model_version="3", outputs=[SCORE]),
    settings=IngestionSettings(definition_seconds=0),
)
SCHEMA = schemathesis.openapi.from_asgi(
    "/openapi.json", SCENE.application, config=SchemathesisConfig.from_dict({"seed": 1})
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


LINES = "application/x-ndjson"
DOCUMENT = document(v2=True)
LINE = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Line", "components": DOCUMENT["components"]})


@schemathesis.serializer(LINES)
def lines(context: schemathesis.SerializationContext, value: object) -> bytes:
    """The body of a batch is text; what the document's generator leaves of it is sent as it is."""
    del context
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.deserializer(LINES)
def answers(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> object:
    """Every line is judged here; OpenAPI 3.1 has no word for a sequence, so it is shown the first."""
    del context
    found = [json.loads(line) for line in response.content.splitlines()]
    for each in found:
        LINE.validate(each)
    return found[0]


@SCHEMA.parametrize()
@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_a_documented_one(case: schemathesis.Case) -> None:
    SCENE.served.heard(heartbeat())
    response = case.call()
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400:
        problem = response.json()
        assert response.headers["content-type"] == [MEDIA_TYPE]
        assert problem["status"] == response.status_code


def test_the_document_is_openapi_3_1_with_every_operation_answering_problems() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    operations = [each[method] for each in DOCUMENT["paths"].values() for method in ("get", "post") if method in each]
    assert len(operations) == 10
    for operation in operations:
        for status, response in operation["responses"].items():
            assert status in ("200", "202", "207") or list(response["content"]) == [MEDIA_TYPE]


async def test_the_body_that_the_document_asks_for_is_answered_like_the_document_says() -> None:
    request = {"inputs": [{"name": "distance", "shape": [1], "datatype": "FP32", "data": [1.5]}]}
    schemas = {"components": DOCUMENT["components"]}
    jsonschema.validate(request, {"$ref": "#/components/schemas/InferenceRequest", **schemas})
    answer = await SCENE.post(json.dumps(request), "/v2/models/ride-late/infer")
    assert answer.status_code == 200
    jsonschema.validate(answer.json(), {"$ref": "#/components/schemas/InferenceResponse", **schemas})
    status, described = await SCENE.get("/v2/models/ride-late")
    assert status == 200
    jsonschema.validate(described, {"$ref": "#/components/schemas/ModelMetadata", **schemas})


@pytest.mark.parametrize("name", list(DOCUMENT["components"]["schemas"]))
def test_each_of_its_schemas_is_json_schema_2020_12(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


async def test_what_the_document_gives_as_the_largest_record_is_the_largest_record() -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=SCENE.application), base_url="http://edge"
    ) as client:  # type: ignore[arg-type]
        answer = await client.post(
            "/v1/events", content=b" " * (EDGE_RECORD_BYTES + 1), headers={"content-type": "application/json"}
        )
    assert answer.status_code == 413
