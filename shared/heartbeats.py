"""What this process says of itself on ``platform.heartbeats``: every few seconds and whenever its readiness changes."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Final, Self, TypeVar

import psutil

from schemas.events.platform import Gpu, Heartbeat
from schemas.topics import PLATFORM_HEARTBEATS
from shared.clock import Clock, SystemClock
from shared.errors import HeadraceError
from shared.gpus import Gpus
from shared.health import Health
from shared.logs import get_logger
from shared.metrics import cores_available, gpu_memory, gpu_memory_total, gpu_utilisation, memory_limit
from shared.publishing import Publisher
from shared.records import message
from shared.resource_limits import ResourceLimits
from shared.settings import PlatformSettings

PERIOD_SECONDS: Final = 10.0
GPU_SECONDS: Final = 5.0  # a driver that takes longer to answer is not asked again

T = TypeVar("T")

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
        self._limits = ResourceLimits()
        self._gpus: Gpus | None = None  # looked for once, when this is entered
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

    def heartbeat(self, now: datetime, gpus: tuple[Gpu, ...] = ()) -> Heartbeat:
        """The present state, also on this process's metrics; ``cpu`` is the mean since the last call, in cores."""
        cpu, at = self._cpu_seconds(), self._clock.monotonic()
        used = (cpu - self._cpu) / (at - self._at) if at > self._at else 0.0
        self._cpu, self._at = cpu, at
        beat = Heartbeat(
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
            memory_limit_bytes=self._limits.memory_bytes(),
            cores=round(self._limits.cores(), 4),
            gpus=gpus,
        )
        _show(beat)
        return beat

    async def _beat(self) -> None:
        self._gpus = await self._of_the_driver(Gpus.found)
        while True:
            gpus = await self._of_the_driver(self._gpus.read) if self._gpus else ()
            now = self._clock.now()
            key = f"{self._service}/{self._instance}"
            try:
                body = self.heartbeat(now, gpus or ())
                await self._publisher.publish(
                    message(PLATFORM_HEARTBEATS, body, key=key, source=f"headrace/{self._service}", time=now)
                )
            except HeadraceError as error:
                log.warning("a heartbeat was not sent", why=str(error))
            except Exception as error:
                self._health.fail(f"{self.name}: {type(error).__name__}: {error}")
                raise
            await self._health.turned(within=self._period)

    async def _of_the_driver(self, ask: Callable[[], T]) -> T | None:
        """What ``ask`` gives; None, and no GPUs from then on, if the driver fails or hangs: heartbeats go on."""
        try:
            return await asyncio.wait_for(_aside(ask), GPU_SECONDS)
        except TimeoutError:
            why = f"the driver has not answered for {GPU_SECONDS:g} s"
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        self._gpus = None
        log.warning("heartbeats say nothing of GPUs", why=why)
        return None

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


async def _aside(ask: Callable[[], T]) -> T:
    """What ``ask`` gives, in a daemon thread: the end of the process waits for the loop's own threads, and a driver may hang."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def settle(give: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if found.done() else give())

    def run() -> None:
        try:
            value = ask()
        except Exception as error:  # given to whoever asked
            failure = error
            settle(lambda: found.set_exception(failure))
        else:
            settle(lambda: found.set_result(value))

    threading.Thread(target=run, name="gpus", daemon=True).start()
    return await found


def _show(beat: Heartbeat) -> None:
    """What Prometheus' own collector of processes does not tell."""
    if beat.memory_limit_bytes is not None and beat.cores is not None:
        memory_limit.set(beat.memory_limit_bytes)
        cores_available.set(beat.cores)
    for each in (gpu_utilisation, gpu_memory, gpu_memory_total):
        each.clear()  # a device that does not answer any more
    for gpu in beat.gpus:
        place = str(gpu.index)
        if gpu.utilisation is not None:
            gpu_utilisation.labels(place).set(gpu.utilisation)
        gpu_memory.labels(place).set(gpu.memory_bytes)
        gpu_memory_total.labels(place).set(gpu.memory_total_bytes)


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "unknown"
