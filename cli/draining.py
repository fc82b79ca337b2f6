"""Whether anything is still in flight: every group has processed every committed record of what it is assigned."""

import asyncio
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from schemas.topics import PLATFORM_HEARTBEATS
from shared.errors import TransientError
from shared.kafka_clients import admin_client, reader
from shared.settings import PlatformSettings

Places = dict[TopicPartition, int]
POLL_SECONDS: Final = 0.3
QUIET_PASSES: Final = 3  # a record may be on its way from one group to the next while we look
FETCH_MILLISECONDS: Final = 50  # a new assignment waits for the fetches of the one before


async def until_drained(settings: PlatformSettings, *, seconds: float) -> None:
    """Return once nothing is in flight. Raises `TransientError` after ``seconds``, naming who is behind."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    admin = admin_client(settings.kafka)
    await admin.start()
    consumer = reader(settings.kafka, fetch_max_wait_ms=FETCH_MILLISECONDS)
    await consumer.start()
    tails = _Tails(consumer)
    quiet = 0
    try:
        while True:
            behind = await _behind(admin, tails, settings.topics.prefix)
            quiet = 0 if behind else quiet + 1
            if quiet == QUIET_PASSES:
                return
            if behind and loop.time() > deadline:
                message = f"After {seconds:g} s records are still in flight: {', '.join(sorted(behind))}."
                raise TransientError(message)
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await consumer.stop()
        await admin.close()


async def _behind(admin: AIOKafkaAdminClient, tails: "_Tails", prefix: str) -> set[str]:
    """Groups that have a committed record before them (at least one of them, if any has), or that are just rebalancing."""
    groups = [group for group, *_ in await admin.list_consumer_groups() if group.startswith(prefix)]
    starts: dict[str, Places] = {}
    for group in groups:
        places = await _assigned(admin, group)
        if places is None:
            return {f"{group} (rebalancing)"}
        committed = await admin.list_consumer_group_offsets(group)
        starts[group] = {
            place: max(0, committed[place].offset) if place in committed else 0
            for place in places
            if place.topic != f"{prefix}{PLATFORM_HEARTBEATS.name}"  # they never end, and nothing follows from one
        }
    farthest: Places = {}
    for place, offset in (item for places in starts.values() for item in places.items()):
        farthest[place] = min(offset, farthest.get(place, offset))
    found = await tails.records_from(farthest)
    return {
        group
        for group, places in starts.items()
        if any(place in found and found[place] >= start for place, start in places.items())
    }


async def _assigned(admin: AIOKafkaAdminClient, group: str) -> set[TopicPartition] | None:
    """What the members of a group are assigned; None while it is not stable."""
    places: set[TopicPartition] = set()
    for response in await admin.describe_consumer_groups([group]):
        for item in response.groups:
            state, members = item[2], item[5]
            if state not in ("Stable", "Empty", "Dead"):
                return None
            for member in members:
                assignment = ConsumerProtocolMemberAssignment.decode(member[4])
                places.update(
                    TopicPartition(topic, number) for topic, numbers in assignment.assignment for number in numbers
                )
    return places


class _Tails:
    """Looks for committed records at the ends of partitions; transaction markers do not count.

    What was once found to hold none is not read again before it grows.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._empty: dict[TopicPartition, tuple[int, int]] = {}  # from where to where no record stands

    async def records_from(self, starts: Places) -> Places:
        """The offset of a record at or after ``starts``, for those partitions where one was met; empty if there is none."""
        waiting = await self._unread(starts)
        if not waiting:
            return {}
        consumer = self._consumer
        consumer.assign(list(waiting))
        for place, (start, _) in waiting.items():
            consumer.seek(place, start)
        left = dict(waiting)
        while left:
            for place, (_, end) in list(left.items()):
                if await consumer.position(place) >= end:
                    del left[place]
            if batches := {
                place: records
                for place, records in (await consumer.getmany(*left, timeout_ms=FETCH_MILLISECONDS)).items()
                if records
            }:
                return {place: records[-1].offset for place, records in batches.items()}
        self._empty.update(waiting)
        return {}

    async def _unread(self, starts: Places) -> dict[TopicPartition, tuple[int, int]]:
        """Where to read from and up to, for each partition about which something is to be found out."""
        if not starts:
            return {}
        ends = await self._consumer.end_offsets(list(starts))
        beginnings = await self._consumer.beginning_offsets(list(starts))
        unread = {}
        for place, offset in starts.items():
            start, end = max(offset, beginnings[place]), ends[place]
            low, high = self._empty.get(place, (end, end))
            if start < end and not (low <= start and end <= high):
                unread[place] = (start, end)
        return unread
