"""Topics are created here from the catalogue, never by accident: auto-creation stays off everywhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from schemas.topics import CATALOGUE, Partitioning, Topic
from shared.errors import PlatformError
from shared.kafka_clients import admin_client
from shared.records import topic_name
from shared.settings import PlatformSettings

CHUNK = 20  # topics per request: a broker that fsyncs each partition takes its time
VISIBLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the cluster has it."""

    name: str
    partitions: int


def partition_count(settings: PlatformSettings, topic: Topic) -> int:
    """How many partitions ``topic`` gets under these settings."""
    return settings.topics.partitions if topic.partitioning is Partitioning.ENTITY else 1


def topic_config(settings: PlatformSettings, topic: Topic) -> dict[str, str]:
    """Kafka's configuration of ``topic`` under these settings."""
    return {**topic.config, "min.insync.replicas": str(settings.topics.min_insync_replicas)}


async def apply_topics(settings: PlatformSettings, topics: Sequence[Topic] = CATALOGUE) -> list[str]:
    """Create what is missing, set the configuration of the rest, wait until all are visible.

    Returns one line per change. Raises `PlatformError` where an existing topic has another partition count.
    """
    admin = admin_client(settings.kafka)
    await admin.start()
    try:
        found = await _describe(admin, settings, topics)
        _verify(settings, topics, found)
        missing = [topic for topic in topics if topic_name(settings, topic) not in found]
        changes = []
        for start in range(0, len(missing), CHUNK):
            changes += await _create(admin, settings, missing[start : start + CHUNK])
        existing = [topic for topic in topics if topic_name(settings, topic) in found]
        changes += await _update(admin, settings, existing)
        await _until_visible(admin, settings, topics)
    finally:
        await admin.close()
    return changes


async def list_topics(settings: PlatformSettings, topics: Sequence[Topic] = CATALOGUE) -> dict[str, TopicState]:
    """Those of ``topics`` that exist, by physical name."""
    admin = admin_client(settings.kafka)
    await admin.start()
    try:
        return await _describe(admin, settings, topics)
    finally:
        await admin.close()


async def wait_for_topics(settings: PlatformSettings, topics: Sequence[Topic], *, seconds: float) -> None:
    """Return once all ``topics`` exist with the right partition count. Raises `PlatformError` naming what is missing."""
    admin = admin_client(settings.kafka)
    await admin.start()
    try:
        await _until_visible(admin, settings, topics, seconds=seconds)
    finally:
        await admin.close()


async def _describe(
    admin: AIOKafkaAdminClient, settings: PlatformSettings, topics: Sequence[Topic]
) -> dict[str, TopicState]:
    wanted = {topic_name(settings, topic) for topic in topics}
    described = await admin.describe_topics()  # all: asking by name could auto-create on a cluster that allows it
    found = {}
    for item in described:
        if item["topic"] in wanted and item["error_code"] == 0:
            found[item["topic"]] = TopicState(item["topic"], len(item["partitions"]))
    return found


def _verify(settings: PlatformSettings, topics: Sequence[Topic], found: dict[str, TopicState]) -> None:
    for topic in topics:
        name, wanted = topic_name(settings, topic), partition_count(settings, topic)
        if name in found and found[name].partitions != wanted:
            message = (
                f"The topic {name} has {found[name].partitions} partitions, not {wanted}; the count is fixed at creation: "
                "use another HEADRACE_TOPICS__PREFIX or set HEADRACE_TOPICS__PARTITIONS to what is there."
            )
            raise PlatformError(message)


async def _create(admin: AIOKafkaAdminClient, settings: PlatformSettings, topics: Sequence[Topic]) -> list[str]:
    new = [
        NewTopic(
            topic_name(settings, topic),
            partition_count(settings, topic),
            settings.topics.replication_factor,
            topic_configs=topic_config(settings, topic),
        )
        for topic in topics
    ]
    response = await admin.create_topics(new, timeout_ms=60_000)
    created = []
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            detail = rest[0] if rest and rest[0] else error.__name__
            message = f"The topic {name} could not be created: {detail}"
            raise PlatformError(message)
        created.append(f"created {name}")
    return created


async def _update(admin: AIOKafkaAdminClient, settings: PlatformSettings, topics: Sequence[Topic]) -> list[str]:
    if not topics:
        return []
    wanted = {topic_name(settings, topic): topic_config(settings, topic) for topic in topics}
    current = await _configs(admin, wanted)
    changed = {
        name: config
        for name, config in wanted.items()
        if any(current.get(name, {}).get(key) != value for key, value in config.items())
    }
    if changed:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=config) for name, config in changed.items()]
        for response in await admin.alter_configs(resources):
            for code, detail, _kind, name in response.resources:
                if code:
                    message = f"The configuration of topic {name} could not be set: {detail or for_code(code).__name__}"
                    raise PlatformError(message)
    return [f"updated {name}" for name in changed]


async def _configs(admin: AIOKafkaAdminClient, wanted: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for item in response.resources:
            entries: Sequence[Any] = item[4]
            found[item[3]] = {entry[0]: entry[1] for entry in entries}
    return found


async def _until_visible(
    admin: AIOKafkaAdminClient, settings: PlatformSettings, topics: Sequence[Topic], *, seconds: float = VISIBLE_SECONDS
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        found = await _describe(admin, settings, topics)
        _verify_complete = [topic_name(settings, t) for t in topics if topic_name(settings, t) not in found]
        if not _verify_complete:
            _verify(settings, topics, found)
            return
        if loop.time() > deadline:
            names = ", ".join(_verify_complete[:5]) + (" …" if len(_verify_complete) > 5 else "")  # noqa: PLR2004
            message = f"{len(_verify_complete)} topics are missing ({names}); create them with `headrace topics apply`."
            raise PlatformError(message)
        await asyncio.sleep(0.2)
