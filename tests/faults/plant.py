"""The whole platform under test: broker behind links, every service as a supervised process, and a model that is served."""

import asyncio
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from cli.importing import import_model
from deploy.local.ports import HOST
from schemas.events.registry import ApplyDefinitions, RegistryCommand
from schemas.topics import SERVICES
from shared.client import Client
from shared.settings import KafkaSettings, MongoSettings, PlatformSettings, TopicSettings, variable
from shared.topic_admin import apply_topics
from tests.faults import world
from tests.faults.broker import Ground
from tests.faults.members import Member
from tests.faults.reading import Reader
from tests.faults.slack import FakeSlack

READY_SECONDS: Final = 240.0
SMALL_DISK: Final = "256m"  # for all of them; what a fault leaves free is 0, whatever its size
ON_SMALL_DISK: Final = ("monitoring", "inference", "training")
PREFIX: Final = "faults."


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. Short ones make a fault longer than them affordable."""

    session: float = 6.0
    transaction: float = 8.0


@dataclass
class Plant:
    """A running platform. ``members`` by name; further members of a group come and go."""

    ground: Ground
    settings: PlatformSettings
    slack: FakeSlack
    home: Path
    disk: Path | None
    no_disk: str
    timeouts: Timeouts
    members: dict[str, Member] = field(default_factory=dict)
    gone: list[tuple[str, int]] = field(default_factory=list)  # members that left, and how often each was restarted

    @property
    def reader(self) -> Reader:
        """The oracle's eyes, on a listener without a proxy."""
        return Reader(self.settings.kafka.bootstrap_servers, self.settings.topics.prefix)

    def add(self, service: str, number: int = 1) -> Member:
        """Start one more process of a service."""
        link = self.ground.network.links[service]
        environment = {
            variable("kafka", "bootstrap_servers"): f"{HOST}:{link.port}",
            variable("kafka", "session_timeout"): str(self.timeouts.session),
            variable("kafka", "transaction_timeout"): str(self.timeouts.transaction),
            variable("kafka", "startup_timeout"): "120",
            variable("mongo", "uri"): self.settings.mongo.uri.get_secret_value(),
            variable("mongo", "database"): self.settings.mongo.database,
            variable("topics", "prefix"): self.settings.topics.prefix,
            variable("topics", "partitions"): str(self.settings.topics.partitions),
            variable("notifier", "slack", "webhook_url"): self.slack.url,
            variable("notifier", "allowed_hosts"): f'["{HOST}"]',
            # the oracle looks for each alert's own message; crashes amid a storm are `tests/integration/test_notifier.py`
            variable("notifier", "storm", "threshold"): "10000",
            variable("training", "segment_rows"): "2000",
        }
        if service in ON_SMALL_DISK:
            directory = (self.disk or self.home) / (service if number == 1 else f"{service}-{number}")
            environment[variable(service, "data_dir")] = str(directory)
        member = Member(service, environment, leash=self.ground.leash, home=self.home, number=number)
        self.members[member.name] = member
        member.start()
        return member

    def remove(self, member: Member, **how: object) -> None:
        """Take a member out of its group for good."""
        self.members.pop(member.name)
        member.leave(**how)  # type: ignore[arg-type]
        self.gone.append((member.service, member.restarts))

    def until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait for all members."""
        deadline = time.monotonic() + seconds
        for member in tuple(self.members.values()):
            member.until_ready(max(1.0, deadline - time.monotonic()))

    def restarts(self, service: str) -> int:
        """How often processes of a service were started again."""
        present = sum(member.restarts for member in self.members.values() if member.service == service)
        return present + sum(count for name, count in self.gone if name == service)


@contextmanager
def plant(
    ground: Ground, home: Path, *, services: Sequence[str] = SERVICES, partitions: int = 4, timeouts: Timeouts
) -> Iterator[Plant]:
    """Run ``services``, with a model served, for the length of a block. ``ground`` has a link for each of them."""
    home.mkdir(parents=True, exist_ok=True)
    settings = PlatformSettings(
        kafka=KafkaSettings(bootstrap_servers=ground.kafka.bootstrap_servers),
        mongo=MongoSettings(uri=SecretStr(ground.mongo.uri), database="faults"),
        topics=TopicSettings(prefix=PREFIX, partitions=partitions),
    )
    with ExitStack() as life:
        slack = life.enter_context(FakeSlack())
        disk, why = life.enter_context(_small_disk(home / "disk"))
        asyncio.run(apply_topics(settings))
        found = Plant(ground, settings, slack, home, disk, why, timeouts)
        life.callback(_leave, found.members)
        for service in services:
            found.add(service)
        found.until_ready()
        asyncio.run(_serve(settings, home))
        yield found


def _leave(members: Mapping[str, Member]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda member: member.leave(), tuple(members.values())))


async def _serve(settings: PlatformSettings, home: Path) -> None:
    """Definitions in force, and a version on its way to champion."""
    async with Client(settings) as client:
        command = RegistryCommand(
            command_id="definitions",
            action=ApplyDefinitions(definitions=world.DEFINITIONS),
            actor="fault-person",
            issued_at=datetime.now(UTC),
        )
        reply = await client.command(command, seconds=60)
        assert reply.status == "accepted", reply
    file = home / "tank.onnx"
    file.write_bytes(world.artifact())
    await import_model(settings, file, world.MODEL, world.INPUTS, by="fault-person", wait=True)


@contextmanager
def _small_disk(directory: Path) -> Iterator[tuple[Path | None, str]]:
    """A small tmpfs for data directories, or why there is none."""
    directory.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(directory)],
            capture_output=True,
            text=True,
            check=False,
        )
        problem = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        problem = str(error)
    if problem:
        yield None, f"a small disk cannot be mounted here: {problem}"
        return
    try:
        yield directory, ""
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=False)
