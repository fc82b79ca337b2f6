"""The command `headrace` as a user starts it: a process of its own, its exit code, what it says."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from shared.settings import PlatformSettings

ROOT = Path(__file__).parent.parent
ARGV = (sys.executable, "-m", "cli")
T = TypeVar("T")


@dataclass(frozen=True)
class Headrace:
    """Runs commands against one headrace. ``env`` is added to this process's; None takes a variable away."""

    env: Mapping[str, str | None] = field(default_factory=dict)

    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str | None] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """The ended process, whatever its exit code."""
        argv = [*ARGV, *map(str, arguments)]
        return subprocess.run(
            argv, cwd=ROOT, env=self.environment(env), capture_output=True, text=True, timeout=timeout, check=False
        )

    def say(self, *arguments: str | Path, timeout: float = 120) -> str:
        """What a command prints that has to succeed."""
        process = self(*arguments, timeout=timeout)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def json(self, *arguments: str | Path, timeout: float = 120) -> Any:
        """The document that a command with ``--json`` prints."""
        return json.loads(self.say(*arguments, "--json", timeout=timeout))

    def refusal(self, *arguments: str | Path, env: Mapping[str, str | None] | None = None, timeout: float = 120) -> str:
        """What a command says that has to be refused: exit code 1, a sentence on stderr, no traceback."""
        process = self(*arguments, env=env, timeout=timeout)
        assert process.returncode == 1, process.stdout + process.stderr
        assert "Traceback" not in process.stdout + process.stderr, process.stderr
        assert process.stderr.startswith("headrace: "), process.stderr
        return process.stderr.removeprefix("headrace: ").strip()

    def environment(self, more: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The whole environment of a command."""
        whole: dict[str, str | None] = {**os.environ, **self.env, **(more or {})}
        return {name: value for name, value in whole.items() if value is not None}


def against(settings: PlatformSettings, ingestion_url: str) -> Headrace:
    """Commands to the headrace that ``settings`` lead to."""
    return Headrace(
        {
            "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "HEADRACE_MONGO__URI": settings.mongo.uri.get_secret_value(),
            "HEADRACE_TOPICS__PREFIX": settings.topics.prefix,
            "HEADRACE_TOPICS__PARTITIONS": str(settings.topics.partitions),
            "HEADRACE_INGESTION__URL": ingestion_url,
            "HEADRACE_SIGNING__KEYS": None if settings.signing.keys is None else str(settings.signing.keys),
        }
    )


def eventually(fact: Callable[[], T], *, within: float, what: str) -> T:
    """The first truthy answer of ``fact``, which is asked again and again."""
    deadline = time.monotonic() + within
    while not (found := fact()):
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s"
        time.sleep(0.2)
    return found


def alive(process: psutil.Process) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def left(processes: list[psutil.Process]) -> list[str]:
    """Those of ``processes`` that still run, by their command lines."""
    return [" ".join(process.cmdline())[:120] for process in processes if alive(process)]
