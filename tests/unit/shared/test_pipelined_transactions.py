"""One partition's batches overlap only where that is harmless: processing with the commit before, commits never with each other."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from aiokafka import TopicPartition

from schemas.topics import EVENTS_RAW, EVENTS_VALIDATED
from shared.health import Health
from shared.partition_handover import PartitionHandover
from shared.partition_slot import Slot
from shared.records import Outgoing, Record, StoredRecord, topic_name
from shared.settings import Delivery, PlatformSettings
from shared.transactions import _Stage

SETTINGS = PlatformSettings()
PLACE = TopicPartition(topic_name(SETTINGS, EVENTS_RAW), 0)


class Producer:
    """Commits when it is told to."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.done: list[int] = []
        self.go = asyncio.Semaphore(0)
        self.fails = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def commit(
        self,
        partition: int,
        outputs: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, int],
        *,
        standing: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        assert (partition, len(outputs)) == (0, 1)
        assert standing == offsets
        self.asked.append(offsets[PLACE])
        await self.go.acquire()
        if self.fails:
            raise OSError("the broker is gone")
        self.done.append(offsets[PLACE])

    async def settled(self) -> None:
        pass


class Echo:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def process(self, records: Sequence[Record]) -> list[Outgoing]:
        self.seen += [record.offset for record in records]
        return [Outgoing(EVENTS_VALIDATED, record.key, record.value) for record in records]

    def close(self) -> None:
        pass


class Scene:
    """A stage with one open partition; batches are of one record."""

    def __init__(self, *, pipelined: bool) -> None:
        self.health, self.producer, self.echo = Health(), Producer(), Echo()

        async def never(number: int) -> Echo:
            raise AssertionError(number)

        handover = PartitionHandover(
            SETTINGS,
            service="validation",
            stage="main",
            topics=[EVENTS_RAW],
            open_partition=never,
            health=self.health,
            delivery=Delivery.EXACTLY_ONCE,
        )
        handover.slots[0] = Slot(0, self.producer, self.echo, {PLACE: 0})
        self.stage = _Stage("validation", handover, self.health, pipeline_from=1 if pipelined else 2)

    def batch(self, offset: int) -> asyncio.Task[None]:
        record = StoredRecord(PLACE.topic, 0, offset, 0, b"k", b"v")
        return asyncio.create_task(self.stage.handle([record]))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_next_batch_is_processed_while_the_one_before_is_committed() -> None:
    scene = Scene(pipelined=True)
    await scene.batch(0)
    second = scene.batch(1)
    await settle()
    assert (scene.echo.seen, scene.producer.asked, second.done()) == ([0, 1], [1], False)
    scene.producer.go.release()
    await second
    await settle()
    assert (scene.producer.done, scene.producer.asked) == ([1], [1, 2])


async def test_a_batch_that_is_too_small_is_committed_before_the_next_one_is_taken() -> None:
    scene = Scene(pipelined=False)
    first = scene.batch(0)
    second = scene.batch(1)
    await settle()
    assert (scene.echo.seen, first.done()) == ([0], False)
    scene.producer.go.release()
    scene.producer.go.release()
    await asyncio.gather(first, second)
    assert scene.producer.done == [1, 2]


async def test_a_record_that_was_processed_is_not_processed_again_before_its_commit() -> None:
    scene = Scene(pipelined=True)
    await scene.batch(0)
    await scene.batch(0)
    assert scene.echo.seen == [0]


@pytest.mark.parametrize("pipelined", [True, False])
async def test_nothing_is_published_after_a_commit_that_failed(*, pipelined: bool) -> None:
    scene = Scene(pipelined=pipelined)
    scene.producer.fails = True
    first, second = scene.batch(0), scene.batch(1)
    scene.producer.go.release()
    scene.producer.go.release()
    await asyncio.gather(first, second)
    assert scene.producer.asked == [1]
    assert "the broker is gone" in (scene.health.failure or "")


async def test_draining_waits_for_what_is_being_committed_and_takes_nothing_more() -> None:
    scene = Scene(pipelined=True)
    await scene.batch(0)
    draining = asyncio.create_task(scene.stage.drain())
    await scene.batch(1)
    await settle()
    assert (scene.echo.seen, draining.done()) == ([0], False)
    scene.producer.go.release()
    await draining
    assert scene.producer.done == [1]
