"""At-least-once delivery: outputs are acknowledged, then state, then the group's offsets are committed.

There is no transaction and no fence. A crash between the outputs and the offsets repeats at most the batch in work, and a
process that was stopped past its session may repeat one batch before its commit is refused. Repeats carry the same ids.
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


class AcknowledgedProducer:
    """The idempotent producer of one partition; the consumer group commits its offsets."""

    def __init__(self, kafka: KafkaSettings, names: TopicNames, *, commit_offsets: CommitOffsets) -> None:
        """``commit_offsets`` commits as the group's member; it must raise where the partition is not ours any more."""
        self._kafka = kafka
        self._names: Final = names
        self._commit_offsets = commit_offsets
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises aiokafka's errors."""
        self._producer = idempotent_producer(self._kafka)
        await self._producer.start()

    async def stop(self) -> None:
        """Close the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), STOP_SECONDS)
            except Exception:  # a disconnected producer may fail any way it likes
                with contextlib.suppress(Exception):
                    await producer.client.close()

    async def commit(
        self,
        partition: int,
        outputs: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, int],
        *,
        standing: Mapping[TopicPartition, int] | None = None,  # noqa: ARG002 - proves nothing without a transaction
    ) -> None:
        """Publish ``outputs``, then commit ``offsets``. What stands on compacted topics is state and comes after the rest:
        state may be behind what was said, never ahead of it.

        Raises aiokafka's errors; TimeoutError past the transaction time-out, which bounds this too.
        """
        producer = self._producer
        if producer is None:
            problem = "the producer is not started"
            raise RuntimeError(problem)
        async with asyncio.timeout(self._kafka.transaction_timeout + GRACE_SECONDS):
            said = [item for item in outputs if not _is_state(item)]
            await self._publish(producer, partition, said)
            if len(said) < len(outputs):
                await self._publish(producer, partition, [item for item in outputs if _is_state(item)])
            if offsets:
                await self._commit_offsets(offsets)

    async def _publish(self, producer: AIOKafkaProducer, partition: int, outputs: Sequence[Outgoing]) -> None:
        pending = [
            await producer.send_batch(batch, topic, partition=number)
            for (topic, number), items in group(outputs, partition, self._names).items()
            for batch in batches(producer, items)
        ]
        await asyncio.gather(*pending)


def _is_state(item: Outgoing) -> bool:
    return item.topic.cleanup is Cleanup.COMPACT
