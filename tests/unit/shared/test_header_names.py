"""Header names that are no UTF-8 neither stop a fetch nor lose a record."""

import inspect
from collections.abc import Iterator

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from shared.broker import kafka_broker
from shared.fetched_records import LightRecords
from shared.header_names import TolerantRecords
from shared.kafka_clients import reader
from shared.settings import KafkaSettings, PlatformSettings

NAMED = "nam\u00e9"  # its two last bytes are replaced below
FOREIGN = b"nam\xff\xfe"
PLACE = TopicPartition("t", 0)


def batch(names: list[str], codec: int = 0, base: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for number, name in enumerate(names):
        builder.append(number, timestamp=1, key=b"k", value=str(number).encode(), headers=[(name, b"\xffv")])
    data = bytearray(builder.build())
    data[0:8] = base.to_bytes(8, "big")
    return bytes(data)


def spoilt(data: bytes) -> bytes:
    return data.replace(NAMED.encode(), FOREIGN)


def records(data: bytes, kind: type = TolerantRecords) -> Iterator[tuple[int, bytes | None, str]]:
    unpacked = PartitionRecords(PLACE, kind(data), [], 0, None, None, check_crcs=False, isolation_level=1)
    return ((record.offset, record.value, record.headers[0][0]) for record in unpacked)


def test_aiokafka_still_fails_on_such_a_name_and_still_takes_our_decoder() -> None:
    with pytest.raises(UnicodeDecodeError):
        list(records(spoilt(batch([NAMED])), MemoryRecords))
    assert "records = MemoryRecords(part_data[-1])" in inspect.getsource(fetcher)


def test_a_foreign_name_is_escaped_and_every_other_record_is_as_it_was() -> None:
    data = spoilt(batch(["a", NAMED, "b"])) + batch(["c"], base=3)
    assert list(records(data)) == [(0, b"0", "a"), (1, b"1", "nam\\xff\\xfe"), (2, b"2", "b"), (3, b"0", "c")]


def test_a_compressed_batch_gets_the_same_treatment(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    from aiokafka.record import default_records

    plain = gzip.decompress
    monkeypatch.setattr(default_records, "gzip_decode", lambda data: spoilt(plain(data)))
    compressed = batch(["a", NAMED], codec=1)
    tolerant = TolerantRecords(compressed).next_batch()
    tolerant._batch = iter_that_fails()
    assert [record.headers[0][0] for record in tolerant] == ["a", "nam\\xff\\xfe"]


def iter_that_fails() -> Iterator[object]:
    raise UnicodeDecodeError("utf-8", FOREIGN, 3, 4, "what aiokafka's fast decoder says")
    yield


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], [NAMED]])
def test_what_is_well_formed_reads_the_same_either_way(names: list[str]) -> None:
    data = batch(names) + batch(names, codec=1, base=len(names))
    assert list(records(data)) == list(records(data, MemoryRecords))


def test_a_batch_that_was_cut_off_is_left_for_the_next_fetch() -> None:
    data = batch(["a"]) + batch(["b"], base=1)[:-3]
    assert [name for *_, name in records(data)] == ["a"]


async def test_every_consumer_decodes_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for consumer in (lambda: kafka_broker(PlatformSettings(), service="x"), lambda: reader(KafkaSettings())):
        monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
        consumer()
        assert fetcher.MemoryRecords is TolerantRecords


def test_light_records_hold_what_services_read_of_a_record() -> None:
    data = batch(["a", NAMED])
    light = list(LightRecords(PLACE, TolerantRecords(data), [], 0, None, None, check_crcs=False, isolation_level=1))
    full = list(PartitionRecords(PLACE, TolerantRecords(data), [], 0, None, None, check_crcs=False, isolation_level=1))
    for one, other in zip(light, full, strict=True):
        assert (one.topic, one.partition, one.offset, one.timestamp) == ("t", 0, other.offset, other.timestamp)
        assert (one.key, one.value, tuple(one.headers)) == (other.key, other.value, other.headers)


def test_aiokafka_still_makes_records_where_light_ones_replace_them() -> None:
    kafka_broker(PlatformSettings(), service="test")
    assert fetcher.PartitionRecords is LightRecords
    assert "consumer_record = self._consumer_record(tp, record)" in inspect.getsource(PartitionRecords)
    assert "partition_records = PartitionRecords(" in inspect.getsource(fetcher)
