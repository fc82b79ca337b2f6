"""One deterministic fault on a service alone, healthy or mutated: small enough that all run side by side on one broker.

A scene has a topic prefix of its own, definitions put straight on their topic, and a plain Kafka producer with a ledger.
"""

import asyncio
import json
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from schemas.events.registry import DefinitionRecord
from schemas.topics import (
    DEFINITIONS,
    EVENTS_RAW,
    EVENTS_VALIDATED,
    LABELS_RAW,
    LABELS_VALIDATED,
    PLATFORM_HEARTBEATS,
    Topic,
)
from shared.publishing import Publisher
from shared.records import message
from shared.service import topics_of
from shared.settings import KafkaSettings, PlatformSettings, TopicSettings, variable
from shared.topic_admin import apply_topics
from tests.faults import world
from tests.faults.broker import Ground
from tests.faults.digests import body_digest
from tests.faults.ledger import Ledger, read
from tests.faults.members import Member
from tests.faults.oracle import outcomes
from tests.faults.oracle.findings import Findings
from tests.faults.reading import Reader

EVENTS: Final = 300
PATIENCE: Final = 150.0
SESSION: Final = 6.0  # the shortest that Kafka takes


@dataclass(frozen=True)
class Scene:
    """A prefix, a ledger, a directory; validation is to judge what is sent. See the functions below for what happens."""

    ground: Ground
    settings: PlatformSettings
    ledger: Ledger
    home: Path
    mutant: str | None
    link: str | None = None

    @property
    def reader(self) -> Reader:
        """The oracle's eyes."""
        return Reader(self.settings.kafka.bootstrap_servers, self.settings.topics.prefix)

    @contextmanager
    def member(self, service: str = "validation", number: int = 1, **arming: Any) -> Iterator[Member]:
        """A running process of a service; ``arming``: see `Member.arm`."""
        servers = self.settings.kafka.bootstrap_servers
        if self.link is not None:
            servers = f"127.0.0.1:{self.ground.network.links[self.link].port}"
        environment = {
            variable("kafka", "bootstrap_servers"): servers,
            variable("kafka", "session_timeout"): str(SESSION),
            variable("kafka", "transaction_timeout"): "60",  # so that no time-out does the work of the fence
            variable("kafka", "startup_timeout"): "120",
            variable("topics", "prefix"): self.settings.topics.prefix,
            variable("topics", "partitions"): "1",
        }
        found = Member(service, environment, leash=self.ground.leash, home=self.home, number=number, mutant=self.mutant)
        if arming:
            found.arm(**arming)
        found.start()
        try:
            yield found
        finally:
            found.leave(by=signal.SIGKILL)

    def send(self, count: int = EVENTS, *, first: int = 0) -> None:
        """Events straight to Kafka, with a ledger entry each."""
        producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap_servers, "acks": "all", "linger.ms": 5})
        bodies = [event_body(number) for number in range(first, first + count)]
        numbers = self.ledger.intend(
            [("event", f"e{first + place}", body_digest(body), "valid", "kafka") for place, body in enumerate(bodies)]
        )
        settled: list[tuple[int, Any]] = []

        def delivered(seq: int) -> Callable[[Any, Any], None]:
            return lambda error, _: settled.append((seq, "ok" if error is None else "unknown"))

        for place, (seq, body) in enumerate(zip(numbers, bodies, strict=True)):
            producer.produce(
                self.reader.name(EVENTS_RAW.name),
                body,
                key=b"tank-1",
                headers=event_headers(f"e{first + place}"),
                on_delivery=delivered(seq),
            )
        producer.flush(60)
        self.ledger.settle(settled)

    def judged(self) -> bool:
        """Whether validation has committed everything that stands on the raw topic."""
        [end] = self.reader.ends(EVENTS_RAW.name).values()
        [committed] = self.reader.committed("validation.judge", EVENTS_RAW.name).values()
        return end > 0 and committed >= end

    def findings(self) -> Findings:
        """What the oracle says of this scene."""
        return outcomes.check(read(self.ledger.path), self.reader.all(*outcomes.TOPICS))


def event_body(number: int) -> bytes:
    """A valid event."""
    chance = random.Random(number)
    features = {"outflow": round(chance.uniform(0, 40), 2), "inflow": round(chance.uniform(20, 50), 2)}
    at = world.START.isoformat()
    return json.dumps(
        {"feature_set": world.REF, "entity_id": "tank-1", "occurred_at": at, "features": features}
    ).encode()


def event_headers(identity: str) -> list[tuple[str, bytes]]:
    """CloudEvents in Kafka's binary binding."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", identity.encode()),
        ("ce_source", world.SOURCE.encode()),
        ("ce_type", b"headrace.event.v1"),
        ("content-type", b"application/json"),
    ]


@contextmanager
def scene(ground: Ground, home: Path, *, mutant: str | None, link: str | None = None) -> Iterator[Scene]:
    """Topics, definitions and a ledger for one scene."""
    home.mkdir(parents=True, exist_ok=True)
    settings = PlatformSettings(
        kafka=KafkaSettings(bootstrap_servers=ground.kafka.bootstrap_servers),
        topics=TopicSettings(prefix=f"s{uuid.uuid4().hex[:8]}.", partitions=1),
    )
    asyncio.run(_prepare(settings))
    with Ledger(home / "ledger.jsonl") as ledger:
        yield Scene(ground, settings, ledger, home, mutant, link)
    _clear_away(settings)


def _clear_away(settings: PlatformSettings) -> None:
    """Delete the scene's topics: a broker that is killed later has to look at every partition it holds."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    names = [name for name in admin.list_topics(timeout=30).topics if name.startswith(settings.topics.prefix)]
    for deleted in admin.delete_topics(names).values():
        deleted.result()


async def _prepare(settings: PlatformSettings) -> None:
    needed: dict[str, Topic] = {topic.name: topic for topic in (*topics_of("validation"), *topics_of("ingestion"))}
    for topic in (DEFINITIONS, EVENTS_RAW, LABELS_RAW, EVENTS_VALIDATED, LABELS_VALIDATED, PLATFORM_HEARTBEATS):
        needed[topic.name] = topic
    await apply_topics(settings, list(needed.values()))
    async with Publisher(settings) as publisher:
        for definition in world.DEFINITIONS:
            kind, name = definition["kind"], definition["metadata"]["name"]
            body = DefinitionRecord(kind=kind, name=name, major=1, revision=1, definition=definition)
            await publisher.publish(message(DEFINITIONS, body, key=f"{kind}/{name}/1", source="headrace/registry"))


def until(fact: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Poll until ``fact``."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)
