"""New records of topics, from now on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import Topic
from shared.kafka_clients import reader
from shared.records import topic_name
from shared.settings import PlatformSettings
from shared.topic_admin import partition_count


@asynccontextmanager
async def follow(
    settings: PlatformSettings, *topics: Topic, from_start: bool = False
) -> AsyncIterator[AIOKafkaConsumer]:
    """A read_committed consumer of every partition of ``topics`` that starts at their ends; what is published inside the block is seen."""
    consumer = reader(settings.kafka)
    await consumer.start()
    try:
        places = [
            TopicPartition(topic_name(settings, topic), partition)
            for topic in topics
            for partition in range(partition_count(settings, topic))
        ]
        consumer.assign(places)
        if from_start:
            await consumer.seek_to_beginning(*places)
        else:
            await consumer.seek_to_end(*places)
            for place in places:
                await consumer.position(place)  # the seek is lazy
        yield consumer
    finally:
        await consumer.stop()
