"""The window of validated ids is bounded by count and age, and a fold of what was validated."""

from datetime import timedelta

from services.validation.duplicates import DuplicateWindow, Sighting, identity_key

HOUR = 3_600_000
A, B = b"a" * 16, b"b" * 16


def window(limit: int = 3) -> DuplicateWindow:
    return DuplicateWindow(limit=limit, age=timedelta(hours=24))


def key(n: int) -> bytes:
    return identity_key("source", str(n))


def test_the_oldest_ids_leave_when_there_are_too_many() -> None:
    found = window(3)
    found.remember({key(1): A, key(2): A}, 0)
    found.remember({key(3): A, key(4): A}, 1)
    assert [found.known(key(n)) for n in (1, 2, 3, 4)] == [None, A, A, A]
    assert len(found) == 3


def test_one_batch_larger_than_the_window_leaves_its_newest_ids() -> None:
    found = window(2)
    found.remember({key(n): A for n in range(5)}, 0)
    assert [n for n in range(5) if found.known(key(n))] == [3, 4]


def test_ids_leave_when_they_are_older_than_the_window() -> None:
    found = window()
    found.remember({key(1): A}, 0)
    found.remember({key(2): A}, 23 * HOUR)
    assert found.known(key(1)) == A
    found.remember({}, 25 * HOUR)
    assert (found.known(key(1)), found.known(key(2))) == (None, A)


def test_a_batch_that_is_not_kept_leaves_no_trace() -> None:
    found = window()
    batch = found.batch()
    batch.add(key(1), A)
    assert batch.sight(key(1), A) is Sighting.REPEATED
    assert found.batch().sight(key(1), A) is Sighting.NEW


def test_a_kept_batch_is_known_to_the_next() -> None:
    found = window()
    batch = found.batch()
    batch.add(key(1), A)
    batch.keep(0)
    assert found.batch().sight(key(1), A) is Sighting.REPEATED
    assert found.batch().sight(key(1), B) is Sighting.CONFLICTING


def test_source_and_id_are_told_apart() -> None:
    assert identity_key("ab", "c") != identity_key("a", "bc")


def test_a_window_rebuilt_id_by_id_equals_the_one_that_saw_batches() -> None:
    batches = [({key(n): A for n in range(start, start + 3)}, start * HOUR) for start in range(0, 60, 3)]
    live, rebuilt = window(7), window(7)
    for entries, at in batches:
        live.remember(entries, at)
        for each, payload in entries.items():
            rebuilt.remember({each: payload}, at)
    known = [[one.known(key(n)) for n in range(60)] for one in (live, rebuilt)]
    assert known[0] == known[1]
