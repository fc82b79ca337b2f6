"""A service as a process, for tests of the edge: started, asked, killed; and what stands on its topics."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from rides import FEATURE_SET, MODEL

from schemas.events.registry import DefinitionRecord
from schemas.topics import (
    DEFINITIONS,
    EVENTS_DUPLICATES,
    EVENTS_REJECTED,
    EVENTS_VALIDATED,
    LABELS_REJECTED,
    LABELS_VALIDATED,
    TICK,
    Topic,
    dead_letters,
)
from shared.publishing import Publisher
from shared.records import Record, message
from shared.settings import PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

ROOT = Path(__file__).parent.parent
PATIENCE = 90.0
OUTCOMES: Mapping[str, Topic] = {
    "validated": EVENTS_VALIDATED,
    "labels": LABELS_VALIDATED,
    "rejected": EVENTS_REJECTED,
    "labels rejected": LABELS_REJECTED,
    "duplicates": EVENTS_DUPLICATES,
    "dead letters": dead_letters("validation"),
}


class ServiceProcess:
    """``python -m services.<name>``: started on entry, killed on exit unless it was stopped."""

    def __init__(self, name: str, env: Mapping[str, str], log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._name = name
        self._env = {**os.environ, **env, "HEADRACE_HTTP__PORT": str(port)}
        self._log = log
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{self._name}"], cwd=ROOT, env=self._env, stdout=sink, stderr=sink
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            print(self._log.read_text())

    def kill(self) -> None:
        """kill -9."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)

    async def ready(self) -> None:
        """Wait until it serves."""
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"{self.url}/health/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                if self._process.poll() is not None:
                    message_ = f"{self._name} ended with {self._process.returncode}"
                    raise AssertionError(message_)
                await asyncio.sleep(0.05)


async def prepare(settings: PlatformSettings, publisher: Publisher, *extra: dict[str, Any]) -> None:
    """Create the topics and put `FEATURE_SET`, `MODEL` and ``extra`` in force."""
    await apply_topics(settings)
    await publisher.start()
    for definition in (FEATURE_SET, MODEL, *extra):
        kind, name = definition["kind"], definition["metadata"]["name"]
        major = int(definition["spec"].get("version", "1").split(".")[0])
        body = DefinitionRecord(kind=kind, name=name, major=major, revision=1, definition=definition)
        await publisher.publish(message(DEFINITIONS, body, key=f"{kind}/{name}/{major}", source="headrace/registry"))


async def records_of(settings: PlatformSettings, topic: Topic) -> list[Record]:
    """All committed records of ``topic`` but ticks, by partition and offset."""
    found = await read_to_end(settings, topic)
    return sorted(
        (each for each in found if dict(each.headers).get("ce_type") != TICK.encode()),
        key=lambda each: (each.partition, each.offset),
    )


async def outcomes(settings: PlatformSettings, total: int) -> dict[str, list[Record]]:
    """Every outcome, once there are ``total`` (or more: the caller compares)."""
    found = await eventually(
        lambda: _outcomes(settings), lambda all_: sum(map(len, all_.values())) >= total, f"{total} outcomes"
    )
    return {name: records for name, records in found.items() if records}


async def eventually(ask: Callable[[], Any], wanted: Callable[[Any], bool], what: str) -> Any:
    """What ``ask`` answers, once it is ``wanted``."""
    found = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await ask()
                if wanted(found):
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        seen = {name: len(records) for name, records in found.items()} if isinstance(found, dict) else found
        message_ = f"waited for {what}, saw {seen}"
        raise AssertionError(message_) from None


async def _outcomes(settings: PlatformSettings) -> dict[str, Sequence[Record]]:
    names = list(OUTCOMES)
    found = await asyncio.gather(*(records_of(settings, OUTCOMES[name]) for name in names))
    return dict(zip(names, found, strict=True))
