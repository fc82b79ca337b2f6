"""What validation writes by hand is, byte for byte, what the contracts give."""

from datetime import UTC, datetime

from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import encode
from schemas.events.ingestion import Event, Label
from schemas.events.validation import Duplicate, Origin, Rejection, ValidatedEvent, ValidatedLabel
from schemas.reasons import Reason
from schemas.topics import EVENTS_REJECTED
from services.validation.outcomes import duplicate, rejection, validated_event, validated_label
from shared.records import StoredRecord

HASH = "0123456789abcdef" * 2
AT = datetime(2024, 5, 1, 12, 0, 0, 250_000, UTC)
RECORD = StoredRecord("t.events.raw", 1, 42, 1_714_000_000_000, b"e1", b'{"x":1}')
ENVELOPE = Envelope("id-1", "src", "headrace.event.v1", time=AT, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
BARE = Envelope("id-1", "src", "headrace.event.v1")
ORIGIN = Origin(topic="t.events.raw", partition=1, offset=42, timestamp_ms=1_714_000_000_000)


def headers(ce_type: str, envelope: Envelope = ENVELOPE) -> list[tuple[str, bytes]]:
    return encode_headers(
        Envelope(
            envelope.id,
            envelope.source,
            ce_type,
            time=envelope.time,
            traceparent=envelope.traceparent,
            extensions={"payloadhash": HASH},
        )
    )


def test_a_validated_event_equals_its_contract() -> None:
    features = {"a": 0.1, "b": 3, "c": "é", "d": None, "e": True, "f": 1e300}
    event = Event(feature_set="s", entity_id="e1", occurred_at=AT, features={})
    out = validated_event(RECORD, ENVELOPE, HASH, event, "s@1", "1.2.3", features)
    body = ValidatedEvent(
        feature_set="s@1", definition_version="1.2.3", entity_id="e1", occurred_at=AT, features=features
    )
    assert out.value == encode(body)
    assert out.headers == headers(ValidatedEvent.ce_type)


def test_headers_without_time_and_trace_equal_their_contract() -> None:
    event = Event(feature_set="s", entity_id="e1", occurred_at=AT, features={})
    out = validated_event(RECORD, BARE, HASH, event, "s@1", "1.2.3", {})
    assert out.headers == headers(ValidatedEvent.ce_type, BARE)


def test_a_validated_label_equals_its_contract() -> None:
    for value in (True, 3, 0.25, "late"):
        parts = {
            "model": "m",
            "event_id": "i",
            "event_source": "s",
            "entity_id": "e1",
            "observed_at": AT,
            "value": value,
        }
        out = validated_label(RECORD, ENVELOPE, HASH, Label(**parts, label_version=2))
        assert out.value == encode(ValidatedLabel(**parts, label_version=2))
        assert out.headers == headers(ValidatedLabel.ce_type)


def test_a_rejection_equals_its_contract() -> None:
    reasons = (Reason(field="f", rule="range", expected="0..1", observed="2"),)
    out = rejection(EVENTS_REJECTED, RECORD, ENVELOPE, HASH, reasons)
    body = Rejection(event_id="id-1", event_source="src", reasons=reasons, origin=ORIGIN, payload_base64="eyJ4IjoxfQ==")
    assert out.value == encode(body)
    assert out.headers == headers(Rejection.ce_type)


def test_a_duplicate_equals_its_contract() -> None:
    out = duplicate(RECORD, ENVELOPE, HASH)
    body = Duplicate(event_id="id-1", event_source="src", payload_hash=HASH, origin=ORIGIN)
    assert out.value == encode(body)
    assert out.headers == headers(Duplicate.ce_type)
