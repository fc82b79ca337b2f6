"""Records as they arrive from the validated topics: just enough is decoded to file them, the rest stays bytes."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from schemas.definitions.metadata import FEATURE_SET_REF, NAME
from schemas.events.ingestion import Tick
from schemas.events.validation import ValidatedEvent, ValidatedLabel
from schemas.reasons import RefusedRecordError, Rule, reason
from shared.records import Record

_END: Final = r"\Z"  # Python's $ lets a line break pass
_Ref = Annotated[str, Meta(pattern=FEATURE_SET_REF.removesuffix("$") + _END)]  # it becomes a file's name
_Model = Annotated[str, Meta(pattern=NAME.removesuffix("$") + _END)]  # so does this
_OBJECT: Final = ord("{")


class ArrivedEvent(msgspec.Struct, frozen=True):
    """The body of a validated event; ``features`` stay JSON bytes."""

    feature_set: _Ref
    definition_version: str
    entity_id: str
    occurred_at: datetime
    features: msgspec.Raw


class ArrivedLabel(msgspec.Struct, frozen=True):
    """The body of a validated label; ``value`` stays JSON bytes."""

    model: _Model
    event_id: str
    event_source: str
    entity_id: str
    observed_at: datetime
    value: msgspec.Raw
    label_version: Annotated[int, Meta(ge=1, lt=2**31)] = 1  # its column has 32 bits


class ArrivedTick(msgspec.Struct, frozen=True):
    """Event time has reached ``time`` for ``feature_set`` in the record's partition."""

    feature_set: str
    time: datetime


Arrived = ArrivedEvent | ArrivedLabel | ArrivedTick
_DECODERS: Final[dict[bytes, msgspec.json.Decoder[Any]]] = {
    ValidatedEvent.ce_type.encode(): msgspec.json.Decoder(ArrivedEvent),
    ValidatedLabel.ce_type.encode(): msgspec.json.Decoder(ArrivedLabel),
    Tick.ce_type.encode(): msgspec.json.Decoder(ArrivedTick),
}
STORED_TYPES: Final = frozenset(kind.decode() for kind in _DECODERS)


def arrived(record: Record) -> tuple[Arrived, dict[str, bytes]]:
    """The body of ``record`` and its headers. Raises `RefusedRecordError` for what no validation could have written."""
    headers = dict(record.headers)
    kind = headers.get("ce_type", b"")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise RefusedRecordError(
            (reason("headers.ce_type", Rule.UNKNOWN_TYPE, "a validated record or a tick", repr(kind)),)
        )
    if record.value is None:
        raise RefusedRecordError((reason("(record)", Rule.TOMBSTONE, "a body", "a tombstone"),))
    try:
        body: Arrived = decoder.decode(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RefusedRecordError((reason("(record)", Rule.TYPE, "a validated record", str(error)),)) from error
    if isinstance(body, ArrivedEvent) and memoryview(body.features)[0] != _OBJECT:
        raise RefusedRecordError((reason("features", Rule.NOT_AN_OBJECT, "a JSON object", "another value"),))
    return body, headers
