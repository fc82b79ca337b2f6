"""Topics as a stranger sees them: librdkafka, read_committed, from offset 0. None of the product's reading code is used."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

T = TypeVar("T")

PATIENCE: Final = 60.0
ANSWER: Final = 10.0
BATCH: Final = 5000
LOOKED_AT: Final = frozenset({"ce_type", "ce_id", "ce_source", "ce_payloadhash", "route"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One committed record; of its headers those that a check looks at."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    def header(self, name: str) -> str:
        """A header as text; empty where it is absent."""
        return (self.headers.get(name) or b"").decode(errors="replace")

    @property
    def kind(self) -> str:
        """Its ``ce_type``."""
        return self.header("ce_type")


class Reader:
    """Reads topics of one prefix."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._servers = servers
        self._prefix = prefix

    def consumer(self, group: str = "oracle", **options: Any) -> Consumer:
        """A consumer that commits nothing."""
        return Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "log_level": 0,  # connections that faults cut are no news
                "fetch.message.max.bytes": 4 * 1024 * 1024,
                **options,
            }
        )

    def name(self, topic: str) -> str:
        """The physical name."""
        return self._prefix + topic

    def places(self, consumer: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
        """All partitions of ``topics``."""
        found = []
        for topic in topics:
            name = self.name(topic)
            known = consumer.list_topics(name, timeout=PATIENCE).topics[name]
            if known.error is not None:
                raise AssertionError(f"{name}: {known.error}")
            found += [TopicPartition(name, number, OFFSET_BEGINNING) for number in sorted(known.partitions)]
        return found

    def all(self, *topics: str) -> Iterator[Seen]:
        """Every committed record of ``topics`` up to their ends; each partition in order of offset."""
        consumer = self.consumer()
        try:
            places = self.places(consumer, topics)
            consumer.assign(places)
            waiting = {(place.topic, place.partition) for place in places}
            deadline = time.monotonic() + PATIENCE
            while waiting:
                for message in consumer.consume(BATCH, timeout=0.5):
                    deadline = time.monotonic() + PATIENCE
                    error = message.error()
                    if error is None:
                        yield seen(message, self._prefix)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        waiting.discard((message.topic(), message.partition()))
                assert time.monotonic() < deadline, f"no end of {sorted(waiting)}"
        finally:
            consumer.close()

    def ends(self, *topics: str) -> dict[tuple[str, int], int]:
        """The end offset of each partition, by logical topic: after the last stable record."""
        consumer = self.consumer()
        try:
            return {
                (place.topic.removeprefix(self._prefix), place.partition): consumer.get_watermark_offsets(
                    place, timeout=PATIENCE
                )[1]
                for place in self.places(consumer, topics)
            }
        finally:
            consumer.close()

    def committed(self, group: str, *topics: str) -> dict[tuple[str, int], int]:
        """What a group has committed of ``topics``, by logical topic and partition; 0 where nothing is."""
        # not read_committed: then librdkafka waits for the offsets of open transactions
        consumer = self.consumer(self._prefix + group, **{"isolation.level": "read_uncommitted"})
        try:
            found = _insisting(lambda: consumer.committed(self.places(consumer, topics), timeout=ANSWER))
            return {(place.topic.removeprefix(self._prefix), place.partition): max(place.offset, 0) for place in found}
        finally:
            consumer.close()


def _insisting(ask: Callable[[], T]) -> T:
    """What a broker answers that may still be starting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def seen(message: Any, prefix: str) -> Seen:
    """A message of librdkafka; the topic without its prefix."""
    headers = {name: value for name, value in message.headers() or () if name in LOOKED_AT}
    return Seen(
        message.topic().removeprefix(prefix),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers,
    )
