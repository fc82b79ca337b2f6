"""What a consumer group has committed: where a partition goes on."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from shared.broker import group_name
from shared.kafka_clients import reader
from shared.records import topic_name
from shared.settings import PlatformSettings

VISIBLE_SECONDS: Final = 3.0
ASK_SECONDS: Final = 1.0


async def next_offset(consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
    """The offset from which the consumer's group goes on: what it committed, else the beginning."""
    offset: int | None = await consumer.committed(place)
    if offset is None:
        beginning: dict[TopicPartition, int] = await consumer.beginning_offsets([place])
        offset = beginning[place]
    return offset


async def until_shown(consumer: AIOKafkaConsumer, offsets: Sequence[Mapping[TopicPartition, int]]) -> None:
    """Wait until the group shows ``offsets`` as committed; gives up after a while, or where it does not answer."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    for wanted in offsets:
        for place, offset in wanted.items():
            while time.monotonic() < deadline:
                try:
                    async with asyncio.timeout(ASK_SECONDS):
                        shown = await consumer.committed(place)
                except (KafkaError, TimeoutError):
                    return
                if shown is None or shown >= offset:
                    break
                await asyncio.sleep(0.01)


async def resume_points(
    settings: PlatformSettings, group: str, topics: Sequence[Topic], partition: int
) -> dict[str, int]:
    """By physical topic: from which offset of ``partition`` the members of ``group`` go on; 0 before the first commit."""
    consumer = reader(settings.kafka, group_id=group_name(settings, group))
    await consumer.start()
    try:
        places = [TopicPartition(topic_name(settings, topic), partition) for topic in topics]
        consumer.assign(places)
        return {place.topic: await consumer.committed(place) or 0 for place in places}
    finally:
        await consumer.stop()
