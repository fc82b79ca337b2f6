"""Health answers: alive means progressing, ready means all gates open."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import FixedClock
from shared.health import Health

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


async def ask(health: Health, path: str) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    await health({"type": "http", "path": path}, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_ready_lists_what_is_missing_until_every_gate_is_open() -> None:
    health = Health()
    health.starting("table definitions")
    health.starting("publisher")
    status, body = await ask(health, "/health/ready")
    assert (status, json.loads(body)) == (503, {"ready": False, "missing": ["table definitions", "publisher"]})
    health.ready("publisher")
    health.ready("table definitions")
    assert (await ask(health, "/health/ready"))[0] == 200


async def test_a_process_is_alive_before_it_is_ready() -> None:
    health = Health()
    health.starting("kafka")
    assert (await ask(health, "/health/live"))[0] == 200


def test_lag_without_progress_for_a_minute_is_dead() -> None:
    clock = FixedClock(EPOCH)
    health = Health(clock)
    health.progressed("t", 0, 5, 10)
    clock.advance(timedelta(seconds=59))
    health.progressed("t", 0, 5, 12)
    assert health.live()
    clock.advance(timedelta(seconds=2))
    assert health.stalled() == ["t/0"]
    assert not health.live()


def test_bounded_work_is_no_stall_until_its_time_and_the_limit_are_over() -> None:
    clock = FixedClock(EPOCH)
    health = Health(clock)
    health.progressed("t", 0, 5, 10)
    health.busy("t", 0, 300)
    clock.advance(timedelta(seconds=359))
    health.progressed("t", 0, 5, 12)
    assert health.live()
    clock.advance(timedelta(seconds=2))
    assert health.stalled() == ["t/0"]
    health.busy("t", 0, 0)
    assert health.live()


def test_a_partition_that_was_taken_away_leaves_no_excuse_behind() -> None:
    clock = FixedClock(EPOCH)
    health = Health(clock)
    health.busy("t", 0, 300)
    health.forget("t", 0)
    health.progressed("t", 0, 5, 10)
    clock.advance(timedelta(seconds=61))
    assert not health.live()


def test_progress_with_lag_is_alive() -> None:
    clock = FixedClock(EPOCH)
    health = Health(clock)
    for position in range(5):
        health.progressed("t", 0, position, 100)
        clock.advance(timedelta(seconds=40))
        assert health.live()


def test_silence_at_the_end_is_alive() -> None:
    clock = FixedClock(EPOCH)
    health = Health(clock)
    health.progressed("t", 0, 10, 10)
    clock.advance(timedelta(hours=5))
    assert health.live()


def test_the_clock_starts_when_records_begin_to_wait() -> None:
    clock = FixedClock(EPOCH)
    health = Health(clock)
    health.progressed("t", 0, 10, 10)
    clock.advance(timedelta(hours=5))
    health.progressed("t", 0, 10, 10)
    clock.advance(timedelta(seconds=1))
    health.progressed("t", 0, 10, 11)
    clock.advance(timedelta(seconds=30))
    assert health.live()


def test_lag_is_the_sum_over_the_partitions_owned() -> None:
    health = Health()
    assert health.lag is None
    health.progressed("t", 0, 5, 10)
    health.progressed("t", 1, 7, 9)
    assert health.lag == 7
    health.forget("t", 0)
    assert health.lag == 2


async def test_the_first_failure_is_kept_and_wakes_whoever_waits() -> None:
    health = Health()
    health.fail("fenced")
    health.fail("later")
    assert await health.failed() == "fenced"
    assert not health.live()


async def test_metrics_are_served_and_other_paths_are_not() -> None:
    health = Health()
    status, body = await ask(health, "/metrics")
    assert status == 200
    assert b"headrace_consumer_lag" in body
    assert (await ask(health, "/secrets"))[0] == 404


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_answers_carry_no_reason_for_a_failure(path: str) -> None:
    health = Health()
    health.fail("password hunter2 was wrong")
    status, body = await ask(health, path)
    assert status == 503
    assert b"hunter2" not in body


async def test_who_waits_for_a_turn_of_readiness_hears_it_at_once_and_once() -> None:
    health = Health()
    health.starting("table")
    await asyncio.wait_for(health.turned(within=60), 1)
    health.starting("model")
    health.ready("table")
    with pytest.raises(TimeoutError):  # still not ready: nothing turned
        await asyncio.wait_for(health.turned(within=60), 0.01)
    health.ready("model")
    await asyncio.wait_for(health.turned(within=60), 1)
    await health.turned(within=0.001)  # the period is over without one
