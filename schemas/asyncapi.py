"""The AsyncAPI 3.0 document of the whole platform, made from the topic catalogue and the contract records."""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas.contracts import ARTIFACT_CHUNK, contracts
from schemas.envelope import BINARY, ID_PATTERN, JSON, SPECVERSION
from schemas.events.contract import Contract
from schemas.topics import CATALOGUE, CLIENTS, PRODUCERS, SERVICES, Partitioning, Topic

VERSION: Final = "1.0.0"  # of the document's own layout; every message carries its version in its type
PREFIX: Final = "headrace."
BINDING: Final = "0.5.0"
ANY: Final = "any-record"


def asyncapi() -> dict[str, Any]:
    """The document as JSON-ready values: channels (topics), operations (service × topic), messages and their schemas."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "headrace",
            "version": VERSION,
            "description": "Every topic of the platform, who writes and reads it, and what stands on it. "
            "CloudEvents 1.0 in Kafka's binary binding: attributes in ce_ headers, the body as JSON.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {
            "kafka": {
                "host": "{bootstrapServers}",
                "protocol": "kafka",
                "description": "A Kafka cluster; plain, or SASL over TLS, as configured.",
                "variables": {"bootstrapServers": {"default": "localhost:9092"}},
            }
        },
        "channels": {topic.name: _channel(topic) for topic in CATALOGUE},
        "operations": dict(_operation(who, action, topic) for topic in CATALOGUE for action, who in _parts(topic)),
        "components": {"messages": _messages(), "schemas": _payload_schemas()},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    entity = topic.partitioning is Partitioning.ENTITY
    settings: dict[str, Any] = {
        "cleanup.policy": topic.cleanup.value.split(","),
        "retention.ms": int(topic.config["retention.ms"]),
        "max.message.bytes": topic.max_message_bytes,
    }
    kafka: dict[str, Any] = {
        "topic": f"{PREFIX}{topic.name}",
        "topicConfiguration": settings,
        "bindingVersion": BINDING,
    }
    if not entity:
        kafka["partitions"] = 1
    return {
        "address": f"{PREFIX}{topic.name}",
        "title": topic.name,
        "description": topic.summary,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {_name(message): {"$ref": f"#/components/messages/{_name(message)}"} for message in topic.messages},
        "bindings": {"kafka": kafka},
        "x-key": topic.key,
        "x-partitions": "the platform's count, the same for all entity topics" if entity else "1",
        "x-compression": "uncompressed" if topic.uncompressed else "producer",
    }


def _parts(topic: Topic) -> list[tuple[str, str]]:
    return [("send", who) for who in topic.writers] + [("receive", who) for who in topic.readers]


def _operation(who: str, action: str, topic: Topic) -> tuple[str, dict[str, Any]]:
    inside = who in SERVICES
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"{who} {'writes' if action == 'send' else 'reads'} {topic.name}",
        "tags": [{"name": who if inside or who in (PRODUCERS, CLIENTS) else "other"}],
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{_name(message)}"} for message in topic.messages],
        "bindings": {"kafka": {"clientId": {"type": "string"}, "bindingVersion": BINDING}},
    }
    return f"{who}.{action}.{topic.name}", operation


def _messages() -> dict[str, Any]:
    messages = {name: _message(name, cls) for name, cls in contracts().items()}
    messages[ARTIFACT_CHUNK] = {
        "name": ARTIFACT_CHUNK,
        "title": "ArtifactChunk",
        "summary": "At most 512 KiB of a model's ONNX bytes; key digest/i.",
        "contentType": BINARY,
        "headers": _headers(ARTIFACT_CHUNK, BINARY),
        "bindings": _key_binding(),
    }
    messages[ANY] = {
        "name": ANY,
        "title": "AnyRecord",
        "summary": "The original record, whatever it was.",
        "contentType": BINARY,
    }
    return dict(sorted(messages.items()))


def _message(name: str, cls: type[Contract]) -> dict[str, Any]:
    return {
        "name": name,
        "title": cls.__name__,
        "summary": " ".join((cls.__doc__ or "").split("\n\n")[0].split()),
        "contentType": JSON,
        "headers": _headers(name, JSON),
        "payload": {"$ref": f"#/components/schemas/{cls.__name__}"},
        "bindings": _key_binding(),
    }


def _headers(ce_type: str, content_type: str) -> dict[str, Any]:
    identifier = {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"}
    return {
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
        "properties": {
            "ce_specversion": {"type": "string", "const": SPECVERSION},
            "ce_id": {**identifier, "description": "Unique per ce_source."},
            "ce_source": identifier,
            "ce_type": {"type": "string", "const": ce_type},
            "ce_time": {"type": "string", "format": "date-time"},
            "content-type": {"type": "string", "const": content_type},
            "traceparent": {"type": "string", "description": "W3C trace context."},
        },
        "additionalProperties": {"type": "string"},
    }


def _key_binding() -> dict[str, Any]:
    return {"kafka": {"key": {"type": "string"}, "bindingVersion": BINDING}}


def _payload_schemas() -> dict[str, Any]:
    _, joined = models_json_schema(
        [(cls, "validation") for cls in contracts().values()],
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    return {name: _draft7(schema) for name, schema in sorted(joined["$defs"].items())}


def _draft7(schema: Any) -> Any:
    """The schema in AsyncAPI's dialect: tuples as lists of items, no OpenAPI discriminator objects."""
    if isinstance(schema, list):
        return [_draft7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        name: _draft7(each) for name, each in schema.items() if not (name == "discriminator" and isinstance(each, dict))
    }
    if isinstance(result.get("prefixItems"), list):
        result["items"] = result.pop("prefixItems")
    return result


def _name(message: str) -> str:
    return ANY if message == "*" else message
