"""Effectively-once processing: a batch's outputs and its offsets are one transaction, one fenced producer a partition.

`shared.partition_handover` says how partitions come and go. Anything indefinite ends the process (exit code 70): it resumes
from what was committed. A record that breaks the code is looked for, and becomes a dead letter alone.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from aiokafka import TopicPartition
from faststream.kafka import KafkaBroker

from schemas.events.contract import decode
from schemas.events.validation import DeadLetter
from schemas.topics import Topic, dead_letters
from shared import metrics
from shared.batch_metrics import count_batch, count_letters
from shared.broker import batch_subscriber, consumer_of, on_stop
from shared.clock import SystemClock
from shared.dead_letter_limit import noted
from shared.dead_letters import code_of, dead_letter
from shared.errors import ConfigurationError, FatalError
from shared.health import Health
from shared.isolation import Isolation
from shared.logs import get_logger
from shared.partition_handover import MAY_PASS, OpenPartition, PartitionHandover
from shared.partition_slot import ByPlace, OutdatedError, PartitionProcessor, Slot, by_partition
from shared.records import Outgoing, Record
from shared.settings import Delivery, PlatformSettings

log = get_logger(__name__)

__all__ = ["OpenPartition", "PartitionProcessor", "transactional_subscriber"]


def transactional_subscriber(  # noqa: PLR0913 - a subscriber's wiring in one call
    broker: KafkaBroker,
    settings: PlatformSettings,
    *,
    service: str,
    stage: str,
    topics: Sequence[Topic],
    open_partition: OpenPartition,
    health: Health,
    max_records: int = 2000,
    delivery: Delivery = Delivery.EXACTLY_ONCE,
    pipeline_from: int | None = None,
) -> None:
    """Process ``topics``, which must be co-partitioned, effectively once.

    ``open_partition(p)`` is called when p was assigned and its producer has fenced the previous owner, before its first
    record: rebuild state there, it sees everything the predecessor committed. It may take long; other partitions go on.
    Topics of one partition work the same way: everything is partition 0, and one process of all is active.

    ``delivery`` at_least_once does without transactions and fencing; the handover's order stays. Then a processor may meet,
    after a crash, records whose outputs stand already, so its state must tolerate that.

    ``pipeline_from``: while a batch of a partition with so many records is committed, the next one is fetched and processed; then
    a processor's state may be two batches ahead of the log when a commit fails, and must be thrown away by the end of the process.
    Smaller batches are waited for: few transactions that gather what has come meanwhile are quicker than many.
    """
    if len({topic.partitioning for topic in topics}) != 1:
        message = f"{service}.{stage} joins topics of different partition counts; they can never be assigned together"
        raise ConfigurationError(message)
    handover = PartitionHandover(
        settings,
        service=service,
        stage=stage,
        topics=topics,
        open_partition=open_partition,
        health=health,
        delivery=delivery,
    )
    work = _Stage(service, handover, health, pipeline_from=pipeline_from)
    subscriber = batch_subscriber(
        broker,
        settings,
        *topics,
        group=f"{service}.{stage}",
        handler=work.handle,
        broken=health.fail,
        listener=handover,
        max_records=max_records,
    )
    handover.consumer = lambda: consumer_of(subscriber)
    on_stop(broker, handover.close, drain=work.drain)
    health.starting(handover.gate)


class _Stage:
    """The work of one transactional subscriber on the partitions that are open."""

    def __init__(self, service: str, handover: PartitionHandover, health: Health, *, pipeline_from: int | None) -> None:
        self.label: Final = handover.label
        self._service = service
        self._handover = handover
        self._health = health
        self._pipeline_from = pipeline_from
        self._clock = SystemClock()
        self._dead_letters = dead_letters(service).name
        self._isolation = Isolation()
        self._draining = False

    async def drain(self) -> None:
        """See everything in work committed, take nothing more; the consumer is in the group still."""
        self._draining = True
        await self._handover.cease()
        async with self._handover.busy:
            await self._handover.settled()

    async def handle(self, records: Sequence[Record]) -> None:
        """One batch: every partition in its own transaction, concurrently. Never raises."""
        if self._health.failure is not None or self._draining:
            return
        async with self._handover.busy:
            slots = self._handover.slots
            work = [
                self._work(slot, fresh)
                for number, found in by_partition(records, self._handover.order).items()
                if (slot := slots.get(number)) is not None and (fresh := slot.fresh(found))
            ]
            if work:
                await asyncio.gather(*work)

    async def _work(self, slot: Slot, places: ByPlace) -> None:
        try:
            for portion in self._isolation.portions(slot.number, places):
                if not await self._run(slot, portion):
                    return
        except Exception as error:  # the boundary: FastStream would drop the batch and go on
            self._handover.fail(f"working on partition {slot.number}", error)

    async def _run(self, slot: Slot, places: ByPlace) -> bool:
        """Process and commit ``places``; False where the slot cannot go on: the rest is fetched again, by whoever can."""
        begun = time.perf_counter()
        records = list(chain.from_iterable(places.values()))
        try:
            outputs = await _processed(slot, records)
        except MAY_PASS as error:
            await self._handover.set_aside(slot, error)
            return False
        except FatalError as error:
            self._handover.fail(f"processing partition {slot.number}", error)
            return False
        except Exception as error:  # the boundary: a bug must not commit anything, nor stop the records behind
            await self._isolate(slot, places, error)
            return False
        metrics.process_seconds.labels(self.label).observe(time.perf_counter() - begun)
        await self._commit(slot, places, records, outputs)
        return self._health.failure is None

    async def _commit(
        self, slot: Slot, places: ByPlace, records: Sequence[Record], outputs: Sequence[Outgoing]
    ) -> None:
        """Begin to publish what follows from ``records``, those of ``places`` in order, once the batch before stands.

        A partition's transactions follow each other.
        """
        outputs = self._limited(slot, records, outputs)
        await slot.settled()
        if self._health.failure is not None:
            return
        following = {place: some[-1].offset + 1 for place, some in places.items()}
        slot.following.update(following)
        slot.publishing = asyncio.create_task(self._publish(slot, records, outputs, following))
        if self._pipeline_from is None or len(records) < self._pipeline_from or self._isolation.searching(slot.number):
            await slot.publishing

    async def _publish(
        self,
        slot: Slot,
        records: Sequence[Record],
        outputs: Sequence[Outgoing],
        following: Mapping[TopicPartition, int],
    ) -> None:
        """Publish and commit. Never raises."""
        begun = time.perf_counter()
        try:
            await slot.producer.commit(slot.number, outputs, following, standing=dict(slot.following))
        except Exception as error:  # the boundary: the outcome is unknown, only the log knows it
            self._handover.fail(f"publishing for partition {slot.number}", error)
            return
        metrics.transaction_seconds.labels(self.label).observe(time.perf_counter() - begun)
        self._handover.succeeded(slot.number)
        self._isolation.passed(slot.number, following)
        count_batch(self.label, records, outputs)
        self._health.processed += len(records)

    async def _isolate(self, slot: Slot, places: ByPlace, error: Exception) -> None:
        """The processor may have changed before it raised: it is replaced. A record that broke it alone is a dead letter."""
        if self._isolation.broke(slot.number, places):
            [record] = chain.from_iterable(places.values())
            text = f"{type(error).__name__}: {error}"
            log.error("a record breaks the code", stage=self.label, why=text, exc_info=error)
            letter = dead_letter(record, service=self._service, code=code_of(error), message=text, clock=self._clock)
            await self._commit(slot, places, [record], [letter])
            await slot.settled()
            if self._health.failure is not None:
                return
        else:
            log.warning("a batch breaks the code; the record is looked for", stage=self.label, why=repr(error))
        await self._handover.open_anew(slot)

    def _limited(self, slot: Slot, records: Sequence[Record], outputs: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """``outputs`` with the tally noted on their last letter; the process ends where the limit is broken."""
        letters = [place for place, item in enumerate(outputs) if item.topic.name == self._dead_letters]
        limit = self._handover.limit
        stop = limit.observe(_positions([outputs[place] for place in letters], records), len(records), slot.number)
        if stop:
            self._health.fail(f"{self.label}, partition {slot.number}: {stop}; so far they are on {self._dead_letters}")
        if not letters:
            return outputs
        count_letters(self._service, [outputs[place] for place in letters])
        last = letters[-1]
        return [*outputs[:last], *noted([outputs[last]], limit.tally(slot.number)), *outputs[last + 1 :]]


def _positions(letters: Sequence[Outgoing], records: Sequence[Record]) -> list[int]:
    """Which of ``records``, by number, became ``letters``."""
    if not letters:
        return []
    origins = [decode(DeadLetter, letter.value or b"").origin for letter in letters]
    dead = {(origin.topic, origin.partition, origin.offset) for origin in origins}
    return [number for number, record in enumerate(records) if (record.topic, record.partition, record.offset) in dead]


async def _processed(slot: Slot, records: Sequence[Record]) -> Sequence[Outgoing]:
    try:
        return slot.processor.process(records)
    except OutdatedError as outdated:
        await outdated.catch_up()
        return slot.processor.process(records)
