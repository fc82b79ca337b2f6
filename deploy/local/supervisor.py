"""Runs services as child processes: starts them, keeps them running, stops them in order."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.errors import PlatformError
from deploy.local.leash import Leash
from deploy.local.service import ProcessSpec, Service
from deploy.local.service_logs import Sink

_READY_S = 180.0  # a first start on a slow machine compiles every module
_GRACE_S = 20.0
_STARTING_GRACE_S = 5.0  # nothing is in the hands of a service that was never ready


class Supervisor:
    """Services that end with this process, however it ends; a context manager that starts and stops them."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        data_dir: Path,
        *,
        leash: Leash,
        sink: Sink | None = None,
        ready_s: float = _READY_S,
        grace_s: float = _GRACE_S,
    ) -> None:
        """Each service's complete log goes to ``data_dir/logs``; ``sink`` receives the lines too, None shows nothing.

        ``ready_s``: seconds that all have to become ready. ``grace_s``: seconds that all have to end.
        """
        self._logs = data_dir / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._ready_s = ready_s
        self._grace_s = grace_s
        self._news = threading.Condition()
        self._services = {
            spec.name: Service(spec, leash=leash, logs=self._logs, sink=sink, changed=self._tell) for spec in specs
        }

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    def start(self) -> None:
        """Start all, wait until all are ready.

        Raises PlatformError, with everything stopped, when a service refuses its configuration or the time is up.
        """
        try:
            for service in self._services.values():
                service.start()
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self._ready_s
        with self._news:
            while waiting := [service for service in self._services.values() if not service.ready]:
                for service in waiting:
                    if service.refused:
                        raise PlatformError(self._refusal(service))
                if not self._news.wait(max(0.0, deadline - time.monotonic())):
                    names = ", ".join(service.spec.name for service in waiting)
                    message = f"Not ready after {self._ready_s:.0f} s: {names}; their logs are in {self._logs}."
                    raise PlatformError(message)

    def _refusal(self, service: Service) -> str:
        reason = service.last_line or "it gave no reason"
        return f"{service.spec.name} refused to start: {reason} (its log: {self._logs / service.spec.name}.log)."

    def pids(self) -> dict[str, int]:
        """Return the process id of each service that runs now."""
        return {name: pid for name, service in self._services.items() if (pid := service.pid) is not None}

    def restarts(self) -> dict[str, int]:
        """Return how often each service was started again."""
        return {name: service.restarts for name, service in self._services.items()}

    def kill(self, name: str) -> None:
        """Crash a service (kill -9) and return when it is gone; it will be started again."""
        self._services[name].kill()

    def stop(self) -> None:
        """Send SIGTERM to all, last started first; what still runs after the common grace time is killed,
        sooner if it was never ready.
        """
        services = [service for service in reversed(self._services.values()) if service.ident is not None]
        for service in services:
            service.ask_to_stop()
        deadline = time.monotonic() + self._grace_s
        sooner = min(deadline, time.monotonic() + _STARTING_GRACE_S)
        for service in services:
            service.finish((deadline if service.was_ready else sooner) - time.monotonic())

    def __enter__(self) -> Self:
        """Start all."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all."""
        self.stop()
