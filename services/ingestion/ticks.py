"""Live ticks: for FeatureSets whose event time is the wall clock, say each second how far it has come, to every partition."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from schemas.envelope import format_time
from schemas.events.ingestion import Tick
from schemas.topics import EVENTS_RAW, LABELS_RAW
from services.ingestion.edge import Publish
from shared.clock import Clock
from shared.errors import HeadraceError
from shared.logs import get_logger
from shared.records import Outgoing, message

SOURCE: Final = "headrace/ingestion"

log = get_logger(__name__)


def ticks(feature_sets: Sequence[str], time: datetime, partitions: int) -> list[Outgoing]:
    """One tick per FeatureSet, raw topic and partition. Several instances may all tick: a watermark is a maximum."""
    second = time.replace(microsecond=0)
    return [
        message(
            topic,
            Tick(feature_set=ref, time=second),
            key="tick",
            source=SOURCE,
            id=f"tick:{ref.replace('@', ':')}:{format_time(second)}",
            time=second,
            partition=partition,
        )
        for topic in (EVENTS_RAW, LABELS_RAW)
        for partition in range(partitions)
        for ref in feature_sets
    ]


class Ticker:
    """A component: ticks while it is entered. A tick that cannot be sent is skipped; the next one says more."""

    name = "ticks"

    def __init__(
        self,
        *,
        live_sets: Callable[[], Sequence[str]],
        publish: Publish,
        clock: Clock,
        partitions: int,
        period: float,
        failed: Callable[[str], None],
    ) -> None:
        """``period`` in seconds. ``failed`` is told why there will be no further tick."""
        self._live_sets = live_sets
        self._publish = publish
        self._clock = clock
        self._partitions = partitions
        self._period = period
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.tick()
            except HeadraceError as error:
                log.warning("ticks were not sent", error=str(error))
            except Exception as error:  # without ticks no window of a live set would ever close again
                self._failed(f"{self.name}: {type(error).__name__}: {error}")
                raise
            await asyncio.sleep(self._period)

    async def tick(self) -> None:
        """Tick once. Raises `HeadraceError`."""
        outgoing = ticks(self._live_sets(), self._clock.now(), self._partitions)
        if outgoing:
            await self._publish(*outgoing)
