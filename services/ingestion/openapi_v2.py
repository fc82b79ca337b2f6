"""The part of the OpenAPI description that is the Open Inference Protocol V2."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.events.open_inference import InferenceRequest, InferenceResponse

_JSON: Final = "application/json"
_TEXT: Final = {"type": "string"}
_STATUSES: Final = {
    "infer": ("400", "401", "403", "404", "408", "413", "415", "422", "500", "502", "503", "504"),
    "model": ("401", "404", "500", "503"),
    "server": ("500", "503"),
}
_MEANINGS: Final = {
    "400": "Bytes that cannot be read, bad headers, or no rows",
    "404": "No model of that name is deployed and served",
    "422": "The request breaks rules; the first 50 are listed",
    "500": "The model failed on a row, or an error of headrace",
    "503": "Come back after Retry-After: too busy, not ready, or outcome unknown",
    "504": "No answer before the deadline",
}
_HEADERS: Final = {
    "request-timeout": ("Seconds that the answer is waited for, above 0 and at most 60.", {"type": "string"}),
    "ce-partitionkey": (
        "The entity: decides between champion and canary. Without it each request is on its own.",
        _TEXT,
    ),
    "ce-source": ("Who asks.", _TEXT),
    "traceparent": ("W3C trace context; travels with the request.", _TEXT),
}
_TENSOR: Final = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {"name": _TEXT, "datatype": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}}},
}
_METADATA: Final = {
    "type": "object",
    "required": ["name", "versions", "platform", "inputs", "outputs"],
    "properties": {
        "name": _TEXT,
        "versions": {"type": "array", "items": _TEXT},
        "platform": _TEXT,
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}


def schemas() -> dict[str, Any]:
    """What the component schemas gain."""
    found: dict[str, Any] = {"ModelMetadata": _METADATA}
    for contract in (InferenceRequest, InferenceResponse):
        schema = contract.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs")
        found[contract.__name__] = schema
    return found


def paths(responses: Mapping[str, Any]) -> dict[str, Any]:
    """What the paths gain; ``responses`` are the problems by status that every address may answer."""
    name = {"name": "model", "in": "path", "required": True, "schema": _TEXT}
    return {
        "/v2": {"get": _get("What this server is.", "server", responses, _object(name=_TEXT, version=_TEXT))},
        "/v2/health/live": {"get": _get("Whether it lives.", "server", responses, _object(live={"type": "boolean"}))},
        "/v2/health/ready": {
            "get": _get(
                "Whether it is ready, and a process of inference too.", "server", responses,
                _object(ready={"type": "boolean"}),
            )
        },
        "/v2/models/{model}": {
            "parameters": [name],
            "get": _get("What a model takes and gives.", "model", responses, _ref("ModelMetadata")),
        },
        "/v2/models/{model}/ready": {
            "parameters": [name],
            "get": _get(
                "Whether it has a champion and a process of inference is ready.", "model", responses,
                _object(name=_TEXT, ready={"type": "boolean"}),
            ),
        },
        "/v2/models/{model}/infer": {"parameters": [name], "post": _infer(responses)},
    }  # fmt: skip


def _infer(responses: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "summary": "Ask a model.",
        "description": "Open Inference Protocol V2 with tensors as JSON. One input for each feature that producers send.",
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": meaning, "schema": schema}
            for name, (meaning, schema) in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {_JSON: {"schema": _ref("InferenceRequest")}}},
        "responses": {"200": _ok("The outputs", _ref("InferenceResponse")), **_problems("infer", responses)},
    }


def _get(summary: str, kind: str, responses: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    open_to_all: dict[str, Any] = {"security": []} if kind == "server" else {}
    return {"summary": summary, **open_to_all, "responses": {"200": _ok("Yes", schema), **_problems(kind, responses)}}


def _ok(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _problems(kind: str, responses: Mapping[str, Any]) -> dict[str, Any]:
    template = responses["500"]
    return {
        status: {**template, "description": _MEANINGS.get(status) or responses[status]["description"]}
        for status in _STATUSES[kind]
    }


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
