"""What a partition holds: events to score, ticks to pass on, requests to answer, and records that cannot be read.

The fast path is one dictionary of headers and one msgspec decode per record; whatever it does not accept is read again by
the contract, which says precisely what is wrong.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from schemas.envelope import MAX_ID, TRACEPARENT_LIMIT
from schemas.events.ingestion import Tick
from schemas.events.open_inference import InferenceRequest
from schemas.events.validation import ValidatedEvent
from schemas.reasons import RefusedRecordError, Rule, reason
from schemas.topics import KIB, PREDICTIONS
from services.inference.requests import Request, read_request
from shared.records import Record, read

LARGEST_EVENT: Final = (
    PREDICTIONS.max_body_bytes - 64 * KIB
)  # its prediction repeats the features; validation writes none as large
_OBJECT: Final = ord("{")
_EVENT_TYPE: Final = ValidatedEvent.ce_type.encode()
_TICK_TYPE: Final = Tick.ce_type.encode()
_REQUEST_TYPE: Final = InferenceRequest.ce_type.encode()


class EventBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A `ValidatedEvent` whose features stay the bytes they are."""

    feature_set: str
    definition_version: str
    entity_id: str
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    features: msgspec.Raw


class EventToScore(msgspec.Struct, gc=False):
    """One event, with where it stands in its batch."""

    position: int  # in the batch, so that outputs keep its order
    record: Record
    id: str
    source: str
    traceparent: bytes | None
    body: EventBody


class TickSeen(msgspec.Struct, gc=False):
    """A tick, to be passed on as it is."""


TICK_SEEN: Final = TickSeen()
_decode: Final = msgspec.json.Decoder(EventBody).decode
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError, ValueError)


def decode(record: Record, position: int) -> EventToScore | TickSeen | Request:
    """What ``record`` is. Raises `RefusedRecordError` with every reason why it is none of the three."""
    try:
        headers = dict(record.headers)
        if headers["ce_type"] == _EVENT_TYPE:
            body = _decode(record.value)  # type: ignore[arg-type]  # a tombstone's None is a TypeError, caught below
            if record.key == body.entity_id.encode() and memoryview(body.features)[0] == _OBJECT:
                identity, source = headers["ce_id"].decode(), headers["ce_source"].decode()
                trace = headers.get("traceparent")
                if _short(identity, source, trace) and len(record.value or b"") <= LARGEST_EVENT:
                    return EventToScore(position, record, identity, source, trace, body)
    except _FAULTS:
        pass
    return _decode_slowly(record, position)


def _short(identity: str, source: str, trace: bytes | None) -> bool:
    """Whether what a prediction repeats of the envelope is no longer than the contract allows."""
    return len(identity) <= MAX_ID and len(source) <= MAX_ID and len(trace or b"") <= TRACEPARENT_LIMIT


def _decode_slowly(record: Record, position: int) -> EventToScore | TickSeen | Request:
    """Ticks and requests; nearly everything else that comes here is to be refused with its reasons."""
    types = [value for name, value in record.headers if name == "ce_type"]
    if _TICK_TYPE in types:
        read(Tick, record)
        return TICK_SEEN
    if types == [_REQUEST_TYPE]:
        return read_request(record, position)
    envelope, event = read(ValidatedEvent, record)
    size = len(record.value or b"")
    if size > LARGEST_EVENT:
        raise RefusedRecordError(
            (reason("(record)", Rule.TOO_LARGE, f"at most {LARGEST_EVENT} bytes", f"{size} bytes"),)
        )
    if record.key is None:
        raise RefusedRecordError((reason("key", Rule.MISSING_KEY, event.entity_id, "absent"),))
    if record.key != event.entity_id.encode():
        raise RefusedRecordError((reason("key", Rule.KEY_MISMATCH, event.entity_id, repr(record.key)),))
    features = msgspec.Raw(msgspec.json.encode(event.features))
    body = EventBody(event.feature_set, event.definition_version, event.entity_id, event.occurred_at, features)
    traceparent = envelope.traceparent.encode() if envelope.traceparent else None
    return EventToScore(position, record, envelope.id, envelope.source, traceparent, body)
