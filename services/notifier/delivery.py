"""Bringing a notice to every channel that wants it: pending in the ledger, sent, then delivered or failed.

At least once: a crash between sending and writing ``delivered`` repeats the one message in flight, nothing else, though it tell of
thousands. A ledger that cannot be written is no crash: entries are written until Kafka has them, and the message is not sent again
meanwhile.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, Protocol

from schemas.events.monitoring import Severity
from schemas.events.notifier import Notification
from services.notifier.lateness import MOST_TOGETHER, TOGETHER, Overdue, aged, together
from services.notifier.ledger import Ledger, notification_id
from services.notifier.notices import Notice, loud_enough
from services.notifier.storms import of_storm
from shared.clock import Clock
from shared.errors import PermanentError, TransientError
from shared.logs import get_logger

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LONGEST_RETRY_AFTER: Final = 120.0
MOST_FOR_A_PROGRAM: Final = 2_000  # alerts in one call: half a megabyte, and many servers refuse more than one
WRITTEN_AT_ONCE: Final = 1_000  # entries

log = get_logger(__name__)


class BusyError(TransientError):
    """The channel asks to be left alone for ``seconds``."""

    def __init__(self, message: str, seconds: float) -> None:
        """``seconds``: from Retry-After."""
        super().__init__(message)
        self.seconds = seconds


class Channel(Protocol):
    """Somewhere people read."""

    @property
    def name(self) -> str:
        """Its name in the ledger; must never change for one destination."""
        ...

    @property
    def least(self) -> Severity:
        """Quieter notices are not sent."""
        ...

    @property
    def for_people(self) -> bool:
        """Whether many late notices become one message; a program is told of each. A storm is one message to both."""
        ...

    async def send(self, notice: Notice, opened: str | None) -> str | None:
        """Send; the channel's own id of the message, if it gives one. ``opened``: that of the message this one continues.

        Raises `TransientError` where it may work later (`BusyError` if the channel says when), `PermanentError` else.
        """
        ...


@dataclass(frozen=True, slots=True)
class Late:
    """That a record's message is late, by ``age``. ``behind``: the late ones that wait behind it, in order."""

    age: timedelta
    behind: Callable[[], Awaitable[Sequence[Overdue]]]


Write = Callable[[Sequence[Notification]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a channel is tried, seconds."""

    give_up_after: float
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Delivery:
    """Delivers one notice after the other, to all channels."""

    def __init__(
        self, channels: Sequence[Channel], ledger: Ledger, write: Write, clock: Clock, patience: Patience
    ) -> None:
        """``write`` writes to the ledger's topic and returns once that is acknowledged; it raises `TransientError` else."""
        self._channels = channels
        self._ledger = ledger
        self._publish = write
        self._clock = clock
        self._patience = patience
        self._most: dict[str, int] = {}  # that a channel has taken together, where it refused more

    @property
    def longest(self) -> float:
        """Seconds that one notice may take if no channel answers, Kafka's own trouble aside."""
        return len(self._channels) * self._patience.give_up_after

    def heard(self, notice: Notice) -> bool:
        """Whether ``notice`` is loud enough for any channel."""
        return any(loud_enough(notice.severity, channel.least) for channel in self._channels)

    def owed_to(self, notice: Notice) -> list[Channel]:
        """The channels that are still to be told."""
        return [channel for channel in self._channels if self._owed(channel, notice)]

    async def deliver(
        self, notice: Notice, *, again: bool = False, late: Late | None = None, storm: Sequence[Notice] = ()
    ) -> None:
        """Send ``notice`` wherever it is wanted and not settled yet; ``again``: where it failed for good, too.

        ``late``: say so, and where many others wait behind it, tell people of all of them at once. ``storm``: the alerts
        behind it that are to be told with it. Raises `PermanentError`, after all channels had their turn, if one of them
        failed for good.
        """
        failures = [
            failure
            for channel in self._channels
            if (failure := await self._to(channel, notice, again=again, late=late, storm=storm)) is not None
        ]
        if failures:
            raise PermanentError("; ".join(failures))

    async def _to(
        self, channel: Channel, notice: Notice, *, again: bool, late: Late | None, storm: Sequence[Notice]
    ) -> str | None:
        if not self._owed(channel, notice, again=again):
            return None
        overdue = None if late is None else Overdue(notice, late.age)
        if late is not None and overdue is not None and channel.for_people:
            behind = await late.behind()
            most = self._most.get(channel.name, MOST_TOGETHER)
            owed = self._all_owed(channel, notice, [each.notice for each in behind], most)
            everything = [overdue, *(behind[place] for place in owed)]
            if len(everything) >= TOGETHER:
                return await self._tell(channel, [each.notice for each in everything], together(everything))
        elif storm:
            most = self._most.get(channel.name, MOST_TOGETHER if channel.for_people else MOST_FOR_A_PROGRAM)
            notices = [notice, *(storm[place] for place in self._all_owed(channel, notice, storm, most))]
            if len(notices) > 1:
                return await self._tell(channel, notices, of_storm(notices))
        return await self._tell(channel, [notice], notice if overdue is None else aged(overdue))

    def _owed(self, channel: Channel, notice: Notice, *, again: bool = False) -> bool:
        if not loud_enough(notice.severity, channel.least) or self._ledger.settled(channel.name, notice, again=again):
            return False
        # of an end only where somebody was told that it began
        return notice.opening is None or self._ledger.opened(channel.name, notice) is not None

    def _all_owed(self, channel: Channel, first: Notice, behind: Sequence[Notice], most: int) -> list[int]:
        """Which of ``behind`` are to be told with ``first``, ``most`` with it: each once, and ends of what begins among them too."""
        taken = {notification_id(channel.name, first)}
        found: list[int] = []
        for place, notice in enumerate(behind):
            if len(found) == most - 1:
                break
            identity = notification_id(channel.name, notice)
            begun = notice.opening is not None and notification_id(channel.name, notice, notice.opening) in taken
            loud = loud_enough(notice.severity, channel.least)
            if identity in taken or not (self._owed(channel, notice) or (begun and loud)):
                continue
            taken.add(identity)
            found.append(place)
        return found

    async def _tell(self, channel: Channel, notices: Sequence[Notice], shown: Notice) -> str | None:
        """Send ``shown``, which tells of all ``notices``, with an entry for each. If it fails, the first of them has failed; but what
        is refused for good and tells of many is sent again for the first alone, before anything is given up.

        Where ``shown`` tells of many, those that are pending already are not written so again: were it refused, each would have
        its own turn, with all the others behind it.
        """
        alone = len(notices) == 1
        opened = self._ledger.opened(channel.name, notices[0]) if alone else None
        new = [alone or not self._ledger.begun(channel.name, notice) for notice in notices]
        entries = [self._entry(channel, notice, more=more) for notice, more in zip(notices, new, strict=True)]
        await self._write([entry for entry, more in zip(entries, new, strict=True) if more])
        try:
            reference = await self._insist(channel, shown, opened.reference if opened else None)
        except (PermanentError, TransientError) as error:
            if not alone and isinstance(error, PermanentError):  # perhaps for its size: the next one is half as large
                self._most[channel.name] = max(1, len(notices) // 2)
                return await self._tell(channel, notices[:1], notices[0])
            await self._write([self._settled(entries[0], "failed", error=str(error))])
            return f"{channel.name}: {error}"
        if not alone:
            log.warning(
                "many messages were told as one", channel=channel.name, messages=len(notices), title=shown.title
            )
        kept = reference if alone else None  # nothing continues a message that tells of many
        await self._write([self._settled(entry, "delivered", reference=kept) for entry in entries])
        return None

    async def _insist(self, channel: Channel, notice: Notice, opened: str | None) -> str | None:
        deadline = self._clock.monotonic() + self._patience.give_up_after
        pause = FIRST_PAUSE
        while True:
            try:
                return await channel.send(notice, opened)
            except TransientError as error:
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
                if isinstance(error, BusyError):
                    wait = max(wait, min(error.seconds, LONGEST_RETRY_AFTER))
                if self._clock.monotonic() + wait > deadline:
                    raise
                pause = min(pause * 2, LONGEST_PAUSE)
                await self._patience.sleep(wait)

    def _entry(self, channel: Channel, notice: Notice, *, more: bool) -> Notification:
        """A pending entry; ``more``: of one attempt more than there were."""
        return Notification(
            notification_id=notification_id(channel.name, notice),
            channel=channel.name,
            subject=notice.subject,
            episode=notice.episode,
            state=notice.state,
            status="pending",
            attempts=self._ledger.attempts(channel.name, notice) + more,
            at=self._clock.now(),
        )

    def _settled(
        self,
        entry: Notification,
        status: Literal["delivered", "failed"],
        *,
        reference: str | None = None,
        error: str | None = None,
    ) -> Notification:
        update = {"status": status, "reference": reference, "error": error, "at": self._clock.now()}
        return entry.model_copy(update=update)

    async def _write(self, entries: Sequence[Notification]) -> None:
        for entry in entries:
            self._ledger.apply(entry)  # first: were a record handled again by this process, it must know what was sent
        for start in range(0, len(entries), WRITTEN_AT_ONCE):
            await self._written(entries[start : start + WRITTEN_AT_ONCE])

    async def _written(self, entries: Sequence[Notification]) -> None:
        attempt = 1
        while True:
            try:
                return await self._publish(entries)
            except TransientError as away:
                seconds = min(FIRST_PAUSE * 2 ** min(attempt, 30), LONGEST_PAUSE)
                status = entries[0].status
                log.warning("the ledger cannot be written; trying again", status=status, seconds=seconds, why=str(away))
                await self._patience.sleep(seconds)
                attempt += 1
