"""Which records of a fetch belong together, and which were processed already."""

from aiokafka import TopicPartition

from shared.partition_slot import by_partition
from shared.records import StoredRecord

EVENTS, LABELS = TopicPartition("events", 0), TopicPartition("labels", 0)


def record(topic: str, partition: int, offset: int) -> StoredRecord:
    return StoredRecord(topic, partition, offset, 0, None, None)


def test_records_are_told_apart_by_place_however_they_alternate() -> None:
    records = [
        record(topic, partition, n)
        for n, (topic, partition) in enumerate(3 * [("labels", 0), ("events", 1), ("events", 0)])
    ]
    found = by_partition(records, {"events": 0, "labels": 1})
    assert {number: list(places) for number, places in found.items()} == {
        0: [EVENTS, LABELS],
        1: [TopicPartition("events", 1)],
    }
    assert [r.offset for r in found[0][EVENTS]] == [2, 5, 8]
    assert [r.offset for r in found[0][LABELS]] == [0, 3, 6]
