"""The official CloudEvents SDK reads what `schemas.envelope` writes, and the other way round."""

import json
from datetime import UTC, datetime

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.envelope import Envelope, decode_headers, encode_headers
from schemas.events.contract import encode
from schemas.events.ingestion import Event
from schemas.records import key_of, read_record
from schemas.topics import EVENTS_RAW

TIME = datetime(2024, 6, 1, 10, 0, 0, 250_000, tzinfo=UTC)
ENVELOPE = Envelope(
    id="e-1",
    source="depot-north",
    type=Event.ce_type,
    time=TIME,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    extensions={"model": "parcel-late"},
)
EVENT = Event(feature_set="parcels@1", entity_id="parcel-17", occurred_at=TIME, features={"note": "é", "weight": 2.5})


def test_the_sdk_reads_our_record() -> None:
    message = KafkaMessage(headers=dict(encode_headers(ENVELOPE)), key=key_of(EVENT), value=encode(EVENT))
    read = from_binary(message, JSONFormat())
    assert (read.get_id(), read.get_source(), read.get_type()) == (ENVELOPE.id, ENVELOPE.source, ENVELOPE.type)
    assert (read.get_specversion(), read.get_datacontenttype(), read.get_time()) == ("1.0", "application/json", TIME)
    assert read.get_extension("model") == "parcel-late"
    assert read.get_extension("partitionkey") == "parcel-17"
    assert read.get_data() == json.loads(encode(EVENT))


def test_we_read_a_record_of_the_sdk() -> None:
    attributes = {
        "id": "e-1",
        "source": "depot-north",
        "type": Event.ce_type,
        "time": TIME,
        "datacontenttype": "application/json",
    }
    written = to_binary(
        CloudEvent(attributes, EVENT.model_dump(mode="json")), JSONFormat(), key_mapper=lambda _: "parcel-17"
    )
    value = written.value if isinstance(written.value, bytes) else str(written.value).encode()
    headers = list(written.headers.items())
    envelope, body = read_record(EVENTS_RAW, headers=headers, key=b"parcel-17", value=value)
    assert body == EVENT
    assert envelope == decode_headers(headers)
    assert envelope.time == TIME
