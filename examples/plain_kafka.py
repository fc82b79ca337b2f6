"""Produces events and labels, and consumes predictions, with nothing but librdkafka and the standard library.

``python -m examples.plain_kafka BOOTSTRAP --feature-set SET@1 --model MODEL --features JSON [--label JSON]``
"""

import argparse
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, Producer

PREFIX = "headrace."


def headers(kind: str, identity: str, source: str) -> list[tuple[str, str | bytes | None]]:
    """What every record needs besides its key and its body."""
    return [
        ("ce_specversion", "1.0"),
        ("ce_id", identity),
        ("ce_source", source),
        ("ce_type", kind),
        ("content-type", "application/json"),
    ]


def send_event(producer: Producer, event: Mapping[str, Any], identity: str, source: str, prefix: str = PREFIX) -> None:
    """One event, under its entity's key: ``feature_set``, ``entity_id``, ``occurred_at``, ``features``."""
    producer.produce(
        f"{prefix}events.raw",
        json.dumps(event),
        event["entity_id"],
        headers=headers("headrace.event.v1", identity, source),
    )


def send_label(producer: Producer, label: Mapping[str, Any], identity: str, source: str, prefix: str = PREFIX) -> None:
    """One label: ``model``, ``event_id``, ``event_source``, ``entity_id``, ``observed_at``, ``value``."""
    producer.produce(
        f"{prefix}labels.raw",
        json.dumps(label),
        label["entity_id"],
        headers=headers("headrace.label.v1", identity, source),
    )


def predictions(bootstrap: str, model: str, seconds: float, prefix: str = PREFIX) -> Iterator[Any]:
    """The committed predictions of a model as they come, for ``seconds``; ticks and other models' answers are skipped."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"plain-kafka-{uuid.uuid4().hex}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    deadline = time.monotonic() + seconds
    try:
        consumer.subscribe([f"{prefix}predictions"])
        while time.monotonic() < deadline:
            record = consumer.poll(0.5)
            if record is None or record.error():
                continue
            told = dict(record.headers() or ())
            if told.get("ce_type") == b"headrace.prediction.v1" and told.get("model") == model.encode():
                yield record
    finally:
        consumer.close()


def main() -> int:
    """Send one event, its label if given, and print the answer; 1 if none comes within a minute."""
    parser = argparse.ArgumentParser(prog="python -m examples.plain_kafka")
    parser.add_argument("bootstrap")
    parser.add_argument("--feature-set", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--features", type=json.loads, required=True)
    parser.add_argument("--label", type=json.loads)
    parser.add_argument("--prefix", default=PREFIX)
    given = parser.parse_args()
    identity, source, now = uuid.uuid4().hex, "plain-kafka", datetime.now(UTC).isoformat()
    event = {"feature_set": given.feature_set, "entity_id": "entity-1", "occurred_at": now, "features": given.features}
    producer = Producer({"bootstrap.servers": given.bootstrap, "acks": "all"})
    send_event(producer, event, identity, source, given.prefix)
    if given.label is not None:
        label = {"model": given.model, "event_id": identity, "event_source": source, "entity_id": "entity-1"}
        send_label(
            producer, {**label, "observed_at": now, "value": given.label}, f"{identity}:label", source, given.prefix
        )
    if producer.flush(30):
        return 1
    for record in predictions(given.bootstrap, given.model, 60, given.prefix):
        body = json.loads(record.value())
        if body["event_id"] == identity:
            print(json.dumps(body, indent=2))
            return 0
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
