"""The topic of alerts, read ahead of the group: what waits behind the record in work."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import ALERTS
from services.notifier.lateness import MOST_TOGETHER
from services.notifier.notices import Notice
from services.notifier.storms import Waiting
from shared.errors import TransientError
from shared.kafka_clients import reader
from shared.records import Record, topic_name
from shared.settings import PlatformSettings

BATCH: Final = 500
POLL_MILLISECONDS: Final = 100
LONGEST: Final = 10.0  # seconds


class AlertsAhead:
    """A component, and a `services.notifier.gathering.Ahead`. Every alert is read once, as long as the group goes forward."""

    name: Final = "alerts ahead"

    def __init__(self, settings: PlatformSettings, brief: Callable[[Record], Notice | None]) -> None:
        """``brief``: what people would hear of a record, None of most; it must not raise."""
        self._settings = settings
        self._brief = brief
        self._place = TopicPartition(topic_name(settings, ALERTS), 0)  # it has one partition
        self._consumer: AIOKafkaConsumer | None = None
        self._waiting: deque[Waiting] = deque()  # of the records from `_first` to `_next`
        self._first = self._next = -1

    async def __aenter__(self) -> Self:
        """Raises aiokafka's errors."""
        self._consumer = reader(self._settings.kafka)
        await self._consumer.start()
        self._consumer.assign([self._place])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def behind(self, offset: int) -> Sequence[Waiting]:
        """See `Ahead`; at most `MOST_TOGETHER`, up to the topic's end at the call."""
        if self._consumer is None:
            problem = f"{self.name} is not started"
            raise RuntimeError(problem)
        try:
            async with asyncio.timeout(LONGEST):
                await self._read(self._consumer, offset + 1)
        except (KafkaError, TimeoutError) as error:
            self._first = self._next = -1  # what was fetched last may be lost
            message = f"The topic of alerts cannot be read ahead: {type(error).__name__} {error}"
            raise TransientError(message) from error
        return tuple(self._waiting)

    async def _read(self, consumer: AIOKafkaConsumer, first: int) -> None:
        if not self._first <= first <= self._next:
            self._waiting.clear()
            consumer.seek(self._place, first)
            self._next = first
        self._first = first
        while self._waiting and self._waiting[0].offset < first:
            self._waiting.popleft()
        end = (await consumer.end_offsets([self._place]))[self._place]
        while self._next < end and len(self._waiting) < MOST_TOGETHER:
            found = await consumer.getmany(self._place, timeout_ms=POLL_MILLISECONDS, max_records=BATCH)
            self._take(found.get(self._place, ()))
            self._next = await consumer.position(self._place)

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            notice = self._brief(record)
            if notice is not None:
                self._waiting.append(Waiting(record.offset, record.timestamp, notice))
