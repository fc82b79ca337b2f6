"""A publisher goes on with a fresh producer when its own has died or the broker does not accept its sequence any more."""

import asyncio
import gc
import time
from datetime import timedelta

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber

from schemas.topics import EVENTS_RAW, PLATFORM_HEARTBEATS
from shared import publishing
from shared.errors import OutcomeUnknownError
from shared.kafka_clients import idempotent_producer
from shared.publishing import Publisher
from shared.records import Outgoing, topic_name
from shared.settings import PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = pytest.mark.kafka


async def test_a_broken_sequence_costs_one_unknown_outcome_and_then_publishing_goes_on(
    settings: PlatformSettings,
) -> None:
    """Found by the fault harness: after a broker was away for long, ingestion answered 503 for ever."""
    await apply_topics(settings, [EVENTS_RAW])
    place = TopicPartition(topic_name(settings, EVENTS_RAW), 0)
    async with Publisher(settings) as publisher:
        await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"before", partition=0))
        # what aiokafka does when it gives up a batch that has its number already
        assert publisher._producer is not None
        publisher._producer._txn_manager.increment_sequence_number(place, 3)
        with pytest.raises(OutcomeUnknownError):
            await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"broken", partition=0))
        await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"after", partition=0))
    assert [record.value for record in await read_to_end(settings, EVENTS_RAW, 0)] == [b"before", b"after"]


async def test_concurrent_publishers_meet_one_fresh_producer(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    place = TopicPartition(topic_name(settings, EVENTS_RAW), 0)
    async with Publisher(settings) as publisher:
        await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"before", partition=0))
        assert publisher._producer is not None
        publisher._producer._txn_manager.increment_sequence_number(place, 3)
        records = [Outgoing(EVENTS_RAW, b"k", f"{number}".encode(), partition=0) for number in range(5)]
        await asyncio.gather(*(publisher.publish(record) for record in records), return_exceptions=True)
        await asyncio.gather(*(publisher.publish(record) for record in records))
    assert len(await read_to_end(settings, EVENTS_RAW, 0)) >= 6


async def test_the_brokers_clock_is_known_after_the_first_acknowledgement(
    settings: PlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    async with Publisher(settings) as publisher:
        await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"v"))
        assert abs(await publisher.broker_ahead()) < timedelta(seconds=30)
        true_time = time.time
        monkeypatch.setattr(time, "time", lambda: true_time() + 7200)
        await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"v"))
        assert timedelta(hours=-2, seconds=-30) < await publisher.broker_ahead() < timedelta(hours=-1, minutes=-59)


def beat(number: int) -> Outgoing:
    return Outgoing(PLATFORM_HEARTBEATS, b"k", str(number).encode())


def doom(publisher: Publisher) -> None:
    """The sender ends at its next step, as it does when an idempotent producer's sequence is broken."""

    async def broken() -> None:
        raise OutOfOrderSequenceNumber

    publisher._producer._sender._maybe_wait_for_pid = broken  # type: ignore[union-attr]


async def test_a_producer_whose_sender_died_is_replaced_even_if_the_broker_is_away_at_first(
    settings: PlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish(beat(1))
        doom(publisher)
        nowhere = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
        with monkeypatch.context() as away:
            away.setattr(
                publishing, "idempotent_producer", lambda _, **options: idempotent_producer(nowhere, **options)
            )
            with pytest.raises(OutcomeUnknownError):
                await publisher.publish(beat(2))
        with pytest.raises(OutcomeUnknownError):
            await publisher.publish(beat(2))
        await publisher.publish(beat(2))
    assert [record.value for record in await read_to_end(settings, PLATFORM_HEARTBEATS)] == [b"1", b"2"]
    for (
        future
    ) in gc.get_objects():  # aiokafka leaves futures of a dead sender unheard: hear them before asyncio complains
        if isinstance(future, asyncio.Future) and future.done() and not future.cancelled():
            future.exception()


async def test_many_records_at_once_stand_where_single_ones_would_and_it_is_known_where(
    settings: PlatformSettings,
) -> None:
    await apply_topics(settings, [EVENTS_RAW, PLATFORM_HEARTBEATS])
    records = [
        Outgoing(EVENTS_RAW, b"k%d" % (number % 7), b"%d" % number, [("n", b"%d" % number)]) for number in range(300)
    ]
    mixed = [*records[:150], beat(1), Outgoing(EVENTS_RAW, b"k", b"here", partition=1), *records[150:]]
    async with Publisher(settings) as publisher:
        singly = {item.key: (await publisher.publish(item))[0].partition for item in records[:7]}
        written = await publisher.publish(*mixed)
    found = {
        (r.topic, r.partition, r.offset): r
        for topic in (EVENTS_RAW, PLATFORM_HEARTBEATS)
        for r in await read_to_end(settings, topic)
    }
    for item, place in zip(mixed, written, strict=True):
        record = found[place.topic, place.partition, place.offset]
        assert (record.key, record.value, list(record.headers)) == (item.key, item.value, list(item.headers))
        assert place.partition == (item.partition if item.partition is not None else singly.get(item.key, 0))
    offsets: dict[int, list[int]] = {}
    for place in written[:150]:
        offsets.setdefault(place.partition, []).append(place.offset)
    assert all(found == sorted(found) for found in offsets.values())
