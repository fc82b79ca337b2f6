"""What a process of the platform runs short of, by its heartbeats: memory, CPU that its work waits for, memory of its GPUs.

A fold of one process's beats. ``now`` is time that somebody witnessed (`services.monitoring.presence`), ``at`` when the broker
appended the beat; both in milliseconds. Only growth is kept in the checkpoint: what lasts for minutes begins anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Self

from schemas.events.platform import Gpu, Heartbeat
from services.monitoring.memory_growth import Growth, Troughs, warm
from services.monitoring.saturation import Load, Saturation

Resource = Literal["memory", "memory_growth", "cpu", "gpu_memory"]
RESOURCES: Final[tuple[Resource, ...]] = ("memory", "memory_growth", "cpu", "gpu_memory")
RELIEF: Final = 0.05  # a share must fall by so much below its limit before that counts as enough again


@dataclass(frozen=True, slots=True)
class ShortageLimits:
    """From where on a process runs short. None: never. Times are milliseconds."""

    memory_share: float | None = 0.9
    memory_ms: int = 60_000  # for GPUs too
    growth_hours: float | None = 12.0
    cpu_share: float | None = 0.95
    cpu_ms: int = 300_000
    lag_seconds: float = 60.0  # of the process's own work
    gpu_memory_share: float | None = 0.95


@dataclass(frozen=True, slots=True)
class Shortage:
    """One shortage of a process: ``beat`` is its last, ``about`` the numbers that only this resource has."""

    resource: Resource
    statistic: str
    value: float
    threshold: float
    since: int  # appended, epoch milliseconds
    lasted_ms: int
    beat: Heartbeat
    about: Gpu | Growth | Saturation | None = None


@dataclass(slots=True)
class Level:
    """Whether a share is near its limit: once it has stood there for long enough, and until it is clearly below."""

    since: int | None = None  # witnessed
    since_at: int = 0  # appended
    near: bool = False

    def add(self, share: float, limit: float, enough_ms: int, now: int, at: int) -> bool:
        """One measurement; whether it is near now."""
        if share < limit - RELIEF or (share < limit and not self.near):
            self.since, self.near = None, False
            return False
        if self.since is None:
            self.since, self.since_at = now, at
        self.near = self.near or now - self.since >= enough_ms
        return self.near


@dataclass(slots=True)
class Process:
    """One process, since ``started_at``."""

    started_at: datetime
    heard: int  # witnessed
    memory: Level = field(default_factory=Level)
    gpus: dict[int, Level] = field(default_factory=dict)  # by index
    load: Load = field(default_factory=Load)
    troughs: Troughs = field(default_factory=Troughs)
    growing: Growth | None = None
    short: tuple[Shortage, ...] = ()

    def hear(self, beat: Heartbeat, limits: ShortageLimits, now: int, at: int) -> bool:
        """One beat; whether what the checkpoint keeps has changed."""
        self.heard = now
        ended = self._grow(beat, limits, at)
        self.short = tuple(self._shortages(beat, limits, now, at))
        return ended

    def _shortages(self, beat: Heartbeat, limits: ShortageLimits, now: int, at: int) -> Iterator[Shortage]:
        share, most = limits.memory_share, beat.memory_limit_bytes
        if share is not None and most is not None:
            used = beat.memory_bytes / most
            if self.memory.add(used, share, limits.memory_ms, now, at):
                yield _near("memory", used, share, self.memory, now, beat)
        if self.growing is not None and limits.growth_hours is not None:
            hours, since = self.growing.hours, self.growing.since
            yield Shortage(
                "memory_growth", "hours", hours, limits.growth_hours, since, at - since, beat, about=self.growing
            )
        if limits.cpu_share is not None and beat.cores is not None:
            self.load.add(beat, limits.cpu_share, limits.cpu_ms, now, at)
            saturation = self.load.saturation(limits.cpu_ms, limits.lag_seconds)
            if saturation is not None:
                value, since = saturation.cores / saturation.of, saturation.since
                yield Shortage(
                    "cpu", "share", value, limits.cpu_share, since, saturation.lasted_ms, beat, about=saturation
                )
        if limits.gpu_memory_share is not None:
            yield from self._of_gpus(beat, limits.gpu_memory_share, limits.memory_ms, now, at)

    def _of_gpus(self, beat: Heartbeat, share: float, enough_ms: int, now: int, at: int) -> Iterator[Shortage]:
        for gpu in beat.gpus:  # one that does not answer for a beat is no other one
            used, level = gpu.memory_bytes / gpu.memory_total_bytes, self.gpus.setdefault(gpu.index, Level())
            if level.add(used, share, enough_ms, now, at):
                yield _near("gpu_memory", used, share, level, now, beat, gpu)

    def _grow(self, beat: Heartbeat, limits: ShortageLimits, at: int) -> bool:
        most = beat.memory_limit_bytes
        if most is None or limits.growth_hours is None or not warm(beat.started_at, beat.at):
            return False
        ended = self.troughs.add(at, beat.memory_bytes)
        if ended:
            self.growing = self.troughs.growth(most, limits.growth_hours)
        return ended

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return {"started_at": self.started_at.isoformat(), "heard": self.heard, "troughs": self.troughs.content()}

    @classmethod
    def restored(cls, content: dict[str, Any]) -> Self:
        """The inverse of `content`, for what is kept."""
        started_at = datetime.fromisoformat(content["started_at"])
        return cls(started_at, content["heard"], troughs=Troughs.restored(content["troughs"]))


def _near(
    resource: Resource, used: float, share: float, level: Level, now: int, beat: Heartbeat, gpu: Gpu | None = None
) -> Shortage:
    lasted = now - (now if level.since is None else level.since)
    return Shortage(resource, "share", used, share, level.since_at, lasted, beat, about=gpu)


class Processes:
    """All processes that beat, and which of them run short of what."""

    def __init__(self, limits: ShortageLimits) -> None:
        """Nobody is known; `restore` brings back who is."""
        self._limits = limits
        self._processes: dict[tuple[str, str], Process] = {}

    def hear(self, beat: Heartbeat, now: int, at: int) -> bool:
        """One heartbeat; whether what the checkpoint keeps of its process has changed."""
        place = (beat.service, beat.instance)
        process = self._processes.get(place)
        if process is None or process.started_at != beat.started_at:
            process = self._processes[place] = Process(beat.started_at, now)
        return process.hear(beat, self._limits, now, at)

    def departed(self, before: int) -> list[tuple[str, str]]:
        """Service and instance of processes that are forgotten with this call: not heard of since ``before``, witnessed."""
        gone = [place for place, process in self._processes.items() if process.heard < before]
        for place in gone:
            del self._processes[place]
        return gone

    def short(self) -> dict[tuple[str, Resource], list[Shortage]]:
        """By service and resource what its processes run short of, the worst first."""
        found: dict[tuple[str, Resource], list[Shortage]] = {}
        for (service, _), process in self._processes.items():
            for shortage in process.short:
                found.setdefault((service, shortage.resource), []).append(shortage)
        for (_, resource), shortages in found.items():
            shortages.sort(key=lambda each: (each.value, each.beat.instance), reverse=resource != "memory_growth")
        return found

    def content(self, service: str, instance: str) -> dict[str, Any]:
        """What is kept of one process, as JSON; of one that is gone, nothing."""
        process = self._processes.get((service, instance))
        return {} if process is None else {"service": service, "instance": instance, **process.content()}

    def restore(self, content: dict[str, Any], now: int) -> None:
        """The inverse of `content`. Who was there counts as heard ``now``: beats since it was written are not known."""
        if content:
            process = self._processes[content["service"], content["instance"]] = Process.restored(content)
            process.heard = max(process.heard, now)
