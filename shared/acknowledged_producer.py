"""At-least-once delivery: outputs are acknowledged, then state, and the group's offsets are committed behind them.

There is no transaction and no fence. A crash between the outputs and the offsets repeats at most one batch of a partition, whose next
batch is fetched and processed meanwhile but not published. A process that was stopped past its session may repeat one before its commit is
refused. Repeats carry the same ids.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition

from schemas.topics import Cleanup
from shared.kafka_clients import idempotent_producer
from shared.records import Outgoing, TopicNames
from shared.settings import KafkaSettings
from shared.transaction_producer import GRACE_SECONDS, STOP_SECONDS, batches, group

CommitOffsets = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]
Failed = Callable[[BaseException], None]


class StageDelivery:
    """What the partitions of a stage share: a producer, so that their batches travel together, and a commit of offsets at a time.

    With a producer and a commit for each of four partitions, an event at 1,000 a second took twice as long
    (docs/decisions/0010-inference-stays-on-aiokafka.md).
    """

    def __init__(self, kafka: KafkaSettings, *, commit_offsets: CommitOffsets, failed: Failed) -> None:
        """``commit_offsets`` commits as the group's member; it must raise where a partition is not ours any more.

        ``failed`` is told why a commit did not succeed: which input is done is indefinite then, and the process must end.
        """
        self._kafka = kafka
        self._commit_offsets = commit_offsets
        self._failed = failed
        self._starting = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._noted: dict[TopicPartition, int] = {}
        self._until = 0.0
        self._broken = False
        self._committing: asyncio.Task[None] | None = None

    def deadline(self) -> float:
        """By when, on the loop's clock, a batch that begins to be published must stand with its offsets."""
        return asyncio.get_running_loop().time() + self._kafka.transaction_timeout + GRACE_SECONDS

    async def producer(self) -> AIOKafkaProducer:
        """The producer, started when the first partition asks for it. Raises aiokafka's errors."""
        async with self._starting:
            if self._producer is None:
                producer = idempotent_producer(self._kafka)
                try:
                    await producer.start()
                except BaseException:
                    await _closed(producer)
                    raise
                self._producer = producer
            return self._producer

    def note(self, offsets: Mapping[TopicPartition, int], until: float) -> None:
        """Have ``offsets`` (the next to read) committed by the `deadline` ``until``.

        What is noted while a commit is under way goes together into the next; after one that failed nothing is committed any more.
        """
        self._noted |= offsets
        self._until = max(self._until, until)
        if self._noted and not self._broken and (self._committing is None or self._committing.done()):
            self._committing = asyncio.create_task(self._commit(), name="commit offsets")

    async def _commit(self) -> None:
        while self._noted:
            offsets, self._noted = self._noted, {}
            try:
                async with asyncio.timeout_at(self._until):
                    await self._commit_offsets(offsets)
            except Exception as error:  # the boundary: nobody awaits this task for its outcome
                self._broken = True
                self._failed(error)
                return

    async def settled(self) -> None:
        """Return once everything noted so far is committed, or known to have failed."""
        if self._committing is not None:
            await asyncio.shield(self._committing)  # whoever waits may be cancelled, the others' offsets not

    async def stop(self) -> None:
        """Close the connection. Never raises."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _closed(producer)


class AcknowledgedProducer:
    """One partition's way out. A `shared.partition_slot.OutputProducer`."""

    def __init__(self, delivery: StageDelivery, names: TopicNames) -> None:
        """``delivery`` is shared with the stage's other partitions, and outlives this one."""
        self._delivery = delivery
        self._names: Final = names

    async def start(self) -> None:
        """Connect. Raises aiokafka's errors."""
        await self._delivery.producer()

    async def stop(self) -> None:
        """Nothing is this partition's own."""

    async def settled(self) -> None:
        """Return once the offsets of what was published are committed, or known to have failed."""
        await self._delivery.settled()

    async def commit(
        self,
        partition: int,
        outputs: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, int],
        *,
        standing: Mapping[TopicPartition, int] | None = None,  # noqa: ARG002 - proves nothing without a transaction
    ) -> None:
        """Publish ``outputs``, then have ``offsets`` committed, which `settled` waits for. What stands on compacted topics is
        state and comes after the rest: state may be behind what was said, never ahead of it.

        Raises aiokafka's errors; TimeoutError past the transaction time-out, which bounds this and the offsets' commit together.
        """
        producer = await self._delivery.producer()
        until = self._delivery.deadline()
        async with asyncio.timeout_at(until):
            said = [item for item in outputs if not _is_state(item)]
            await self._publish(producer, partition, said)
            if len(said) < len(outputs):
                await self._publish(producer, partition, [item for item in outputs if _is_state(item)])
        self._delivery.note(offsets, until)

    async def _publish(self, producer: AIOKafkaProducer, partition: int, outputs: Sequence[Outgoing]) -> None:
        pending = [
            await producer.send_batch(batch, topic, partition=number)
            for (topic, number), items in group(outputs, partition, self._names).items()
            for batch in batches(producer, items)
        ]
        await asyncio.gather(*pending)


def _is_state(item: Outgoing) -> bool:
    return item.topic.cleanup is Cleanup.COMPACT


async def _closed(producer: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), STOP_SECONDS)
    except Exception:  # a disconnected producer may fail any way it likes
        with contextlib.suppress(Exception):
            await producer.client.close()
