"""At-least-once consumption on a real Kafka: retries, dead letters, commits, the limit."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from schemas.topics import ALERTS, NOTIFICATIONS, dead_letters
from shared import broker as brokers
from shared.broker import kafka_broker
from shared.consuming import Handle, consume
from shared.dead_letters import read_dead_letter
from shared.errors import PermanentError, TransientError
from shared.health import STALL_SECONDS, Health
from shared.publishing import Publisher
from shared.records import Outgoing, Record
from shared.settings import DeadLetterSettings, PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]

LETTERS = dead_letters("notifier")


@asynccontextmanager
async def consumption(
    settings: PlatformSettings,
    handle: Handle,
    *,
    commit_every: int = 1,
    max_records: int = 1,
    longest_batch: float = math.inf,
    patience: float = 0.0,
    stall_seconds: float = STALL_SECONDS,
) -> AsyncIterator[Health]:
    health = Health(stall_seconds=stall_seconds)
    broker = kafka_broker(settings, service="notifier")
    async with Publisher(settings) as publisher:
        consume(
            broker,
            settings,
            ALERTS,
            group="notifier.main",
            service="notifier",
            handle=handle,
            publisher=publisher,
            health=health,
            commit_every=commit_every,
            max_records=max_records,
            longest_batch=longest_batch,
            patience=patience,
        )
        await broker.start()
        try:
            yield health
        finally:
            await brokers.stop(broker)


async def prepared(settings: PlatformSettings, *values: bytes) -> None:
    await apply_topics(settings, [ALERTS, NOTIFICATIONS, LETTERS])
    async with Publisher(settings) as publisher:
        await publisher.publish(*(Outgoing(ALERTS, b"k", value) for value in values))


async def until(seen: Sequence[object], count: int) -> None:
    async with asyncio.timeout(30):
        while len(seen) < count:
            await asyncio.sleep(0.05)


async def test_records_are_handled_in_order_and_their_outputs_published(settings: PlatformSettings) -> None:
    await prepared(settings, *(b"%d" % n for n in range(20)))
    seen: list[bytes | None] = []

    async def handle(record: Record) -> list[Outgoing]:
        seen.append(record.value)
        return [Outgoing(NOTIFICATIONS, record.key, record.value)]

    async with consumption(settings, handle):
        await until(seen, 20)
    assert seen == [b"%d" % n for n in range(20)]
    assert [r.value for r in await read_to_end(settings, NOTIFICATIONS)] == seen


async def test_what_was_committed_is_not_handled_again(settings: PlatformSettings) -> None:
    await prepared(settings, b"1", b"2")
    seen: list[bytes | None] = []

    async def handle(record: Record) -> None:
        seen.append(record.value)

    async with consumption(settings, handle):
        await until(seen, 2)
    await prepared(settings, b"3")
    async with consumption(settings, handle):
        await until(seen, 3)
    assert seen == [b"1", b"2", b"3"]


async def test_a_transient_error_is_retried_without_losing_order(settings: PlatformSettings) -> None:
    await prepared(settings, b"1", b"2")
    tries: list[bytes | None] = []

    async def handle(record: Record) -> None:
        tries.append(record.value)
        if tries == [b"1"]:
            problem = "not now"
            raise TransientError(problem)

    async with consumption(settings, handle):
        await until(tries, 3)
    assert tries == [b"1", b"1", b"2"]
    assert await read_to_end(settings, LETTERS) == []


@pytest.mark.parametrize(
    ("error", "code", "attempts"),
    [
        (PermanentError("never"), "permanent", 1),
        (ValueError("a bug"), "unexpected", 1),
        (TransientError("still down"), "transient", 2),
    ],
)
async def test_a_record_that_cannot_be_handled_becomes_a_dead_letter_and_the_next_goes_on(
    error: Exception, code: str, attempts: int, settings: PlatformSettings
) -> None:
    settings = settings.model_copy(update={"dead_letters": DeadLetterSettings(attempts=2)})
    await prepared(settings, b"bad", b"good")
    handled: list[bytes | None] = []

    async def handle(record: Record) -> None:
        if record.value == b"bad":
            raise error
        handled.append(record.value)

    async with consumption(settings, handle):
        await until(handled, 1)
    (found,) = await read_to_end(settings, LETTERS)
    letter = read_dead_letter(found)
    assert (letter.code, letter.attempts, letter.message) == (code, attempts, str(error))


async def test_a_topic_is_not_drained_into_the_dead_letters_not_even_by_restarts(settings: PlatformSettings) -> None:
    strict = settings.model_copy(update={"dead_letters": DeadLetterSettings(in_a_row=3)})
    await prepared(settings, *(b"bad" for _ in range(10)))

    async def handle(record: Record) -> None:
        raise PermanentError(str(record.offset))

    for _ in range(2):
        async with consumption(strict, handle) as health, asyncio.timeout(30):
            assert "3 records in a row" in await health.failed()
        assert len(await read_to_end(settings, LETTERS)) == 2

    lifted = settings.model_copy(update={"dead_letters": DeadLetterSettings(in_a_row=1000)})
    async with consumption(lifted, handle) as health:
        await until_letters(settings, 10)
    assert health.failure is None


async def until_letters(settings: PlatformSettings, count: int) -> None:
    async with asyncio.timeout(30):
        while len(await read_to_end(settings, LETTERS)) < count:
            await asyncio.sleep(0.1)


async def test_progress_and_lag_are_known(settings: PlatformSettings) -> None:
    await prepared(settings, *(b"%d" % n for n in range(5)))
    seen: list[bytes | None] = []

    async def handle(record: Record) -> None:
        seen.append(record.value)

    async with consumption(settings, handle, commit_every=100) as health:
        await until(seen, 5)
        async with asyncio.timeout(20):
            while health.lag != 0:
                await asyncio.sleep(0.1)
        assert health.missing == []
        assert health.live()


async def test_a_batch_that_takes_too_long_is_left_and_its_rest_fetched_again(settings: PlatformSettings) -> None:
    values = [b"%d" % n for n in range(40)]
    await prepared(settings, *values)
    seen: list[bytes | None] = []

    async def handle(record: Record) -> None:
        seen.append(record.value)
        await asyncio.sleep(0.02)

    async with consumption(settings, handle, commit_every=500, max_records=500, longest_batch=0.1) as health:
        await until(seen, 40)
        async with asyncio.timeout(20):
            while health.lag != 0:
                await asyncio.sleep(0.1)
    assert seen == values
    await prepared(settings, b"last")
    async with consumption(settings, handle, commit_every=500, max_records=500, longest_batch=0.1):
        await until(seen, 41)
    assert seen == [*values, b"last"]


async def stalls(health: Health, *, over: float) -> list[str]:
    """Every stall that is seen in ``over`` seconds, or the first one."""
    end = asyncio.get_running_loop().time() + over
    while not (found := health.stalled()) and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.1)
    return found


async def test_a_record_whose_handler_tries_again_for_a_while_is_no_stall(settings: PlatformSettings) -> None:
    await prepared(settings, b"1", b"2", b"3")
    begun: list[bytes | None] = []

    async def handle(record: Record) -> None:
        begun.append(record.value)
        await asyncio.sleep(60)

    async with consumption(settings, handle, patience=30, stall_seconds=1.5) as health:
        await until(begun, 1)
        assert await stalls(health, over=5) == []
        assert health.lag


async def test_retries_of_a_record_are_no_stall(settings: PlatformSettings) -> None:
    settings = settings.model_copy(update={"dead_letters": DeadLetterSettings(attempts=5)})
    await prepared(settings, b"1", b"2", b"3")
    tries: list[bytes | None] = []

    async def handle(record: Record) -> None:
        tries.append(record.value)
        problem = "not now"
        raise TransientError(problem)

    async with consumption(settings, handle, stall_seconds=1.5) as health:
        await until(tries, 1)
        assert await stalls(health, over=5) == []
    assert len(tries) > 3


async def test_a_handler_that_hangs_beyond_its_patience_is_a_stall(settings: PlatformSettings) -> None:
    await prepared(settings, b"1", b"2", b"3")
    begun: list[bytes | None] = []

    async def handle(record: Record) -> None:
        begun.append(record.value)
        await asyncio.sleep(60)

    async with consumption(settings, handle, patience=1, stall_seconds=1.5) as health:
        await until(begun, 1)
        assert len(await stalls(health, over=20)) == 1
