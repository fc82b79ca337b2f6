"""The envelope's judgement: whether a record can be told from any other at all, and whether it stands where it belongs.

What fails here has no reliable identity or place, so it becomes a dead letter, not a rejection.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from schemas.decoding import check_type
from schemas.envelope import (
    ID_PATTERN,
    JSON,
    MAX_ID,
    SPECVERSION,
    TRACEPARENT_LIMIT,
    Envelope,
    RawHeaders,
    decode_headers,
    parse_time,
)
from schemas.events.ingestion import Event, Label, Tick
from schemas.identities import partition_of
from schemas.reasons import Reason, RefusedRecordError, Rule, reason
from schemas.topics import EVENTS_RAW, LABELS_RAW, TICK, Topic
from shared.records import Record

ANY_TYPE: Final = "*"
_REQUIRED: Final = frozenset(("ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"))
_USUAL: Final = _REQUIRED | {"ce_time", "traceparent"}
_SPECVERSION: Final = SPECVERSION.encode()
_JSON: Final = JSON.encode()
_KINDS: Final = (Event.ce_type, Label.ce_type, Tick.ce_type)


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """A record with an envelope, a body and, unless it is a tick, a key; in the partition of its key."""

    record: Record
    envelope: Envelope
    body: bytes


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A record whose key belongs to another partition of ``topic``: its producer hashes differently."""

    topic: Topic
    partition: int


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A record that cannot be judged; ``reasons`` is never empty."""

    reasons: tuple[Reason, ...]


def admit(record: Record, topic: Topic, partitions: int) -> Admitted | Misplaced | Undeliverable:
    """Judge the envelope of a record of ``topic`` (a raw topic, or the topic of replayed dead letters)."""
    if record.value is None:
        return Undeliverable((reason("(record)", Rule.TOMBSTONE, "a body", "a tombstone"),))
    try:
        envelope = usual_envelope(record.headers) or decode_headers(record.headers)
    except RefusedRecordError as error:
        return Undeliverable(error.reasons)
    faults = check_type(envelope.type, _accepted(topic.messages))
    if envelope.content_type != JSON:
        faults = (*faults, reason("headers.content-type", Rule.CONTENT_TYPE, JSON, envelope.content_type))
    if faults:
        return Undeliverable(faults)
    if len(record.key or b"") > MAX_ID:  # no entity has such a key, and a tick would be passed on with it
        expected = f"an entity_id of at most {MAX_ID} bytes"
        return Undeliverable((reason("key", Rule.KEY_MISMATCH, expected, f"{len(record.key or b'')} bytes"),))
    if envelope.type != TICK:
        if not record.key:
            return Undeliverable((reason("key", Rule.MISSING_KEY, "the entity_id", "absent"),))
        partition = _partition_of(record.key, partitions)
        if partition != record.partition:
            return Misplaced(EVENTS_RAW if envelope.type == Event.ce_type else LABELS_RAW, partition)
    return Admitted(record, envelope, record.value)


def usual_envelope(headers: RawHeaders) -> Envelope | None:
    """What `decode_headers` says, four times as fast, of a record with the plain attributes only; None for any other."""
    found = dict(headers)
    if not (_REQUIRED <= found.keys() <= _USUAL) or len(found) != len(headers):
        return None
    if found["ce_specversion"] != _SPECVERSION or found["content-type"] != _JSON:
        return None
    try:
        identity, source, ce_type = _text(found["ce_id"]), _text(found["ce_source"]), _text(found["ce_type"])
        trace, time = found.get("traceparent"), found.get("ce_time")
        traceparent = None if trace is None else trace.decode()
        sent_at = None if time is None else parse_time(time.decode())
    except ValueError:  # UnicodeDecodeError too
        return None
    if trace is not None and len(trace) > TRACEPARENT_LIMIT:
        return None
    if not (ID_PATTERN.fullmatch(identity) and ID_PATTERN.fullmatch(source) and ce_type):
        return None
    return Envelope(identity, source, ce_type, sent_at, traceparent=traceparent)


def _text(value: bytes | None) -> str:
    return (value or b"").decode()


def check_key(key: bytes | None, entity_id: str) -> tuple[Reason, ...]:
    """The record's key must be the entity its body speaks of: order and joins depend on it."""
    if key == entity_id.encode():
        return ()
    return (reason("key", Rule.KEY_MISMATCH, entity_id, (key or b"").decode(errors="replace")),)


def _accepted(messages: Collection[str]) -> tuple[str, ...]:
    return _KINDS if ANY_TYPE in messages else tuple(messages)


@lru_cache(maxsize=65_536)
def _partition_of(key: bytes, partitions: int) -> int:
    return partition_of(key, partitions)
