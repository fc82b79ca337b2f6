"""Dead letters keep everything, go back byte for byte, and have a limit."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.validation import Origin
from schemas.topics import dead_letters, retry
from shared.clock import FixedClock
from shared.dead_letters import dead_letter, read_dead_letter, replay, replay_origin
from shared.errors import PermanentError
from shared.records import Outgoing, StoredRecord

CLOCK = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))


def letter_of(record: StoredRecord) -> StoredRecord:
    sent = dead_letter(record, service="validation", code="encoding", message="bad", clock=CLOCK)
    return StoredRecord("t." + sent.topic.name, 0, 0, 0, sent.key, sent.value, sent.headers)


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.binary(max_size=50),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=10)), max_size=4),
)
def test_a_replayed_dead_letter_is_the_original_byte_for_byte(
    key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    original = StoredRecord("t.events.raw", 3, 41, 0, key, value, headers)
    again = replay(letter_of(original))
    assert again.topic == retry("validation")
    assert (again.key, again.value, list(again.headers)[:-2], again.partition) == (key, value, headers, 3)


def test_a_dead_letter_says_where_the_record_stood_and_what_was_wrong() -> None:
    body = read_dead_letter(letter_of(StoredRecord("t.events.raw", 3, 41, 99, b"k", b"\xff")))
    assert body.origin == Origin(topic="t.events.raw", partition=3, offset=41, timestamp_ms=99)
    assert (body.code, body.message, body.attempts) == ("encoding", "bad", 1)


def test_the_same_record_gives_the_same_letter() -> None:
    record = StoredRecord("t.events.raw", 3, 41, 99, b"k", b"\xff")
    assert letter_of(record) == letter_of(record)


def test_a_letter_stands_on_the_dead_letter_topic_of_its_service_under_the_original_key() -> None:
    sent = dead_letter(StoredRecord("t", 0, 0, 0, b"k", b"v"), service="inference", code="c", message="m", clock=CLOCK)
    assert (sent.topic, sent.key) == (dead_letters("inference"), b"k")


def test_thousands_of_headers_do_not_make_a_letter_too_large() -> None:
    body = read_dead_letter(letter_of(StoredRecord("t", 0, 0, 0, b"k", b"v", [("h", b"x" * 100)] * 100_000)))
    assert body.headers_truncated
    assert sum(len(v or "") for _, v in body.headers) < 200_000


def test_what_is_no_letter_cannot_be_replayed() -> None:
    with pytest.raises(PermanentError, match="no dead letter"):
        replay(StoredRecord("t", 0, 5, 0, b"k", b"{}"))


def test_a_tombstone_with_no_key_is_replayed_as_an_empty_record() -> None:
    assert replay(letter_of(StoredRecord("t", 0, 0, 0, None, None))) == Outgoing(
        retry("validation"), None, b"", [("headrace-replay-of", replay_id()), ("headrace-replay-origin", b"t/0@0")], 0
    )


def replay_id() -> bytes:
    sent = dead_letter(StoredRecord("t", 0, 0, 0, None, None), service="validation", code="c", message="", clock=CLOCK)
    return dict(sent.headers)["ce_id"]


def test_an_edited_replay_says_what_the_original_was() -> None:
    again = replay(letter_of(StoredRecord("t.events.raw", 3, 41, 0, b"k", b"old")), payload=b"new")
    assert again.value == b"new"
    assert dict(again.headers)["headrace-replay-edited"] == hashlib.sha256(b"old").hexdigest().encode()


def test_a_replay_knows_where_its_original_stood() -> None:
    again = replay(letter_of(StoredRecord("t.a/b.raw", 3, 41, 0, b"k", b"v")))
    assert replay_origin(StoredRecord("t.validation.retry", 3, 0, 0, b"k", b"v", again.headers)) == ("t.a/b.raw", 3, 41)
    assert replay_origin(StoredRecord("t", 0, 0, 0, b"k", b"v", [("headrace-replay-origin", b"x")])) is None


def test_a_replay_that_fails_again_is_replayed_without_the_notes_of_the_first() -> None:
    first = replay(letter_of(StoredRecord("t.events.raw", 3, 41, 0, b"k", b"v", [("h", b"1")])), payload=b"w")
    second = replay(letter_of(StoredRecord("t.validation.retry", 3, 7, 0, b"k", b"w", first.headers)))
    names = [name for name, _ in second.headers]
    assert names == ["h", "headrace-replay-of", "headrace-replay-origin"]
    assert dict(second.headers)["headrace-replay-origin"] == b"t.events.raw/3@41"


def test_the_letters_of_a_service_with_one_partition_come_back_in_it() -> None:
    letter = dead_letter(StoredRecord("t", 5, 0, 0, b"k", b"v"), service="training", code="c", message="m", clock=CLOCK)
    assert replay(StoredRecord("d", 5, 0, 0, letter.key, letter.value, letter.headers)).partition == 0


@pytest.mark.parametrize("key", [0, 1024, 1025, 500_000, 1_000_000])
def test_a_letter_fits_its_topic_whatever_the_record_is_made_of(key: int) -> None:
    record = StoredRecord("t", 0, 0, 0, b"k" * key, b"v" * (1_048_576 - key), [("h", b"x" * 60_000)])
    letter = dead_letter(record, service="validation", code="c", message="m" * 9000, clock=CLOCK)
    size = len(letter.key or b"") + len(letter.value or b"") + sum(len(n) + len(v) for n, v in letter.headers)
    assert size < (dead_letters("validation").max_message_bytes or 0)
    again = replay(StoredRecord("d", 0, 0, 0, letter.key, letter.value, letter.headers))
    assert (again.key, again.value) == (record.key, record.value)
