"""A batch that takes too long ends where it stands: what was done is committed, the rest is fetched again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition

from shared.clock import FixedClock
from shared.consuming import _Consumption
from shared.health import Health
from shared.publishing import Publisher
from shared.records import Record, StoredRecord
from shared.settings import PlatformSettings

ALERTS, EVENTS = TopicPartition("alerts", 0), TopicPartition("registry.events", 0)


class Positions:
    """What a consumer was asked to do, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[TopicPartition, int]]] = []

    async def committed(self, place: TopicPartition) -> int | None:
        assert place in (ALERTS, EVENTS)
        return None

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.asked.append(("commit", dict(offsets)))

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.asked.append(("seek", {place: offset}))


async def handled(longest: float, *places: TopicPartition) -> tuple[list[int], Positions]:
    """Ten records a place, from offset 100 on, each of which takes a second."""
    settings, clock, seen, positions = PlatformSettings(), FixedClock(datetime(2024, 3, 1, tzinfo=UTC)), [], Positions()

    async def handle(record: Record) -> None:
        seen.append(record.offset)
        clock.advance(timedelta(seconds=1))

    loop = _Consumption(settings, "stage", "notifier", handle, Publisher(settings), Health(clock), clock, 500)
    loop.longest_batch = longest
    loop.consumer = lambda: positions  # type: ignore[assignment, return-value]
    loop._owned = frozenset(places)
    await loop.handle(
        [
            StoredRecord(place.topic, place.partition, offset, 0, b"k", b"v")
            for place in places
            for offset in range(100, 110)
        ]
    )
    return seen, positions


async def test_the_rest_of_a_long_batch_is_fetched_again_after_what_was_done_is_committed() -> None:
    seen, positions = await handled(3.5, ALERTS, EVENTS)
    assert seen == [100, 101, 102, 103]
    assert positions.asked == [("commit", {ALERTS: 104}), ("seek", {ALERTS: 104}), ("seek", {EVENTS: 100})]


@pytest.mark.parametrize("longest", [float("inf"), 30.0])
async def test_a_batch_that_is_fast_enough_is_one_commit(longest: float) -> None:
    seen, positions = await handled(longest, ALERTS)
    assert seen == list(range(100, 110))
    assert positions.asked == [("commit", {ALERTS: 110})]


async def test_every_batch_handles_a_record_at_least() -> None:
    seen, positions = await handled(0.0, ALERTS)
    assert seen == [100]
    assert positions.asked == [("commit", {ALERTS: 101}), ("seek", {ALERTS: 101})]
