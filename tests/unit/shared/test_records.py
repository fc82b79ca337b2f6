"""Messages out, records in."""

from datetime import UTC, datetime
from typing import ClassVar

import pytest

from schemas.events.contract import Contract
from schemas.reasons import RefusedRecordError
from schemas.topics import ALERTS, EVENTS_RAW
from shared.records import Outgoing, StoredRecord, TopicNames, message, read, tombstone


class Greeting(Contract):
    ce_type: ClassVar[str] = "headrace.greeting.v1"
    text: str


class Other(Contract):
    ce_type: ClassVar[str] = "headrace.other.v1"
    text: str


def record(outgoing: Outgoing) -> StoredRecord:
    return StoredRecord("t." + outgoing.topic.name, 0, 7, 0, outgoing.key, outgoing.value, outgoing.headers)


def test_what_message_writes_read_gives_back() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sent = message(ALERTS, Greeting(text="hello"), key="k", source="s", id="i", time=time, extensions={"model": "m"})
    envelope, body = read(Greeting, record(sent))
    assert body == Greeting(text="hello")
    assert (envelope.id, envelope.source, envelope.time, envelope.extensions["model"]) == ("i", "s", time, "m")


def test_every_message_without_an_id_gets_its_own() -> None:
    ids = {read(Greeting, record(message(ALERTS, Greeting(text="x"), key="k", source="s")))[0].id for _ in range(10)}
    assert len(ids) == 10


def test_a_record_of_another_type_is_refused() -> None:
    with pytest.raises(RefusedRecordError, match="unknown_type"):
        read(Other, record(message(ALERTS, Greeting(text="x"), key="k", source="s")))


def test_a_tombstone_is_refused_as_one() -> None:
    sent = message(ALERTS, Greeting(text="x"), key="k", source="s")
    with pytest.raises(RefusedRecordError, match="tombstone"):
        read(Greeting, StoredRecord("t", 0, 0, 0, b"k", None, sent.headers))


def test_a_record_without_envelope_is_refused() -> None:
    with pytest.raises(RefusedRecordError, match="missing_header"):
        read(Greeting, StoredRecord("t", 0, 0, 0, b"k", b"{}"))


def test_a_tombstone_keeps_the_key_only() -> None:
    assert tombstone(ALERTS, "k") == Outgoing(ALERTS, b"k", None)


def test_physical_and_logical_names_lead_to_each_other() -> None:
    names = TopicNames("p.")
    assert names.name(EVENTS_RAW) == "p.events.raw"
    assert names.logical("p.events.raw") is EVENTS_RAW
    assert names.logical("events.raw") is None
