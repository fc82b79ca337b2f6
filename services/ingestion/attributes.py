"""CloudEvents attributes at the edge: from ``ce-*`` headers or from a structured event, completed where they are absent."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote
from uuid import uuid4

import msgspec

from schemas.decoding import check_type, kind_of
from schemas.envelope import ID_EXPECTED, ID_PATTERN, JSON, SPECVERSION, Envelope, parse_time
from schemas.reasons import Reason, RefusedRecordError, Rule, reason
from shared import tracing

MAX_EXTENSIONS: Final = 20
MAX_EXTENSION_TEXT: Final = 256  # characters: headers must fit beside the largest record
_EXTENSION_NAME: Final = re.compile(r"[a-z0-9]{1,20}")
_CORE: Final = frozenset(("specversion", "id", "source", "type", "time", "datacontenttype", "traceparent"))
_DATA: Final = frozenset(("data", "data_base64"))


class _Structured(msgspec.Struct):
    data: msgspec.Raw


def from_headers(headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The attributes in HTTP's binary binding, percent-decoded. Raises `RefusedRecordError` for one that is repeated, or
    that is not UTF-8.

    Source: CloudEvents HTTP protocol binding 1.0.2, section 3.1.3.
    """
    found: dict[str, Any] = {}
    for name, value in headers:
        lower = name.lower()
        attribute = lower.removeprefix("ce-")
        if attribute == lower:
            continue
        if attribute in found:
            raise RefusedRecordError((reason(_field(attribute), Rule.BAD_HEADER, "one value", "several"),))
        found[attribute] = _unquoted(attribute, value)
    return found


def _unquoted(attribute: str, value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise RefusedRecordError(
            (reason(_field(attribute), Rule.BAD_HEADER, "UTF-8, percent-encoded", value),)
        ) from None


def from_structured(event: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a structured event: everything but its data."""
    return {name: value for name, value in event.items() if name not in _DATA}


def data_of(event: Mapping[str, Any], text: bytes) -> tuple[dict[str, Any], bytes]:
    """The data of a structured event, decoded and as the bytes that stand in ``text``. Raises `RefusedRecordError`."""
    if "data_base64" in event:
        raise RefusedRecordError((reason("data_base64", Rule.CONTENT_TYPE, "data, as JSON", "data_base64"),))
    if "data" not in event:
        raise RefusedRecordError((reason("data", Rule.MISSING_FIELD, "a value", "absent"),))
    data = event["data"]
    if not isinstance(data, dict):
        raise RefusedRecordError((reason("data", Rule.NOT_AN_OBJECT, "a JSON object", kind_of(data)),))
    return data, bytes(msgspec.json.decode(text, type=_Structured).data)


def envelope_of(attributes: Mapping[str, Any], *, kind: str, source: str, trace: str) -> Envelope:
    """The envelope of a record of ``kind`` (its ``ce_type``); ``source`` stands in where none is named, the
    request's ``trace`` where the event continues none of its own.

    A missing id is made up: it identifies the record from here on, but protects nobody who sends it twice. Raises
    `RefusedRecordError` with every fault.
    """
    read = {name: _text(name, value) for name, value in attributes.items()}
    texts = {name: text for name, text in read.items() if text is not None}
    faults = [
        reason(_field(name), Rule.TYPE, "a string", kind_of(attributes[name])) for name in read if read[name] is None
    ]
    faults.extend(_core_faults(texts, kind))
    time, time_faults = _time(texts.get("time"))
    extensions = {name: text for name, text in texts.items() if name not in _CORE}
    faults += [*time_faults, *_extension_faults(extensions)]
    if faults:
        raise RefusedRecordError(tuple(faults))
    return Envelope(
        id=texts.get("id") or str(uuid4()),
        source=texts.get("source", source),
        type=kind,
        time=time,
        traceparent=tracing.child(texts["traceparent"]) if "traceparent" in texts else trace,
        extensions=extensions,
    )


def _core_faults(texts: Mapping[str, str], kind: str) -> list[Reason]:
    version = texts.get("specversion", SPECVERSION)
    faults = (
        [] if version == SPECVERSION else [reason("headers.ce_specversion", Rule.SPECVERSION, SPECVERSION, version)]
    )
    faults += [
        reason(f"headers.ce_{name}", Rule.ID_FORMAT, ID_EXPECTED, texts[name])
        for name in ("id", "source")
        if name in texts and not ID_PATTERN.fullmatch(texts[name])
    ]
    faults.extend(check_type(texts.get("type", kind), (kind,)))
    content_type = texts.get("datacontenttype", JSON).split(";")[0].strip().lower()
    if content_type != JSON:
        faults.append(reason("headers.content-type", Rule.CONTENT_TYPE, JSON, content_type))
    return faults


def _time(text: str | None) -> tuple[datetime | None, list[Reason]]:
    try:
        return (None if text is None else parse_time(text)), []
    except ValueError:
        return None, [reason("headers.ce_time", Rule.TIME_FORMAT, "RFC 3339 with offset", text)]


def _text(name: str, value: object) -> str | None:
    """An attribute as text; extensions may be booleans and integers too."""
    if isinstance(value, str):
        return value
    if name in _CORE:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _extension_faults(extensions: Mapping[str, str]) -> list[Reason]:
    if len(extensions) > MAX_EXTENSIONS:
        return [reason("headers", Rule.TOO_MANY_HEADERS, f"at most {MAX_EXTENSIONS} extensions", str(len(extensions)))]
    return [fault for name, text in extensions.items() if (fault := _extension_fault(name, text)) is not None]


def _extension_fault(name: str, text: str) -> Reason | None:
    if not _EXTENSION_NAME.fullmatch(name):
        return reason(f"headers.ce_{name[:40]}", Rule.BAD_HEADER, "a name of 1 to 20 of a-z 0-9", name)
    if len(text) > MAX_EXTENSION_TEXT:
        return reason(f"headers.ce_{name}", Rule.BAD_HEADER, f"at most {MAX_EXTENSION_TEXT} characters", text)
    return None


def _field(attribute: str) -> str:
    return attribute if attribute == "traceparent" else f"headers.ce_{attribute}"
