"""Where a group without committed offsets begins: not at the topics' beginning, whose alerts are history to everybody."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from schemas.topics import Topic
from shared.broker import group_name
from shared.clock import Clock
from shared.kafka_clients import reader
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import topic_name
from shared.settings import PlatformSettings

log = get_logger(__name__)


class StartingPoint:
    """A component: once it is entered, the group has a committed offset on every topic. Enter it before the group is joined.

    From then on no record's age matters. All topics have one partition.
    """

    name: Final = "starting point"

    def __init__(
        self,
        settings: PlatformSettings,
        *topics: Topic,
        group: str,
        ignore_older_than: timedelta,
        last_told: Callable[[], datetime | None],
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        """``last_told``: when the ledger was written last. A group whose offsets Kafka has forgotten is no new one."""
        self._settings = settings
        self._topics = topics
        self._group = group_name(settings, group)
        self._oldest = ignore_older_than
        self._last_told = last_told
        self._publisher = publisher
        self._clock = clock

    async def __aenter__(self) -> Self:
        """Raises aiokafka's errors."""
        consumer = reader(self._settings.kafka, group_id=self._group)
        await consumer.start()
        try:
            places = [TopicPartition(topic_name(self._settings, topic), 0) for topic in self._topics]
            consumer.assign(places)
            new = [place for place in places if await consumer.committed(place) is None]
            if new:
                since = await self._since()
                found = await consumer.offsets_for_times({place: int(since.timestamp() * 1000) for place in new})
                ends = await consumer.end_offsets(new)
                starts = {place: ends[place] if found[place] is None else found[place].offset for place in new}
                beginnings = await consumer.beginning_offsets(new)
                await consumer.commit(starts)
                for place, start in starts.items():
                    left = max(0, start - beginnings[place])
                    log.info(
                        f"a first start: what was appended before {since.isoformat()} is history and nobody is told",
                        topic=place.topic,
                        offset=start,
                        left_out=left,
                    )
        except CommitFailedError:
            log.info("another process of the group is there already: it knows where it has begun")
        finally:
            await consumer.stop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    async def _since(self) -> datetime:
        # append times are the broker's: by a clock of our own that runs ahead, every alert would be history
        now, told = self._clock.now() + await self._publisher.broker_ahead(), self._last_told()
        return (now if told is None else min(now, told)) - self._oldest
