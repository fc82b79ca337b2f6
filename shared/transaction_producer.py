"""One fenced transactional producer: outputs and input offsets of one batch become visible together, or not at all."""

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer import sender

from schemas.topics import CATALOGUE, Partitioning, Topic
from shared.kafka_clients import MAX_BATCH_BYTES, MAX_REQUEST_BYTES, connection_options, reader
from shared.noted_positions import encoded, noted
from shared.records import Outgoing, TopicNames
from shared.settings import KafkaSettings

if TYPE_CHECKING:
    from aiokafka.producer.message_accumulator import BatchBuilder

# aiokafka waits 20 ms whenever the previous transaction's markers are still being written. Measured at 1 k/s, 4 partitions,
# 2 cores: p50 36 ms with 3 ms, 37 with 1 (the broker burns CPU on the retries), 39 with 12; 17 ms with one partition.
BACKOFF_SECONDS: Final = 0.003
RETRY_MILLISECONDS: Final = 20  # the same wait, for transactions that hold offsets only
STOP_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 5.0

Batches = dict[tuple[str, int], list[Outgoing]]


class PartitionProducer:
    """The transactional producer of one partition. Starting one fences every earlier one with the same id."""

    def __init__(
        self,
        kafka: KafkaSettings,
        names: TopicNames,
        *,
        transactional_id: str,
        group: str,
        places: Sequence[TopicPartition] = (),
        witnesses: Collection[TopicPartition] = (),
    ) -> None:
        """``group``: the consumer group whose offsets go into the transactions. ``places``: where outputs may go.

        ``witnesses``: those of them on which each transaction notes the offsets that it commits.
        """
        self.transactional_id: Final = transactional_id
        self._kafka = kafka
        self._names = names
        self._group = group
        self._places = tuple(places)
        self._witnesses = frozenset(witnesses)
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Take the id over. Returns once the predecessor's transaction is committed or aborted, markers written.

        Raises aiokafka's errors; TimeoutError past the transaction's own time-out.
        """
        sender.BACKOFF_OVERRIDE = BACKOFF_SECONDS
        producer = AIOKafkaProducer(
            **connection_options(self._kafka),
            acks="all",
            transactional_id=self.transactional_id,
            transaction_timeout_ms=int(self._kafka.transaction_timeout * 1000),
            retry_backoff_ms=RETRY_MILLISECONDS,
            max_request_size=MAX_REQUEST_BYTES,
            max_batch_size=MAX_BATCH_BYTES,
        )
        self._producer = producer
        await producer.start()
        if self._places:
            async with asyncio.timeout(self._kafka.transaction_timeout + GRACE_SECONDS):
                await self._settle(producer)

    async def _settle(self, producer: AIOKafkaProducer) -> None:
        """Commit nothing, wherever this id writes, before anybody asks which offsets are committed.

        A broker that is stopped may note a transaction as committed without having written its markers (observed with Kafka
        4.3.1 under load). Its records and offsets then hang until this id's next marker makes both visible: by then the same
        input would have been processed again from the offsets before. These transactions have no records but all the markers.

        Where nothing was ever written nothing hangs. It must be left out, too: when two transactions whose markers are the
        first entries of a log end at once, Kafka 4.3.1 leaves them without an answer for 30 s (four times of six).
        """
        for places in (
            await self._written(),
            (),
        ):  # the broker admits the second one once the first one's markers stand
            await producer.begin_transaction()
            manager = producer._txn_manager  # noqa: SLF001 - aiokafka takes what it writes to into a transaction, nothing else
            for place in places:
                manager.maybe_add_partition_to_txn(place)
            while manager._txn_consumer_group is None:  # noqa: SLF001 - see above
                await producer._sender._do_add_offsets_to_txn(self._group)  # noqa: SLF001 - it pauses before it can be asked again
            await producer.commit_transaction()

    async def _written(self) -> list[TopicPartition]:
        """Those of the places that have entries, committed or not."""
        consumer = reader(self._kafka, committed_only=False)
        await consumer.start()
        try:
            await consumer._client.set_topics({place.topic for place in self._places})  # noqa: SLF001 - else one request a topic
            ends: dict[TopicPartition, int] = await consumer.end_offsets(self._places)
        finally:
            await consumer.stop()
        return [place for place in self._places if ends[place] > 0]

    async def stop(self) -> None:
        """Close the connection; an open transaction is left to its time-out or to the next owner."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), STOP_SECONDS)
            except Exception:  # a fenced or disconnected producer may fail any way it likes
                with contextlib.suppress(Exception):
                    await producer.client.close()

    async def commit(
        self,
        partition: int,
        outputs: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, int],
        *,
        standing: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Publish ``outputs`` and commit ``offsets`` (the next to read) in one transaction.

        ``standing``: the same of all input topics, also of those that this batch has nothing of; it is noted on the outputs.

        Any error leaves the outcome unknown or the producer fenced: the process must end and resume from the log.
        Raises aiokafka's errors; TimeoutError past the transaction's own time-out.
        """
        producer = self._producer
        if producer is None:
            problem = f"the producer {self.transactional_id} is not started"
            raise RuntimeError(problem)
        async with asyncio.timeout(self._kafka.transaction_timeout + GRACE_SECONDS):
            await producer.begin_transaction()
            position = encoded(self._group, partition, standing or offsets)
            pending = [
                await producer.send_batch(batch, topic, partition=number)
                for (topic, number), items in group(outputs, partition, self._names).items()
                for batch in batches(producer, noted(items, position) if (topic, number) in self._witnesses else items)
            ]
            # every future is awaited: a rejected produce would otherwise be committed silently
            await asyncio.gather(*pending)
            # not at the same time: a coordinator that is adding the group makes the broker put produce requests off
            if offsets:
                await producer.send_offsets_to_transaction(dict(offsets), self._group)
            await producer.commit_transaction()

    async def settled(self) -> None:
        """A transaction that is committed has the offsets in it."""


def output_places(service: str, partition: int, names: TopicNames) -> list[TopicPartition]:
    """Where a transaction of ``service`` for input partition ``partition`` may write, by the catalogue.

    Not to the topics of producers: validation re-routes into their other partitions, and a record that is moved twice ends as
    one outcome and one duplicate.
    """
    return [
        TopicPartition(names.name(topic), 0 if topic.partitioning is Partitioning.SINGLE else partition)
        for topic in CATALOGUE
        if service in topic.writers and "producers" not in topic.writers
    ]


def witnesses(service: str, partition: int, partitioning: Partitioning, names: TopicNames) -> list[TopicPartition]:
    """Those of `output_places` that no other service and no other partition of a ``partitioning`` input writes to."""
    own = {
        names.name(topic) for topic in CATALOGUE if topic.writers == (service,) and topic.partitioning is partitioning
    }
    return [place for place in output_places(service, partition, names) if place.topic in own]


def group(outputs: Sequence[Outgoing], partition: int, names: TopicNames) -> Batches:
    """``outputs`` by physical topic and partition, in order. ``partition`` is the input's."""
    found: Batches = {}
    topic: Topic | None = None
    number: int | None = None
    run: list[Outgoing] = []
    for item in outputs:
        if item.topic is not topic or item.partition != number or not run:
            topic, number = item.topic, item.partition
            place = number
            if place is None:
                place = 0 if topic.partitioning is Partitioning.SINGLE else partition
            run = found.setdefault((names.name(topic), place), [])
        run.append(item)
    return found


def batches(producer: AIOKafkaProducer, items: Sequence[Outgoing]) -> "Iterator[BatchBuilder]":
    """``items`` in record batches that a broker takes, in order; each batch is written as a whole or not at all."""
    batch = producer.create_batch()
    for item in items:
        headers = item.headers if isinstance(item.headers, list) else list(item.headers)
        if batch.append(timestamp=None, key=item.key, value=item.value, headers=headers) is not None:
            continue
        yield batch
        batch = producer.create_batch()
        batch.append(timestamp=None, key=item.key, value=item.value, headers=headers)
    if batch.record_count():
        yield batch
