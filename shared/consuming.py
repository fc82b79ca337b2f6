"""At-least-once consumption, one record at a time: retry what may pass, dead-letter what never will, then commit.

Order within a partition is kept. Outputs are acknowledged before the offset is committed, so a crash repeats at most the
records since the last commit; handlers must tolerate a repeat.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from faststream.kafka import KafkaBroker

from schemas.reasons import RefusedRecordError
from schemas.topics import Topic
from shared import metrics
from shared.backoff import pause
from shared.broker import batch_subscriber, consumer_of, on_stop
from shared.clock import Clock, SystemClock
from shared.dead_letter_limit import DeadLetterLimit, Tally, noted
from shared.dead_letter_tally import inherited_tallies
from shared.dead_letters import code_of, dead_letter
from shared.errors import PermanentError, TransientError
from shared.health import Health
from shared.lag import LagWatch
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import Outgoing, Record
from shared.settings import PlatformSettings

Handle = Callable[[Record], Awaitable[Sequence[Outgoing] | None]]

REVOKE_SECONDS: Final = 10.0

log = get_logger(__name__)


def consume(  # noqa: PLR0913 - a subscriber's wiring in one call
    broker: KafkaBroker,
    settings: PlatformSettings,
    *topics: Topic,
    group: str,
    service: str,
    handle: Handle,
    publisher: Publisher,
    health: Health,
    clock: Clock | None = None,
    commit_every: int = 1,
    max_records: int = 500,
    longest_batch: float = math.inf,
    patience: float = 0.0,
) -> None:
    """Call ``handle`` for every record of ``topics`` in order and publish what it returns.

    `TransientError` is retried with growing, jittered pauses; after ``dead_letters.attempts`` attempts, or at once for
    `PermanentError`, `RefusedRecordError` and anything unexpected, the record becomes a dead letter. ``commit_every``
    trades speed for repeats after a crash. ``longest_batch``: seconds after which the rest of a batch is left to be fetched
    again, so that many slow records are not one long time without a poll. ``patience``: seconds that ``handle`` may take for one record by bounded retries
    of its own; for so long its partition does not count as stalled. Too many dead letters stop the process (`DeadLetterLimit`).
    """
    loop = _Consumption(settings, group, service, handle, publisher, health, clock or SystemClock(), commit_every)
    loop.patience, loop.longest_batch = patience, longest_batch
    subscriber = batch_subscriber(
        broker,
        settings,
        *topics,
        group=group,
        handler=loop.handle,
        broken=health.fail,
        listener=loop,
        max_records=max_records,
    )
    loop.consumer = lambda: consumer_of(subscriber)
    on_stop(broker, loop.close)
    health.starting(loop.gate)


class _Consumption(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The state of one `consume`: which partitions are ours, and what is not committed yet."""

    consumer: Callable[[], AIOKafkaConsumer]
    patience: float = 0.0
    longest_batch: float = math.inf

    def __init__(
        self,
        settings: PlatformSettings,
        stage: str,
        service: str,
        handle: Handle,
        publisher: Publisher,
        health: Health,
        clock: Clock,
        commit_every: int,
    ) -> None:
        self.gate = f"partitions of {stage}"
        self._stage = stage
        self._service = service
        self._handle = handle
        self._publisher = publisher
        self._health = health
        self._clock = clock
        self._commit_every = commit_every
        self._attempts = settings.dead_letters.attempts
        self._limit = DeadLetterLimit(settings.dead_letters)
        self._settings = settings
        self._owned: frozenset[TopicPartition] = frozenset()
        self._known_tallies: set[TopicPartition] = set()
        self._busy = asyncio.Lock()
        self._watch = LagWatch(health)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let the record in flight finish; the rest of its batch belongs to the next owner."""
        del revoked  # always all of them: the eager protocol
        self._owned = frozenset()
        try:
            async with asyncio.timeout(REVOKE_SECONDS), self._busy:
                pass
        except TimeoutError:
            log.warning("a record in work moves with its partition and may be handled twice", stage=self._stage)
        self._watch.lost()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """From now on these partitions are ours."""
        self._owned = frozenset(assigned)
        self._known_tallies.clear()
        metrics.rebalances.labels(self._stage).inc()
        metrics.partitions_owned.labels(self._stage).set(len(assigned))
        self._watch.start(self.consumer(), assigned)
        self._health.ready(self.gate)

    async def close(self) -> None:
        """The consumer has left the group."""
        self._watch.stop()

    async def handle(self, records: Sequence[Record]) -> None:
        """One batch; never raises."""
        try:
            async with self._busy:
                await self._batch(records)
        except (CommitFailedError, IllegalStateError):
            log.warning("the partitions moved before the commit: the batch will be handled again", stage=self._stage)
        except Exception as error:  # the boundary: FastStream would swallow it and go on
            self._health.fail(f"{self._stage}: {type(error).__name__}: {error}")

    async def _batch(self, records: Sequence[Record]) -> None:
        uncommitted: dict[TopicPartition, int] = {}
        count, until = 0, self._clock.monotonic() + self.longest_batch
        left: Sequence[Record] = ()
        for number, record in enumerate(records):
            if self._clock.monotonic() > until:
                left = records[number:]
                break
            place = TopicPartition(record.topic, record.partition)
            if place not in self._owned or self._health.failure is not None:
                continue
            if not await self._one(record):
                break
            uncommitted[place] = record.offset + 1
            count += 1
            if count % self._commit_every == 0:
                await self._commit(uncommitted)
        await self._commit(uncommitted)
        self._leave(left)

    def _leave(self, records: Sequence[Record]) -> None:
        """Have ``records`` fetched again."""
        first: dict[TopicPartition, int] = {}
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        for place, offset in first.items():
            if place in self._owned:
                self.consumer().seek(place, offset)

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        if offsets:
            await self.consumer().commit(dict(offsets))
            offsets.clear()

    async def _one(self, record: Record) -> bool:
        """Handle ``record`` and publish what follows; False where the limit forbids it and nothing was published."""
        place = TopicPartition(record.topic, record.partition)
        if place not in self._known_tallies:
            await self._inherit_tally(place)
        outputs, dead = await self._attempt(record)
        stop = self._limit.observe([0] if dead else [], 1, lane=place)
        if stop:
            letters = f"{self._service}.dead-letters"
            self._health.fail(f"{self._stage}, {place.topic}/{place.partition}: {stop}; so far they are on {letters}")
            return False
        await self._publish(noted(outputs, self._limit.tally(place)) if dead else outputs)
        self._watch.busy(0.0)  # one record of a batch is progress, though the position stands at the batch's end
        metrics.records_in.labels(self._stage, record.topic).inc()
        self._health.processed += 1
        return True

    async def _inherit_tally(self, place: TopicPartition) -> None:
        committed = await self.consumer().committed(place)
        if committed:
            tallies = await inherited_tallies(self._settings, self._service, {place: committed})
            self._limit.resume(tallies.get(place, Tally()), place)
        self._known_tallies.add(place)

    async def _attempt(self, record: Record) -> tuple[Sequence[Outgoing], bool]:
        attempt = 1
        while True:
            self._watch.busy(self.patience)
            try:
                return await self._handle(record) or (), False
            except TransientError as error:
                if attempt >= self._attempts:
                    return [self._letter(record, error, "transient", attempt)], True
                await self._rest(attempt)
                attempt += 1
            except (PermanentError, RefusedRecordError) as error:
                return [self._letter(record, error, code_of(error), attempt)], True
            except Exception as error:
                log.exception("a record could not be handled", stage=self._stage)
                return [self._letter(record, error, "unexpected", attempt)], True

    async def _publish(self, outputs: Sequence[Outgoing]) -> None:
        """Publish until acknowledged: an output is never dropped, a repeat carries the same id."""
        attempt = 1
        while outputs:
            self._watch.busy(0.0)
            try:
                await self._publisher.publish(*outputs)
            except TransientError:
                if attempt >= self._attempts:
                    raise
                await self._rest(attempt)
                attempt += 1
            else:
                return

    async def _rest(self, attempt: int) -> None:
        """The pause before another attempt: there are so many of them and no more, so it is no stall."""
        seconds = pause(attempt)
        metrics.retries.labels(self._stage).inc()
        self._watch.busy(seconds)
        await asyncio.sleep(seconds)

    def _letter(self, record: Record, error: Exception, code: str, attempts: int) -> Outgoing:
        metrics.dead_letters.labels(self._service, code).inc()
        text = str(error) or type(error).__name__
        log.warning("dead letter", why=text, code=code, origin=f"{record.topic}/{record.partition}@{record.offset}")
        return dead_letter(record, service=self._service, code=code, message=text, attempts=attempts, clock=self._clock)
