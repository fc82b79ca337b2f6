"""Taking partitions over and giving them away, so that two processes never both serve one.

Taking: pause → start the partition's producer (which fences the previous owner and waits for its transaction) → rebuild
state → committed() → seek → resume. Giving: the batch in flight finishes, and its offsets are seen committed, first. What may
pass (`MAY_PASS`) is a handover to oneself: the partition is paused, and opened again after a moment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from shared import metrics
from shared.acknowledged_producer import AcknowledgedProducer, StageDelivery
from shared.backoff import pause
from shared.broker import group_name
from shared.dead_letter_limit import DeadLetterLimit, Tally
from shared.dead_letter_tally import inherited_tallies
from shared.errors import ConfigurationError, HeadraceError, TransientError
from shared.group_offsets import next_offset, until_shown
from shared.health import Health
from shared.lag import LagWatch
from shared.logs import get_logger
from shared.noted_positions import credible, noted_positions
from shared.partition_slot import OutputProducer, PartitionProcessor, Slot
from shared.records import TopicNames, topic_name
from shared.settings import Delivery, PlatformSettings
from shared.transaction_producer import PartitionProducer, output_places, witnesses

REVOKE_SECONDS: Final = 25.0  # below the rebalance time-out of `shared.broker`
MAY_PASS: Final = (
    TransientError,
    OSError,
    MemoryError,
)  # a full disk, a locked file, no memory: not the records' fault

OpenPartition = Callable[[int], Awaitable[PartitionProcessor]]

log = get_logger(__name__)


class PartitionHandover(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The open partitions of one transactional stage. ``busy`` is held while one of its batches is in work."""

    consumer: Callable[[], AIOKafkaConsumer]

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        service: str,
        stage: str,
        topics: Sequence[Topic],
        open_partition: OpenPartition,
        health: Health,
        delivery: Delivery,
    ) -> None:
        self.label = f"{service}.{stage}"
        self.gate = f"partitions of {self.label}"
        self.names = TopicNames(settings.topics.prefix)
        self.order = {topic_name(settings, topic): place for place, topic in enumerate(topics)}
        self.limit = DeadLetterLimit(settings.dead_letters)
        self.slots: dict[int, Slot] = {}
        self.busy = asyncio.Lock()
        self._settings = settings
        self._service = service
        self._partitioning = topics[0].partitioning
        self._delivery = delivery
        self._acknowledged = StageDelivery(
            settings.kafka,
            commit_offsets=self._commit_offsets,
            failed=lambda error: self.fail("committing offsets", error),
        )
        self._group = group_name(settings, self.label)
        self._open_partition = open_partition
        self._health = health
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._failures: dict[int, int] = {}  # by partition: attempts in a row that may succeed later
        self._assigned = 0
        self._giving = True  # no partition is ours, or it is on its way to another
        self._watch = LagWatch(health)

    # ---- giving

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish the batch in flight, see its offsets committed, let go."""
        try:
            await self.cease()
            async with asyncio.timeout(REVOKE_SECONDS), self.busy:
                await self.settled()
                await until_shown(self.consumer(), [slot.following for slot in self.slots.values()])
                await self._close_slots()
            self._watch.lost()
            if revoked:
                log.info("partitions handed over", stage=self.label, partitions=sorted({p.partition for p in revoked}))
        except Exception as error:  # aiokafka would only log it
            self.fail("handing partitions over", error)

    async def cease(self) -> None:
        """Open nothing any more; a batch in flight goes on. Call before the consumer stops."""
        self._giving = True
        opening = [task for task in self._opening.values() if not task.done()]
        self._opening.clear()
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)

    async def settled(self) -> None:
        """Return once everything that was processed is committed, or known to have failed."""
        await asyncio.gather(*(slot.settled() for slot in self.slots.values()))

    async def close(self) -> None:
        """Let everything go; the consumer has left the group already."""
        await self.cease()
        await self._close_slots()
        await self._acknowledged.stop()

    async def _close_slots(self) -> None:
        self._watch.stop()
        slots, self.slots = self.slots, {}
        for slot in slots.values():
            slot.processor.close()
        await asyncio.gather(*(slot.producer.stop() for slot in slots.values()))
        metrics.partitions_owned.labels(self.label).set(0)

    # ---- taking

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Pause, then open each partition in the background: the group's heartbeats stop while a listener runs."""
        try:
            self._giving = False
            consumer = self.consumer()
            consumer.pause(*assigned)
            metrics.rebalances.labels(self.label).inc()
            places = self._together(assigned)
            self._watch.start(consumer, assigned)
            self._assigned = len(places)
            for number, found in places.items():
                self._begin_opening(number, found)
            metrics.partitions_owned.labels(self.label).set(len(places))
            if not places:
                self._health.ready(self.gate)
        except Exception as error:  # aiokafka would only log it
            self.fail("taking partitions over", error)

    def _together(self, assigned: set[TopicPartition]) -> dict[int, list[TopicPartition]]:
        """By number. Raises ConfigurationError where a partition came without some of the stage's topics."""
        places: dict[int, list[TopicPartition]] = {}
        for place in sorted(assigned, key=lambda p: (p.partition, self.order[p.topic])):
            places.setdefault(place.partition, []).append(place)
        for number, found in places.items():
            if len(found) != len(self.order):
                problem = f"partition {number} came without some of its topics: they are not co-partitioned"
                raise ConfigurationError(problem)
        return places

    def _begin_opening(self, number: int, places: Sequence[TopicPartition], *, wait: float = 0.0) -> None:
        self._opening[number] = asyncio.create_task(self._open(number, places, wait=wait), name=f"open {number}")

    async def _open(self, number: int, places: Sequence[TopicPartition], *, wait: float = 0.0) -> None:
        producer = self._producer(number)
        processor: PartitionProcessor | None = None
        try:
            await asyncio.sleep(wait)
            await producer.start()
            processor = await self._open_partition(number)
            consumer = self.consumer()
            following = await self._following(number, places, producer)
            tallies = await inherited_tallies(self._settings, self._service, following, partition=number)
            # no await from here on: either the partition is open and resumed, or it is not
            self.limit.resume(next(reversed(tallies.values()), Tally()), number)
            for place, offset in following.items():
                consumer.seek(place, offset)
            self.slots[number] = Slot(number, producer, processor, following)
            consumer.resume(*places)
            if len(self.slots) == self._assigned:
                self._health.ready(self.gate)
                log.info("partitions open", stage=self.label, partitions=sorted(self.slots))
        except BaseException as error:
            if processor is not None:
                processor.close()
            await producer.stop()
            if isinstance(error, MAY_PASS):
                self._open_later(number, places, error)
                return
            if not isinstance(error, asyncio.CancelledError):
                self.fail(f"opening partition {number}", error)
            raise

    async def _following(
        self, number: int, places: Sequence[TopicPartition], producer: OutputProducer
    ) -> dict[TopicPartition, int]:
        """Where each of ``places`` goes on: what the group has committed, or more where committed outputs say so."""
        consumer = self.consumer()
        following = {place: await next_offset(consumer, place) for place in places}
        if self._delivery is Delivery.AT_LEAST_ONCE:
            return following  # outputs are no proof there: those of one topic may stand without those of another
        said = await noted_positions(self._settings.kafka, self._witnesses(number), group=self._group, partition=number)
        ahead = {
            place: said[place.topic]
            for place, offset in following.items()
            if place.topic in said and said[place.topic].offset > offset
        }
        if not ahead:
            return following
        raised = await credible(consumer, ahead)
        for place, note in ahead.items():
            known = {"stage": self.label, "topic": place.topic, "partition": number, "said": note.offset}
            if place in raised:
                log.warning("the group has forgotten offsets; the outputs know", group=following[place], **known)
                metrics.offsets_forgotten.labels(self.label).inc(note.offset - following[place])
            else:
                log.error("outputs speak of input that is not there: was the topic made anew?", **known)
        if raised:
            await producer.commit(number, [], raised)  # else it would be behind until this topic has a record again
        return {**following, **raised}

    def _witnesses(self, number: int) -> list[TopicPartition]:
        return witnesses(self._service, number, self._partitioning, self.names)

    def _producer(self, number: int) -> OutputProducer:
        if self._delivery is Delivery.AT_LEAST_ONCE:
            return AcknowledgedProducer(self._acknowledged, self.names)
        return PartitionProducer(
            self._settings.kafka,
            self.names,
            transactional_id=f"{self._group}.{number}",
            group=self._group,
            places=output_places(self._service, number, self.names),
            witnesses=self._witnesses(number),
        )

    async def _commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self.consumer().commit(dict(offsets))

    # ---- to oneself

    async def set_aside(self, slot: Slot, error: BaseException) -> None:
        """Throw away what ``slot`` has changed before ``error``, and meet the same records again after a pause.

        After ``dead_letters.attempts`` in a row the process ends instead, with nothing dropped: a new one tries further.
        """
        await self._let_go(slot)
        self._open_later(slot.number, list(slot.following), error)

    async def open_anew(self, slot: Slot) -> None:
        """Throw away what ``slot`` has changed since its last commit, and go on from there at once."""
        await self._let_go(slot)
        if not self._giving:
            self._health.starting(self.gate)
            self._begin_opening(slot.number, list(slot.following))

    async def _let_go(self, slot: Slot) -> None:
        await slot.settled()
        self.consumer().pause(*slot.following)
        del self.slots[slot.number]
        slot.processor.close()
        await slot.producer.stop()

    def succeeded(self, number: int) -> None:
        """What follows from a batch of the partition stands: failures before it count no more."""
        self._failures.pop(number, None)

    def _open_later(self, number: int, places: Sequence[TopicPartition], error: BaseException) -> None:
        if self._giving:
            return  # the next owner tries
        failures = self._failures[number] = self._failures.get(number, 0) + 1
        if failures >= self._settings.dead_letters.attempts:
            self.fail(f"partition {number}, attempt {failures}", error)
            return
        seconds = pause(failures)
        metrics.retries.labels(self.label).inc()
        text = f"{type(error).__name__}: {error}" if not isinstance(error, TransientError) else str(error)
        log.warning("a partition waits", stage=self.label, partition=number, why=text, seconds=round(seconds, 2))
        self._health.starting(self.gate)
        self._begin_opening(number, places, wait=seconds)

    def fail(self, doing: str, error: BaseException) -> None:
        """End the process: what is indefinite is resumed from the log."""
        text = str(error) or type(error).__name__
        unexpected = not isinstance(error, KafkaError | HeadraceError)
        log.error("a step failed", stage=self.label, step=doing, why=text, exc_info=error if unexpected else None)
        self._health.fail(f"{self.label}: {doing}: {type(error).__name__}: {text}")
