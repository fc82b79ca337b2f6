"""One supervised service: started, watched until ready, started again when it crashes."""

import http.client
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from urllib.parse import urlsplit

from deploy.local import backoff
from deploy.local.leash import Leash
from deploy.local.service_logs import LogLine, Pump, ServiceLog, Sink

REFUSED = 1  # the exit code of a service that will not run with the settings it was given
_STABLE_S = 30.0
_SETTLED_S = 1.0
_POLL_S = 0.1
_HTTP_OK = 200


@dataclass(frozen=True)
class ProcessSpec:
    """How to run one service. ``env`` is added to the supervisor's environment; ``ready_url`` answers 200 when ready.

    Without a ready_url a service counts as ready once it ran for a second.
    """

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    ready_url: str | None = None


def must_not_restart(code: int, *, was_ready: bool) -> bool:
    """Whether an ended service would only end again: it refused its configuration before it was ever ready."""
    return code == REFUSED and not was_ready


def answers_ok(url: str, timeout_s: float = 1.0) -> bool:
    """Whether GET of an http URL answers with status 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/")
        return connection.getresponse().status == _HTTP_OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Service(threading.Thread):
    """The thread that keeps one service running."""

    def __init__(
        self, spec: ProcessSpec, *, leash: Leash, logs: Path, sink: Sink | None, changed: Callable[[], None]
    ) -> None:
        """``changed`` is called whenever ``ready`` or ``refused`` changed."""
        super().__init__(name=f"service {spec.name}", daemon=True)
        self.spec = spec
        self.ready = False
        self.refused = False
        self.restarts = 0
        self.was_ready = False
        self._leash = leash
        self._sink = sink
        self._changed = changed
        self._log = ServiceLog(logs / f"{spec.name}.log")
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._process: Popen[bytes] | None = None
        self._pump: Pump | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the service runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    @property
    def last_line(self) -> str:
        """What the service said last."""
        return self._pump.last if self._pump else ""

    def run(self) -> None:
        """Start, wait for the end, decide, wait a little, start again."""
        failures = 0
        while process := self._spawn():
            started = time.monotonic()
            self._await_ready(process)
            code = process.wait()
            self._clear_up(process)
            if self._stopping.is_set():
                break
            if must_not_restart(code, was_ready=self.was_ready):
                self.refused = True
                self._changed()
                break
            failures = 1 if time.monotonic() - started > _STABLE_S else failures + 1
            self._pause(code, backoff.delay(failures, random.random()))  # noqa: S311 - jitter
        self._log.close()

    def _spawn(self) -> Popen[bytes] | None:
        with self._starting:  # so that stop() meets either the new process or none at all
            if self._stopping.is_set():
                return None
            env = {**os.environ, "PYTHONUNBUFFERED": "1", **self.spec.env}
            process = self._process = self._leash.spawn(self.spec.argv, env=env)
        if process.stdout is None:
            raise AssertionError
        self._pump = Pump(self.spec.name, process.stdout, self._log, self._sink)
        self._pump.start()
        return process

    def _await_ready(self, process: Popen[bytes]) -> None:
        url = self.spec.ready_url
        if url is None:
            with suppress(TimeoutExpired):
                process.wait(_SETTLED_S)
                return
        else:
            while not answers_ok(url):
                with suppress(TimeoutExpired):
                    process.wait(_POLL_S)
                    return
        if process.poll() is None:
            self.ready = self.was_ready = True
            self._changed()

    def _clear_up(self, process: Popen[bytes]) -> None:
        self._leash.kill(process)  # what the service started and left behind
        if self._pump:
            self._pump.join(1.0)
        self.ready = False
        self._changed()

    def _pause(self, code: int, seconds: float) -> None:
        cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        text = f"{self.spec.name} {cause}; starting it again in {seconds:.1f} s"
        self._log.write(f"WARNING supervisor: {text}\n".encode())
        if self._sink:
            with suppress(Exception):
                self._sink(LogLine(self.spec.name, text, logging.WARNING))
        if not self._stopping.wait(seconds):
            self.restarts += 1

    def kill(self) -> None:
        """Crash the service (kill -9, its whole group); it will be started again."""
        if self._process:
            self._leash.kill(self._process)

    def ask_to_stop(self) -> None:
        """Send SIGTERM; from now on the service is not started again."""
        self._stopping.set()
        with self._starting:
            if self._process and self._process.poll() is None:
                self._process.terminate()

    def finish(self, grace_s: float) -> None:
        """Wait up to ``grace_s`` seconds for the end, then kill."""
        if self.ident is not None:
            self.join(max(0.0, grace_s))
            if self.is_alive():
                self.kill()
                self.join(5.0)
