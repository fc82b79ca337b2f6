"""A Mongo-wire server with a durable file as a child process."""

import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.local import java, ports
from deploy.local.errors import PlatformError
from deploy.local.leash import Leash

_READY_S = 60.0
_POLL_S = 0.03
_PING_MS = 2_000
_GRACE_S = 20.0
_PORT_ATTEMPTS = 5
_ROOM_BYTES = 50_000_000


class MongoProcess:
    """One server on one file. It may be started, stopped, killed and started again; its port stays."""

    def __init__(self, data_dir: Path, jars: Sequence[Path], *, leash: Leash, port: int = 0) -> None:
        """``port`` 0 takes any free one. Nothing is started or written yet."""
        self.port = port
        self._wanted_port = port
        self._file = data_dir / "mongo" / "headrace.h2"
        self._log = data_dir / "logs" / "mongo.log"
        self._jars = jars
        self._leash = leash
        self._process: Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        """Process id of the running (or last) server; raises PlatformError before the first start."""
        if self._process is None:
            message = "The Mongo-wire server was not started yet."
            raise PlatformError(message)
        return self._process.pid

    @property
    def uri(self) -> str:
        """Address for clients; known after ``launch``."""
        return f"mongodb://{ports.HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Launch and wait until the server answers. Raises PlatformError with the reason when it cannot."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        if self.alive:
            return
        self._prepare()
        if self._wanted_port:
            ports.demand(self._wanted_port, "MongoDB")
        self._spawn()

    def _prepare(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._log.parent.mkdir(parents=True, exist_ok=True)
            room = shutil.disk_usage(self._file.parent).free
        except OSError as error:
            message = (
                f"{self._file.parent} cannot be written ({error.strerror}): correct that, or choose another directory."
            )
            raise PlatformError(message) from error
        if room < _ROOM_BYTES:
            message = f"Only {room / 1e6:.0f} MB are free for {self._file.parent}: free some space, then start again."
            raise PlatformError(message)

    def _spawn(self) -> None:
        self.port = self.port or ports.pick(1)[0]
        command = [
            sys.executable,
            "-m",
            "deploy.local.mongo_server",
            str(self._file),
            str(self.port),
            *map(str, self._jars),
        ]
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = self._leash.spawn(command, env=java.environment(), output=log.fileno())

    def wait_ready(self) -> None:
        """Wait until the launched server says that it listens and answers a ping.

        Another program that takes the port first costs a further try.
        """
        for _ in range(_PORT_ATTEMPTS):
            if self._serves():
                return
            said = self._said()
            if "Address already in use" not in said or self._wanted_port:
                break
            self.port = 0
            self._spawn()
        raise PlatformError(explain(self._said(), self._log))

    def _serves(self) -> bool:
        """Poll until the server answers (True) or its process ended (False); raises PlatformError after 60 s."""
        deadline = time.monotonic() + _READY_S
        while self.alive:
            if f"listening {self.port}\n" in self._said() and self._answers():
                return True
            if time.monotonic() > deadline:
                self.kill()
                message = f"The Mongo-wire server did not become ready within {_READY_S:.0f} s: see {self._log}."
                raise PlatformError(message)
            time.sleep(_POLL_S)
        return False

    def _answers(self) -> bool:
        client: MongoClient[dict[str, object]] = MongoClient(self.uri, serverSelectionTimeoutMS=_PING_MS)
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
        finally:
            client.close()
        return True

    def _said(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def stop(self) -> None:
        """End the server in order; everything written is in the file."""
        if self._process is not None:
            self._leash.stop(self._process, _GRACE_S)

    def kill(self) -> None:
        """End the server as a crash would: kill -9; writes of the last 0.1 s may be lost."""
        if self._process is not None:
            self._leash.kill(self._process)


def explain(said: str, log: Path) -> str:
    """Turn what a server wrote before it ended into one sentence for people."""
    if "Address already in use" in said:
        return f"The Mongo-wire server could not listen because its port is in use: choose another (its log: {log})."
    if "No space left on device" in said:
        return f"The Mongo-wire server stopped because the disk is full: free space, then start again (its log: {log})."
    if re.search(r"locked|OverlappingFileLock", said):
        return (
            f"Another Mongo-wire server works on this file: stop it, or choose another data directory (its log: {log})."
        )
    reason = next((line for line in reversed(said.splitlines()) if re.search(r"Error|Exception|ERROR", line)), "")
    return f"The Mongo-wire server ended while starting: {reason.strip() or 'it gave no reason'} (its log: {log})."
