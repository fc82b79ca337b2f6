"""The embedded platform: a real Kafka broker and a Mongo-wire server on one data directory."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import artifacts, locks, places
from deploy.local.kafka import KafkaProcess
from deploy.local.leash import Leash
from deploy.local.mongo import MongoProcess

Report = Callable[[str], None]


@dataclass(frozen=True)
class Endpoints:
    """Where the running platform can be reached, and by which processes."""

    bootstrap_servers: str
    mongo_uri: str | None
    kafka_pid: int
    mongo_pid: int | None


class Platform:
    """Broker and database with their life in this object's hands; a context manager that starts and stops both.

    ``kafka`` and ``mongo`` may be killed, stopped and started one by one; their addresses stay. ``leash`` is there for
    further children, such as a Supervisor's, that must end with this process.
    """

    kafka: KafkaProcess
    mongo: MongoProcess | None
    leash: Leash

    def __init__(
        self, data_dir: Path, *, report: Report, kafka_port: int = 0, mongo_port: int = 0, with_mongo: bool = True
    ) -> None:
        """Port 0 takes any free one. Nothing is started or written yet."""
        self.data_dir = data_dir.absolute()
        self._report = report
        self._kafka_port = kafka_port
        self._mongo_port = mongo_port
        self._with_mongo = with_mongo
        self._open = ExitStack()

    @property
    def endpoints(self) -> Endpoints:
        """Addresses and process ids as they are now: a restart changes the ids."""
        mongo = self.mongo
        return Endpoints(
            self.kafka.bootstrap_servers, mongo.uri if mongo else None, self.kafka.pid, mongo.pid if mongo else None
        )

    def __enter__(self) -> Self:
        """Start both at the same time and wait for both; raises PlatformError, and then leaves nothing running."""
        with ExitStack() as opening:
            self._start(opening)
            self._open = opening.pop_all()
        return self

    def _start(self, opening: ExitStack) -> None:
        lock = locks.claim(self.data_dir)
        opening.callback(os.close, lock)
        cache = places.cache_dir()
        kafka_jars = artifacts.pinned("kafka")
        mongo_jars = artifacts.pinned("mongo") if self._with_mongo else ()
        paths = artifacts.ensure(kafka_jars + mongo_jars, cache, self._report)
        self.leash = opening.enter_context(Leash(holding=[lock]))
        self.kafka = KafkaProcess(
            self.data_dir,
            paths[: len(kafka_jars)],
            leash=self.leash,
            cache=cache,
            port=self._kafka_port,
            report=self._report,
        )
        self.mongo = None
        opening.callback(self.kafka.stop)
        self._report("Starting Kafka")
        self.kafka.launch()
        if self._with_mongo:
            self.mongo = MongoProcess(self.data_dir, paths[len(kafka_jars) :], leash=self.leash, port=self._mongo_port)
            opening.callback(self.mongo.stop)  # stopped before Kafka
            self.mongo.start()
        self.kafka.wait_ready()
        self._report(f"Kafka serves on {self.kafka.bootstrap_servers}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Mongo, then Kafka."""
        self._open.close()


@contextmanager
def running(
    data_dir: Path, *, kafka_port: int = 0, mongo_port: int = 0, with_mongo: bool = True, report: Report
) -> Iterator[Endpoints]:
    """Run the platform for the length of a block; raises PlatformError when it cannot start."""
    with Platform(
        data_dir, kafka_port=kafka_port, mongo_port=mongo_port, with_mongo=with_mongo, report=report
    ) as platform:
        yield platform.endpoints
