"""How far an input was processed, as the outputs themselves say: a second witness beside the group's committed offsets.

The last record that a transaction writes to each partition of its stage's own carries the next offsets of its input. It became
visible together with the group's offsets, so whatever it says was committed: a group that answers with less has forgotten.
Kafka 4.3.1 does, after a crash of a coordinator with large logs (docs/reliability.md), and whoever believed it would process
everything since then again.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka_clients import reader
from shared.records import Outgoing, Record
from shared.settings import KafkaSettings
from shared.tables import present_spans, read_between

POSITION_HEADER: Final = "headrace-position"
TAIL: Final = 100  # offsets; markers and the records of other stages stand between
FAR_TAIL: Final = 5000  # where none of these is committed: an aborted batch
READ_SECONDS: Final = 30.0
SKEW_MILLISECONDS: Final = 5000  # between the clocks of two brokers


class Position(msgspec.Struct, frozen=True):
    """``next``: by physical topic, the offset of partition ``partition`` from which ``group`` goes on."""

    group: str
    partition: int
    next: dict[str, int]


class Note(msgspec.Struct, frozen=True):
    """A position of one input topic, and when the broker appended it (milliseconds since 1970)."""

    offset: int
    at: int


def noted(items: Sequence[Outgoing], position: bytes) -> list[Outgoing]:
    """``items``, the outputs of one transaction to one partition, the last of them with an encoded ``position``."""
    last = items[-1]
    return [*items[:-1], msgspec.structs.replace(last, headers=[*last.headers, (POSITION_HEADER, position)])]


def encoded(group: str, partition: int, offsets: Mapping[TopicPartition, int]) -> bytes:
    """The header's value. ``offsets`` are those that the transaction commits, all of them of ``partition``."""
    return msgspec.json.encode(Position(group, partition, {place.topic: offset for place, offset in offsets.items()}))


async def noted_positions(
    kafka: KafkaSettings, places: Iterable[TopicPartition], *, group: str, partition: int
) -> dict[str, Note]:
    """By physical input topic, the newest offset that committed outputs on ``places`` say ``group`` goes on from.

    It is a lower bound: transactions without outputs say nothing. A topic of which nothing is said is left out.
    Raises aiokafka's errors; TimeoutError after `READ_SECONDS`.
    """
    async with asyncio.timeout(READ_SECONDS), contextlib.AsyncExitStack() as life:
        consumer = reader(kafka)
        life.push_async_callback(consumer.stop)
        await consumer.start()
        spans = await present_spans(consumer, places)
        found: dict[str, Note] = {}
        for tail in (TAIL, FAR_TAIL):
            async for records in read_between(consumer, _last(spans, tail)):
                # where anything committed stands, the end of our last transaction does too, unless others write there as well
                spans.pop(TopicPartition(records[0].topic, records[0].partition), None)
                for at, position in positions(records, group, partition):
                    notes = {topic: Note(offset, at) for topic, offset in position.next.items()}
                    found.update({topic: note for topic, note in notes.items() if note.at >= found.get(topic, note).at})
        return found


async def credible(consumer: AIOKafkaConsumer, said: Mapping[TopicPartition, Note]) -> dict[TopicPartition, int]:
    """The offsets of those notes whose input stands and was appended before them.

    A topic that was made anew since then has other records at these offsets, or none; whoever believed would skip them.
    """
    ends = await consumer.end_offsets(list(said))
    later = await consumer.offsets_for_times({place: note.at + SKEW_MILLISECONDS + 1 for place, note in said.items()})
    return {
        place: note.offset
        for place, note in said.items()
        if note.offset <= ends[place] and (later[place] is None or later[place].offset >= note.offset)
    }


def without_notes(output: Outgoing) -> Outgoing:
    """``output``, which passes a record's headers on, without notes: nobody else may speak for a stage."""
    headers = [each for each in output.headers if each[0] != POSITION_HEADER]
    return msgspec.structs.replace(output, headers=headers)


def positions(records: Sequence[Record], group: str, partition: int) -> Iterator[tuple[int, Position]]:
    """When it was appended, and what it says, for each of ``records`` that speaks of this group and partition."""
    for record in records:
        values = [value for name, value in record.headers if name == POSITION_HEADER and value is not None]
        if not values:
            continue
        with contextlib.suppress(msgspec.DecodeError):  # not one of ours
            position = msgspec.json.decode(values[-1], type=Position)  # the last: a record may bring others along
            if (position.group, position.partition) == (group, partition):
                yield record.timestamp, position


def _last(spans: Mapping[TopicPartition, tuple[int, int]], tail: int) -> dict[TopicPartition, tuple[int, int]]:
    return {place: (max(start, end - tail), end) for place, (start, end) in spans.items() if start < end}
