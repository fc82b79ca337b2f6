"""The records that validation writes, one function per outcome.

Bodies and headers are built by hand for speed, byte for byte what the contracts in `schemas.events.validation` give (a
test holds the two together).
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.decoding import SentEvent
from schemas.envelope import JSON, SPECVERSION, Envelope, format_time
from schemas.events.ingestion import Event, Label
from schemas.events.validation import Duplicate, Rejection, ValidatedEvent, ValidatedLabel
from schemas.reasons import Reason
from schemas.topics import EVENTS_DUPLICATES, EVENTS_VALIDATED, LABELS_VALIDATED, Topic
from shared.records import Outgoing, Record

PAYLOAD_HASH: Final = "payloadhash"
_encode: Final = msgspec.json.Encoder().encode
_HASH_HEADER: Final = f"ce_{PAYLOAD_HASH}"
_SPECVERSION: Final = ("ce_specversion", SPECVERSION.encode())
_CONTENT_TYPE: Final = ("content-type", JSON.encode())


class _EventBody(msgspec.Struct, gc=False):
    feature_set: str
    definition_version: str
    entity_id: str
    occurred_at: str
    features: Mapping[str, Any]


class _LabelBody(msgspec.Struct, gc=False):
    model: str
    event_id: str
    event_source: str
    entity_id: str
    observed_at: str
    value: bool | int | float | str
    label_version: int


class _ReasonBody(msgspec.Struct, gc=False):
    field: str
    rule: str
    expected: str
    observed: str


class _OriginBody(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class _RejectionBody(msgspec.Struct, gc=False):
    event_id: str
    event_source: str
    reasons: list[_ReasonBody]
    origin: _OriginBody
    payload_base64: str


class _DuplicateBody(msgspec.Struct, gc=False):
    event_id: str
    event_source: str
    payload_hash: str
    origin: _OriginBody


def validated_event(
    record: Record,
    envelope: Envelope,
    payload_hash: str,
    event: SentEvent | Event,
    ref: str,
    version: str,
    features: Mapping[str, Any],
) -> Outgoing:
    """The event with typed ``features``; ``ref`` is ``name@major``, ``version`` that of the definition."""
    body = _EventBody(ref, version, event.entity_id, format_time(event.occurred_at), features)
    headers = _headers(envelope, ValidatedEvent.ce_type, payload_hash)
    return Outgoing(EVENTS_VALIDATED, record.key, _encode(body), headers)


def validated_label(record: Record, envelope: Envelope, payload_hash: str, label: Label) -> Outgoing:
    """The label as it was sent."""
    body = _LabelBody(
        label.model,
        label.event_id,
        label.event_source,
        label.entity_id,
        format_time(label.observed_at),
        label.value,
        label.label_version,
    )
    headers = _headers(envelope, ValidatedLabel.ce_type, payload_hash)
    return Outgoing(LABELS_VALIDATED, record.key, _encode(body), headers)


def rejection(
    topic: Topic, record: Record, envelope: Envelope, payload_hash: str, reasons: Sequence[Reason]
) -> Outgoing:
    """The record in quarantine: original bytes and every reason. ``topic``: events.rejected or labels.rejected."""
    body = _RejectionBody(
        envelope.id,
        envelope.source,
        [_ReasonBody(each.field, each.rule, each.expected, each.observed) for each in reasons],
        _origin(record),
        base64.b64encode(record.value or b"").decode(),
    )
    return Outgoing(topic, record.key, _encode(body), _headers(envelope, Rejection.ce_type, payload_hash))


def duplicate(record: Record, envelope: Envelope, payload_hash: str) -> Outgoing:
    """A repeated record, without its payload."""
    body = _DuplicateBody(envelope.id, envelope.source, payload_hash, _origin(record))
    return Outgoing(EVENTS_DUPLICATES, record.key, _encode(body), _headers(envelope, Duplicate.ce_type, payload_hash))


def forwarded(topic: Topic, record: Record, *, partition: int | None = None) -> Outgoing:
    """The same key, body and headers on ``topic``: ticks on their way down, misplaced records on their way home."""
    return Outgoing(topic, record.key, record.value, record.headers, partition)


def _headers(envelope: Envelope, ce_type: str, payload_hash: str) -> list[tuple[str, bytes]]:
    headers = [
        _SPECVERSION,
        ("ce_id", envelope.id.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_type", ce_type.encode()),
        _CONTENT_TYPE,
    ]
    if envelope.time is not None:
        headers.append(("ce_time", format_time(envelope.time).encode()))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
    headers.append((_HASH_HEADER, payload_hash.encode()))
    return headers


def _origin(record: Record) -> _OriginBody:
    return _OriginBody(record.topic, record.partition, record.offset, record.timestamp)
