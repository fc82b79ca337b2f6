"""Clocks."""

from datetime import UTC, datetime, timedelta, timezone

from shared.clock import FixedClock, SystemClock


def test_the_system_clock_is_aware_and_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_the_monotonic_clock_never_runs_backwards() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()


def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    clock.advance(timedelta(minutes=1))
    assert (clock.now(), clock.monotonic()) == (datetime(2026, 1, 1, 0, 1, tzinfo=UTC), 60.0)
