"""Follows events.validated, labels.validated and replays of them into the store. The offsets stand with the store, not with a group.

A bare consumer instead of a FastStream subscriber, on purpose: positions and segments must become durable in one step, and a
lost store has to start again from the beginning, which a committed group offset would forbid.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.reasons import RefusedRecordError
from services.training.adapters import measures
from services.training.store import TOPICS, RecordStore
from shared.backoff import pause
from shared.clock import Clock
from shared.dead_letter_limit import DeadLetterLimit, noted
from shared.dead_letter_tally import inherited_tallies
from shared.dead_letters import code_of, dead_letter
from shared.errors import PlatformError, TransientError
from shared.health import Health
from shared.kafka_clients import admin_client, reader
from shared.lag import LagWatch
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import Outgoing, Record, TopicNames
from shared.settings import PlatformSettings

SERVICE: Final = "training"
BATCH: Final = 5000
POLL_MILLISECONDS: Final = 200
METADATA_SECONDS: Final = 30.0

Ends = dict[TopicPartition, int]
log = get_logger(__name__)


class ValidatedTopics:
    """A component: while it is entered, the store grows. Everything runs on the event loop but the writing of segments."""

    name = "data-set store"

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        directory: Path,
        segment_rows: int,
        flush_seconds: float,
        publisher: Publisher,
        health: Health,
        clock: Clock,
        ticked: Callable[[], None],
    ) -> None:
        """``ticked`` is called when event time may have advanced; ``publisher`` takes the dead letters."""
        self._settings = settings
        self._names = TopicNames(settings.topics.prefix)
        self._directory = directory
        self._segment_rows = segment_rows
        self._flush_seconds = flush_seconds
        self._publisher = publisher
        self._health = health
        self._clock = clock
        self._ticked = ticked
        self._watch = LagWatch(health)
        self._limit = DeadLetterLimit(settings.dead_letters)
        self._changing = asyncio.Lock()  # appending and flushing exclude each other
        self._flushed = 0.0
        self.last_arrival = 0.0  # monotonic
        self.caught_up = False  # with what stood on the topics at the start
        self._first_ends: Ends = {}
        self._consumer: AIOKafkaConsumer
        self._places: list[TopicPartition] = []
        self._task: asyncio.Task[None] | None = None
        self.store: RecordStore

    async def __aenter__(self) -> Self:
        self._consumer = reader(self._settings.kafka, max_partition_fetch_bytes=2 * 1024 * 1024)
        await self._consumer.start()
        self._places = await self._assign()
        partitions = {
            topic.name: sum(1 for p in self._places if p.topic == self._names.name(topic)) for topic in TOPICS
        }
        identity = f"{await self._cluster()}/{self._settings.topics.prefix}"
        self.store = await asyncio.to_thread(
            RecordStore, self._directory, identity, partitions, segment_rows=self._segment_rows
        )
        await self._seek()
        self._flushed = self.last_arrival = self._clock.monotonic()
        self._watch.start(self._consumer, self._places)
        self._task = asyncio.create_task(self._follow(), name=self.name)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watch.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            try:
                await self.flush()
            except TransientError as error:
                log.warning("%s The next process reads it again.", error)
        await self._consumer.stop()

    async def _assign(self) -> list[TopicPartition]:
        consumer, places = self._consumer, []
        names = [self._names.name(topic) for topic in TOPICS]
        consumer._client.set_topics(names)  # noqa: SLF001 - the only way to metadata without a subscription
        deadline = self._clock.monotonic() + METADATA_SECONDS
        for name in names:
            while not (numbers := consumer.partitions_for_topic(name)):
                if self._clock.monotonic() > deadline:
                    message = f"The topic {name} does not exist; create it with `headrace topics apply`."
                    raise PlatformError(message)
                await consumer._client.force_metadata_update()  # noqa: SLF001 - see above
                await asyncio.sleep(0.05)
            places += [TopicPartition(name, number) for number in sorted(numbers)]
        consumer.assign(places)
        return places

    async def _cluster(self) -> str:
        admin = admin_client(self._settings.kafka)
        try:
            await admin.start()
            return str((await admin.describe_cluster()).get("cluster_id"))
        finally:
            await admin.close()

    async def _seek(self) -> None:
        ends = await self._consumer.end_offsets(self._places)
        first = await self._consumer.beginning_offsets(self._places)
        if any(self._stored(place) > ends[place] for place in self._places):
            log.warning("the store is ahead of its topics, which were created anew: it is rebuilt from them")
            self.store.reset()
        for place in self._places:
            stored = self._stored(place)
            if 0 < stored < first[place]:
                log.warning(
                    "%d offsets of %s/%d expired before they were stored",
                    first[place] - stored,
                    place.topic,
                    place.partition,
                )
            self._consumer.seek(place, max(stored, first[place]))
        following = {place: self._stored(place) for place in self._places}
        for place, tally in (await inherited_tallies(self._settings, SERVICE, following)).items():
            self._limit.resume(tally, place)
        self._first_ends = ends

    def _stored(self, place: TopicPartition) -> int:
        return self.store.positions[self._logical(place.topic)].get(place.partition, 0)

    def _logical(self, name: str) -> str:
        return name.removeprefix(self._names.prefix)

    async def _follow(self) -> None:
        try:
            while True:
                try:
                    batches = await self._consumer.getmany(timeout_ms=POLL_MILLISECONDS, max_records=BATCH)
                except KafkaError as error:
                    log.warning("the validated topics cannot be read: %s; trying again", error)
                    await asyncio.sleep(1.0)
                    continue
                if batches:
                    self.last_arrival = self._clock.monotonic()
                    await self._take(batches)
                    if self._health.failure is not None:
                        return  # and nothing of what the limit refused becomes durable
                    self._ticked()
                if not self.caught_up and await self.reached(self._first_ends):
                    self.caught_up = True
                    self._ticked()
                if self._due():
                    await self._flush_patiently()
        except Exception as error:
            self._health.fail(f"{self.name}: {type(error).__name__}: {error}")

    async def _take(self, batches: Mapping[TopicPartition, Sequence[Record]]) -> None:
        async with self._changing:
            for place, records in batches.items():
                letters = self._append(place, records)
                stop = self._limit.observe(list(letters), len(records), place)
                if stop:
                    self._health.fail(f"{self.name}, {place.topic}/{place.partition}: {stop}")
                    return
                # before the position that skips them can become durable
                await self._publish(noted([*letters.values()], self._limit.tally(place)))
                self._health.processed += len(records)

    def _append(self, place: TopicPartition, records: Sequence[Record]) -> dict[int, Outgoing]:
        """Keep ``records``; the dead letters of those that cannot be kept, by their place among them."""
        refused: dict[int, Outgoing] = {}
        for number, record in enumerate(records):
            try:
                self.store.append(self._logical(place.topic), record)
            except RefusedRecordError as error:
                refused[number] = dead_letter(
                    record, service=SERVICE, code=code_of(error), message=str(error), clock=self._clock
                )
        return refused

    async def _publish(self, letters: Sequence[Outgoing]) -> None:
        while letters:
            try:
                await self._publisher.publish(*letters)
            except TransientError as error:
                log.warning("dead letters wait: %s", error)
                await asyncio.sleep(1.0)
            else:
                return

    def _due(self) -> bool:
        old = self._clock.monotonic() - self._flushed >= self._flush_seconds
        return self.store.pending_rows >= self._segment_rows or (old and self.store.dirty)

    async def flush(self) -> None:
        """Make everything that arrived durable. Raises `TransientError` where the disk does not take it; nothing is lost."""
        async with self._changing:
            if self._health.failure is not None:
                return
            try:
                with measures.flush_seconds.time():
                    rows = await asyncio.to_thread(self.store.flush)
            except OSError as error:
                message = (
                    f"The data-set store cannot write to {self._directory}: {error.strerror or error}. If the disk is full, "
                    "free space there; what has arrived is kept in memory and on the topics."
                )
                raise TransientError(message) from error
            self._flushed = self._clock.monotonic()
        if rows:
            measures.rows_stored.inc(rows)

    async def _flush_patiently(self) -> None:
        """Flush, and read nothing more until that worked; after too many attempts a new process tries further."""
        attempt = 1
        while True:
            try:
                await self.flush()
            except TransientError as error:
                if attempt >= self._settings.dead_letters.attempts:
                    self._health.fail(f"{self.name}, attempt {attempt}: {error}")
                    return
                seconds = pause(attempt)
                log.warning("%s Trying again in %.1f s.", error, seconds)
                await asyncio.sleep(seconds)
                attempt += 1
            else:
                return

    async def ends(self) -> Ends:
        """Where the topics end now, committed records only. Raises `TransientError` while Kafka does not answer."""
        try:
            found: Ends = await self._consumer.end_offsets(self._places)
        except KafkaError as error:
            message = f"the ends of the validated topics cannot be read: {error}"
            raise TransientError(message) from error
        return found

    async def reached(self, ends: Ends) -> bool:
        """Whether everything below ``ends`` has been taken."""
        async with self._changing:  # not between fetching a batch and appending it
            for place, end in ends.items():
                if await self._consumer.position(place) < end:
                    return False
        return True

    def watermark(self, feature_set: str) -> datetime | None:
        """The feature set's event time; None before every partition ticked."""
        return self.store.watermarks.of(feature_set)
