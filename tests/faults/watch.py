"""When the platform works again: seen from outside, by what comes out of it."""

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from confluent_kafka import OFFSET_END, KafkaException

from schemas.topics import TICK
from tests.faults.crowd import Crowd
from tests.faults.plant import Plant
from tests.faults.reading import seen

POLL: Final = 0.1
ON_THE_PATH: Final = ("ingestion", "validation", "inference")  # from a producer to its prediction


class Watch(threading.Thread):
    """Follows predictions: of each partition, when the newest predicted event was sent."""

    def __init__(self, plant: Plant, crowd: Crowd) -> None:
        super().__init__(name="watch", daemon=True)
        self._plant = plant
        self._crowd = crowd
        self._newest = dict.fromkeys(range(plant.settings.topics.partitions), 0.0)
        self._stopping = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._follow()
        except BaseException as error:
            self.failure = error
            raise

    def _follow(self) -> None:
        reader = self._plant.reader
        consumer = reader.consumer("watch")
        try:
            places = reader.places(consumer, ["predictions"])
            for place in places:
                place.offset = OFFSET_END
            consumer.assign(places)
            while not self._stopping.is_set():
                for message in consumer.consume(500, timeout=0.2):
                    if message.error() is None:
                        record = seen(message, "")
                        if record.kind != TICK and record.value:
                            sent = self._crowd.sent_at(json.loads(record.value)["event_id"])
                            if sent is not None:
                                self._newest[record.partition] = max(sent, self._newest[record.partition])
        finally:
            consumer.close()

    def fresh_since(self, moment: float) -> bool:
        """Whether every partition has predicted an event that was sent after ``moment`` (monotonic)."""
        return min(self._newest.values()) > moment

    def recovery(self, target: str, since: float) -> Callable[[], bool]:
        """A question: does ``target`` (a service, or the broker) do its work again, for what came after ``since``?"""
        plant = self._plant
        services = {member.service for member in plant.members.values()} if target == "broker" else {target}
        counted = self._monitored() if "monitoring" in services else None

        def works() -> bool:
            members = [member for member in tuple(plant.members.values()) if member.service in services]
            if target != "mongo" and not all(member.ready for member in members):
                return False
            if services & set(ON_THE_PATH) and not self.fresh_since(since):
                return False
            if services & {"ingestion"} and not self._crowd.accepted_since(since):
                return False
            return counted is None or counted()

        return works

    def _monitored(self) -> Callable[[], bool]:
        """Whether monitoring has counted all that was predicted by now."""
        reader = self._plant.reader
        try:
            ends = reader.ends("predictions")
        except (KafkaException, AssertionError):  # the broker is the fault
            ends = {}

        def counted() -> bool:
            committed = reader.committed("monitoring.profiles", "predictions")
            return all(committed.get(place, 0) >= end for place, end in ends.items())

        return counted

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.join(10)


def seconds_until(fact: Callable[[], bool], *, limit: float, since: float) -> float | None:
    """Seconds from ``since`` (monotonic) until ``fact``; None if ``limit`` seconds from now were not enough."""
    deadline = time.monotonic() + limit
    while not fact():
        if time.monotonic() > deadline:
            return None
        time.sleep(POLL)
    return time.monotonic() - since
