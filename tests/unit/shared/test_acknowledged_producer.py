"""At-least-once: offsets follow outputs that stand, one commit at a time, and nobody goes on before they do or after they failed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.topics import EVENTS_RAW, EVENTS_VALIDATED
from shared import acknowledged_producer
from shared.acknowledged_producer import AcknowledgedProducer, StageDelivery
from shared.health import Health
from shared.partition_handover import PartitionHandover
from shared.partition_slot import Slot
from shared.records import Outgoing, Record, StoredRecord, TopicNames, topic_name
from shared.settings import Delivery, KafkaSettings, PlatformSettings
from shared.transactions import _Stage

SETTINGS = PlatformSettings()
TOPIC = topic_name(SETTINGS, EVENTS_RAW)
FIRST, SECOND, THIRD = (TopicPartition(TOPIC, number) for number in range(3))


class Group:
    """Commits offsets when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Mapping[TopicPartition, int]] = []
        self.committed: list[Mapping[TopicPartition, int]] = []
        self.go = asyncio.Semaphore(0)
        self.refuses = False
        self.failures: list[BaseException] = []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.asked.append(offsets)
        await self.go.acquire()
        if self.refuses:
            raise OSError("the group has moved on")
        self.committed.append(offsets)

    def delivery(self) -> StageDelivery:
        return StageDelivery(KafkaSettings(), commit_offsets=self.commit, failed=self.failures.append)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_noted_while_a_commit_is_under_way_goes_together_into_the_next() -> None:
    group = Group()
    delivery = group.delivery()
    delivery.note({FIRST: 5}, soon())
    await turns()
    delivery.note({FIRST: 9}, soon())
    delivery.note({SECOND: 2}, soon())
    delivery.note({THIRD: 4}, soon())
    group.go.release()
    group.go.release()
    await delivery.settled()
    assert group.committed == [{FIRST: 5}, {FIRST: 9, SECOND: 2, THIRD: 4}]


async def test_settled_waits_for_the_last_commit_and_for_nothing_where_none_is_under_way() -> None:
    group = Group()
    delivery = group.delivery()
    await delivery.settled()
    delivery.note({FIRST: 5}, soon())
    waiting = asyncio.create_task(delivery.settled())
    await turns()
    assert not waiting.done()
    group.go.release()
    await waiting
    assert group.committed == [{FIRST: 5}]


async def test_who_waits_may_be_cancelled_and_the_offsets_are_committed_all_the_same() -> None:
    group = Group()
    delivery = group.delivery()
    delivery.note({FIRST: 5}, soon())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await delivery.settled()
    group.go.release()
    await delivery.settled()
    assert group.committed == [{FIRST: 5}]


async def test_a_refused_commit_is_told_once_and_nothing_is_committed_after_it() -> None:
    group = Group()
    delivery = group.delivery()
    group.refuses = True
    delivery.note({FIRST: 5}, soon())
    await turns()
    delivery.note({SECOND: 2}, soon())
    group.go.release()
    await delivery.settled()
    group.refuses = False
    delivery.note({THIRD: 4}, soon())
    await delivery.settled()
    assert [str(error) for error in group.failures] == ["the group has moved on"]
    assert group.committed == []
    assert group.asked == [{FIRST: 5}]


async def test_a_commit_that_hangs_beyond_the_deadline_is_a_failure() -> None:
    group = Group()
    delivery = group.delivery()
    delivery.note({FIRST: 5}, asyncio.get_running_loop().time() + 0.01)
    await delivery.settled()
    assert [type(error) for error in group.failures] == [TimeoutError]


async def test_nothing_is_asked_of_the_group_for_a_batch_without_offsets() -> None:
    group = Group()
    delivery = group.delivery()
    delivery.note({}, soon())
    await delivery.settled()
    assert group.asked == []


# ---- over a stage


class Batch:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, timestamp: int | None, key: bytes, value: bytes, headers: list[Any]) -> object:
        del timestamp, key, headers
        self.values.append(value)
        return self

    def record_count(self) -> int:
        return len(self.values)


class Broker:
    """An aiokafka producer whose batches are acknowledged when it is told to."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.go = asyncio.Semaphore(0)
        self.refuses = False
        self.started = 0

    async def start(self) -> None:
        self.started += 1

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> "asyncio.Task[None]":
        del topic, partition
        self.sent.append(batch.values)
        return asyncio.create_task(self._acknowledged())

    async def _acknowledged(self) -> None:
        await self.go.acquire()
        if self.refuses:
            raise OSError("the broker is gone")


class Echo:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def process(self, records: Sequence[Record]) -> list[Outgoing]:
        self.seen += [record.offset for record in records]
        return [Outgoing(EVENTS_VALIDATED, record.key, str(record.offset).encode()) for record in records]

    def close(self) -> None:
        pass


class Scene:
    """A stage with one open partition; batches are of one record, too small to be overlapped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.health, self.group, self.broker, self.echo = Health(), Group(), Broker(), Echo()
        monkeypatch.setattr(acknowledged_producer, "idempotent_producer", lambda _: self.broker)
        self.handover = PartitionHandover(
            SETTINGS,
            service="validation",
            stage="main",
            topics=[EVENTS_RAW],
            open_partition=self._never,
            health=self.health,
            delivery=Delivery.AT_LEAST_ONCE,
        )
        self.handover._acknowledged._commit_offsets = self.group.commit  # as the consumer would
        producer = self.handover._producer(0)
        assert isinstance(producer, AcknowledgedProducer)
        self.handover.slots[0] = Slot(0, producer, self.echo, {FIRST: 0})
        self.stage = _Stage("validation", self.handover, self.health, pipeline_from=None)

    async def _never(self, number: int) -> Echo:
        raise AssertionError(number)

    def batch(self, offset: int) -> "asyncio.Task[None]":
        return asyncio.create_task(self.stage.handle([StoredRecord(TOPIC, 0, offset, 0, b"k", b"v")]))


async def test_offsets_are_committed_after_the_outputs_are_acknowledged_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    batch = scene.batch(0)
    await turns()
    assert (scene.broker.sent, scene.group.asked) == ([[b"0"]], [])
    scene.broker.go.release()
    await batch
    await turns()
    assert scene.group.asked == [{FIRST: 1}]


async def test_the_next_batch_is_processed_while_offsets_are_committed_and_published_when_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    scene.broker.go.release()
    await scene.batch(0)
    second = scene.batch(1)
    await turns()
    assert (scene.echo.seen, scene.broker.sent) == ([0, 1], [[b"0"]])
    scene.group.go.release()
    scene.broker.go.release()
    await second
    assert scene.broker.sent == [[b"0"], [b"1"]]


async def test_offsets_of_outputs_that_were_refused_are_never_committed_and_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    scene.broker.refuses = True
    scene.broker.go.release()
    await scene.batch(0)
    await scene.handover.settled()
    assert scene.group.asked == []
    assert "the broker is gone" in (scene.health.failure or "")


async def test_a_refused_commit_ends_the_process_and_nothing_is_published_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    scene.group.refuses = True
    scene.broker.go.release()
    await scene.batch(0)
    scene.group.go.release()
    await scene.batch(1)
    assert "committing offsets: OSError: the group has moved on" in (scene.health.failure or "")
    assert scene.broker.sent == [[b"0"]]


async def test_a_handover_waits_for_the_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.broker.go.release()
    await scene.batch(0)
    settled = asyncio.create_task(scene.handover.settled())
    await turns()
    assert not settled.done()
    scene.group.go.release()
    await settled
    assert scene.group.committed == [{FIRST: 1}]


async def test_partitions_that_open_at_once_share_one_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    monkeypatch.setattr(acknowledged_producer, "idempotent_producer", lambda _: broker)
    delivery = Group().delivery()
    ways = [AcknowledgedProducer(delivery, TopicNames("p.")) for _ in range(4)]
    await asyncio.gather(*(way.start() for way in ways))
    assert broker.started == 1
