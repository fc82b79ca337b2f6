"""What this process says of itself on ``platform.heartbeats``: every few seconds and whenever its readiness changes."""

import asyncio
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Final, Self

import psutil

from schemas.events.platform import Heartbeat
from schemas.topics import PLATFORM_HEARTBEATS
from shared.clock import Clock, SystemClock
from shared.errors import HeadraceError
from shared.health import Health
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import message
from shared.settings import PlatformSettings

PERIOD_SECONDS: Final = 10.0

log = get_logger(__name__)


class Heartbeats:
    """A component: publishes while it is entered. A heartbeat that cannot be sent is logged, never fatal."""

    name = "heartbeats"

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        service: str,
        publisher: Publisher,
        health: Health,
        clock: Clock | None = None,
        period: float = PERIOD_SECONDS,
    ) -> None:
        """``publisher`` must be entered before this component."""
        self._service = service
        self._instance = settings.instance
        self._publisher = publisher
        self._health = health
        self._clock = clock or SystemClock()
        self._period = period
        self._process = psutil.Process()
        self._started_at = self._clock.now()
        self._cpu = 0.0
        self._at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._cpu, self._at = self._cpu_seconds(), self._clock.monotonic()
        self._task = asyncio.create_task(self._beat(), name=self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def heartbeat(self, now: datetime) -> Heartbeat:
        """The present state; ``cpu`` is the mean since the last call, in cores."""
        cpu, at = self._cpu_seconds(), self._clock.monotonic()
        used = (cpu - self._cpu) / (at - self._at) if at > self._at else 0.0
        self._cpu, self._at = cpu, at
        return Heartbeat(
            service=self._service,
            instance=self._instance,
            version=_version(),
            at=now,
            started_at=self._started_at,
            ready=not self._health.missing,
            lag=self._health.lag,
            processed=self._health.processed,
            cpu=round(used, 4),
            memory_bytes=self._process.memory_info().rss,
        )

    async def _beat(self) -> None:
        while True:
            now = self._clock.now()
            body = self.heartbeat(now)
            key = f"{self._service}/{self._instance}"
            try:
                await self._publisher.publish(
                    message(PLATFORM_HEARTBEATS, body, key=key, source=f"headrace/{self._service}", time=now)
                )
            except HeadraceError as error:
                log.warning("a heartbeat was not sent", why=str(error))
            except Exception as error:
                self._health.fail(f"{self.name}: {type(error).__name__}: {error}")
                raise
            await self._health.turned(within=self._period)

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "unknown"
