"""What a crowd of careless producers sends, as an endless sequence that follows from a seed alone.

Of events: a fifth is sent again, one in a hundred ids is used again for another body, some break the definition. Of labels:
a tenth comes before its event, one in twenty much later than its neighbours, some are observed three years after. Straight
to Kafka there is poison too, and records in wrong partitions.
"""

import heapq
import itertools
import json
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.identities import partition_of
from tests.faults import world
from tests.faults.digests import body_digest, poison_digest
from tests.faults.ledger import Expectation, Kind

AGAIN: Final = 0.20
CONFLICT: Final = 0.01
INVALID: Final = 0.005
EARLY: Final = 0.10
SHUFFLED: Final = 0.05
YEARS_LATE: Final = 0.003
POISON: Final = 0.005
MISPLACED: Final = 0.03
OVERSIZED: Final = 0.002
ENTITIES: Final = 40  # a lane
RECENT: Final = 200
HIGH_EVERY: Final = 3  # windows: each third has a mean inflow that alarms, two quiet ones end the alert
LARGE: Final = 300 * 1024
HUGE: Final = 10 * 1024 * 1024

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One record. ``partition`` None: where its key belongs. ``headers`` None: those of a good CloudEvent."""

    kind: Kind
    id: str
    expectation: Expectation
    key: bytes | None
    body: bytes | None
    at: datetime | None = None  # of an event that moves event time on
    partition: int | None = None
    headers: Headers | None = None

    @property
    def digest(self) -> str:
        """How the ledger names its body."""
        if self.expectation == "dead" or self.body is None:
            return poison_digest(self.key, self.body)
        return body_digest(self.body)

    @property
    def ce_type(self) -> str:
        """The CloudEvents type."""
        return "headrace.label.v1" if self.kind == "label" else "headrace.event.v1"


@dataclass(frozen=True, slots=True)
class Course:
    """One lane's course: ``spacing`` is the event time between two of its events."""

    seed: int
    lane: str
    spacing: timedelta
    partitions: int
    over_kafka: bool


class Sequence:
    """What one lane sends."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._chance = random.Random(f"{course.seed}/{course.lane}")
        self._recent: deque[Item] = deque(maxlen=RECENT)
        self._labels: list[tuple[int, str, Item]] = []  # due at which event
        self._poisoned = 0

    def rounds(self) -> Iterator[list[Item]]:
        """An event and all that comes with it, for ever."""
        for number in itertools.count():
            yield list(self._around(number))

    def last_labels(self) -> list[Item]:
        """Those that still wait for their turn."""
        waiting = [label for _, _, label in sorted(self._labels, key=lambda each: each[:2])]
        self._labels.clear()
        return waiting

    def _around(self, number: int) -> Iterator[Item]:
        chance, course = self._chance, self._course
        event = self._event(number)
        label = self._label(event, number)
        if chance.random() < EARLY:
            yield label
            self._recent.append(label)
        else:
            delay = chance.randrange(RECENT, 2 * RECENT) if chance.random() < SHUFFLED else chance.randrange(3, 30)
            heapq.heappush(self._labels, (number + delay, label.id, label))
        yield event
        self._recent.append(event)
        if chance.random() < INVALID:
            yield self._invalid(number)
        if chance.random() < AGAIN:
            yield chance.choice(self._recent)
        if chance.random() < CONFLICT:
            yield self._conflict(chance.choice(self._recent))
        if course.over_kafka and chance.random() < POISON:
            yield self._poison()
        if not course.over_kafka and chance.random() < OVERSIZED:
            yield self._oversized(number)
        while self._labels and self._labels[0][0] <= number:
            due = heapq.heappop(self._labels)[2]
            yield due
            self._recent.append(due)

    def _event(self, number: int) -> Item:
        at = world.START + number * self._course.spacing
        high = int((at - world.START) / world.WINDOW) % HIGH_EVERY == HIGH_EVERY - 1
        entity = f"tank-{self._course.lane}-{self._chance.randrange(ENTITIES)}"
        inflow = self._chance.uniform(75, 95) if high else self._chance.uniform(20, 50)
        features = {"outflow": round(self._chance.uniform(0, 40), 3), "inflow": round(inflow, 3)}
        return Item(
            "event",
            f"{self._course.lane}-{number}",
            "valid",
            entity.encode(),
            _json(event_body(entity, at, features)),
            at=at,
            partition=self._partition(entity.encode()),
        )

    def _partition(self, key: bytes) -> int | None:
        """Now and then the wrong one."""
        course = self._course
        if not course.over_kafka or course.partitions < 2 or self._chance.random() >= MISPLACED:
            return None
        return (partition_of(key, course.partitions) + 1) % course.partitions

    def _label(self, event: Item, number: int) -> Item:
        later = timedelta(days=3 * 365) if self._chance.random() < YEARS_LATE else world.LABEL_AFTER
        at = world.START + number * self._course.spacing
        body = {
            "model": world.MODEL,
            "event_id": event.id,
            "event_source": world.SOURCE,
            "entity_id": (event.key or b"").decode(),
            "observed_at": (at + later).isoformat(),
            "value": round(self._chance.uniform(0, 200), 3),
        }
        return Item("label", f"{event.id}:label", "valid", event.key, _json(body))

    def _conflict(self, item: Item) -> Item:
        body = json.loads(item.body or b"{}")
        if item.kind == "label":
            body["value"] += 1000
        else:
            body["features"]["inflow"] = round(self._chance.uniform(0, 100), 6)
        return Item(item.kind, item.id, "valid", item.key, _json(body))

    def _invalid(self, number: int) -> Item:
        entity = f"tank-{self._course.lane}-{self._chance.randrange(ENTITIES)}"
        at = world.START + number * self._course.spacing
        features: dict[str, Any] = self._chance.choice(
            [{"outflow": 1.0, "inflow": -5.0}, {"outflow": 1.0, "inflow": "many"}, {"inflow": 1.0}]
        )
        body = _json(event_body(entity, at, features))
        if self._course.over_kafka and self._chance.random() < 0.3:
            body = b"\xff\xfe" + body  # not UTF-8
        return Item("event", f"{self._course.lane}-{number}-invalid", "invalid", entity.encode(), body)

    def _oversized(self, number: int) -> Item:
        size = HUGE if self._chance.random() < 0.1 else LARGE
        entity = f"tank-{self._course.lane}-0"
        body = _json({**event_body(entity, world.START, {}), "padding": "x" * size})
        return Item("event", f"{self._course.lane}-{number}-oversized", "invalid", entity.encode(), body)

    def _poison(self) -> Item:
        self._poisoned += 1
        mark = f"poison-{self._course.lane}-{self._poisoned}".encode()
        good = tuple(headers_of(mark.decode(), "headrace.event.v1"))
        partition = self._chance.randrange(self._course.partitions)
        key: bytes | None
        body: bytes | None
        key, body, headers = self._chance.choice(
            [
                (mark, None, good),  # a tombstone
                (mark, mark, ()),  # no envelope
                (mark, mark, (*good, *((f"h{n}", b"x") for n in range(1000)))),
                (mark, mark, tuple((name, b"\xff" if name == "ce_id" else value) for name, value in good)),
                (None, mark, good),  # no key
            ]
        )
        return Item("poison", "", "dead", key, body, partition=partition, headers=headers)


def event_body(entity: str, at: datetime, features: dict[str, Any]) -> dict[str, Any]:
    """The body of an event."""
    return {"feature_set": world.REF, "entity_id": entity, "occurred_at": at.isoformat(), "features": features}


def headers_of(identity: str, ce_type: str) -> Headers:
    """CloudEvents in Kafka's binary binding."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", identity.encode()),
        ("ce_source", world.SOURCE.encode()),
        ("ce_type", ce_type.encode()),
        ("content-type", b"application/json"),
    )


def _json(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
