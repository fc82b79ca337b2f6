"""Whoever speaks Kafka and CloudEvents needs no part of headrace: here librdkafka on both sides, with its own partitioner."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from example_models import START, unique
from example_producer import balance, serves
from foreign_models import Foreign, level, linear, tanks
from headrace_command import Headrace, eventually

from deploy.local.stack import Stack
from examples.plain_kafka import predictions, send_event
from schemas.identities import partition_of

pytestmark = pytest.mark.kafka
EVENTS = 60


@pytest.fixture
def served(headrace: Headrace, stack: Stack, definitions: Path) -> Foreign:
    """A model of two numbers, live."""
    foreign = tanks()
    definitions.write_text(foreign.definitions)
    headrace.say("apply", "-f", definitions)
    file = linear(definitions.with_name(f"{foreign.model}.onnx"))
    headrace.say("models", "import", file, "--model", foreign.model, "--inputs", "flows=inflow,outflow")
    eventually(lambda: serves(stack.settings, foreign.model), within=60, what="serving the imported model")
    return foreign


def publish(stack: Stack, foreign: Foreign, source: str) -> dict[str, tuple[str, float]]:
    """Events by a plain producer; each event's key and expected answer by its id."""
    producer = Producer({"bootstrap.servers": stack.settings.kafka.bootstrap_servers, "acks": "all"})
    expected = {}
    for number in range(EVENTS):
        event_id, tank = f"{foreign.feature_set}:{number}", f"tank-{number % 17}"
        inflow, outflow = float(number % 10), float(number % 7)
        body = {
            "feature_set": foreign.feature_set,  # the bare name: one major is live
            "entity_id": tank,
            "occurred_at": START.isoformat(),
            "features": {"inflow": inflow, "outflow": outflow},
        }
        send_event(producer, body, event_id, source, stack.settings.topics.prefix)
        expected[event_id] = (tank, level(inflow, outflow))
    assert producer.flush(30) == 0
    return expected


def consume(stack: Stack, model: str, count: int) -> list[Any]:
    """That many predictions of a model, chosen by their headers alone."""
    found = []
    kafka, topics = stack.settings.kafka, stack.settings.topics
    for record in predictions(kafka.bootstrap_servers, model, 60, topics.prefix):
        found.append(record)
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {count} predictions arrived within a minute")


def test_librdkafka_publishes_events_and_reads_their_predictions(served: Foreign, stack: Stack) -> None:
    partitions = stack.settings.topics.partitions
    elsewhere = [
        f"tank-{n}"
        for n in range(17)
        if zlib.crc32(f"tank-{n}".encode()) % partitions != partition_of(f"tank-{n}".encode(), partitions)
    ]
    assert elsewhere, "the two partitioners must disagree about some of the keys"

    expected = publish(stack, served, unique("plant"))
    answers = consume(stack, served.model, EVENTS)

    for record in answers:
        headers, body = dict(record.headers()), json.loads(record.value())
        tank, answer = expected[body["event_id"]]
        assert body["outputs"]["value"] == pytest.approx(answer)
        assert record.key() == tank.encode() == body["entity_id"].encode()
        assert record.partition() == partition_of(record.key(), partitions)
        assert (headers["route"], headers["version"], headers["ce_type"]) == (
            b"champion",
            b"1",
            b"headrace.prediction.v1",
        )
        assert body["prediction_id"].encode() == headers["ce_id"]
    assert {json.loads(record.value())["event_id"] for record in answers} == expected.keys()
    sheet = balance(stack.settings)
    assert sheet.balanced, sheet.document()
    assert sheet.events.rerouted > 0
    assert sheet.models[served.model].ok == EVENTS


def test_what_a_plain_producer_gets_wrong_stands_in_quarantine_with_every_reason(
    served: Foreign, stack: Stack, headrace: Headrace
) -> None:
    source = unique("careless")
    producer = Producer({"bootstrap.servers": stack.settings.kafka.bootstrap_servers, "acks": "all"})
    body = {
        "feature_set": f"{served.feature_set}@1",
        "entity_id": "tank-1",
        "occurred_at": START.isoformat(),
        "features": {"inflow": -4.0, "outflow": "much"},
    }
    send_event(producer, body, f"{source}:1", source, stack.settings.topics.prefix)
    assert producer.flush(30) == 0

    balance(stack.settings)
    listed = [row for row in headrace.json("rejected", "list") if row["event_source"] == source]

    assert [row["event_id"] for row in listed] == [f"{source}:1"]
    assert {reason["field"] for reason in listed[0]["reasons"]} == {"features.inflow", "features.outflow"}
    shown = json.loads(headrace.say("rejected", "show", f"{source}:1"))
    assert json.loads(shown["payload"]) == body
