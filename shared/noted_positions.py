"""How far an input was processed, as the outputs themselves say: a second witness beside the group's committed offsets.

The last record that a transaction writes to a partition carries the next offsets of its input. It became visible together with
the group's offsets, so whatever it says was committed: a group that answers with less has forgotten. Kafka 4.3.1 does, after a
crash of a coordinator with large logs (docs/reliability.md), and whoever believed it would process everything since then again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from aiokafka import TopicPartition

from shared.kafka_clients import reader
from shared.records import Outgoing, Record
from shared.settings import KafkaSettings
from shared.tables import present_spans, read_between

POSITION_HEADER: Final = "headrace-position"
TAIL: Final = 100  # offsets; markers and the records of other stages stand between
FAR_TAIL: Final = (
    5000  # where none of ours is among them: an aborted batch, another stage's letters, a log older than these notes
)


class Position(msgspec.Struct, frozen=True):
    """``next``: by physical topic, the offset of partition ``partition`` from which ``group`` goes on."""

    group: str
    partition: int
    next: dict[str, int]


def noted(items: Sequence[Outgoing], position: bytes) -> list[Outgoing]:
    """``items``, the outputs of one transaction to one partition, the last of them with an encoded ``position``."""
    *before, last = items
    return [*before, msgspec.structs.replace(last, headers=[*last.headers, (POSITION_HEADER, position)])]


def encoded(group: str, partition: int, offsets: Mapping[TopicPartition, int]) -> bytes:
    """The header's value. ``offsets`` are those that the transaction commits, all of them of ``partition``."""
    return msgspec.json.encode(Position(group, partition, {place.topic: offset for place, offset in offsets.items()}))


async def noted_positions(
    kafka: KafkaSettings, places: Iterable[TopicPartition], *, group: str, partition: int
) -> dict[str, int]:
    """By physical input topic, the farthest offset that committed outputs on ``places`` say ``group`` goes on from.

    It is a lower bound: transactions without outputs say nothing. A topic of which nothing is said is left out.
    """
    consumer = reader(kafka)
    await consumer.start()
    try:
        spans = await present_spans(consumer, places)
        found: dict[str, int] = {}
        for tail in (TAIL, FAR_TAIL):
            async for records in read_between(consumer, _last(spans, tail)):
                for position in _positions(records, group, partition):
                    spans.pop(TopicPartition(records[0].topic, records[0].partition), None)
                    found.update({topic: max(at, found.get(topic, 0)) for topic, at in position.next.items()})
        return found
    finally:
        await consumer.stop()


def _last(spans: Mapping[TopicPartition, tuple[int, int]], tail: int) -> dict[TopicPartition, tuple[int, int]]:
    return {place: (max(start, end - tail), end) for place, (start, end) in spans.items() if start < end}


def _positions(records: Sequence[Record], group: str, partition: int) -> Iterator[Position]:
    for record in records:
        for name, value in reversed(
            record.headers
        ):  # a record may have brought one along from elsewhere: ours comes last
            if name == POSITION_HEADER:
                position = msgspec.json.decode(value, type=Position)
                if (position.group, position.partition) == (group, partition):
                    yield position
                break
