"""A running `python -m services.inference`, and what stands on its topics."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from schemas.events.contract import decode
from schemas.events.inference import ModelStatus, Prediction, ServingStarted
from schemas.topics import INFERENCE_STATUS, PREDICTIONS, Topic
from shared.records import Record
from shared.settings import PlatformSettings
from shared.tables import read_to_end

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0


class InferenceProcess:
    """Started on entry; killed on exit unless it was stopped."""

    def __init__(self, env: Mapping[str, str], data_dir: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._env = {
            **os.environ,
            **env,
            "HEADRACE_HTTP__PORT": str(self._port),
            "HEADRACE_INFERENCE__DATA_DIR": str(data_dir),
        }
        self.log = log

    def __enter__(self) -> Self:
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.inference"], cwd=ROOT, env=self._env, stdout=sink, stderr=sink
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.log.read_text())
        self.kill()

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

    def metrics(self) -> str:
        """What /metrics says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())

    async def ready(self) -> None:
        """Wait until it serves."""
        await until(lambda: self.readiness().get("ready", False), "the service is ready")


async def until(condition: Callable[[], Any], what: str) -> None:
    """Poll ``condition`` to its deadline."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)
    del what


async def records_of(
    settings: PlatformSettings, topic: Topic, at_least: int = 0, ce_type: str | None = None
) -> list[Record]:
    """All committed records of ``topic`` (of one type), once there are ``at_least`` that many."""
    found: list[Record] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            found = [
                record
                for record in await read_to_end(settings, topic)
                if ce_type is None or dict(record.headers).get("ce_type") == ce_type.encode()
            ]
            if len(found) >= at_least:
                return found
            await asyncio.sleep(0.2)


async def predictions_of(settings: PlatformSettings, at_least: int) -> list[tuple[Record, Prediction]]:
    """All committed predictions by partition and offset, once there are ``at_least`` that many."""
    records = await records_of(settings, PREDICTIONS, at_least, Prediction.ce_type)
    return [(record, decode(Prediction, record.value or b"")) for record in records]


async def statuses_of(settings: PlatformSettings, wanted: Callable[[ModelStatus], bool]) -> list[ModelStatus]:
    """All model statuses, once one of them is ``wanted``."""
    async with asyncio.timeout(PATIENCE):
        while True:
            records = await records_of(settings, INFERENCE_STATUS, 0, ModelStatus.ce_type)
            found = [decode(ModelStatus, record.value or b"") for record in records]
            if any(map(wanted, found)):
                return found
            await asyncio.sleep(0.2)


async def starts_of(settings: PlatformSettings) -> list[ServingStarted]:
    """Every `ServingStarted` ever published."""
    records = await records_of(settings, INFERENCE_STATUS, 0, ServingStarted.ce_type)
    return [decode(ServingStarted, record.value or b"") for record in records]
