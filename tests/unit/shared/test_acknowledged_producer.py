"""At-least-once: offsets follow the outputs in the background, one commit at a time, and nobody goes on where that failed."""

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition

from shared.acknowledged_producer import StageDelivery
from shared.settings import KafkaSettings

FIRST, SECOND, THIRD = (TopicPartition("events.validated", number) for number in range(3))


class Group:
    """Commits offsets when it is told to."""

    def __init__(self) -> None:
        self.committed: list[Mapping[TopicPartition, int]] = []
        self.go = asyncio.Semaphore(0)
        self.refuses = False
        self.failures: list[BaseException] = []
        self.delivery = StageDelivery(KafkaSettings(), commit_offsets=self._commit, failed=self.failures.append)

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self.go.acquire()
        if self.refuses:
            raise OSError("the group has moved on")
        self.committed.append(offsets)


async def test_what_is_noted_while_a_commit_is_under_way_goes_together_into_the_next() -> None:
    group = Group()
    group.delivery.note({FIRST: 5})
    await asyncio.sleep(0)
    group.delivery.note({FIRST: 9})
    group.delivery.note({SECOND: 2})
    group.delivery.note({THIRD: 4})
    group.go.release()
    group.go.release()
    await group.delivery.settled()
    assert group.committed == [{FIRST: 5}, {FIRST: 9, SECOND: 2, THIRD: 4}]


async def test_settled_waits_for_the_last_commit_and_for_nothing_where_none_is_under_way() -> None:
    group = Group()
    await group.delivery.settled()
    group.delivery.note({FIRST: 5})
    waiting = asyncio.create_task(group.delivery.settled())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    group.go.release()
    await waiting
    assert group.committed == [{FIRST: 5}]


async def test_who_waits_may_be_cancelled_and_the_offsets_are_committed_all_the_same() -> None:
    group = Group()
    group.delivery.note({FIRST: 5})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await group.delivery.settled()
    group.go.release()
    await group.delivery.settled()
    assert group.committed == [{FIRST: 5}]


async def test_a_refused_commit_is_told_once_and_what_was_noted_after_it_is_not_committed() -> None:
    group = Group()
    group.refuses = True
    group.delivery.note({FIRST: 5})
    await asyncio.sleep(0)
    group.delivery.note({SECOND: 2})
    group.go.release()
    await group.delivery.settled()
    assert [str(error) for error in group.failures] == ["the group has moved on"]
    assert group.committed == []


async def test_nothing_is_committed_for_a_batch_without_offsets() -> None:
    group = Group()
    group.delivery.note({})
    await group.delivery.settled()
    assert group.committed == []
    assert group.failures == []
