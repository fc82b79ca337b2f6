"""Topics as state: read from the beginning to the end, then followed. A table is ready when its position reaches the end
offset seen at the start, not when the last record was seen: the last offset may be a transaction marker.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.reasons import RefusedRecordError
from schemas.topics import Topic
from shared import metrics
from shared.errors import PlatformError, TransientError
from shared.health import Health
from shared.kafka_clients import UNREADABLE, reader
from shared.logs import get_logger
from shared.records import Record, topic_name
from shared.settings import PlatformSettings

POLL_MILLISECONDS: Final = 500
METADATA_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 1.0
CATCH_UP_SECONDS: Final = 5.0
CATCH_UP_POLL_SECONDS: Final = 0.005

Apply = Callable[[Record], None]
OnRefused = Callable[[Record, Exception], None]

log = get_logger(__name__)


class Table:
    """Keeps ``apply`` fed with every record of ``topics``: all of them by partition and offset, across topics unordered."""

    def __init__(
        self,
        settings: PlatformSettings,
        *topics: Topic,
        apply: Apply,
        name: str,
        health: Health | None = None,
        on_refused: OnRefused | None = None,
        from_beginning: bool = True,
    ) -> None:
        """``from_beginning`` False follows from the end only. A record that ``apply`` raises for is logged and skipped."""
        self.name: Final = f"table {name}"
        self._settings = settings
        self._topics = topics
        self._apply = apply
        self._health = health
        self._on_refused = on_refused
        self._from_beginning = from_beginning
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        if health is not None:
            health.starting(self.name)

    async def start(self) -> None:
        """Returns once everything that was committed at the call has been applied."""
        metrics.table_ready.labels(self.name).set(0)
        consumer = reader(self._settings.kafka)
        self._consumer = consumer
        await consumer.start()
        places = await _assign(consumer, [topic_name(self._settings, topic) for topic in self._topics])
        ends = await consumer.end_offsets(places)
        if self._from_beginning:
            for place, offset in (await consumer.beginning_offsets(places)).items():
                consumer.seek(place, offset)
            await self._until(consumer, ends)
        else:
            for place, offset in ends.items():
                consumer.seek(place, offset)
        metrics.table_ready.labels(self.name).set(1)
        if self._health is not None:
            self._health.ready(self.name)
        self._task = asyncio.create_task(self._follow(consumer), name=self.name)

    async def stop(self) -> None:
        """Stop following."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def catch_up(self) -> None:
        """Return once everything that is committed at the call has been applied.

        Raises `TransientError` after `CATCH_UP_SECONDS`, and where Kafka does not say how far that is.
        """
        consumer = self._consumer
        if consumer is None:
            problem = f"{self.name} is not started"
            raise RuntimeError(problem)
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                for place, end in (await consumer.end_offsets(consumer.assignment())).items():
                    while await consumer.position(place) < end:  # noqa: ASYNC110 - nothing tells of a marker that was passed
                        await asyncio.sleep(CATCH_UP_POLL_SECONDS)
        except (KafkaError, TimeoutError) as error:
            message = f"{self.name} did not catch up within {CATCH_UP_SECONDS:g} s"
            raise TransientError(message) from error

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _until(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        async for records in _read(consumer, ends):
            self._take(records)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                for records in (await consumer.getmany(timeout_ms=POLL_MILLISECONDS)).values():
                    self._take(records)
            except Exception as error:
                if isinstance(error, KafkaError) and not isinstance(error, UNREADABLE):
                    log.warning("a table cannot read; trying again", table=self.name, why=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if self._health is not None:
                    self._health.fail(f"{self.name}: {type(error).__name__}: {error}")
                raise

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                self._apply(record)
            except Exception as error:
                metrics.table_refused.labels(self.name).inc()
                origin = f"{record.topic}/{record.partition}@{record.offset}"
                expected = isinstance(error, RefusedRecordError)
                log.warning(
                    "a record was refused",
                    table=self.name,
                    why=str(error),
                    origin=origin,
                    exc_info=None if expected else error,
                )
                if self._on_refused is not None:
                    self._on_refused(record, error)
        metrics.table_records.labels(self.name).inc(len(records))


async def scan(
    settings: PlatformSettings,
    topic: Topic,
    partition: int | None = None,
    *,
    first: Mapping[int, int] | None = None,
    tail: int | None = None,
    since: datetime | None = None,
) -> AsyncGenerator[Sequence[Record], None]:
    """All committed records of ``topic`` (or of one partition) up to its end at the call, in batches of one partition.

    ``first`` starts at that offset of each partition that it names; ``tail`` that many offsets before each end (markers
    count, so it may give fewer records); ``since`` at the first record appended at or after that time; of several the latest.
    """
    consumer = reader(settings.kafka)
    await consumer.start()
    try:
        places = await _assign(consumer, [topic_name(settings, topic)], partition)
        ends = await consumer.end_offsets(places)
        starts = await _starts(consumer, places, ends, tail, since)
        for place, offset in starts.items():
            consumer.seek(place, max(offset, (first or {}).get(place.partition, 0)))
        async for records in _read(consumer, ends):
            yield records
    finally:
        await consumer.stop()


async def follow(
    settings: PlatformSettings, *topics: Topic, from_beginning: bool = True
) -> AsyncGenerator[Sequence[Record], None]:
    """All committed records of ``topics`` in batches of one partition, for ever; close the generator to stop.

    The first batch is empty: it says that the reader is in position, so that nothing written from then on is missed.
    """
    consumer = reader(settings.kafka)
    await consumer.start()
    try:
        places = await _assign(consumer, [topic_name(settings, topic) for topic in topics])
        positions = await (consumer.beginning_offsets if from_beginning else consumer.end_offsets)(places)
        for place, offset in positions.items():
            consumer.seek(place, offset)
        yield ()
        while True:
            for records in (await consumer.getmany(timeout_ms=POLL_MILLISECONDS)).values():
                yield records
    finally:
        await consumer.stop()


async def read_to_end(
    settings: PlatformSettings,
    topic: Topic,
    partition: int | None = None,
    *,
    tail: int | None = None,
    since: datetime | None = None,
) -> list[Record]:
    """What `scan` yields, as one list."""
    return [record async for records in scan(settings, topic, partition, tail=tail, since=since) for record in records]


async def last_records(settings: PlatformSettings, topic: Topic, partition: int | None, offsets: int) -> list[Record]:
    """The records within the last ``offsets`` of each partition; none where the topic does not exist."""
    consumer = reader(settings.kafka)
    await consumer.start()
    try:
        try:
            places = await _assign(consumer, [topic_name(settings, topic)], partition, seconds=0.0)
        except PlatformError:
            return []
        ends = await consumer.end_offsets(places)
        for place, offset in (await _starts(consumer, places, ends, offsets, None)).items():
            consumer.seek(place, offset)
        return [record async for records in _read(consumer, ends) for record in records]
    finally:
        await consumer.stop()


async def present_spans(
    consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """First offset and end of those of ``places`` that exist."""
    wanted = list(places)
    await consumer._client.set_topics({place.topic for place in wanted})  # noqa: SLF001 - else one request a topic
    there = [place for place in wanted if place.partition in (consumer.partitions_for_topic(place.topic) or ())]
    if not there:
        return {}
    starts, ends = await asyncio.gather(consumer.beginning_offsets(there), consumer.end_offsets(there))
    return {place: (starts[place], ends[place]) for place in there}


async def read_between(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, tuple[int, int]]
) -> AsyncIterator[Sequence[Record]]:
    """What stands from the first to the second offset of each place, in batches of one place; records beyond may come along."""
    if not spans:
        return
    consumer.assign(list(spans))
    for place, (start, _) in spans.items():
        consumer.seek(place, start)
    async for records in _read(consumer, {place: end for place, (_, end) in spans.items()}):
        yield records


async def _assign(
    consumer: AIOKafkaConsumer,
    names: Sequence[str],
    partition: int | None = None,
    *,
    seconds: float = METADATA_SECONDS,
) -> list[TopicPartition]:
    await consumer._client.set_topics(names)  # noqa: SLF001 - the only way to metadata without a subscription
    places = []
    deadline = asyncio.get_running_loop().time() + seconds
    for name in names:
        while not (numbers := consumer.partitions_for_topic(name)):
            if asyncio.get_running_loop().time() > deadline:
                message = f"The topic {name} does not exist; create it with `headrace topics apply`."
                raise PlatformError(message)
            await consumer._client.force_metadata_update()  # noqa: SLF001 - see above
            await asyncio.sleep(0.05)
        places += [TopicPartition(name, number) for number in sorted(numbers) if partition in (None, number)]
    consumer.assign(places)
    return places


async def _starts(
    consumer: AIOKafkaConsumer,
    places: Sequence[TopicPartition],
    ends: dict[TopicPartition, int],
    tail: int | None,
    since: datetime | None,
) -> dict[TopicPartition, int]:
    starts: dict[TopicPartition, int] = await consumer.beginning_offsets(places)
    if tail is not None:
        starts = {place: max(offset, ends[place] - tail) for place, offset in starts.items()}
    if since is not None:
        times = await consumer.offsets_for_times({place: int(since.timestamp() * 1000) for place in places})
        for place, found in times.items():
            starts[place] = max(starts[place], ends[place] if found is None else found.offset)
    return starts


async def _read(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> AsyncIterator[Sequence[Record]]:
    """Everything from the present positions up to ``ends``; records beyond may come along."""
    waiting = dict(ends)
    while True:
        for place, end in list(waiting.items()):
            if await consumer.position(place) >= end:
                del waiting[place]
        if not waiting:
            return
        for records in (await consumer.getmany(*waiting, timeout_ms=100)).values():
            yield records
