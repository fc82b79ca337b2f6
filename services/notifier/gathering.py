"""Which alerts are told together: the topic is looked at ahead, so that only who stands in a storm ever waits.

A storm's first message waits until the topic grows no more (`QUIET`, at most `LONGEST_SETTLE`); as long as the storm lasts, the next
comes a window after the last one. What is louder than all that was told of the storm waits for neither.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol

from services.notifier.delivery import Delivery
from services.notifier.notices import Notice
from services.notifier.storms import Density, Waiting, loudness
from shared.clock import Clock
from shared.errors import TransientError
from shared.logs import get_logger

QUIET: Final = 1.0  # seconds without a new alert: the storm has settled
LONGEST_SETTLE: Final = 10.0

log = get_logger(__name__)


class Ahead(Protocol):
    """The topic of alerts, read ahead of the group."""

    async def behind(self, offset: int) -> Sequence[Waiting]:
        """What people would hear of behind ``offset``, in order; the first thousands. Raises `TransientError`."""
        ...


class Gathering:
    """What waits behind an alert and is to be told with it. What it remembers is lost with the process, and need not be kept."""

    def __init__(
        self,
        ahead: Ahead,
        delivery: Delivery,
        *,
        threshold: int,
        window: timedelta,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``threshold`` alerts within ``window`` are a storm; counted are those that are loud enough for a channel of ``delivery``."""
        self._ahead = ahead
        self._delivery = delivery
        self._density = Density(threshold, window)
        self._window = window.total_seconds()
        self._clock = clock
        self._sleep = sleep
        self._told_at: float | None = None  # when the present storm was last told, monotonic seconds
        self._loudest = -1  # of what was told of it
        self._hurried = False

    async def hurry(self) -> None:
        """The process ends: nothing is waited for any more."""
        self._hurried = True

    async def with_those_behind(self, seen: Waiting, *, late: bool = False) -> Sequence[Notice]:
        """What is to be told together with ``seen``; nothing where there is no storm. Who is ``late`` has waited enough."""
        if not self._delivery.heard(seen.notice):
            return ()
        self._density.passed(seen.appended)
        owed = self._delivery.owed_to(seen.notice)
        if not owed:
            return ()
        behind = await self._behind(seen)
        if not self._density.storm(seen.appended, behind):
            self._told_at, self._loudest = None, -1
            return ()
        if not late and any(channel.for_people for channel in owed):
            behind = await self._waited(seen, behind)
            self._told_at = self._clock.monotonic()
            self._loudest = max(self._loudest, loudness(_notices(seen, behind)))
        return [each.notice for each in behind]

    async def _waited(self, seen: Waiting, behind: Sequence[Waiting]) -> Sequence[Waiting]:
        """What waits behind ``seen`` once it may be told."""
        now = self._clock.monotonic()
        if self._told_at is not None and now - self._told_at >= self._window:
            self._told_at, self._loudest = None, -1  # that was another storm
        first = self._told_at is None
        until = now + LONGEST_SETTLE if self._told_at is None else self._told_at + self._window
        while now < until and not self._hurried:
            if not first and loudness(_notices(seen, behind)) > self._loudest:
                break
            size = len(behind)
            await self._sleep(min(QUIET, until - now))
            behind = await self._behind(seen) or behind
            now = self._clock.monotonic()
            if first and len(behind) == size:
                break
        return behind

    async def _behind(self, seen: Waiting) -> Sequence[Waiting]:
        try:
            return await self._ahead.behind(seen.offset)
        except TransientError as error:
            log.warning("what waits behind an alert cannot be read: it is told alone", why=str(error))
            return ()


def _notices(seen: Waiting, behind: Sequence[Waiting]) -> list[Notice]:
    return [seen.notice, *(each.notice for each in behind)]
