"""Any service as a process of its own: started, asked for its health, killed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
PATIENCE = 90.0


class ServiceProcess:
    """``python -m services.<name>``, started on entry; killed on exit unless it was stopped.

    With ``dies_at`` n it dies by kill -9 before the nth commit of offsets, when its outputs stand already.
    """

    def __init__(self, name: str, env: Mapping[str, str], log: Path, *, dies_at: int | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._name = name
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **env, "HEADRACE_HTTP__PORT": str(self._port)}
        crash = str(ROOT / "tests" / "crash_before_commit.py")
        self._argv = ["-m", f"services.{name}"] if dies_at is None else [crash, name, str(dies_at)]
        self.log = log

    def __enter__(self) -> Self:
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, *self._argv], cwd=ROOT, env=self._env, stdout=sink, stderr=sink
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.log.read_text())
        self.kill()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def died(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        return (
            await eventually(lambda: asyncio.to_thread(self._process.poll), lambda code: code is not None, "it ends")
            or 0
        )

    def kill(self) -> None:
        """kill -9."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)

    def readiness(self) -> dict[str, Any]:
        """What /health/ready says; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return {}

    async def ready(self) -> None:
        """Wait until it serves."""

        async def answer() -> bool:
            return bool((await asyncio.to_thread(self.readiness)).get("ready"))

        await eventually(answer, bool, f"{self._name} is ready")


async def eventually(look: Callable[[], Awaitable[T]], good: Callable[[T], bool], what: str) -> T:
    """Poll ``look`` until what it sees is ``good``; fails with the last sight."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        seen = await look()
        if good(seen):
            return seen
        assert asyncio.get_running_loop().time() < deadline, f"{what}: never, last seen {seen!r:.2000}"
        await asyncio.sleep(0.1)
