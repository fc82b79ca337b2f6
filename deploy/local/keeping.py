"""Keeps the embedded Kafka and Mongo running: what ends by itself is started again on its data and its port."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from deploy.local.errors import PlatformError
from deploy.local.platform import Platform

LOOK_SECONDS: Final = 0.5
TRIES: Final = 5  # within `SPELL_SECONDS`; more would only hide what is wrong
SPELL_SECONDS: Final = 120.0


class Part(Protocol):
    """A process of the platform."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        ...

    def start(self) -> None:
        """Start it and wait until it serves. Raises `PlatformError`."""
        ...


class Keeper(threading.Thread):
    """Looks after ``parts`` until it is closed. ``failure`` is a sentence once it has given up."""

    def __init__(self, parts: dict[str, Part], report: Callable[[str], None], logs: object) -> None:
        """``report`` is told of each restart; ``logs`` is where a person finds out why."""
        super().__init__(name="platform keeper", daemon=True)
        self.failure: str | None = None
        self._parts = parts
        self._report = report
        self._logs = logs
        self._closing = threading.Event()
        self._restarts: deque[float] = deque()

    def run(self) -> None:
        """Look, restart, give up when that does not help."""
        while self.failure is None and not self._closing.wait(LOOK_SECONDS):
            for name, part in self._parts.items():
                if not part.alive and not self._closing.is_set():
                    self._restart(name, part)

    def _restart(self, name: str, part: Part) -> None:
        now = time.monotonic()
        while self._restarts and self._restarts[0] < now - SPELL_SECONDS:
            self._restarts.popleft()
        if len(self._restarts) == TRIES:
            self.failure = f"{name} ended {TRIES} times within {SPELL_SECONDS:g} s: its log in {self._logs} says why."
            return
        self._restarts.append(now)
        self._report(f"{name} ended unexpectedly (its log is in {self._logs}); starting it again")
        try:
            part.start()
        except PlatformError as error:
            self.failure = f"{name} ended unexpectedly and cannot be started again: {error}"
        else:
            self._report(f"{name} serves again")

    def close(self) -> None:
        """Stop looking; returns once no restart is under way."""
        self._closing.set()
        self.join()


@contextmanager
def kept(platform: Platform, report: Callable[[str], None]) -> Iterator[Keeper]:
    """Keep ``platform``'s processes running for the length of a block."""
    parts: dict[str, Part] = {"Kafka": platform.kafka}
    if platform.mongo is not None:
        parts["Mongo"] = platform.mongo
    keeper = Keeper(parts, report, platform.data_dir / "logs")
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.close()
