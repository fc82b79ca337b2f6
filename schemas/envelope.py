"""The CloudEvents 1.0 envelope in Kafka's binary binding: attributes in ``ce_`` headers, the body as it is.

Pure: headers in, `Envelope` out. Header decoding lies inside the dead-letter boundary, so everything wrong raises
`schemas.reasons.RefusedRecordError` with the rule that was broken.
Source: CloudEvents Kafka protocol binding 1.0.2, section 3.2.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.reasons import Reason, RefusedRecordError, Rule, reason
from schemas.topics import HEADERS_BYTES

SPECVERSION: Final = "1.0"
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
MAX_HEADERS: Final = 64
TRACEPARENT_LIMIT: Final = 256  # bytes that a fast path takes: W3C's have 55, and later versions may have more
MAX_ID: Final = 128  # characters, and bytes, of an id
ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
ID_EXPECTED: Final = "1 to 128 of A-Z a-z 0-9 . _ : / -"

_encode: Final = msgspec.json.Encoder().encode  # writes a time as isoformat does, ten times as fast

RawHeaders = Sequence[tuple[str, bytes | None]]


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Who says what: ``id`` is unique per ``source``; ``type`` ends in the contract version; ``time`` is UTC or None.

    ``extensions`` are the remaining ``ce_`` attributes, without the prefix. ``traceparent`` is W3C trace context.
    """

    id: str
    source: str
    type: str
    time: datetime | None = None
    content_type: str = JSON
    traceparent: str | None = None
    extensions: Mapping[str, str] = msgspec.field(default_factory=dict)


def encode_headers(envelope: Envelope) -> list[tuple[str, bytes]]:
    """Kafka headers of ``envelope``, in a fixed order."""
    headers = [
        ("ce_specversion", SPECVERSION.encode()),
        ("ce_id", envelope.id.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_type", envelope.type.encode()),
        ("content-type", envelope.content_type.encode()),
    ]
    if envelope.time is not None:
        headers.append(("ce_time", format_time(envelope.time).encode()))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
    headers.extend((f"ce_{name}", value.encode()) for name, value in sorted(envelope.extensions.items()))
    return headers


def decode_headers(headers: RawHeaders) -> Envelope:
    """The envelope that ``headers`` carry; unknown headers without ``ce_`` prefix are ignored.

    Raises `RefusedRecordError` with every fault found.
    """
    if len(headers) > MAX_HEADERS:
        raise RefusedRecordError(
            (reason("headers", Rule.TOO_MANY_HEADERS, f"at most {MAX_HEADERS}", str(len(headers))),)
        )
    size = sum(len(name) + len(value or b"") for name, value in headers)
    if size > HEADERS_BYTES:
        raise RefusedRecordError(
            (reason("headers", Rule.TOO_MANY_HEADERS, f"at most {HEADERS_BYTES} bytes", f"{size} bytes"),)
        )
    faults: list[Reason] = []
    attributes = _attributes(headers, faults)
    faults.extend(
        reason(f"headers.{name}", Rule.MISSING_HEADER, "a value", "absent")
        for name in ("ce_specversion", "ce_id", "ce_source", "ce_type")
        if name not in attributes
    )
    version = attributes.get("ce_specversion", SPECVERSION)
    if version != SPECVERSION:
        faults.append(reason("headers.ce_specversion", Rule.SPECVERSION, SPECVERSION, version))
    for name in ("ce_id", "ce_source"):
        value = attributes.get(name)
        if value is not None and not ID_PATTERN.fullmatch(value):
            faults.append(reason(f"headers.{name}", Rule.ID_FORMAT, ID_EXPECTED, value))
    content_type = attributes.get("content-type", JSON).split(";")[0].strip().lower()
    if content_type not in (JSON, BINARY):
        faults.append(reason("headers.content-type", Rule.CONTENT_TYPE, JSON, content_type))
    time = _time(attributes.get("ce_time"), faults)
    if faults:
        raise RefusedRecordError(tuple(faults))
    known = {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"}
    return Envelope(
        id=attributes["ce_id"],
        source=attributes["ce_source"],
        type=attributes["ce_type"],
        time=time,
        content_type=content_type,
        traceparent=attributes.get("traceparent"),
        extensions={name[3:]: v for name, v in attributes.items() if name.startswith("ce_") and name not in known},
    )


def header(headers: RawHeaders, name: str) -> str | None:
    """One header as text, or None where it is absent or not UTF-8."""
    for key, value in headers:
        if key == name and value is not None:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
    return None


def parse_time(text: str) -> datetime:
    """An RFC 3339 time with offset, as UTC. Raises ValueError for anything else (naive times, epoch numbers)."""
    if not _RFC3339.fullmatch(text):
        message = f"not an RFC 3339 time with offset: {text!r}"
        raise ValueError(message)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:  # the offset leads beyond year 1 or 9999
        message = f"not a time between the years 1 and 9999: {text!r}"
        raise ValueError(message) from error


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with a Z; microseconds only where there are any. ``time`` must be aware."""
    return _encode(time if time.tzinfo is UTC else time.astimezone(UTC))[1:-1].decode()


_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")


def _attributes(headers: RawHeaders, faults: list[Reason]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for name, value in headers:
        if not (name.startswith("ce_") or name in ("content-type", "traceparent")):
            continue
        if name in attributes:  # which of them is meant, nobody can say
            faults.append(reason(f"headers.{name}", Rule.BAD_HEADER, "one value", "several"))
        if value is None:
            continue
        try:
            attributes[name] = value.decode()
        except UnicodeDecodeError:
            faults.append(reason(f"headers.{name}", Rule.BAD_HEADER, "UTF-8", repr(value)))
    return attributes


def _time(text: str | None, faults: list[Reason]) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        faults.append(reason("headers.ce_time", Rule.TIME_FORMAT, "RFC 3339 with offset", text))
        return None
