"""Validation on a real Kafka: one outcome for every record, through kills, takeovers and replays."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from edge_process import ServiceProcess, eventually, outcomes, prepare, records_of
from validation_scene import FEATURES, event_body, label_body

from schemas.envelope import Envelope, encode_headers, header
from schemas.identities import partition_of, payload_hash
from schemas.topics import EVENTS_DUPLICATES, EVENTS_RAW, EVENTS_VALIDATED, LABELS_RAW, Topic, dead_letters
from shared.dead_letters import replay
from shared.publishing import Publisher
from shared.records import Outgoing, Record
from shared.settings import PlatformSettings
from shared.tables import read_to_end

pytestmark = pytest.mark.kafka

Start = Callable[[], ServiceProcess]


@pytest.fixture
async def publisher(settings: PlatformSettings) -> AsyncIterator[Publisher]:
    found = Publisher(settings)
    await prepare(settings, found)
    yield found
    await found.stop()


@pytest.fixture
def start(service_env: dict[str, str], tmp_path: Path) -> Start:
    return lambda: ServiceProcess("validation", service_env, tmp_path / "validation.log")


def sent(
    body: bytes | None,
    identity: str,
    *,
    entity: str = "e1",
    kind: str = "headrace.event.v1",
    topic: Topic = EVENTS_RAW,
    partition: int | None = None,
) -> Outgoing:
    headers = encode_headers(Envelope(id=identity, source="tests", type=kind))
    return Outgoing(topic, entity.encode(), body, headers, partition)


def event(number: int, **changes: object) -> Outgoing:
    entity = f"e{number % 50}"
    return sent(
        event_body(entity, **{"features": {**FEATURES, "hour": number % 24}, **changes}), f"id-{number}", entity=entity
    )


def ids(records: Sequence[Record | Outgoing]) -> list[str | None]:
    return [header(record.headers, "ce_id") for record in records]


async def test_every_record_gets_its_outcome_wherever_its_producer_put_it(
    settings: PlatformSettings, publisher: Publisher, start: Start
) -> None:
    right = [event(number) for number in range(40)]
    misplaced = [
        sent(each.value, f"far-{n}", entity=each.key.decode(), partition=1 - partition_of(each.key, 2))
        for n, each in enumerate(right[:20])
        if each.key is not None
    ]
    bad = [event(100, features={"distance": -1.0}), sent(b"{", "id-101"), sent(b"\xff" * 250_000, "id-102")]
    dead = [sent(None, "id-103"), event(104)]
    dead[1] = Outgoing(EVENTS_RAW, b"somebody-else", dead[1].value, dead[1].headers)
    labels = [
        sent(label_body(), "label-1", kind="headrace.label.v1", topic=LABELS_RAW),
        sent(label_body(value=7), "label-2", kind="headrace.label.v1", topic=LABELS_RAW),
    ]
    await publisher.publish(*right, *misplaced, *right[:5], *bad, *dead, *labels)
    with start() as process:
        found = await outcomes(settings, 40 + 20 + 5 + 3 + 2 + 2)
        assert {name: len(records) for name, records in found.items()} == {
            "validated": 60,
            "labels": 1,
            "rejected": 3,
            "labels rejected": 1,
            "duplicates": 5,
            "dead letters": 2,
        }
        validated = found["validated"]
        assert all(each.key is not None and each.partition == partition_of(each.key, 2) for each in validated)
        hashes = {f"id-{n}": payload_hash(each.value or b"") for n, each in enumerate(right)}
        assert all(
            header(each.headers, "ce_payloadhash") == hashes[str(header(each.headers, "ce_id"))]
            for each in validated
            if str(header(each.headers, "ce_id")) in hashes
        )
        assert process.stop() == 0


async def test_a_kill_in_the_middle_loses_and_repeats_nothing(
    settings: PlatformSettings, publisher: Publisher, start: Start
) -> None:
    numbers = range(4000)
    first = [event(number) if number % 20 else event(number, feature_set="nobody") for number in numbers]
    again = [each for number, each in enumerate(first) if number % 5 == 1]
    conflicting = [event(number, occurred_at="2024-05-01T09:00:00Z") for number in numbers if number % 100 == 7]
    total = len(first) + len(again) + len(conflicting)
    with start() as process:
        await process.ready()
        await publisher.publish(*first[:2000])
        await eventually(
            lambda: records_of(settings, EVENTS_VALIDATED), lambda found: len(found) > 200, "some outcomes"
        )
        process.kill()
        await publisher.publish(*first[2000:])
    with start() as process:
        await process.ready()
        await publisher.publish(*again, *conflicting)
        found = await outcomes(settings, total)
    good = [f"id-{number}" for number in numbers if number % 20]
    assert Counter(ids(found["validated"])) == Counter(good)
    assert Counter(ids(found["duplicates"])) == Counter(ids(again))
    rules = Counter(json.loads(each.value or b"")["reasons"][0]["rule"] for each in found["rejected"])
    assert rules == {"unknown_feature_set": 200, "id_conflict": len(conflicting)}
    assert sum(map(len, found.values())) == total
    order: dict[bytes, list[int]] = {}
    for each in found["validated"]:
        order.setdefault(each.key or b"", []).append(int(str(header(each.headers, "ce_id"))[3:]))
    assert all(numbers_of == sorted(numbers_of) for numbers_of in order.values())


async def test_a_successor_knows_what_its_predecessor_validated(
    settings: PlatformSettings, publisher: Publisher, start: Start
) -> None:
    records = [event(number) for number in range(300)]
    with start() as first:
        await publisher.publish(*records)
        await outcomes(settings, 300)
        with start() as second:
            await second.ready()
            first.kill()
            await publisher.publish(*records)
            found = await outcomes(settings, 600)
    assert {name: len(each) for name, each in found.items()} == {"validated": 300, "duplicates": 300}


async def test_a_dead_letter_can_be_replayed_once_its_cause_is_gone(
    settings: PlatformSettings, publisher: Publisher, start: Start
) -> None:
    body = event_body()
    await publisher.publish(
        Outgoing(EVENTS_RAW, b"e1", body, encode_headers(Envelope("id-1", "tests", "headrace.event.v2")))
    )
    with start():
        [letter] = await eventually(
            lambda: read_to_end(settings, dead_letters("validation")), lambda found: len(found) == 1, "the letter"
        )
        again = replay(letter)
        headers = [(name, b"headrace.event.v1" if name == "ce_type" else value) for name, value in again.headers]
        await publisher.publish(Outgoing(again.topic, again.key, again.value, headers, again.partition))
        [validated] = await eventually(
            lambda: records_of(settings, EVENTS_VALIDATED), lambda found: len(found) == 1, "the event"
        )
        assert header(validated.headers, "ce_id") == "id-1"
        await publisher.publish(sent(body, "id-1"))
        await eventually(
            lambda: records_of(settings, EVENTS_DUPLICATES), lambda found: len(found) == 1, "the duplicate"
        )
