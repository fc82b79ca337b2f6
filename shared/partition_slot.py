"""A partition that is open in this process: who processes it, who publishes for it, and how far it is."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import TopicPartition

from shared.records import Outgoing, Record

CatchUp = Callable[[], Awaitable[None]]
ByPlace = dict[TopicPartition, list[Record]]


class OutdatedError(Exception):
    """A processor has to know the present before it judges these records; nothing has changed in it yet."""

    def __init__(self, catch_up: CatchUp) -> None:
        """``catch_up`` is awaited, then ``process`` is called with the same records again."""
        super().__init__("what is known from tables may be behind")
        self.catch_up = catch_up


class PartitionProcessor(Protocol):
    """The domain's side of one partition. Synchronous, without input or output of its own."""

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """What follows from ``records``: all joined topics of this partition, by topic in declared order, then offset.

        Returns a dead letter for a bad record. `TransientError`, OSError and MemoryError mean that the same records may
        succeed later: the processor is closed and the partition opened anew after a pause. `OutdatedError` asks, at most once
        for the same records, to be called again with tables brought up to date. `FatalError` ends the process. Any other
        exception means that a record breaks the code: the batch is halved, each half met by a fresh processor, until the
        record stands alone and becomes a dead letter. Should stay below 100 ms for a full batch, since it holds the event loop.
        """
        ...

    def close(self) -> None:
        """The partition goes to another process: release files and memory."""
        ...


class OutputProducer(Protocol):
    """How a partition's outputs and offsets get to Kafka: `PartitionProducer` or `AcknowledgedProducer`."""

    async def start(self) -> None:
        """Connect, and fence the previous owner where the kind of delivery has fencing."""
        ...

    async def stop(self) -> None:
        """Close the connection. Never raises."""
        ...

    async def commit(
        self,
        partition: int,
        outputs: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, int],
        *,
        standing: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Publish ``outputs``, and commit ``offsets`` (the next to read) with them or, until `settled`, behind them.

        Any error leaves the outcome unknown.

        ``standing``: where every input topic goes on, for the outputs to say so.
        """
        ...

    async def settled(self) -> None:
        """Return once the group knows the offsets of every `commit`, or that has failed and the process ends. Never raises."""
        ...


@dataclass(slots=True)
class Slot:
    """``following``: the next offset to process of each joined topic. ``publishing``: the batch before, on its way to Kafka."""

    number: int
    producer: OutputProducer
    processor: PartitionProcessor
    following: dict[TopicPartition, int]
    publishing: asyncio.Task[None] | None = None

    async def settled(self) -> None:
        """Return once the batch before is committed, or known to have failed."""
        if self.publishing is not None:
            await self.publishing
        await self.producer.settled()

    def fresh(self, records: ByPlace) -> ByPlace:
        """``records`` without those that were processed already (fetched again around a handover)."""
        found: ByPlace = {}
        for place, some in records.items():
            following = self.following[place]
            left = some if some[0].offset >= following else [r for r in some if r.offset >= following]
            if left:
                found[place] = left
        return found


def by_partition(records: Sequence[Record], order: Mapping[str, int]) -> dict[int, ByPlace]:
    """``records`` by partition, then by topic in ``order`` (of physical names).

    A fetch hands over runs of records of one place, so that a place is looked up once a run.
    """
    places: dict[tuple[int, str], list[Record]] = {}
    number, topic = -1, ""
    run: list[Record] = []
    for record in records:
        if record.partition != number or record.topic != topic:
            number, topic = record.partition, record.topic
            run = places.setdefault((number, topic), [])
        run.append(record)
    found: dict[int, ByPlace] = {}
    for number, topic in sorted(places, key=lambda place: order[place[1]]):
        found.setdefault(number, {})[TopicPartition(topic, number)] = places[number, topic]
    return found
