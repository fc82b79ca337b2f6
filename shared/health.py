"""Whether this process is alive and ready, said on ``/health/live``, ``/health/ready`` and ``/metrics``.

Alive means that its consumers really progress: lag without progress for a minute is dead. Ready means that all gates are
open. Health answers carry no data.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from shared import metrics
from shared.clock import Clock, SystemClock

STALL_SECONDS: Final = 60.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class _Progress:
    position: int
    end: int
    since: float  # monotonic time of the last progress


class Health:
    """The state of one process. All methods belong to the event loop's thread."""

    def __init__(self, clock: Clock | None = None, *, stall_seconds: float = STALL_SECONDS) -> None:
        """``stall_seconds``: how long lag may stand without progress."""
        self._clock = clock or SystemClock()
        self._stall = stall_seconds
        self._missing: dict[str, None] = {}  # ordered
        self._progress: dict[tuple[str, int], _Progress] = {}
        self._busy: dict[tuple[str, int], float] = {}  # monotonic time until which standing still is no stall
        self._turned = asyncio.Event()  # readiness is another than when it was last asked for
        self._failed = asyncio.Event()
        self.failure: str | None = None
        self.processed = 0  # records, since the start

    def starting(self, part: str) -> None:
        """``part`` is not ready yet: the gate is closed until `ready`."""
        was_ready = not self._missing
        self._missing[part] = None
        if was_ready:
            self._turned.set()

    def ready(self, part: str) -> None:
        """Open the gate of ``part``."""
        was_ready = not self._missing
        self._missing.pop(part, None)
        if not (was_ready or self._missing):
            self._turned.set()

    async def turned(self, within: float) -> None:
        """Return once readiness has changed since the last call, or after ``within`` seconds. For one waiter."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._turned.wait(), within)
        self._turned.clear()

    @property
    def missing(self) -> list[str]:
        """The closed gates, in the order in which they were announced."""
        return list(self._missing)

    def progressed(self, topic: str, partition: int, position: int, end: int) -> None:
        """The consumer stands at ``position``; ``end`` is the offset after the last stable record."""
        now = self._clock.monotonic()
        metrics.lag.labels(topic, str(partition)).set(max(0, end - position))
        known = self._progress.get((topic, partition))
        if known is None or position != known.position or position >= end:
            self._progress[topic, partition] = _Progress(position, end, now)
        else:
            known.end = end

    def forget(self, topic: str, partition: int) -> None:
        """The partition was taken from this process: its lag is no longer ours."""
        self._busy.pop((topic, partition), None)
        if self._progress.pop((topic, partition), None) is not None:
            metrics.lag.remove(topic, str(partition))

    def busy(self, topic: str, partition: int, seconds: float) -> None:
        """A sign of life: what is being done for this partition is bounded and may take ``seconds`` more.

        Until then standing still is no stall; after that the stall's time begins.
        """
        self._busy[topic, partition] = self._clock.monotonic() + seconds

    @property
    def lag(self) -> int | None:
        """Stable records that wait for this process, over all its partitions; None while it has none."""
        if not self._progress:
            return None
        return sum(max(0, p.end - p.position) for p in self._progress.values())

    def stalled(self) -> list[str]:
        """``topic/partition`` of every consumer with lag and no progress for too long."""
        limit = self._clock.monotonic() - self._stall
        return [
            f"{t}/{n}"
            for (t, n), p in self._progress.items()
            if p.position < p.end and max(p.since, self._busy.get((t, n), p.since)) < limit
        ]

    def fail(self, why: str) -> None:
        """This process cannot go on: `shared.service` ends it with exit code 70. The first reason is kept."""
        if self.failure is None:
            self.failure = why
            self._failed.set()

    async def failed(self) -> str:
        """Wait until `fail` was called; the reason."""
        await self._failed.wait()
        return self.failure or "unknown reason"

    def live(self) -> bool:
        """False once the process failed or a consumer stalls."""
        return self.failure is None and not self.stalled()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application for the three paths; 404 for any other."""
        del receive
        status, kind, body = self._answer(scope.get("path", ""))
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str) -> tuple[int, bytes, bytes]:
        if path == "/health/live":
            live = self.live()
            return (200 if live else 503), b"application/json", json.dumps({"live": live}).encode()
        if path == "/health/ready":
            is_ready = not self._missing and self.live()
            body = {"ready": is_ready, "missing": self.missing}
            return (200 if is_ready else 503), b"application/json", json.dumps(body).encode()
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", metrics.exposition()
        return 404, b"application/json", b'{"title":"not found","status":404}'


PATHS: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
