"""Defects of what stands around a body: HTTP headers, Kafka headers, key. The body itself is good."""

from dataclasses import dataclass
from typing import Final, Literal

from rides import event_body

Pairs = tuple[tuple[str, str], ...]
RawPairs = tuple[tuple[str, bytes | None], ...]

HTTP: Final[dict[str, str]] = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "id-1",
    "ce-source": "tests",
    "ce-type": "headrace.event.v1",
}
KAFKA: Final[dict[str, bytes | None]] = {
    "ce_specversion": b"1.0",
    "ce_id": b"id-1",
    "ce_source": b"tests",
    "ce_type": b"headrace.event.v1",
    "content-type": b"application/json",
}


@dataclass(frozen=True, slots=True)
class BadEnvelope:
    """An envelope that HTTP answers with ``status`` and that becomes a dead letter over Kafka, both with ``code``.

    ``http`` or ``kafka`` is None where the defect cannot exist there, or where that side completes what is absent.
    """

    name: str
    code: str
    status: int | None = None
    http: Pairs | None = None
    kafka: RawPairs | None = None
    key: bytes | None = b"e1"
    value: bytes | None = event_body()
    topic: Literal["events.raw", "labels.raw"] = "events.raw"


def _both(name: str, code: str, status: int, attribute: str, value: str) -> BadEnvelope:
    """A bad value of one attribute, in both bindings."""
    return BadEnvelope(
        name,
        code,
        status,
        tuple({**HTTP, f"ce-{attribute}": value}.items()),
        tuple({**KAFKA, f"ce_{attribute}": value.encode()}.items()),
    )


def _absent(attribute: str) -> BadEnvelope:
    headers = tuple((name, value) for name, value in KAFKA.items() if name != f"ce_{attribute}")
    return BadEnvelope(f"missing-{attribute}", "missing_header", kafka=headers)


def _kafka(name: str, code: str, **attributes: bytes | None) -> BadEnvelope:
    return BadEnvelope(name, code, kafka=tuple({**KAFKA, **attributes}.items()))


def _http(name: str, code: str, status: int, **headers: str) -> BadEnvelope:
    changed = {header.replace("_", "-"): value for header, value in headers.items()}
    return BadEnvelope(name, code, status, http=tuple({**HTTP, **changed}.items()))


ENVELOPES: Final = (
    _absent("specversion"),
    _absent("id"),
    _absent("source"),
    _absent("type"),
    _kafka("null-id", "missing_header", ce_id=None),
    BadEnvelope("no-headers", "missing_header", kafka=()),
    _both("specversion-0.3", "specversion", 422, "specversion", "0.3"),
    _both("empty-specversion", "specversion", 422, "specversion", ""),
    _both("unknown-version", "unknown_version", 422, "type", "headrace.event.v2"),
    _both("version-before-the-first", "unknown_version", 422, "type", "headrace.event.v0"),
    _both("unknown-type", "unknown_type", 422, "type", "com.example.event.v1"),
    _both("empty-type", "unknown_type", 422, "type", ""),
    _both("type-of-another-topic", "unknown_type", 422, "type", "headrace.label.v1"),
    _both("type-in-capitals", "unknown_type", 422, "type", "HEADRACE.EVENT.V1"),
    _both("id-with-a-blank", "id_format", 422, "id", "a b"),
    _both("empty-id", "id_format", 422, "id", ""),
    _both("id-too-long", "id_format", 422, "id", "x" * 129),
    _both("source-with-a-query", "id_format", 422, "source", "https://example.com/?a=1"),
    _both("time-is-a-word", "time_format", 422, "time", "yesterday"),
    _both("naive-time", "time_format", 422, "time", "2024-05-01T10:00:00"),
    BadEnvelope(
        "id-twice",
        "bad_header",
        400,
        (*HTTP.items(), ("ce-id", "id-2")),
        (*KAFKA.items(), ("ce_id", b"id-2")),
    ),
    BadEnvelope(
        "content-type-twice",
        "content_type",
        415,
        (*HTTP.items(), ("content-type", "text/plain")),
    ),
    BadEnvelope("kafka-content-type-twice", "bad_header", kafka=(*KAFKA.items(), ("content-type", b"text/plain"))),
    BadEnvelope(
        "header-not-utf-8",
        "bad_header",
        400,
        (*HTTP.items(), ("ce-note", "%ff")),
        (*KAFKA.items(), ("ce_note", b"\xff")),
    ),
    BadEnvelope(
        "a-thousand-headers",
        "too_many_headers",
        400,
        (*HTTP.items(), *((f"ce-x{number}", "1") for number in range(1000))),
        (*KAFKA.items(), *((f"ce_x{number}", b"1") for number in range(1000))),
    ),
    BadEnvelope(
        "a-thousand-foreign-headers",
        "too_many_headers",
        kafka=(*KAFKA.items(), *((f"x{number}", b"1") for number in range(1000))),
    ),
    _kafka("an-endless-header", "too_many_headers", note=b"x" * 900_000),
    _kafka("an-endless-trace", "too_many_headers", traceparent=b"x" * 900_000),
    BadEnvelope("endless-key", "key_mismatch", kafka=tuple(KAFKA.items()), key=b"e" * 400_000),
    BadEnvelope(
        "content-type-text",
        "content_type",
        415,
        tuple({**HTTP, "content-type": "text/plain"}.items()),
        tuple({**KAFKA, "content-type": b"text/plain"}.items()),
    ),
    BadEnvelope(
        "content-type-binary",
        "content_type",
        415,
        tuple({**HTTP, "content-type": "application/octet-stream"}.items()),
        tuple({**KAFKA, "content-type": b"application/octet-stream"}.items()),
    ),
    _http("content-type-absent", "content_type", 415, content_type=""),
    _http("charset-latin-1", "content_type", 415, content_type="application/json; charset=latin-1"),
    _http("gzip-encoding", "content_type", 415, content_encoding="gzip"),
    _http("two-encodings", "content_type", 415, content_encoding="identity, gzip"),
    _http("extension-name", "bad_header", 400, ce_far_away="x"),
    _http("extension-too-long", "bad_header", 400, ce_note="x" * 300),
    _kafka("structured-mode", "content_type", **{"content-type": b"application/cloudevents+json"}),
    BadEnvelope("tombstone", "tombstone", kafka=tuple(KAFKA.items()), value=None),
    BadEnvelope("missing-key", "missing_key", kafka=tuple(KAFKA.items()), key=None),
    BadEnvelope("empty-key", "missing_key", kafka=tuple(KAFKA.items()), key=b""),
    BadEnvelope("key-of-another-entity", "key_mismatch", kafka=tuple(KAFKA.items()), key=b"e9"),
    BadEnvelope("key-not-utf-8", "key_mismatch", kafka=tuple(KAFKA.items()), key=b"\xff\xfe"),
    BadEnvelope("event-among-labels", "unknown_type", kafka=tuple(KAFKA.items()), topic="labels.raw"),
)  # fmt: skip
