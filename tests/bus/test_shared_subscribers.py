"""The contract of `shared.broker` and `shared.consuming` with FastStream, without a broker."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, TopicAuthorizationFailedError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, TestKafkaBroker

from schemas.topics import ALERTS, EVENTS_RAW, REGISTRY_EVENTS
from shared.broker import batch_subscriber, kafka_broker
from shared.errors import ConfigurationError
from shared.health import Health
from shared.records import Outgoing, Record
from shared.settings import PlatformSettings, TopicSettings
from shared.transactions import PartitionProcessor, transactional_subscriber

SETTINGS = PlatformSettings(topics=TopicSettings(prefix="t."))


class Received:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.broken: list[str] = []

    async def handle(self, records: Sequence[Record]) -> None:
        self.records += records


def subscribed(received: Received) -> KafkaBroker:
    broker = kafka_broker(SETTINGS, service="example")
    batch_subscriber(
        broker, SETTINGS, ALERTS, group="example.main", handler=received.handle, broken=received.broken.append
    )
    return broker


class Broken:
    """A consumer whose fetch fails in the middle."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def getmany(self, **_: object) -> dict[object, object]:
        raise self.error


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"", 0, 1, "x"), CorruptRecordException("crc")])
async def test_a_fetch_that_broke_halfway_ends_the_consumption_instead_of_going_past_the_gap(error: Exception) -> None:
    received = Received()
    (subscriber,) = subscribed(received).subscribers
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscriber.get_msg(Broken(error)), 0.05)  # type: ignore[attr-defined]
    (why,) = received.broken
    assert "cannot be read" in why


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError("t"), ConsumerStoppedError()])
async def test_an_error_from_before_a_fetch_is_left_to_be_tried_again(error: Exception) -> None:
    received = Received()
    (subscriber,) = subscribed(received).subscribers
    with pytest.raises(type(error)):
        await subscriber.get_msg(Broken(error))  # type: ignore[attr-defined]
    assert received.broken == []


async def test_a_handler_gets_the_bytes_as_they_are() -> None:
    received = Received()
    broker = subscribed(received)
    async with TestKafkaBroker(broker):
        await broker.publish_batch(b"\xff\x00not json", topic="t.alerts")
    assert [r.value for r in received.records] == [b"\xff\x00not json"]


def test_no_subscriber_can_be_declared_unsafe() -> None:
    broker = subscribed(Received())
    (subscriber,) = broker.subscribers
    options = subscriber._connection_args  # type: ignore[attr-defined]
    assert subscriber.ack_policy is AckPolicy.MANUAL
    assert subscriber._no_reply
    assert options["isolation_level"] == "read_committed"
    assert options["auto_offset_reset"] == "earliest"
    assert options["enable_auto_commit"] is False


def test_groups_and_topics_carry_the_prefix() -> None:
    (subscriber,) = subscribed(Received()).subscribers
    assert subscriber.topic_names == ["t.alerts"]  # type: ignore[attr-defined]
    assert subscriber.group_id == "t.example.main"  # type: ignore[attr-defined]


class Nothing:
    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        return [] if records else ()

    def close(self) -> None:
        return None


async def open_nothing(number: int) -> PartitionProcessor:
    assert number >= 0
    return Nothing()


def test_topics_of_different_partition_counts_cannot_be_joined() -> None:
    broker = kafka_broker(SETTINGS, service="example")
    with pytest.raises(ConfigurationError, match="different partition counts"):
        transactional_subscriber(
            broker,
            SETTINGS,
            service="example",
            stage="main",
            topics=[EVENTS_RAW, REGISTRY_EVENTS],
            open_partition=open_nothing,
            health=Health(),
        )


def test_a_transactional_subscriber_is_not_ready_before_its_partitions_are() -> None:
    health = Health()
    transactional_subscriber(
        kafka_broker(SETTINGS, service="example"),
        SETTINGS,
        service="example",
        stage="main",
        topics=[EVENTS_RAW],
        open_partition=open_nothing,
        health=health,
    )
    assert health.missing == ["partitions of example.main"]
