"""Each record gets exactly one outcome: validated, rejected, duplicate, dead letter or re-routed."""

import base64
from datetime import timedelta
from typing import Any

from validation_scene import (
    FEATURE_SET,
    FEATURES,
    NOW,
    Scene,
    definitions,
    entity_in,
    event_body,
    label,
    label_body,
    raw,
)

from schemas.envelope import decode_headers, header
from schemas.identities import payload_hash
from schemas.reasons import MASK
from schemas.topics import EVENTS_RAW, LABELS_RAW, Topic, retry
from shared.records import StoredRecord

TICK = b'{"feature_set":"rides@1","time":"2024-05-01T11:00:00Z"}'


NOTES: dict[str, Any] = {
    "apiVersion": "headrace/v1",
    "kind": "FeatureSet",
    "metadata": {"name": "notes", "owner": "tests", "description": "Texts that grow."},
    "spec": {
        "version": "1.0.0",
        "entity": "ride",
        "features": [
            {"name": "note", "dtype": "string"},
            {"name": "echo", "dtype": "string", "expression": "concat(note, note, note, note, note)"},
        ],
    },
}


async def nothing() -> None:
    """Definitions that are up to date."""


def tick(body: bytes = TICK, topic: Topic = EVENTS_RAW, **options: Any) -> StoredRecord:
    return raw(body, "tick-1", kind="headrace.tick.v1", topic=topic, key=b"rides@1", **options)


def test_a_valid_event_is_typed_completed_and_named_in_full() -> None:
    [(topic, body)] = Scene().outcomes(raw(event_body(feature_set="rides")))
    assert topic == "events.validated"
    assert body == {
        "feature_set": "rides@1",
        "definition_version": "1.2.0",
        "entity_id": "e1",
        "occurred_at": "2024-05-01T08:00:00Z",
        "features": {"distance": 12.5, "hour": 7, "city": "A", "phone": None, "far": False},
    }


def test_a_validated_event_keeps_id_source_and_trace_and_carries_its_payload_hash() -> None:
    body = event_body()
    [out] = Scene().processor.process([raw(body, "id-7")])
    envelope = decode_headers(out.headers)
    assert (envelope.id, envelope.source, envelope.type) == ("id-7", "tests", "headrace.validated-event.v1")
    assert envelope.traceparent == f"00-{'a' * 32}-{'b' * 16}-01"
    assert envelope.extensions == {"payloadhash": payload_hash(body)}
    assert out.key == b"e1"


def test_a_rejection_holds_every_reason_and_the_original_bytes() -> None:
    body = event_body(features={"distance": -4.0, "hour": 7, "city": "Z", "phone": "secret"})
    [(topic, found)] = Scene().outcomes(raw(body, offset=5))
    assert topic == "events.rejected"
    assert [(each["field"], each["rule"]) for each in found["reasons"]] == [
        ("features.distance", "range"),
        ("features.city", "category"),
        ("features.phone", "pattern"),
    ]
    assert base64.b64decode(found["payload_base64"]) == body
    assert found["origin"] == {
        "topic": "t.events.raw",
        "partition": 0,
        "offset": 5,
        "timestamp_ms": int(NOW.timestamp() * 1000),
    }
    assert (found["event_id"], found["event_source"]) == ("id-1", "tests")


def test_personal_values_are_masked_in_reasons() -> None:
    [(_, found)] = Scene().outcomes(raw(event_body(features={**FEATURES, "phone": "secret"})))
    assert found["reasons"][0]["observed"] == MASK


def test_a_bare_name_is_ambiguous_while_two_majors_are_live() -> None:
    second = {**FEATURE_SET, "spec": {**FEATURE_SET["spec"], "version": "2.0.0"}}
    scene = Scene(known=definitions(second))
    assert scene.codes(raw(event_body(feature_set="rides"))) == [["ambiguous_feature_set"]]
    assert scene.codes(raw(event_body(feature_set="rides@2"))) == [["events.validated"]]


def test_the_same_record_again_is_a_duplicate_without_payload() -> None:
    scene = Scene()
    scene.outcomes(raw(event_body()))
    [(topic, found)] = scene.outcomes(raw(event_body(), offset=1))
    assert topic == "events.duplicates"
    assert found["payload_hash"] == payload_hash(event_body())
    assert found["origin"]["offset"] == 1
    assert "payload_base64" not in found


def test_duplicates_within_one_batch_are_found() -> None:
    assert Scene().codes(raw(event_body()), raw(event_body())) == [["events.validated"], ["events.duplicates"]]


def test_another_payload_under_a_validated_id_is_a_conflict() -> None:
    scene = Scene()
    scene.outcomes(raw(event_body()))
    assert scene.codes(raw(event_body(occurred_at="2024-05-01T09:00:00Z"))) == [["id_conflict"]]


def test_a_rejected_id_may_come_back_corrected() -> None:
    wrong, right = event_body(features={**FEATURES, "hour": 99}), event_body()
    assert Scene().codes(raw(wrong), raw(right), raw(right)) == [["range"], ["events.validated"], ["events.duplicates"]]


def test_a_conflicting_record_does_not_take_the_ids_place() -> None:
    other = event_body(occurred_at="2024-05-01T09:00:00Z")
    codes = Scene().codes(raw(event_body()), raw(other), raw(event_body()), raw(other))
    assert codes == [["events.validated"], ["id_conflict"], ["events.duplicates"], ["id_conflict"]]


def test_an_event_and_a_label_may_share_an_id() -> None:
    codes = Scene().codes(raw(event_body(), "same"), label(label_body(), "same"))
    assert codes == [["events.validated"], ["labels.validated"]]


def test_a_repeated_label_is_a_duplicate_and_a_revision_under_a_new_id_is_not() -> None:
    revision = label(label_body(value=False, label_version=2), "label-2")
    codes = Scene().codes(label(label_body()), label(label_body()), revision)
    assert codes == [["labels.validated"], ["events.duplicates"], ["labels.validated"]]


def test_a_misplaced_record_goes_home_untouched_and_is_judged_there() -> None:
    entity = entity_in(1, 2)
    record = raw(event_body(entity), key=entity.encode(), partition=0)
    scene = Scene(partitions=2)
    [out] = scene.processor.process([record])
    assert (out.topic, out.partition, out.key, out.value) == (EVENTS_RAW, 1, record.key, record.value)
    assert list(out.headers) == list(record.headers)
    assert scene.codes(raw(event_body(entity), key=entity.encode(), partition=1)) == [["events.validated"]]
    assert scene.tally == {("record", "re-routed"): 1, ("event", "validated"): 1}


def test_a_misplaced_label_goes_to_the_raw_topic_of_labels() -> None:
    entity = entity_in(1, 2)
    [out] = Scene(partitions=2).processor.process([label(label_body(entity), key=entity.encode())])
    assert (out.topic, out.partition) == (LABELS_RAW, 1)


def test_a_tick_is_forwarded_untouched_in_order() -> None:
    scene = Scene()
    records = [raw(event_body(), "a"), tick(), raw(event_body("e1"), "b"), tick(topic=LABELS_RAW)]
    outputs = scene.processor.process(records)
    assert [out.topic.name for out in outputs] == [
        "events.validated",
        "events.validated",
        "events.validated",
        "labels.validated",
    ]
    assert outputs[1].value == TICK
    assert header(outputs[1].headers, "ce_type") == "headrace.tick.v1"


def test_a_tick_under_a_bare_name_gets_the_full_one() -> None:
    [(_, body)] = Scene().outcomes(tick(TICK.replace(b"@1", b"")))
    assert body == {"feature_set": "rides@1", "time": "2024-05-01T11:00:00Z"}


def test_a_faulty_tick_is_a_dead_letter() -> None:
    assert Scene().codes(tick(b'{"feature_set":"rides@1"}')) == [["missing_field"]]


def test_a_replayed_dead_letter_is_judged_by_its_own_type() -> None:
    scene = Scene()
    replays = retry("validation")
    codes = scene.codes(
        raw(event_body(), topic=replays),
        raw(label_body(), "l", kind="headrace.label.v1", topic=replays),
        raw(event_body(), topic=replays),
    )
    assert codes == [["events.validated"], ["labels.validated"], ["events.duplicates"]]


def test_an_id_is_forgotten_once_it_is_older_than_the_window() -> None:
    scene = Scene()
    scene.outcomes(raw(event_body()))
    later = NOW + timedelta(hours=25)
    scene.outcomes(raw(event_body("e1"), "other", at=later))
    assert scene.codes(raw(event_body(), at=later)) == [["events.validated"]]


def test_the_accounts_balance() -> None:
    scene = Scene()
    records = [
        raw(event_body(), "a"),
        raw(event_body(), "a"),
        raw(event_body(feature_set="x"), "b"),
        raw(None),
        raw(event_body(), "c"),
    ]
    scene.outcomes(*records)
    assert sum(scene.tally.values()) == len(records)
    assert scene.tally == {
        ("event", "validated"): 2,
        ("event", "duplicate"): 1,
        ("event", "rejected"): 1,
        ("record", "dead-letter"): 1,
    }


def test_an_event_that_would_outgrow_its_topic_is_rejected_alone_and_may_come_back_shorter() -> None:
    scene = Scene(known=definitions(NOTES))
    long, short = (event_body(feature_set="notes", features={"note": "x" * size}) for size in (250_000, 50_000))
    outcomes = scene.outcomes(raw(long, "id-1"), raw(short, "id-2"), raw(short, "id-1"))
    assert [topic for topic, _ in outcomes] == ["events.rejected", "events.validated", "events.validated"]
    assert [each["rule"] for each in outcomes[0][1]["reasons"]] == ["output_too_large"]


def test_a_tick_with_an_endless_key_is_not_passed_on() -> None:
    [(topic, letter)] = Scene().outcomes(raw(TICK, "tick-1", kind="headrace.tick.v1", key=b"r" * 500_000))
    assert (topic, letter["code"]) == ("validation.dead-letters", "key_mismatch")
