"""Time is an argument: domain code asks a `Clock`, tests pass a `FixedClock`."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where the present comes from."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never run backwards: for durations and deadlines."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The machine's wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The machine's monotonic clock, seconds."""
        return time.monotonic()


class FixedClock:
    """A clock that stands still until it is told otherwise; for tests and replays."""

    def __init__(self, at: datetime) -> None:
        """Stand at ``at``, which must be aware."""
        self._at = at.astimezone(UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The time it was set to."""
        return self._at

    def monotonic(self) -> float:
        """Seconds by which it was advanced since it was made."""
        return self._elapsed

    def advance(self, by: timedelta) -> None:
        """Move both clocks forward."""
        self._at += by
        self._elapsed += by.total_seconds()
