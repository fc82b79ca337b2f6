"""All producers together: three lanes, the ticks that follow them, and a person who keeps applying definitions."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from confluent_kafka import KafkaException, Producer

from schemas.events.registry import ApplyDefinitions, RegistryCommand
from schemas.topics import REGISTRY_COMMANDS
from shared.errors import HeadraceError
from shared.publishing import Publisher
from shared.records import message
from shared.settings import PlatformSettings
from tests.faults import world
from tests.faults.generator import Course
from tests.faults.lanes import BatchPath, KafkaPath, Lane, SinglePath
from tests.faults.ledger import Ledger

SHARES: Final = {"batch": 0.6, "kafka": 0.35, "single": 0.05}
TICK_SECONDS: Final = 0.7
TICK_PATIENCE: Final = 180.0  # longer than any fault keeps the broker away
COMMAND_SECONDS: Final = 3.0
WINDOWS: Final = 40
GRAIN: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent: ``events`` at ``rate`` a second make `WINDOWS` windows."""

    seed: int
    events: int
    rate: float

    @property
    def spacing(self) -> timedelta:
        """Event time between two events of all lanes together."""
        return WINDOWS * world.WINDOW / self.events


class Crowd:
    """Producers at work for the length of a block."""

    def __init__(self, load: Load, settings: PlatformSettings, url: str, ledger: Ledger) -> None:
        """``url``: ingestion's."""
        self._settings = settings
        servers, prefix = settings.kafka.bootstrap_servers, settings.topics.prefix
        self.batch, self.single = BatchPath(url), SinglePath(url)
        paths = {"batch": self.batch, "single": self.single, "kafka": KafkaPath(servers, prefix)}
        self.lanes = [
            Lane(
                Course(load.seed, name, load.spacing / SHARES[name], settings.topics.partitions, name == "kafka"),
                paths[name],
                ledger,
                load.rate * SHARES[name],
            )
            for name in SHARES
        ]
        self._clock = _Ticker(settings, self.lanes)
        self._person = _Person(settings)

    @property
    def events(self) -> int:
        """How many different events were sent."""
        return sum(len(lane.progress.sent_at) for lane in self.lanes)

    @property
    def commands(self) -> Sequence[str]:
        """The ids of the commands that were acknowledged."""
        return tuple(self._person.sent)

    def sent_at(self, event_id: str) -> float | None:
        """When an event was first sent, monotonic."""
        for lane in self.lanes:
            found = lane.progress.sent_at.get(event_id)
            if found is not None:
                return found
        return None

    def accepted_since(self, moment: float) -> bool:
        """Whether ingestion has taken a request that was begun after ``moment``."""
        return max(self.batch.last_accepted, self.single.last_accepted) > moment

    def check(self) -> None:
        """Raise what a lane or the ticks died of."""
        for failure in (*(lane.failure for lane in self.lanes), self._clock.failure):
            if failure is not None:
                raise failure

    def finish(self, seconds: float) -> None:
        """Send no more events, then the labels that are owed."""
        for lane in self.lanes:
            lane.finish()
        deadline = time.monotonic() + seconds
        for lane in self.lanes:
            lane.join(max(0.0, deadline - time.monotonic()))
        late = [lane.name for lane in self.lanes if lane.is_alive()]
        for lane in self.lanes:
            lane.abandon()  # whatever is judged now must stand still
            lane.join(60)
        self._person.stop()
        self._clock.stop()
        self.check()
        assert not late, f"what these send was not taken: {', '.join(late)}"

    def tick_beyond(self, extra: timedelta) -> None:
        """Say that event time is ``extra`` beyond the last event."""
        self._clock.say(max(lane.progress.at for lane in self.lanes) + extra)

    def __enter__(self) -> Self:
        for thread in (*self.lanes, self._clock, self._person):
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self.lanes:
            lane.abandon()
        self._person.stop()
        self._clock.stop()


class _Ticker(threading.Thread):
    """Event time is where the slowest lane is."""

    def __init__(self, settings: PlatformSettings, lanes: Sequence[Lane]) -> None:
        super().__init__(name="ticks", daemon=True)
        self._topics = [settings.topics.prefix + name for name in ("events.raw", "labels.raw")]
        self._partitions = settings.topics.partitions
        self._lanes = lanes
        self._servers = settings.kafka.bootstrap_servers
        self._producer = self._fresh()
        self._stopping = threading.Event()
        self.failure: AssertionError | None = None

    def run(self) -> None:
        said = world.START
        while not self._stopping.wait(TICK_SECONDS):
            now = min(lane.progress.at for lane in self._lanes)
            if now - said >= GRAIN:
                said = now
                try:
                    self.say(now)
                except AssertionError as error:
                    self.failure = error
                    return

    def say(self, time_: datetime) -> None:
        """Event time has reached ``time_``, in every partition.

        A client that a restarted broker has confused may drop all of it for ever, and no window would close: what is not
        acknowledged is said again by a fresh one. Repeated ticks mean nothing. Raises AssertionError when none is taken.
        """
        owed = {(topic, number) for topic in self._topics for number in range(self._partitions)}
        deadline = time.monotonic() + TICK_PATIENCE
        while owed:
            self._send(time_, owed)
            if owed:
                assert time.monotonic() < deadline, f"ticks were not taken by {sorted(owed)}"
                self._producer = self._fresh()

    def _fresh(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._servers,
                "acks": "all",
                "message.timeout.ms": 10_000,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )

    def _send(self, time_: datetime, owed: set[tuple[str, int]]) -> None:
        """Say it where it is ``owed``, and take out what was acknowledged."""

        def delivered(place: tuple[str, int]) -> Callable[[Any, Any], None]:
            def note(error: Any, _: Any) -> None:
                if error is None:
                    owed.discard(place)

            return note

        body = msgspec.json.encode({"feature_set": world.REF, "time": time_.isoformat()})
        for topic, number in tuple(owed):
            headers: list[tuple[str, str | bytes | None]] = [
                ("ce_specversion", b"1.0"),
                ("ce_id", uuid.uuid4().hex.encode()),
                ("ce_source", b"fault-ticks"),
                ("ce_type", b"headrace.tick.v1"),
                ("content-type", b"application/json"),
            ]
            with suppress(KafkaException, BufferError):  # owed all the same
                place = (topic, number)
                self._producer.produce(
                    topic, body, b"tick", partition=number, headers=headers, on_delivery=delivered(place)
                )
        self._producer.flush(12)

    def stop(self) -> None:
        self._stopping.set()
        if self.ident is not None:
            self.join(30)


class _Person(threading.Thread):
    """Applies another description of a definition every few seconds, sometimes the same command twice."""

    def __init__(self, settings: PlatformSettings) -> None:
        super().__init__(name="person", daemon=True)
        self._settings = settings
        self._stopping = threading.Event()
        self.sent: list[str] = []

    def run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        number = 0
        async with Publisher(self._settings) as publisher:
            while not await asyncio.to_thread(self._stopping.wait, COMMAND_SECONDS):
                number += 1
                command = RegistryCommand(
                    command_id=f"scratch-{number}",
                    action=ApplyDefinitions(definitions=(world.scratch_definition(number),)),
                    actor="fault-person",
                    issued_at=datetime.now(UTC),
                )
                record = message(
                    REGISTRY_COMMANDS, command, key="definitions", source=world.SOURCE, id=command.command_id
                )
                try:
                    await publisher.publish(*([record, record] if number % 3 == 0 else [record]))
                except HeadraceError:
                    continue  # unknown: nobody relies on it
                self.sent.append(command.command_id)

    def stop(self) -> None:
        self._stopping.set()
        if self.ident is not None:
            self.join(30)
