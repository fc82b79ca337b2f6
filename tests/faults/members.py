"""Service processes under the harness: several members of one group, armed, stopped, killed, started again when they die."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.local import ports
from deploy.local.leash import Leash
from deploy.local.service import ProcessSpec, Service, answers_ok
from tests.faults import crash_points

ROOT = Path(__file__).parent.parent.parent
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
GRACE = 30.0


class Member:
    """One supervised process of a service. ``name`` is the service's, with a number from the second on."""

    def __init__(
        self,
        service: str,
        environment: Mapping[str, str],
        *,
        leash: Leash,
        home: Path,
        number: int = 1,
        mutant: str | None = None,
    ) -> None:
        """``home``: where logs and control files go."""
        self.service = service
        self.name = service if number == 1 else f"{service}-{number}"
        self.port = ports.pick(1)[0]
        self.url = f"http://{ports.HOST}:{self.port}"
        self._home = home
        self._leash = leash
        self._mutant = mutant
        self._environment = {**THREADS, "PYTHONPATH": str(ROOT), **environment, "HEADRACE_HTTP__PORT": str(self.port)}
        self._skew = 0.0
        self.control = home / f"{self.name}.armed"
        self._service = self._made()

    def _made(self) -> Service:
        return Service(self._spec(), leash=self._leash, logs=self._home, sink=None, changed=lambda: None)

    def _spec(self) -> ProcessSpec:
        argv = [sys.executable, "-m", "tests.faults.launch", "--control", str(self.control)]
        if self._mutant:
            argv += ["--mutant", self._mutant]
        if self._skew:
            argv += ["--skew", str(self._skew)]
        return ProcessSpec(
            self.name, [*argv, f"services.{self.service}"], self._environment, f"{self.url}/health/ready"
        )

    def start(self) -> None:
        """Start, and keep running."""
        self._service.start()

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._service.pid

    @property
    def ready(self) -> bool:
        """Whether it says so now."""
        return self.pid is not None and answers_ok(f"{self.url}/health/ready", timeout_s=2.0)

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._service.restarts

    def arm(self, point: str, *, stage: str = "", nth: int = 1, action: str = "kill", seconds: float = 0.0) -> None:
        """Have it die (stop, dawdle) at a crash point."""
        crash_points.arm(self.control, point, stage=stage, nth=nth, action=action, seconds=seconds)

    def disarm(self) -> None:
        """Never mind."""
        self.control.unlink(missing_ok=True)

    def fired(self) -> bool:
        """Whether the armed action was taken."""
        return crash_points.fired_file(self.control).exists()

    def kill(self) -> None:
        """kill -9; it is started again."""
        self._service.kill()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    def wear_wrong_clock(self, seconds: float) -> None:
        """From its next start on the process's wall clock is wrong by so many seconds; 0 mends it."""
        self._skew = seconds
        self._service.spec = self._spec()

    def leave(self, *, by: signal.Signals = signal.SIGTERM) -> None:
        """End for good."""
        self._service.ask_to_stop()
        if by is signal.SIGKILL:
            self._service.kill()
        self.send_signal(signal.SIGCONT)
        self._service.finish(GRACE)

    def until_ready(self, seconds: float) -> None:
        """Wait; raises AssertionError with the end of the log."""
        deadline = time.monotonic() + seconds
        while not self.ready:
            if time.monotonic() > deadline or self._service.refused:
                raise AssertionError(f"{self.name} is not ready after {seconds:g} s: {self.tail()}")
            time.sleep(0.05)

    def tail(self) -> str:
        """The end of its log."""
        log = self._home / f"{self.name}.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else "no log"
