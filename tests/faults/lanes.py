"""The three ways a record is sent: batches over HTTP, single requests over HTTP, a plain Kafka producer. A thread each.

Every attempt is in the ledger before it leaves. What is not known to be written is sent again, as a new attempt under the
same id, before the lane goes on: its event time never runs ahead of what was answered.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import httpx
from confluent_kafka import KafkaError, KafkaException, Producer

from tests.faults import generator, world
from tests.faults.generator import Item
from tests.faults.ledger import Ledger, Outcome

TIMEOUT: Final = 15.0
PAUSE: Final = 0.25
CERTAIN: Final = (httpx.ConnectError, httpx.ConnectTimeout)  # nothing was sent
FLUSH: Final = 40.0
ENOUGH: Final = timedelta(hours=16)  # of event time; then a trickle: windows must stay open to corrections
TRICKLE: Final = 0.1  # seconds an event


class Path(Protocol):
    """A way to send. ``name`` stands in the ledger."""

    name: str
    chunk: int

    def send(self, items: Sequence[Item]) -> list[Outcome]:
        """Send once; what is known of each."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class HttpPath:
    """Ingestion's HTTP interface."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(timeout=TIMEOUT)
        self.last_accepted = 0.0  # when the last request was begun that had a 2xx answer, monotonic

    def _post(self, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response | Outcome:
        begun = time.monotonic()
        try:
            answer = self._client.post(self._url + path, content=content, headers=headers)
        except CERTAIN:
            return "fail"
        except httpx.HTTPError:
            return "unknown"
        if answer.is_success:
            self.last_accepted = begun
        return answer

    def close(self) -> None:
        self._client.close()


class BatchPath(HttpPath):
    """NDJSON; labels first, so that an early label is early."""

    name = "batch"
    chunk = 40

    def send(self, items: Sequence[Item]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        for kind, address in (("label", "/v1/labels:batch"), ("event", "/v1/events:batch")):
            some = [(place, item) for place, item in enumerate(items) if item.kind == kind]
            if some:
                found = self._batch(address, [item for _, item in some])
                outcomes.update((place, outcome) for (place, _), outcome in zip(some, found, strict=True))
        return [outcomes[place] for place in range(len(items))]

    def _batch(self, address: str, items: Sequence[Item]) -> list[Outcome]:
        content = b"\n".join(map(structured, items))
        answer = self._post(address, content, {"content-type": "application/x-ndjson"})
        if not isinstance(answer, httpx.Response):
            return [answer] * len(items)
        if answer.status_code not in (httpx.codes.ACCEPTED, httpx.codes.MULTI_STATUS):
            return [outcome_of(answer.status_code)] * len(items)
        lines = [json.loads(line) for line in answer.content.splitlines() if line]
        assert len(lines) == len(items), f"{len(lines)} answers to {len(items)} lines"
        return [outcome_of(line["status"]) for line in lines]


class SinglePath(HttpPath):
    """One record a request, in the binary binding."""

    name = "single"
    chunk = 1

    def send(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Outcome:
        headers = {
            "ce-specversion": "1.0",
            "ce-id": item.id,
            "ce-source": world.SOURCE,
            "ce-type": item.ce_type,
            "content-type": "application/json",
        }
        answer = self._post("/v1/labels" if item.kind == "label" else "/v1/events", item.body or b"", headers)
        return outcome_of(answer.status_code) if isinstance(answer, httpx.Response) else answer


class KafkaPath:
    """A producer that knows nothing of the platform."""

    name = "kafka"
    chunk = 25

    def __init__(self, servers: str, prefix: str) -> None:
        self._prefix = prefix
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.timeout.ms": 20_000,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )

    def send(self, items: Sequence[Item]) -> list[Outcome]:
        outcomes: list[Outcome] = ["unknown"] * len(items)

        def delivered(place: int) -> Callable[[Any, Any], None]:
            def note(error: Any, _: Any) -> None:
                outcomes[place] = "ok" if error is None else _refusal(error)

            return note

        for place, item in enumerate(items):
            topic = self._prefix + ("labels.raw" if item.kind == "label" else "events.raw")
            headers = item.headers if item.headers is not None else generator.headers_of(item.id, item.ce_type)
            where = {} if item.partition is None else {"partition": item.partition}
            try:
                self._producer.produce(
                    topic, item.body, item.key, headers=list(headers), on_delivery=delivered(place), **where
                )
            except (KafkaException, BufferError):
                outcomes[place] = "fail"
        self._producer.flush(FLUSH)
        return outcomes

    def close(self) -> None:
        self._producer.flush(FLUSH)


def _refusal(error: Any) -> Outcome:
    return "fail" if error.code() == KafkaError.MSG_SIZE_TOO_LARGE else "unknown"


def structured(item: Item) -> bytes:
    """A CloudEvent in one line; the body's bytes stand in it as they are."""
    return (
        f'{{"specversion":"1.0","id":"{item.id}","source":"{world.SOURCE}","type":"{item.ce_type}","data":'.encode()
        + (item.body or b"null")
        + b"}"
    )


def outcome_of(status: int) -> Outcome:
    """What an answer says of the record. 503 may mean either."""
    if status == httpx.codes.ACCEPTED:
        return "ok"
    return "unknown" if status >= httpx.codes.INTERNAL_SERVER_ERROR else "fail"


@dataclass(slots=True)
class Progress:
    """What a lane has done."""

    attempts: int = 0
    unknown: int = 0
    at: datetime = world.START  # event time up to which everything is answered
    sent_at: dict[str, float] = field(default_factory=dict)  # event id → when it was first sent, monotonic


class Lane(threading.Thread):
    """Sends one sequence over one path until it is told to finish; then the labels that are still owed."""

    def __init__(self, course: generator.Course, path: Path, ledger: Ledger, rate: float) -> None:
        """``rate``: events a second, if nothing holds it up."""
        super().__init__(name=f"lane {course.lane}", daemon=True)
        self.path = path
        self.progress = Progress()
        self.failure: BaseException | None = None
        self._sequence = generator.Sequence(course)
        self._ledger = ledger
        self._rate = rate
        self._finishing = threading.Event()
        self._abandoned = threading.Event()

    def finish(self) -> None:
        """Send no further events."""
        self._finishing.set()

    def abandon(self) -> None:
        """Stop at once."""
        self._abandoned.set()
        self._finishing.set()

    def run(self) -> None:
        try:
            begun = time.monotonic()
            rounds = self._sequence.rounds()
            while not self._finishing.is_set():
                count = self._chunk(rounds)
                ahead = begun + count / self._rate - time.monotonic()
                if self.progress.at > world.START + ENOUGH:
                    ahead = max(ahead, TRICKLE * self.path.chunk)
                if ahead > 0:
                    self._finishing.wait(ahead)
            owed = self._sequence.last_labels()
            for start in range(0, len(owed), self.path.chunk):
                self._deliver(owed[start : start + self.path.chunk])
        except BaseException as error:  # told to whoever waits for the lane
            self.failure = error
            raise
        finally:
            self.path.close()

    def _chunk(self, rounds: Iterator[list[Item]]) -> int:
        """Send a chunk of rounds; how many events there have been."""
        some = list(itertools.chain.from_iterable(itertools.islice(rounds, max(1, self.path.chunk // 2))))
        for start in range(0, len(some), self.path.chunk):
            self._deliver(some[start : start + self.path.chunk])
        self.progress.at = max(item.at for item in some if item.at is not None)
        return len(self.progress.sent_at)

    def _deliver(self, items: Sequence[Item]) -> None:
        left = list(items)
        while left and not self._abandoned.is_set():
            outcomes = self._attempt(left)
            for _item, outcome in zip(left, outcomes, strict=True):
                self.progress.unknown += outcome == "unknown"
            left = [
                item
                for item, outcome in zip(left, outcomes, strict=True)
                if outcome == "unknown" or (outcome == "fail" and item.expectation == "valid")
            ]
            if left:
                time.sleep(PAUSE)

    def _attempt(self, items: Sequence[Item]) -> list[Outcome]:
        numbers = self._ledger.intend(
            [(item.kind, item.id, item.digest, item.expectation, self.path.name) for item in items]
        )
        now = time.monotonic()
        for item in items:
            if item.at is not None:
                self.progress.sent_at.setdefault(item.id, now)
        outcomes = self.path.send(items)
        self._ledger.settle(zip(numbers, outcomes, strict=True))
        self.progress.attempts += len(items)
        return outcomes
