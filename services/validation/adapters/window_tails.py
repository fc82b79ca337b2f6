"""The duplicate window rebuilt from the tail of a validated topic, as far back as it can hold."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.envelope import header
from schemas.topics import EVENTS_VALIDATED, LABELS_VALIDATED, Topic
from services.validation.duplicates import DuplicateWindow, identity_key
from services.validation.outcomes import PAYLOAD_HASH
from services.validation.processing import Windows
from services.validation.resuming import Place, Resumption, noted_origin
from services.validation.settings import ValidationSettings
from shared.kafka_clients import reader
from shared.records import Record, topic_name
from shared.settings import PlatformSettings

POLL_MILLISECONDS: Final = 200
FETCH_RECORDS: Final = 5000
_HASH: Final = re.compile(r"[0-9a-f]{32}")

Entry = tuple[int, bytes, bytes, Place | None]  # append time in ms, identity key, payload hash, the raw record if noted


async def rebuild(
    settings: PlatformSettings, validation: ValidationSettings, partition: int, resumption: Resumption | None = None
) -> Windows:
    """Both windows of ``partition``, equal to what the previous owner knew when its last batch was committed.

    With a ``resumption``, ids of records that will be judged again are left out: they must not look like duplicates.
    """
    consumer = reader(settings.kafka, max_partition_fetch_bytes=4 * 1024 * 1024)
    await consumer.start()
    try:
        return Windows(
            await _window(consumer, settings, validation, EVENTS_VALIDATED, partition, resumption),
            await _window(consumer, settings, validation, LABELS_VALIDATED, partition, resumption),
        )
    finally:
        await consumer.stop()


async def _window(
    consumer: AIOKafkaConsumer,
    settings: PlatformSettings,
    validation: ValidationSettings,
    topic: Topic,
    partition: int,
    resumption: Resumption | None,
) -> DuplicateWindow:
    place = TopicPartition(topic_name(settings, topic), partition)
    consumer.assign([place])
    begin = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    window = DuplicateWindow(limit=validation.window_ids, age=validation.window_age)
    for at_ms, key, payload, origin in await _entries(consumer, place, begin, end, validation):
        if resumption is None or resumption.settled(origin):
            window.remember({key: payload}, at_ms)
    return window


async def _entries(
    consumer: AIOKafkaConsumer, place: TopicPartition, begin: int, end: int, validation: ValidationSettings
) -> list[Entry]:
    """Walk back from the end, a window's worth of offsets at a time, until there are enough ids or they are old enough.

    Ticks and transaction markers take offsets too, so one step may not be enough.
    """
    found: list[Entry] = []
    newest: int | None = None
    stop = end
    while stop > begin and len(found) < validation.window_ids:
        start = max(begin, stop - validation.window_ids)
        chunk, oldest, latest = await _chunk(consumer, place, start, stop)
        found = chunk + found
        newest = latest if newest is None else newest
        if (
            oldest is not None
            and newest is not None
            and newest - oldest > validation.window_age / timedelta(milliseconds=1)
        ):
            break
        stop = start
    return found


async def _chunk(
    consumer: AIOKafkaConsumer, place: TopicPartition, start: int, stop: int
) -> tuple[list[Entry], int | None, int | None]:
    """The entries of offsets in [start, stop), and the first and last append time seen there."""
    consumer.seek(place, start)
    entries: list[Entry] = []
    oldest: int | None = None
    latest: int | None = None
    while await consumer.position(place) < stop:
        for records in (
            await consumer.getmany(place, timeout_ms=POLL_MILLISECONDS, max_records=FETCH_RECORDS)
        ).values():
            within: Sequence[Record] = [record for record in records if record.offset < stop]
            if within:
                oldest = within[0].timestamp if oldest is None else oldest
                latest = within[-1].timestamp
                entries.extend(entry for record in within if (entry := _entry(record)) is not None)
    return entries, oldest, latest


def _entry(record: Record) -> Entry | None:
    """What the headers say; None for a tick, or for anything that validation did not write."""
    event_id, source = header(record.headers, "ce_id"), header(record.headers, "ce_source")
    payload_hash = header(record.headers, f"ce_{PAYLOAD_HASH}")
    if payload_hash is None or event_id is None or source is None or not _HASH.fullmatch(payload_hash):
        return None
    return record.timestamp, identity_key(source, event_id), bytes.fromhex(payload_hash), noted_origin(record.headers)
