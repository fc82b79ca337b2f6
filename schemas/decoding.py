"""Bytes that producers sent, judged by the letter and against the contract of events, labels and ticks.

Each function is pure. Times are checked against ``now`` where it is given: the broker's append time for records from a
topic (so that a replay judges alike), the wall clock at the edge.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.envelope import ID_EXPECTED, ID_PATTERN, parse_time
from schemas.events.ingestion import Label, Tick
from schemas.reasons import Reason, RefusedRecordError, Rule, capped, reason
from schemas.strict_json import WHOLE, parse
from schemas.topics import EDGE_RECORD_BYTES

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LABEL_VERSIONS: Final = range(1, 2**31)

_EVENT_FIELDS: Final = dict.fromkeys(("feature_set", "entity_id", "occurred_at", "features"))
_LABEL_FIELDS: Final = dict.fromkeys(("model", "event_id", "event_source", "entity_id", "observed_at", "value"))
_TICK_FIELDS: Final = dict.fromkeys(("feature_set", "time"))
_TYPE: Final = re.compile(r"(headrace\.[a-z.-]+?)\.v(\d{1,9})")
_KINDS: Final = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    dict: "an object",
    list: "an array",
}


class SentEvent(msgspec.Struct, frozen=True, gc=False):
    """A `schemas.events.ingestion.Event` on the hot path: the same fields, made in a fiftieth of the time."""

    feature_set: str
    entity_id: str
    occurred_at: datetime
    features: dict[str, Any]


def decode_strict(payload: bytes, *, limit: int = EDGE_RECORD_BYTES) -> dict[str, Any]:
    """The JSON object that ``payload`` holds.

    Raises `RefusedRecordError` with the rules of `schemas.strict_json.parse`, or not_an_object.
    """
    value = parse(payload, limit=limit)
    if not isinstance(value, dict):
        raise RefusedRecordError((reason(WHOLE, Rule.NOT_AN_OBJECT, "a JSON object", kind_of(value)),))
    return value


def decode_event(payload: bytes, *, now: datetime | None = None) -> SentEvent:
    """An event as its producer sent it; its features are not judged yet.

    Raises `RefusedRecordError` with every fault of the record.
    """
    return event_of(decode_strict(payload), now=now)


def decode_label(payload: bytes, *, now: datetime | None = None) -> Label:
    """A label as its producer sent it; whether the value suits the model is for `schemas.labels`.

    Raises `RefusedRecordError` with every fault of the record.
    """
    return label_of(decode_strict(payload), now=now)


def decode_tick(payload: bytes) -> Tick:
    """A tick. Raises `RefusedRecordError`; its time may lie anywhere, since only the platform writes ticks."""
    record = decode_strict(payload)
    faults = _field_faults(record, _TICK_FIELDS, ())
    _check_text(record, "feature_set", faults)
    time = _time(record, "time", None, faults)
    if faults or time is None:
        raise RefusedRecordError(capped(faults))
    return Tick.model_construct(feature_set=record["feature_set"], time=time)


def event_of(record: dict[str, Any], *, now: datetime | None = None) -> SentEvent:
    """The event in a decoded JSON object (a line of a batch, the data of a structured CloudEvent); raises like `decode_event`."""
    faults = _field_faults(record, _EVENT_FIELDS, ())
    _check_text(record, "feature_set", faults)
    _check_id(record, "entity_id", faults)
    occurred_at = _time(record, "occurred_at", now, faults)
    if "features" in record and type(record["features"]) is not dict:
        faults.append(reason("features", Rule.TYPE, "an object", kind_of(record["features"])))
    if faults or occurred_at is None:
        raise RefusedRecordError(capped(faults))
    return SentEvent(record["feature_set"], record["entity_id"], occurred_at, record["features"])


def label_of(record: dict[str, Any], *, now: datetime | None = None) -> Label:
    """The label in a decoded JSON object; raises like `decode_label`."""
    faults = _field_faults(record, _LABEL_FIELDS, ("label_version",))
    _check_text(record, "model", faults)
    for name in ("event_id", "event_source", "entity_id"):
        _check_id(record, name, faults)
    observed_at = _time(record, "observed_at", now, faults)
    if "value" in record and type(record["value"]) not in (bool, int, float, str):
        faults.append(reason("value", Rule.TYPE, "a boolean, number or string", kind_of(record["value"])))
    version = record.get("label_version", 1)
    if type(version) is not int:
        faults.append(reason("label_version", Rule.TYPE, "an integer", kind_of(version)))
    elif version not in LABEL_VERSIONS:
        faults.append(reason("label_version", Rule.RANGE, f"1..{LABEL_VERSIONS.stop - 1}", str(version)))
    if faults or observed_at is None:
        raise RefusedRecordError(capped(faults))
    return Label.model_construct(
        model=record["model"],
        event_id=record["event_id"],
        event_source=record["event_source"],
        entity_id=record["entity_id"],
        observed_at=observed_at,
        value=record["value"],
        label_version=version,
    )


def check_type(ce_type: str, accepted: tuple[str, ...]) -> tuple[Reason, ...]:
    """Whether a record's ``ce_type`` is one of those its topic carries: unknown_type, or unknown_version of a known one."""
    if ce_type in accepted:
        return ()
    expected = ", ".join(accepted)
    match = _TYPE.fullmatch(ce_type)
    families = {name.rpartition(".v")[0] for name in accepted}
    rule = Rule.UNKNOWN_VERSION if match is not None and match[1] in families else Rule.UNKNOWN_TYPE
    return (reason("headers.ce_type", rule, expected, ce_type),)


def kind_of(value: object) -> str:
    """What a JSON value is, in words; the value itself is not repeated."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def _field_faults(record: dict[str, Any], required: dict[str, None], optional: tuple[str, ...]) -> list[Reason]:
    if record.keys() == required.keys():
        return []
    faults = [reason(name, Rule.MISSING_FIELD, "a value", "absent") for name in required if name not in record]
    if len(record) + len(faults) > len(required):
        known = {*required, *optional}
        faults.extend(
            reason(name, Rule.EXTRA_FIELD, "no such field", kind_of(record[name]))
            for name in record
            if name not in known
        )
    return faults


def _check_text(record: dict[str, Any], name: str, faults: list[Reason]) -> None:
    if name in record and type(record[name]) is not str:
        faults.append(reason(name, Rule.TYPE, "a string", kind_of(record[name])))


def _check_id(record: dict[str, Any], name: str, faults: list[Reason]) -> None:
    if name not in record:
        return
    value = record[name]
    if type(value) is not str:
        faults.append(reason(name, Rule.TYPE, "a string", kind_of(value)))
    elif not ID_PATTERN.fullmatch(value):
        faults.append(reason(name, Rule.ID_FORMAT, ID_EXPECTED, value))


def _time(record: dict[str, Any], name: str, now: datetime | None, faults: list[Reason]) -> datetime | None:
    if name not in record:
        return None
    text = record[name]
    if type(text) is not str:
        faults.append(reason(name, Rule.TIME_FORMAT, "RFC 3339 with offset, as a string", kind_of(text)))
        return None
    try:
        time = parse_time(text)
    except ValueError:
        faults.append(reason(name, Rule.TIME_FORMAT, "RFC 3339 with offset", text))
        return None
    if time < EPOCH:
        faults.append(reason(name, Rule.TIME_RANGE, "1970 or later", text))
    elif now is not None and time > now + FUTURE_TOLERANCE:
        faults.append(reason(name, Rule.TIME_RANGE, "at most 5 minutes in the future", text))
    return time
