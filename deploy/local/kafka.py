"""A real Kafka broker as a child process."""

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen

from deploy.local import aot, java, kafka_config, kafka_probe, kafka_storage, ports
from deploy.local.errors import PlatformError
from deploy.local.leash import Leash

_READY_S = 90.0
_POLL_S = 0.03
_GRACE_S = 20.0
_RECORDING_GRACE_S = 90.0
_PORT_ATTEMPTS = 5
_ROOM_BYTES = 300_000_000
_PORT_TAKEN = "Address already in use"

_JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Xlog:disable",  # the start-up cache is chatty
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
    "-Djava.io.tmpdir=tmp",
    "-Dlog4j2.configurationFile=log4j2.xml",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


class KafkaProcess:
    """One broker on one data directory. It may be started, stopped, killed and started again; its port stays."""

    def __init__(
        self,
        data_dir: Path,
        jars: Sequence[Path],
        *,
        leash: Leash,
        cache: Path,
        port: int = 0,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``port`` 0 takes any free one. Nothing is started or written yet."""
        self.port = port
        self._wanted_port = port
        self._home = data_dir / "kafka"
        self._log = data_dir / "logs" / "kafka.log"
        self._leash = leash
        self._report = report
        self._class_path = ":".join(map(str, jars))
        key = aot.key(_JVM, jars)
        self._aot = aot.AotCache(cache / f"kafka-{key}.aot")
        self._template = cache / f"kafka-{key}.checkpoint"
        self._process: Popen[bytes] | None = None
        self._cluster_id = ""
        self._log_start = 0
        self._served = False

    @property
    def pid(self) -> int:
        """Process id of the running (or last) broker; raises PlatformError before the first start."""
        if self._process is None:
            message = "The broker was not started yet."
            raise PlatformError(message)
        return self._process.pid

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients; known after ``launch``."""
        return f"{ports.HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the broker's process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Launch and wait until the broker serves requests. Raises PlatformError with the reason when it cannot."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        if self.alive:
            return
        self._prepare()
        if self._wanted_port:
            ports.demand(self._wanted_port, "Kafka")
        self._spawn()

    def _prepare(self) -> None:
        try:
            shutil.rmtree(self._home / "tmp", ignore_errors=True)  # native libraries unpacked by a killed broker
            (self._home / "tmp").mkdir(parents=True)
            self._log.parent.mkdir(parents=True, exist_ok=True)
            (self._home / "log4j2.xml").write_text(kafka_config.LOG4J)
            room = shutil.disk_usage(self._home).free
            if room < _ROOM_BYTES:
                raise PlatformError(_full(self._home, room))
            command = [java.program(), "-cp", self._class_path]
            self._cluster_id = kafka_storage.prepare(self._home, self._template, command)
        except OSError as error:
            where = error.filename or self._home
            message = f"{where} cannot be written ({error.strerror}): correct that, or choose another directory."
            raise PlatformError(message) from error

    def _spawn(self) -> None:
        controller, broker = ports.pick(2)
        self.port = self.port or broker
        (self._home / "server.properties").write_text(kafka_config.server_properties(self.port, controller))
        command = [
            java.program(),
            *_JVM,
            *self._aot.flags(),
            "-cp",
            self._class_path,
            "kafka.Kafka",
            "server.properties",
        ]
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._served = False
            self._process = self._leash.spawn(command, env=java.environment(), cwd=self._home, output=log.fileno())

    def wait_ready(self) -> None:
        """Wait until the launched broker answers as the cluster of this data directory, unfenced.

        Another program that takes the port first, or an unusable start-up cache, costs a further try.
        """
        for _ in range(_PORT_ATTEMPTS):
            if self._serves():
                return
            said = self._said()
            self._aot.settle(ended_well=False)
            if _PORT_TAKEN in said and not self._wanted_port:
                self.port = 0
            elif known_reason(said) or not self._aot.distrust():
                break
            self._spawn()
        raise PlatformError(explain(self._said(), self._log))

    def _serves(self) -> bool:
        """Poll until the broker serves (True) or its process ended (False); raises PlatformError after 90 s."""
        deadline = time.monotonic() + _READY_S
        while self.alive:
            seen = kafka_probe.view(self.port)
            if seen and seen.cluster_id == self._cluster_id and self.port in seen.broker_ports:
                self._served = True
                return True
            if time.monotonic() > deadline:
                self.kill()
                message = f"Kafka did not become ready within {_READY_S:.0f} s: see {self._log}."
                raise PlatformError(message)
            time.sleep(_POLL_S)
        return False

    def _said(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def stop(self) -> None:
        """End the broker in order: it flushes its logs, and writes the start-up cache when it recorded one."""
        if self._process is None:
            return
        if not self._served:  # nothing to flush, and what it recorded so far would make a poor cache
            self.kill()
            return
        grace = _GRACE_S
        if self._aot.recording and self.alive:
            self._report("Saving Kafka's start-up cache, once")
            grace = _RECORDING_GRACE_S
        code = self._leash.stop(self._process, grace)
        self._aot.settle(ended_well=code in (0, 143, -15))  # 143: a JVM ended by SIGTERM

    def kill(self) -> None:
        """End the broker as a crash would: kill -9."""
        if self._process is not None:
            self._leash.kill(self._process)
            self._aot.settle(ended_well=False)


def _full(directory: Path, room: int) -> str:
    return (
        f"Only {room / 1e6:.0f} MB are free for {directory}: Kafka needs {_ROOM_BYTES / 1e6:.0f} MB; free some space."
    )


def known_reason(said: str) -> str | None:
    """Return why a broker ended, and what to do, when its words are ones we know."""
    if "No space left on device" in said:
        return "the disk is full: free space, then start again"
    if _PORT_TAKEN in said:
        return "its port is in use: choose another"
    if "Failed to acquire lock" in said:
        return "another broker works on this data directory: stop it, or choose another"
    if re.search(r"Permission denied|AccessDenied", said):
        return "it may not write its data directory: correct the permissions"
    return None


def explain(said: str, log: Path) -> str:
    """Turn what a broker wrote before it ended into one sentence for people."""
    lines = (line.strip() for line in reversed(said.splitlines()) if re.search(r"ERROR|FATAL|Exception|Error", line))
    reason = known_reason(said) or next(lines, "it gave no reason")
    return f"Kafka ended while starting, {reason} (its log: {log})."
