"""Which services of the platform are alive and ready, by what their heartbeats say: a fold of the topic.

A service is all of its processes: while one lives, the others may come and go. Time is when the broker appended the beats,
and it passes only while somebody beats: what nobody witnesses (the whole platform was down, or Kafka was) is nobody's silence.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Self

from schemas.events.platform import Heartbeat

PERIOD_MS: Final = 10_000  # between the beats of one process, as of `shared.heartbeats`
WITNESSED_MS: Final = 3 * PERIOD_MS  # the longest pause between two beats in which time passes
STEADY_MS: Final = PERIOD_MS * 3 // 2  # ready for so long: not one that dies as soon as it has begun to work
DEPARTED_MS: Final = 9 * PERIOD_MS  # a process that is silent for so long has ended


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a service may be silent or not ready before that is a trouble, milliseconds of witnessed time.

    A service that is silent for ``given_up_ms`` was taken out of operation.
    """

    silent_ms: int = 3 * PERIOD_MS + 60_000
    not_ready_ms: int = 300_000
    given_up_ms: int = 7 * 86_400_000  # as long as the topic keeps beats


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a service: for how long, from which limit on, and since when (appended, epoch milliseconds)."""

    what: str  # silent or not_ready
    lasted_ms: int
    limit_ms: int
    since: int


@dataclass(slots=True)
class Known:
    """A service: when it was last heard of and last steadily ready, in witnessed time and (``…_at``) as appended.

    ``steady`` begins anew when it is heard of after a silence: a start takes its time.
    """

    heard: int
    heard_at: int
    steady: int
    steady_at: int


@dataclass(slots=True)
class _Process:
    started_at: datetime
    heard: int
    ready_since: int | None = None


class Presence:
    """Everything heard so far."""

    def __init__(self, limits: Limits, watcher: str) -> None:
        """Nobody is known; `restore` brings back who is. ``watcher``: the service that hears, which is therefore not silent."""
        self._limits = limits
        self._watcher = watcher
        self._witnessed = 0  # milliseconds that passed
        self._last: int | None = None  # when the last beat was appended
        self._processes: dict[tuple[str, str], _Process] = {}
        self.services: dict[str, Known] = {}

    @property
    def witnessed(self) -> int:
        """Milliseconds in which somebody beat, up to the last beat."""
        return self._witnessed

    def hear(self, beat: Heartbeat, appended: int) -> None:
        """One heartbeat. A service that is heard of for the first time counts as ready until then."""
        if self._last is not None:
            self._witnessed += min(max(0, appended - self._last), WITNESSED_MS)
        self._last = appended
        now = self._witnessed
        known = self.services.setdefault(beat.service, Known(now, appended, now, appended))
        if now - known.heard > self._limits.silent_ms:
            known.steady = now
        known.heard, known.heard_at = now, appended
        process = self._processes.get((beat.service, beat.instance))
        if process is None or process.started_at != beat.started_at:
            process = self._processes[beat.service, beat.instance] = _Process(beat.started_at, now)
        process.heard = now
        if not beat.ready:
            process.ready_since = None
        elif process.ready_since is None:
            process.ready_since = now
        elif now - process.ready_since >= STEADY_MS:
            known.steady, known.steady_at = now, appended

    def trouble(self, service: str) -> Trouble | None:
        """What is wrong with a known service now."""
        known = self.services[service]
        silent, not_ready = self._witnessed - known.heard, self._witnessed - known.steady
        if silent > self._limits.silent_ms:
            if service == self._watcher:
                return None
            return Trouble("silent", silent, self._limits.silent_ms, known.heard_at)
        if not_ready > self._limits.not_ready_ms:
            return Trouble("not_ready", not_ready, self._limits.not_ready_ms, known.steady_at)
        return None

    def given_up(self) -> list[str]:
        """Services that are forgotten with this call: nobody will miss them any more."""
        gone = [
            name for name, known in self.services.items() if self._witnessed - known.heard > self._limits.given_up_ms
        ]
        for name in gone:
            del self.services[name]
        return gone

    def departed(self) -> Iterator[tuple[str, str]]:
        """Service and instance of processes that are forgotten with this call: silent, so they ended."""
        limit = self._witnessed - DEPARTED_MS
        for place in [place for place, process in self._processes.items() if process.heard < limit]:
            del self._processes[place]
            yield place

    def content(self) -> dict[str, Any]:
        """As JSON, without the processes: they beat again, or they are gone."""
        services = {name: asdict(known) for name, known in self.services.items()}
        return {"witnessed": self._witnessed, "last": self._last, "services": services}

    def restore(self, content: dict[str, Any]) -> Self:
        """The inverse of `content`."""
        self._witnessed, self._last = content["witnessed"], content["last"]
        self.services = {name: Known(**known) for name, known in content["services"].items()}
        return self
