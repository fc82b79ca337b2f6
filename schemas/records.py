"""Any record of any topic, judged by the catalogue: envelope, type, key and body. The bytes side of every contract."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.contracts import ARTIFACT_CHUNK, contracts
from schemas.decoding import check_type, decode_event, decode_label, decode_tick
from schemas.envelope import BINARY, JSON, Envelope, RawHeaders, decode_headers
from schemas.events.contract import Contract, decode
from schemas.events.ingestion import Event, Label, Tick
from schemas.events.training import CHUNK_BYTES
from schemas.reasons import RefusedRecordError, Rule, reason
from schemas.topics import Topic

Record = tuple[Envelope, Contract | bytes]

# How the key follows from the body. Types that are not here keep another record's key, or a key of their owner's choice.
_KEYS: Final[dict[str, str]] = {
    "headrace.alert-command.v1": "{0.fingerprint}",
    "headrace.alert.v1": "{0.fingerprint}",
    "headrace.artifact-manifest.v1": "{0.digest}/manifest",
    "headrace.candidate.v1": "{0.model}",
    "headrace.definition.v1": "{0.kind}/{0.name}/{0.major}",
    "headrace.deployment.v1": "{0.model}",
    "headrace.event.v1": "{0.entity_id}",
    "headrace.heartbeat.v1": "{0.service}/{0.instance}",
    "headrace.label.v1": "{0.entity_id}",
    "headrace.model-status.v1": "{0.model}/{0.instance}",
    "headrace.prediction.v1": "{0.entity_id}",
    "headrace.profile.v1": "{0.model}",
    "headrace.registry-event.v1": "{0.model}",
    "headrace.registry-reply.v1": "{0.command_id}",
    "headrace.serving-started.v1": "{0.model}/serving/{0.partition}",
    "headrace.training-request.v1": "{0.model}",
    "headrace.training.dataset-materialized.v1": "{0.model}",
    "headrace.training.progress.v1": "{0.model}",
    "headrace.training.run-completed.v1": "{0.model}",
    "headrace.training.run-failed.v1": "{0.model}",
    "headrace.training.run-started.v1": "{0.model}",
    "headrace.validated-event.v1": "{0.entity_id}",
    "headrace.validated-label.v1": "{0.entity_id}",
    "headrace.window.v1": "{0.model}",
}
_KEYLESS: Final = (Tick.ce_type, "headrace.monitoring-progress.v1")  # written to a partition, not for a key


def read_record(
    topic: Topic, *, headers: RawHeaders, key: bytes | None, value: bytes | None, now: datetime | None = None
) -> Record:
    """The envelope and body of a record of ``topic``; the body of an artifact chunk stays bytes.

    Raises `RefusedRecordError` with the rule that was broken: the envelope's first, then the body's, then the key's.
    """
    if value is None:
        raise RefusedRecordError((reason("(record)", Rule.TOMBSTONE, "a body", "a tombstone"),))
    envelope = decode_headers(headers)
    accepted = (*contracts(), ARTIFACT_CHUNK) if "*" in topic.messages else topic.messages
    faults = check_type(envelope.type, accepted)
    content_type = BINARY if envelope.type == ARTIFACT_CHUNK else JSON
    if not faults and envelope.content_type != content_type:
        faults = (reason("headers.content-type", Rule.CONTENT_TYPE, content_type, envelope.content_type),)
    if not faults and not key and envelope.type not in _KEYLESS:
        faults = (reason("key", Rule.MISSING_KEY, topic.key, "absent"),)
    if faults:
        raise RefusedRecordError(faults)
    if envelope.type == ARTIFACT_CHUNK:
        return envelope, _chunk(value)
    body = _body(envelope.type, value, now)
    expected = key_of(body)
    if expected is not None and key != expected.encode():
        observed = (key or b"").decode(errors="replace")
        raise RefusedRecordError((reason("key", Rule.KEY_MISMATCH, expected, observed),))
    return envelope, body


def key_of(body: Contract) -> str | None:
    """The key under which ``body`` belongs on its topic; None where the body does not say."""
    template = _KEYS.get(body.ce_type)
    return None if template is None else template.format(body)


def _body(ce_type: str, value: bytes, now: datetime | None) -> Contract:
    strict: dict[str, Callable[[], Any]] = {
        Event.ce_type: lambda: Event.model_construct(**msgspec.structs.asdict(decode_event(value, now=now))),
        Label.ce_type: lambda: decode_label(value, now=now),
        Tick.ce_type: lambda: decode_tick(value),
    }
    body: Contract = strict[ce_type]() if ce_type in strict else decode(contracts()[ce_type], value)
    return body


def _chunk(value: bytes) -> bytes:
    if not 0 < len(value) <= CHUNK_BYTES:
        raise RefusedRecordError(
            (reason("(record)", Rule.TOO_LARGE, f"1..{CHUNK_BYTES} bytes", f"{len(value)} bytes"),)
        )
    return value
