"""Where each consumer stands against the end of its partitions, sampled every second and told to `Health`."""

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from shared.health import Health

SAMPLE_SECONDS: Final = 1.0
ORPHAN_SECONDS: Final = 90.0  # the longest rebalance takes 30


class LagWatch:
    """Samples one consumer's assignment until it is stopped."""

    def __init__(self, health: Health) -> None:
        """Nothing runs before `start`."""
        self._health = health
        self._task: asyncio.Task[None] | None = None
        self._places: frozenset[TopicPartition] = frozenset()
        self._orphan: asyncio.TimerHandle | None = None

    def start(self, consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        """Watch ``places``; replaces what was watched before."""
        self.stop()
        self._places = frozenset(places)
        self._task = asyncio.create_task(self._run(consumer), name="lag watch")

    def busy(self, seconds: float) -> None:
        """Work in hand, on one of the watched partitions and holding up the others, may take ``seconds`` more."""
        for place in self._places:
            self._health.busy(place.topic, place.partition, seconds)

    def lost(self) -> None:
        """The partitions were revoked: the group must answer with others, or with none, before long.

        aiokafka's coordinator can die without a word; then this process would stand idle for ever.
        """
        self.stop()
        why = f"the group assigned nothing for {ORPHAN_SECONDS:g} s after a rebalance began"
        self._orphan = asyncio.get_running_loop().call_later(ORPHAN_SECONDS, self._health.fail, why)

    def stop(self) -> None:
        """Forget the partitions."""
        if self._orphan is not None:
            self._orphan.cancel()
            self._orphan = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for place in self._places:
            self._health.forget(place.topic, place.partition)
        self._places = frozenset()

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for place in self._places:
                try:
                    await self._sample(consumer, place)
                except (IllegalStateError, KafkaError, TimeoutError):
                    continue  # unassigned between two samples, or not positioned yet
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _sample(self, consumer: AIOKafkaConsumer, place: TopicPartition) -> None:
        stable, highwater = consumer.last_stable_offset(place), consumer.highwater(place)
        end = highwater if stable is None or stable < 0 else stable
        if end is None:
            return
        position = await asyncio.wait_for(consumer.position(place), 0.5)
        self._health.progressed(place.topic, place.partition, position, end)
