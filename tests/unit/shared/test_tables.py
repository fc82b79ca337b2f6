"""A table that follows its topics: which errors of a fetch it waits out, and which end the process."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException, KafkaConnectionError, UnsupportedCodecError

from schemas.topics import DEPLOYMENTS
from shared import tables
from shared.health import Health
from shared.records import Record, StoredRecord
from shared.settings import PlatformSettings
from shared.tables import Table

RECORD = StoredRecord("headrace.deployments", 0, 1, 0, b"k", b"v")


class Fetches:
    """What a consumer's fetches give, one after the other; then nothing, for ever."""

    def __init__(self, *answers: Exception | Sequence[Record]) -> None:
        self._answers = list(answers)

    async def getmany(self, **_: Any) -> Mapping[str, Sequence[Record]]:
        if not self._answers:
            await asyncio.get_running_loop().create_future()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"place": answer}


@pytest.mark.parametrize("error", [CorruptRecordException(), UnsupportedCodecError()])
async def test_a_batch_that_cannot_be_read_ends_the_process_instead_of_being_passed_over(error: Exception) -> None:
    health, applied = Health(), list[Record]()
    table = Table(PlatformSettings(), DEPLOYMENTS, apply=applied.append, name="t", health=health)
    async with asyncio.timeout(5):
        with pytest.raises(type(error)):
            await table._follow(Fetches(error, [RECORD]))  # type: ignore[arg-type]
    assert type(error).__name__ in (health.failure or "")
    assert applied == []


async def test_a_broker_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "RETRY_SECONDS", 0.0)
    health, applied = Health(), asyncio.Queue[Record]()
    table = Table(PlatformSettings(), DEPLOYMENTS, apply=applied.put_nowait, name="t", health=health)
    following = asyncio.create_task(table._follow(Fetches(KafkaConnectionError(), [RECORD])))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        assert await applied.get() == RECORD
    following.cancel()
    assert health.failure is None
