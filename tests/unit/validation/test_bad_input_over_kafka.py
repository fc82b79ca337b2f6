"""Every defect of the catalogue on the raw topics: quarantine or dead letter, with the reason code that HTTP gives."""

import base64

import pytest
from bad_input.envelopes import ENVELOPES, BadEnvelope
from bad_input.records import BODIES, BadBody
from validation_scene import PREFIX, Scene, event_body, label, raw

from schemas.topics import EVENTS_RAW, LABELS_RAW
from shared.records import StoredRecord

OVER_KAFKA = [row for row in ENVELOPES if row.kafka is not None]


def record_of(row: BadBody) -> StoredRecord:
    return label(row.body, row.name) if row.kind == "label" else raw(row.body, row.name)


def enveloped(row: BadEnvelope) -> StoredRecord:
    topic = LABELS_RAW if row.topic == LABELS_RAW.name else EVENTS_RAW
    return StoredRecord(PREFIX + topic.name, 0, 3, raw(b"").timestamp, row.key, row.value, tuple(row.kafka or ()))


@pytest.mark.parametrize("row", BODIES, ids=lambda row: row.name)
def test_a_bad_body_is_quarantined_with_its_bytes_under_its_code(row: BadBody) -> None:
    scene = Scene()
    [(topic, found)] = scene.outcomes(record_of(row))
    assert (topic, found["reasons"][0]["rule"]) == (f"{row.kind}s.rejected", row.code)
    assert base64.b64decode(found["payload_base64"]) == row.body
    assert scene.tally == {(row.kind, "rejected"): 1}


@pytest.mark.parametrize("row", OVER_KAFKA, ids=lambda row: row.name)
def test_a_bad_envelope_becomes_a_dead_letter_under_its_code(row: BadEnvelope) -> None:
    scene = Scene()
    [(topic, found)] = scene.outcomes(enveloped(row))
    assert (topic, found["code"]) == ("validation.dead-letters", row.code)
    assert found["payload_base64"] == (None if row.value is None else base64.b64encode(row.value).decode())
    assert scene.tally == {("record", "dead-letter"): 1}


def test_in_one_batch_every_defect_gets_the_outcome_it_gets_alone_and_good_records_between_are_validated() -> None:
    bad = [*map(record_of, BODIES), *map(enveloped, OVER_KAFKA)]
    codes = [row.code for row in BODIES] + [row.code for row in OVER_KAFKA]
    records: list[StoredRecord] = []
    for number, record in enumerate(bad):
        records += [record, raw(event_body(), f"good-{number}")]
    found = Scene().codes(*records)
    assert [each[0] for each in found[0::2]] == codes
    assert found[1::2] == [["events.validated"]] * len(bad)
