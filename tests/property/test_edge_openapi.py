"""Whatever a client makes of the edge's OpenAPI document, the edge answers what the document says and never fails."""

import json

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from ingestion_scene import EdgeScene
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from schemas.topics import EDGE_RECORD_BYTES
from services.ingestion.openapi import document
from services.ingestion.problems import MEDIA_TYPE
from services.ingestion.settings import IngestionSettings

SCENE = EdgeScene(settings=IngestionSettings(definition_seconds=0))
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
LINE = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Line", "components": document()["components"]})


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
    response = case.call()
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400:
        problem = response.json()
        assert response.headers["content-type"] == [MEDIA_TYPE]
        assert problem["status"] == response.status_code


def test_the_document_is_openapi_3_1_with_every_operation_answering_problems() -> None:
    found = document()
    assert found["openapi"].startswith("3.1")
    for path in found["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                expected = {"202": 1, "207": 1}.get(status)
                assert expected or list(response["content"]) == [MEDIA_TYPE]


@pytest.mark.parametrize("name", ["Event", "Label", "Reason", "Receipt", "Problem", "Line"])
def test_each_of_its_schemas_is_json_schema_2020_12(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(document()["components"]["schemas"][name])


async def test_what_the_document_gives_as_the_largest_record_is_the_largest_record() -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=SCENE.application), base_url="http://edge"
    ) as client:  # type: ignore[arg-type]
        answer = await client.post(
            "/v1/events", content=b" " * (EDGE_RECORD_BYTES + 1), headers={"content-type": "application/json"}
        )
    assert answer.status_code == 413
