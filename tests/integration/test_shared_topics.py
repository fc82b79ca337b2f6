"""Topic creation, publishing, tables and tail reads on a real Kafka."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from schemas.reasons import RefusedRecordError, Rule, reason
from schemas.topics import ALERTS, CATALOGUE, DEFINITIONS, EVENTS_RAW, EVENTS_VALIDATED
from shared.errors import OutcomeUnknownError, PermanentError, PlatformError
from shared.health import Health
from shared.kafka_clients import wait_for_kafka
from shared.publishing import Publisher
from shared.records import Outgoing, Record, TopicNames, topic_name
from shared.settings import KafkaSettings, PlatformSettings, TopicSettings
from shared.tables import Table, follow, read_to_end, scan
from shared.topic_admin import apply_topics, list_topics, wait_for_topics
from shared.transaction_producer import PartitionProducer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]

NOWHERE: Final = "127.0.0.1:1"


async def publish(settings: PlatformSettings, *outgoing: Outgoing) -> None:
    async with Publisher(settings) as publisher:
        await publisher.publish(*outgoing)


async def commit(settings: PlatformSettings, *outgoing: Outgoing) -> None:
    """Publish in a transaction, and return once its marker stands at the end of the partition."""
    producer = PartitionProducer(
        settings.kafka, TopicNames(settings.topics.prefix), transactional_id=f"{settings.topics.prefix}x", group="g"
    )
    await producer.start()
    await producer.commit(0, outgoing, {})
    await producer.stop()
    await producer.start()  # a commit is answered before its markers are written; a successor is admitted afterwards
    await producer.stop()


async def test_the_whole_catalogue_is_created_as_declared_and_applying_again_changes_nothing(
    settings: PlatformSettings,
) -> None:
    created = await apply_topics(settings)
    assert len(created) == len(CATALOGUE)
    assert await apply_topics(settings) == []
    found = await list_topics(settings)
    assert found[topic_name(settings, EVENTS_RAW)].partitions == 2
    assert found[topic_name(settings, DEFINITIONS)].partitions == 1


async def test_a_topic_with_another_partition_count_is_refused_with_advice(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    other = settings.model_copy(update={"topics": TopicSettings(prefix=settings.topics.prefix, partitions=3)})
    with pytest.raises(PlatformError, match="has 2 partitions, not 3"):
        await apply_topics(other, [EVENTS_RAW])


async def test_changed_configuration_is_put_right(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    stricter = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"min_insync_replicas": 2, "replication_factor": 2})}
    )
    assert await apply_topics(stricter, [EVENTS_RAW]) == [f"updated {topic_name(settings, EVENTS_RAW)}"]


async def test_missing_topics_are_named(settings: PlatformSettings) -> None:
    with pytest.raises(PlatformError, match=r"events\.raw.*headrace topics apply"):
        await wait_for_topics(settings, [EVENTS_RAW], seconds=0.5)


async def test_an_unreachable_kafka_is_said_in_one_sentence() -> None:
    with pytest.raises(PlatformError, match="did not answer within 1 s"):
        await wait_for_kafka(KafkaSettings(bootstrap_servers=NOWHERE, startup_timeout=1))


async def test_what_is_published_is_acknowledged_in_order(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    async with Publisher(settings) as publisher:
        written = await publisher.publish(*(Outgoing(EVENTS_RAW, b"k", b"%d" % n, partition=1) for n in range(5)))
    assert [(w.partition, w.offset) for w in written] == [(1, n) for n in range(5)]


async def test_one_key_always_goes_to_its_murmur2_partition(settings: PlatformSettings) -> None:
    from schemas.identities import partition_of

    await apply_topics(settings, [EVENTS_RAW])
    async with Publisher(settings) as publisher:
        keys = [b"entity-%d" % n for n in range(20)]
        written = await publisher.publish(*(Outgoing(EVENTS_RAW, key, b"v") for key in keys))
    assert [w.partition for w in written] == [partition_of(key, 2) for key in keys]


async def test_a_record_too_large_for_its_topic_is_refused_for_good(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    async with Publisher(settings) as publisher:
        with pytest.raises(PermanentError):
            await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"x" * EVENTS_RAW.max_message_bytes))
        await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"small"))


async def test_a_silent_broker_leaves_the_outcome_unknown(settings: PlatformSettings) -> None:
    quick = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"publish_timeout": 0.5})})
    async with Publisher(quick) as publisher:
        with pytest.raises(OutcomeUnknownError, match="retry with the same id"):
            await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"the topic does not exist"))


async def test_a_table_is_ready_once_it_has_read_everything_even_behind_a_transaction_marker(
    settings: PlatformSettings,
) -> None:
    await apply_topics(settings, [DEFINITIONS])
    await publish(settings, Outgoing(DEFINITIONS, b"a", b"1"))
    await commit(settings, Outgoing(DEFINITIONS, b"b", b"2"))
    seen: dict[bytes | None, bytes | None] = {}
    health = Health()

    def apply(record: Record) -> None:
        seen[record.key] = record.value

    async with Table(settings, DEFINITIONS, apply=apply, name="definitions", health=health):
        assert seen == {b"a": b"1", b"b": b"2"}
        assert health.missing == []
        await publish(settings, Outgoing(DEFINITIONS, b"a", None))
        async with asyncio.timeout(20):
            while seen[b"a"] is not None:
                await asyncio.sleep(0.05)


async def test_a_table_over_an_empty_topic_is_ready_at_once(settings: PlatformSettings) -> None:
    await apply_topics(settings, [DEFINITIONS, EVENTS_RAW])
    async with asyncio.timeout(15), Table(settings, DEFINITIONS, EVENTS_RAW, apply=lambda _r: None, name="empty"):
        pass


async def test_a_table_skips_what_it_refuses_and_says_so(settings: PlatformSettings) -> None:
    await apply_topics(settings, [DEFINITIONS])
    await publish(settings, *(Outgoing(DEFINITIONS, b"k", value) for value in (b"1", b"bad", b"worse", b"2")))
    seen: list[bytes | None] = []
    refused: list[tuple[bytes | None, str]] = []

    def apply(record: Record) -> None:
        if record.value == b"bad":
            raise RefusedRecordError((reason("x", Rule.TYPE, "good", "bad"),))
        if record.value == b"worse":
            raise ZeroDivisionError
        seen.append(record.value)

    def on_refused(record: Record, error: Exception) -> None:
        refused.append((record.value, type(error).__name__))

    async with Table(settings, DEFINITIONS, apply=apply, name="d", on_refused=on_refused):
        assert seen == [b"1", b"2"]
        assert refused == [(b"bad", "RefusedRecordError"), (b"worse", "ZeroDivisionError")]


async def test_uncommitted_records_are_never_seen(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_VALIDATED])
    await publish(settings, Outgoing(EVENTS_VALIDATED, b"k", b"before", partition=0))
    names = TopicNames(settings.topics.prefix)
    producer = PartitionProducer(settings.kafka, names, transactional_id=f"{settings.topics.prefix}open", group="g")
    await producer.start()
    inner = producer._producer
    assert inner is not None
    await inner.begin_transaction()
    await (await inner.send(topic_name(settings, EVENTS_VALIDATED), b"open", key=b"k", partition=0))
    assert [r.value for r in await read_to_end(settings, EVENTS_VALIDATED)] == [b"before"]
    await inner.abort_transaction()
    await producer.stop()
    await commit(settings, Outgoing(EVENTS_VALIDATED, b"k", b"after"))
    assert [r.value for r in await read_to_end(settings, EVENTS_VALIDATED)] == [b"before", b"after"]


async def test_a_tail_read_is_limited_by_count_by_time_and_by_partition(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"%d" % n, partition=n % 2) for n in range(10)))
    now = datetime.now(UTC)
    assert [r.value for r in await read_to_end(settings, EVENTS_RAW, 0, tail=2)] == [b"6", b"8"]
    assert len(await read_to_end(settings, EVENTS_RAW, tail=2)) == 4
    assert len(await read_to_end(settings, EVENTS_RAW, tail=100)) == 10
    assert len(await read_to_end(settings, EVENTS_RAW, 1, since=now - timedelta(hours=1))) == 5
    assert await read_to_end(settings, EVENTS_RAW, since=now + timedelta(hours=1)) == []
    assert len(await read_to_end(settings, EVENTS_RAW, 1, tail=3, since=now - timedelta(hours=1))) == 3


async def test_a_scan_reads_nothing_before_the_offset_that_it_is_given(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"%d" % n, partition=n % 2) for n in range(10)))

    async def values(partition: int | None, first: dict[int, int]) -> list[bytes | None]:
        return [r.value async for records in scan(settings, EVENTS_RAW, partition, first=first) for r in records]

    assert await values(0, {0: 3}) == [b"6", b"8"]
    assert await values(0, {0: 5}) == []
    assert len(await values(None, {1: 4})) == 6


async def test_nothing_written_after_a_follower_is_in_position_is_missed(settings: PlatformSettings) -> None:
    await apply_topics(settings, [ALERTS])
    await publish(settings, Outgoing(ALERTS, b"k", b"old"))
    records = follow(settings, ALERTS, from_beginning=False)
    assert not await anext(records)
    await publish(settings, Outgoing(ALERTS, b"k", b"new"))
    async with asyncio.timeout(20):
        assert [r.value for r in await anext(records)] == [b"new"]
    await records.aclose()
