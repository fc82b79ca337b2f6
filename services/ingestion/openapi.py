"""The OpenAPI 3.1 description of the edge, made from the contracts."""

from typing import Any, Final

from schemas.envelope import ID_PATTERN
from schemas.events.ingestion import Event, Label
from schemas.reasons import Reason
from services.ingestion import openapi_v2
from services.ingestion.problems import MEDIA_TYPE

BATCH_BYTES: Final = 8 * 1024 * 1024

_JSON: Final = "application/json"
_HEADERS: Final = {
    "ce-id": "Unique per source: whoever resends under the same id is protected from duplicates. Made up where absent.",
    "ce-source": "Who says so.",
    "ce-type": "The contract and its version.",
    "ce-specversion": "1.0",
    "ce-time": "RFC 3339 with offset.",
    "traceparent": "W3C trace context; travels with the record.",
}
_PROBLEMS: Final = {
    "400": "Bytes that cannot be read: empty, not UTF-8, not JSON, trailing data, bad headers",
    "401": "Tokens are configured and none was sent, or an unknown one",
    "403": "The token may not speak for this source",
    "408": "The body took too long",
    "413": "Too large",
    "415": "Content type or encoding that is not taken",
    "422": "The record breaks rules; all of them are listed",
    "500": "An error of headrace: nothing is known of the record, send it again with the same id",
    "502": "Kafka refuses for good: for whoever runs the platform",
    "503": "Come back after Retry-After, with the same id: too busy, or outcome unknown",
}


def document(*, v2: bool = False) -> dict[str, Any]:
    """The whole description, with the Open Inference Protocol where ``v2`` is spoken."""
    problems = _problem_responses()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "headrace ingestion",
            "version": "1",
            "description": "Events and labels in; 202 only after the broker's acknowledgement.",
        },
        "paths": {
            "/v1/events": {"post": _single("event", "Event")},
            "/v1/labels": {"post": _single("label", "Label")},
            "/v1/events:batch": {"post": _batch("events", "Event")},
            "/v1/labels:batch": {"post": _batch("labels", "Label")},
            **(openapi_v2.paths(problems) if v2 else {}),
        },
        "components": {
            "schemas": {
                "Event": _schema(Event),
                "Label": _schema(Label),
                "Reason": Reason.model_json_schema(),
                "Receipt": _RECEIPT,
                "Problem": _PROBLEM,
                "Line": _LINE,
                **(openapi_v2.schemas() if v2 else {}),
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


_TEXT: Final = {"type": "string"}
_RECEIPT: Final = {
    "type": "object",
    "required": ["id", "topic", "partition", "offset"],
    "properties": {
        "id": {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"},
        "topic": _TEXT,
        "partition": {"type": "integer"},
        "offset": {"type": "integer"},
    },
}
_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "id": _TEXT,
        "reasons": {"type": "array", "items": {"$ref": "#/components/schemas/Reason"}},
    },
}
_LINE: Final = {
    "description": "The answer to one line, in the order of the lines that are not blank.",
    "type": "object",
    "required": ["line", "status"],
    "properties": {"line": {"type": "integer"}, "status": {"type": "integer"}},
    "anyOf": [{"$ref": "#/components/schemas/Receipt"}, {"$ref": "#/components/schemas/Problem"}],
}


def _schema(contract: type[Event] | type[Label]) -> dict[str, Any]:
    return contract.model_json_schema(mode="serialization")


def _single(what: str, schema: str) -> dict[str, Any]:
    body = {"$ref": f"#/components/schemas/{schema}"}
    event = {
        "type": "object",
        "required": ["specversion", "data"],
        "properties": {"specversion": {"const": "1.0"}, "id": _TEXT, "source": _TEXT, "type": _TEXT, "data": body},
    }
    return {
        "summary": f"Send one {what}.",
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": meaning, "schema": _TEXT}
            for name, meaning in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": body}, "application/cloudevents+json": {"schema": event}},
        },
        "responses": {
            "202": {
                "description": "Acknowledged by the broker",
                "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Receipt"}}},
            },
            **_problem_responses(),
        },
    }


def _batch(what: str, schema: str) -> dict[str, Any]:
    lines = {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/Line"}}}
    return {
        "summary": f"Send {what}, one a line. Accepted lines stay accepted, whatever becomes of the others.",
        "description": f"At most {BATCH_BYTES} bytes. A line is a {schema}, or a structured CloudEvent, which carries its id.",
        "requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": _TEXT}}},
        "responses": {
            "202": {"description": "Every line was accepted", "content": lines},
            "207": {"description": "At least one line was refused", "content": lines},
            **_problem_responses(),
        },
    }


def _problem_responses() -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": meaning, "content": content} for status, meaning in _PROBLEMS.items()}
