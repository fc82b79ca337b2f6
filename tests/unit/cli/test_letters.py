"""Which dead letters are meant, whether they were replayed, and what exactly a replay sends."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.letters import Choice, Letter, letters, moment, sending, sort_out
from shared.clock import FixedClock
from shared.dead_letters import dead_letter, replay
from shared.errors import RefusedError
from shared.records import StoredRecord

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def letter(offset: int, *, code: str = "bad", hours: int = 0, headers: int = 1) -> StoredRecord:
    original = StoredRecord("t.events.raw", 1, 40 + offset, 0, b"k", b'{"n":1}', [("h", b"x" * 100)] * headers)
    clock = FixedClock(NOW + timedelta(hours=hours))
    made = dead_letter(original, service="validation", code=code, message="m" * 500, clock=clock)
    return StoredRecord("t.validation.dead-letters", 1, offset, offset, made.key, made.value, made.headers)


def replayed(record: StoredRecord) -> StoredRecord:
    again = replay(record)
    return StoredRecord("t.validation.retry", 1, 0, 0, again.key, again.value, again.headers)


def places(found: list[Letter]) -> list[str]:
    return [each.place for each in found]


def test_letters_are_chosen_by_code_time_and_number() -> None:
    found = letters([letter(3, hours=3), letter(1, code="worse", hours=1), letter(2, hours=2)], [])
    assert places(Choice().among(found)) == ["1/1", "1/2", "1/3"]
    assert places(Choice(code="bad").among(found)) == ["1/2", "1/3"]
    assert places(Choice(limit=1).among(found)) == ["1/3"]
    assert places(Choice(since=NOW + timedelta(hours=2)).among(found)) == ["1/2", "1/3"]
    assert places(Choice(until=NOW + timedelta(hours=2)).among(found)) == ["1/1"]
    assert places(Choice("1/2").among(found)) == ["1/2"]


def test_what_was_replayed_is_left_out_and_said_unless_it_is_asked_for() -> None:
    first, second = letter(1), letter(2)
    found = letters([first, second], [replayed(first), replayed(first)])
    kept, skipped = sort_out(found, again=False)
    assert places(kept) == ["1/2"]
    assert "replayed 2 times" in skipped["1/1"]
    assert places(sort_out(found, again=True)[0]) == ["1/1", "1/2"]


def test_a_letter_that_lost_headers_is_never_sent() -> None:
    kept, skipped = sort_out(letters([letter(1, headers=1000)], []), again=True)
    assert kept == []
    assert "too large" in skipped["1/1"]


def test_what_is_shown_is_what_is_sent() -> None:
    (found,) = letters([letter(1)], [])
    outgoing = replay(found.record, payload=b"new")
    shown = sending(found, outgoing, "t.validation.retry")
    assert (shown["topic"], shown["partition"], shown["key"], shown["payload"]) == ("t.validation.retry", 1, "k", "new")
    assert [name for name, _ in shown["headers"]] == [name for name, _ in outgoing.headers]
    assert shown["edited"]


def test_a_strangers_record_on_the_topic_is_passed_over() -> None:
    assert letters([StoredRecord("t", 0, 0, 0, None, b"{}")], []) == []


def test_a_moment_is_a_time_or_how_long_ago() -> None:
    assert moment("2h", NOW) == NOW - timedelta(hours=2)
    assert moment("2024-05-01T10:00:00Z", NOW) == NOW - timedelta(hours=2)
    with pytest.raises(RefusedError, match="neither a time"):
        moment("yesterday", NOW)
