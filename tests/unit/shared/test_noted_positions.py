"""What is believed of the notes that outputs carry."""

import pytest
from aiokafka import TopicPartition

from schemas.topics import EVENTS_VALIDATED
from shared.fetched_records import FetchedRecord
from shared.noted_positions import POSITION_HEADER, encoded, noted, positions, without_notes
from shared.records import Outgoing

RAW = TopicPartition("events.raw", 1)
OURS = encoded("group", 1, {RAW: 5})


def record(*notes: bytes | None) -> FetchedRecord:
    headers = [("h", b"1"), *((POSITION_HEADER, note) for note in notes)]
    return FetchedRecord("events.validated", 1, 0, 1234, None, b"", headers)  # type: ignore[arg-type]


def test_the_last_note_of_a_record_is_read_with_the_time_at_which_it_was_appended() -> None:
    [(at, position)] = positions([record(encoded("group", 1, {RAW: 99}), OURS)], "group", 1)
    assert (at, position.next) == (1234, {"events.raw": 5})


@pytest.mark.parametrize("note", [None, b"", b"garbage", b"{}", b'{"group":"group","partition":1,"next":{"a":"b"}}'])
def test_what_is_no_note_says_nothing(note: bytes | None) -> None:
    assert list(positions([record(note), record()], "group", 1)) == []


def test_notes_of_other_groups_and_partitions_say_nothing() -> None:
    assert list(positions([record(OURS)], "another", 1)) == []
    assert list(positions([record(OURS)], "group", 0)) == []


def test_only_the_last_output_is_noted_and_what_is_passed_on_is_not() -> None:
    first, last = noted(
        [Outgoing(EVENTS_VALIDATED, b"k", b"1"), Outgoing(EVENTS_VALIDATED, b"k", b"2", [("h", b"1")])], OURS
    )
    assert list(first.headers) == []
    assert list(last.headers) == [("h", b"1"), (POSITION_HEADER, OURS)]
    assert list(without_notes(last).headers) == [("h", b"1")]
