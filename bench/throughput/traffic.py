"""Events put on a topic, at once or at a steady rate, and the answers that come out, with times."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from bench.inference_path.scene import CATEGORIES, Stream
from schemas.model_inputs import UNSEEN

Message = tuple[bytes, bytes, list[tuple[str, bytes]]]  # key, value, headers
TICK_SECONDS = 0.002


def events(stream: Stream) -> list[Message]:
    """Validated events, as inference gets them."""
    return [(made.key or b"", made.value or b"", list(made.headers)) for made in stream.validated()]


def v2_requests(stream: Stream) -> list[Message]:
    """The same rows as requests of the Open Inference Protocol, as MLServer wants them."""
    numeric, categorical = stream.inputs
    found = []
    for event in stream.sent():
        row = event["features"]
        numbers = [float("nan") if row[name] is None else float(row[name]) for name in numeric.features]
        codes = [CATEGORIES.index(row[name]) if row[name] in CATEGORIES else UNSEEN for name in categorical.features]
        inputs = [
            {"name": "numeric", "shape": [1, len(numbers)], "datatype": "FP32", "data": [0.0 if n != n else n for n in numbers]},
            {"name": "categorical", "shape": [1, len(codes)], "datatype": "INT64", "data": codes},
        ]  # fmt: skip
        found.append(
            (event["entity_id"].encode(), json.dumps({"inputs": inputs}).encode(), [("mlserver-model", b"delay")])
        )
    return found


def load(bootstrap: str, topic: str, messages: Sequence[Message], partitions: int) -> None:
    """Everything at once, spread evenly; returns when it is acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for number, (key, value, headers) in enumerate(messages):
        producer.produce(topic, value, key, number % partitions, headers=headers)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(60)


@dataclass(slots=True)
class Answers:
    """What was read of the output topic: the broker's append time of each answer, seconds."""

    appended: list[float]

    def rate(self, skipped: float) -> float:
        """Answers a second after the first ``skipped`` share of them, by the broker's append times."""
        times = sorted(self.appended)
        start = int(len(times) * skipped)
        return (len(times) - start) / max(1e-3, times[-1] - times[start])


def reader(bootstrap: str, topic: str, partitions: int, *, wait_ms: int = 500) -> Consumer:
    """A read_committed consumer at the beginning of all partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{uuid4().hex}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": wait_ms,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    return consumer


def written(consumer: Consumer, topic: str, partitions: int) -> int:
    """The sum of the end offsets; in transactions markers count too."""
    return sum(_end(consumer, TopicPartition(topic, number)) for number in range(partitions))


def _end(consumer: Consumer, place: TopicPartition) -> int:
    for _ in range(50):
        try:
            return int(consumer.get_watermark_offsets(place, timeout=10)[1])
        except KafkaException:  # a topic that was just made has no leader for a moment
            time.sleep(0.1)
    message = f"{place.topic} has no leader"
    raise TimeoutError(message)


def answers(consumer: Consumer, expected: int, seconds: float) -> Answers:
    """Read until there are ``expected`` answers, or ``seconds`` are over."""
    found: list[float] = []
    until = time.monotonic() + seconds
    while len(found) < expected and time.monotonic() < until:
        found += [each.timestamp()[1] / 1000 for each in consumer.consume(10_000, 0.2) if each.error() is None]
    return Answers(found)


def open_loop(bootstrap: str, topics: tuple[str, str], messages: Sequence[Message], rate: int, partitions: int, *, warm: int) -> list[float]:  # fmt: skip
    """Milliseconds from the moment an event was due to its answer being read; the first ``warm`` are left out.

    Due, not sent: a sender that falls behind must not hide the delay (coordinated omission). Keys are unique.
    """
    source, sink = topics
    due: dict[bytes, float] = {}
    arrived: dict[bytes, float] = {}
    consumer = reader(bootstrap, sink, partitions, wait_ms=5)
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set() and len(arrived) < len(messages):
            for each in consumer.consume(1000, 0.005):
                if each.error() is None:
                    arrived.setdefault(each.key() or b"", time.perf_counter())

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    # The client's default. Without lingering each event is a request, and at 5,000 a second this broker's echo alone takes 480 ms.
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    began = time.perf_counter() + 0.1
    for number, (key, value, headers) in enumerate(messages):
        at = due[key] = began + number / rate
        while (left := at - time.perf_counter()) > 0:
            producer.poll(min(left, TICK_SECONDS))
        producer.produce(source, value, key, number % partitions, headers=headers)
    producer.flush(30)
    thread.join(30)
    stop.set()
    thread.join()
    consumer.close()
    keys = [key for key, _, _ in messages][warm:]
    return [(arrived[key] - due[key]) * 1000 for key in keys if key in arrived] + [float("inf")] * sum(
        key not in arrived for key in keys
    )
