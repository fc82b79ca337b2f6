"""The data-set store on disk: nothing missing, nothing twice, whatever happens between two flushes."""

from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from training_scene import PARTITIONS, SET, START, end, event_body, filled, label_body, record, rows, stream

from schemas.events.ingestion import Tick
from schemas.reasons import RefusedRecordError
from services.training import store as stores
from services.training.store import RecordStore
from shared.records import StoredRecord

STREAM = list(stream("binary", 60))


def opened(root: Path, identity: str = "test") -> RecordStore:
    return RecordStore(root, identity, PARTITIONS, segment_rows=50)


def ids(store: RecordStore) -> list[str]:
    files = store.select("events", SET, None, end())
    return sorted(pl.read_parquet(files)["id"].to_list()) if files else []


def test_what_was_flushed_is_there_after_a_restart_with_its_positions_and_watermark(tmp_path: Path) -> None:
    filled(tmp_path, STREAM, flush_every=7)
    store = opened(tmp_path)
    assert len(ids(store)) == 60
    assert store.positions["events.validated"] == {0: 31, 1: 31}  # 30 events and a tick each
    assert store.watermarks.of(SET) == end(60)


def test_a_crash_before_the_flush_forgets_rows_and_positions_together(tmp_path: Path) -> None:
    store = filled(tmp_path, STREAM[:50])
    for topic, entry in STREAM[50:]:
        store.append(topic, entry)
    again = opened(tmp_path)
    for topic, entry in STREAM:  # read again from anywhere before the positions
        again.append(topic, entry)
    again.flush()
    assert ids(again) == sorted(f"e{number}" for number in range(60))


def test_a_segment_that_the_crash_left_unnamed_is_removed(tmp_path: Path) -> None:
    filled(tmp_path, STREAM)
    orphan = tmp_path / "segments" / "events-x-000000099.parquet"
    orphan.write_bytes(b"half")
    opened(tmp_path)
    assert not orphan.exists()


def test_many_small_segments_become_one_without_losing_a_row(tmp_path: Path) -> None:
    store = filled(tmp_path, STREAM, flush_every=2)
    files = list((tmp_path / "segments").glob("events-*.parquet"))
    assert len(files) < stores.SMALL_SEGMENTS
    assert len(ids(store)) == 60


def test_a_pinned_selection_stays_readable_while_segments_are_merged(tmp_path: Path) -> None:
    store = filled(tmp_path, STREAM[:20], flush_every=2)
    with store.pinned():
        chosen = store.select("events", SET, None, end())
        for number, (topic, entry) in enumerate(STREAM[20:]):
            store.append(topic, entry)
            if number % 2:
                store.flush()
        assert pl.read_parquet(chosen).height == 10
    assert any(not path.exists() for path in chosen)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format":99}', b"[]"])
def test_an_unreadable_store_begins_anew_from_the_topics(tmp_path: Path, content: bytes) -> None:
    filled(tmp_path, STREAM)
    (tmp_path / "segments" / "store.json").write_bytes(content)
    store = opened(tmp_path)
    assert store.positions == {"events.validated": {}, "labels.validated": {}, "training.retry": {}}
    assert ids(store) == []


def test_the_store_of_another_cluster_begins_anew(tmp_path: Path) -> None:
    filled(tmp_path, STREAM)
    assert ids(opened(tmp_path, "elsewhere")) == []


def test_a_missing_segment_begins_anew_instead_of_training_on_less(tmp_path: Path) -> None:
    filled(tmp_path, STREAM)
    next((tmp_path / "segments").glob("events-*.parquet")).unlink()
    assert opened(tmp_path).positions["events.validated"] == {}


def test_selection_leaves_out_segments_that_lie_outside_the_window(tmp_path: Path) -> None:
    store = filled(tmp_path, STREAM, flush_every=60)
    everything = store.select("events", SET, START, end())
    late = store.select("events", SET, START + timedelta(hours=45), end())
    assert 0 < len(late) < len(everything)
    assert store.select("events", "other@1", START, end()) == []


@pytest.mark.parametrize("fault", ["type", "body", "id", "tombstone"])
def test_a_record_that_cannot_be_filed_is_refused_and_passed(tmp_path: Path, fault: str) -> None:
    good = record("events.validated", 0, 0, event_body(rows(1)[0], START), "e0")
    headers = [(name, value) for name, value in good.headers if not (fault == "id" and name == "ce_id")]
    if fault == "type":
        headers = [(name, b"?" if name == "ce_type" else value) for name, value in headers]
    value = {"body": b'{"feature_set": 3}', "tombstone": None}.get(fault, good.value)
    bad = StoredRecord(good.topic, 0, 0, 0, b"k", value, headers)
    store = opened(tmp_path)
    with pytest.raises(RefusedRecordError):
        store.append("events.validated", bad)
    store.append("events.validated", record("events.validated", 0, 1, event_body(rows(1)[0], START), "e1"))
    store.flush()
    assert ids(store) == ["e1"]
    assert store.positions["events.validated"] == {0: 2}


@pytest.mark.parametrize(
    ("topic", "change"),
    [
        ("events.validated", {"feature_set": "a/b@1"}),
        ("events.validated", {"feature_set": "../../../etc/x@1"}),
        ("events.validated", {"feature_set": "x" * 300 + "@1"}),
        ("events.validated", {"feature_set": "meters@1\n"}),
        ("events.validated", {"features": 3}),
        ("labels.validated", {"model": "a/b"}),
        ("labels.validated", {"model": ""}),
        ("labels.validated", {"label_version": 2**31}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_record_whose_names_or_numbers_no_file_could_have_is_refused_and_passed(
    tmp_path: Path, topic: str, change: dict[str, object]
) -> None:
    body = event_body(rows(1)[0], START) if topic.startswith("e") else label_body("binary", "e1", True, START)
    good = record(topic, 0, 1, body, "e1")
    value = msgspec.json.encode(msgspec.json.decode(good.value or b"") | change)
    store = opened(tmp_path)
    with pytest.raises(RefusedRecordError):
        store.append(topic, StoredRecord(good.topic, 0, 0, 0, good.key, value, good.headers))
    store.append(topic, good)
    assert store.flush() == 1
    assert store.positions[topic] == {0: 2}


def test_the_watermark_is_what_every_partition_has_reached(tmp_path: Path) -> None:
    store = opened(tmp_path)
    reached: list[object] = []
    for offset, (topic, partition, hours) in enumerate(
        [("events.validated", 0, 5), ("events.validated", 1, 3), ("labels.validated", 0, 9), ("labels.validated", 1, 1)]
    ):
        tick = Tick(feature_set="meters" if partition else SET, time=START + timedelta(hours=hours))
        store.append(topic, record(topic, partition, offset, tick, "t"))
        reached.append(store.watermarks.of(SET))
    assert reached == [None, START + timedelta(hours=3), None, START + timedelta(hours=1)]


def test_a_replayed_record_is_filed_at_the_place_of_its_original(tmp_path: Path) -> None:
    store = opened(tmp_path)
    topic, original = STREAM[0]
    headers = [*original.headers, ("headrace-replay-origin", f"p.{topic}/1@77".encode())]
    again = StoredRecord("p.training.retry", 0, 0, 0, original.key, original.value, headers)
    store.append("training.retry", again)
    store.append("training.retry", again)
    store.flush()
    (file,) = store.select("events", SET, None, end())
    assert pl.read_parquet(file).select("id", "partition", "offset").rows() == [("e0", 1, 77)]
    assert opened(tmp_path).positions["training.retry"] == {0: 1}


def test_only_ticks_in_order_move_event_time(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for partition in (0, 1):
        store.append("training.retry", record("training.retry", partition, 0, Tick(feature_set=SET, time=START), "t"))
    assert store.watermarks.of(SET) is None


def test_a_flush_that_a_full_disk_refuses_leaves_nothing_behind_and_succeeds_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    for topic, entry in STREAM:
        store.append(topic, entry)
    good = stores.write_durably

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stores, "write_durably", full)  # the segments fit, store.json does not
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            store.flush()
    assert list((tmp_path / "segments").iterdir()) == []
    monkeypatch.setattr(stores, "write_durably", good)
    store.flush()
    assert ids(opened(tmp_path)) == sorted(f"e{number}" for number in range(60))
