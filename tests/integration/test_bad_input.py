"""The whole catalogue of bad input on a real Kafka, mixed with good records, before real validation and inference processes."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import inference_models as made
import pytest
from bad_input.envelopes import ENVELOPES, KAFKA
from bad_input.records import BODIES
from confluent_kafka import KafkaError, Message, Producer
from edge_process import ServiceProcess, outcomes, prepare
from inference_process import InferenceProcess, predictions_of, records_of
from rides import FEATURES, event_body

from schemas.envelope import RawHeaders, header
from schemas.events.training import ModelInput
from schemas.topics import EVENTS_RAW, dead_letters
from shared.publishing import Publisher
from shared.records import Record
from shared.settings import PlatformSettings

pytestmark = pytest.mark.kafka

Place = tuple[str, int, int]


@dataclass(frozen=True)
class Sent:
    """One record as a foreign producer sends it, and the code it must be answered with; None for a good one."""

    name: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: RawHeaders
    code: str | None = None


def headers(name: str, kind: str = "event") -> RawHeaders:
    return tuple({**KAFKA, "ce_id": name.encode(), "ce_type": f"headrace.{kind}.v1".encode()}.items())


def good(number: int) -> Sent:
    entity = f"good-{number % 20}"
    return Sent(f"good-{number}", EVENTS_RAW.name, entity.encode(), event_body(entity), headers(f"good-{number}"))


def bad_records() -> list[Sent]:
    bodies = [
        Sent(row.name, f"{row.kind}s.raw", b"e1", row.body, headers(row.name, row.kind), row.code) for row in BODIES
    ]
    envelopes = [
        Sent(f"{row.name} (envelope)", row.topic, row.key, row.value, row.kafka, row.code)
        for row in ENVELOPES
        if row.kafka is not None
    ]
    return bodies + envelopes


def mixed(bad: Sequence[Sent]) -> list[Sent]:
    """Two good records for each bad one, so that no batch and no partition is without either."""
    found = [good(number) for number in range(20)]
    for number, record in enumerate(bad):
        found += [good(20 + 2 * number), record, good(21 + 2 * number)]
    return found + [good(20 + 2 * len(bad) + number) for number in range(20)]


def send(settings: PlatformSettings, records: Sequence[Sent]) -> dict[str, Place]:
    """Where each record stands, by its name."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
        }
    )
    places: dict[str, Place] = {}

    def delivered(name: str, error: KafkaError | None, message: Message) -> None:
        assert error is None, f"{name}: {error}"
        places[name] = (str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))

    for each in records:
        producer.produce(
            settings.topics.prefix + each.topic,
            each.value,
            each.key,
            headers=list(each.headers),
            on_delivery=lambda error, message, name=each.name: delivered(name, error, message),
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    return places


def codes_by_origin(found: dict[str, list[Record]]) -> dict[Place, str]:
    """Where a refused record stood → the code of its rejection or dead letter."""
    codes = {}
    for outcome in ("rejected", "labels rejected", "dead letters"):
        for record in found.get(outcome, []):
            body = json.loads(record.value or b"")
            origin = body["origin"]
            code = body["code"] if "code" in body else body["reasons"][0]["rule"]
            codes[origin["topic"], origin["partition"], origin["offset"]] = code
    return codes


@pytest.fixture
async def publisher(settings: PlatformSettings) -> AsyncIterator[Publisher]:
    found = Publisher(settings)
    await prepare(settings, found)
    model = made.binary(0.75, columns=2)
    inputs = (ModelInput(name="numeric", kind="numeric", features=("distance", "hour")),)
    offered = made.candidate(model, model="ride-late", inputs=inputs, golden=({**FEATURES, "far": False},))
    offered = offered.model_copy(update={"feature_set": "rides@1"})
    deployed = made.deployment((1, offered.digest), model="ride-late").model_copy(update={"feature_set": "rides@1"})
    await found.publish(*made.candidate_messages(model, offered), made.deployment_message(deployed))
    yield found
    await found.stop()


async def test_every_defect_gets_its_answer_and_every_good_record_its_prediction(
    settings: PlatformSettings, publisher: Publisher, service_env: dict[str, str], tmp_path: Path
) -> None:
    bad = bad_records()
    records = mixed(bad)
    names = {each.name for each in records if each.code is None}
    with (
        ServiceProcess("validation", service_env, tmp_path / "validation.log") as validation,
        InferenceProcess(service_env, tmp_path / "inference", tmp_path / "inference.log") as inference,
    ):
        places = await asyncio.to_thread(send, settings, records)
        found = await outcomes(settings, len(records))
        codes = codes_by_origin(found)
        assert {each.name: codes.get(places[each.name]) for each in bad} == {each.name: each.code for each in bad}
        assert sum(map(len, found.values())) == len(records)
        assert sorted(str(header(each.headers, "ce_id")) for each in found["validated"]) == sorted(names)
        predictions = await predictions_of(settings, len(names))
        assert sorted(each.event_id for _, each in predictions) == sorted(names)
        assert {each.status for _, each in predictions} == {"ok"}
        assert await records_of(settings, dead_letters("inference")) == []
        assert (validation.stop(), inference.stop()) == (0, 0)  # the processes that began are those that end


async def test_a_small_compressed_record_that_inflates_beyond_the_cap_is_refused_by_the_broker(
    settings: PlatformSettings, publisher: Publisher
) -> None:
    errors: list[KafkaError | None] = []
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "compression.type": "gzip",
            "message.max.bytes": 128 * 1024 * 1024,
        }
    )
    producer.produce(
        settings.topics.prefix + EVENTS_RAW.name,
        bytes(64 * 1024 * 1024),
        b"e1",
        on_delivery=lambda error, _: errors.append(error),
    )
    await asyncio.to_thread(producer.flush, 60)
    assert [each and each.code() for each in errors] == [KafkaError.MSG_SIZE_TOO_LARGE]
