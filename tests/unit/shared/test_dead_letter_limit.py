"""The limit stops a service that would drain a topic into its dead letters, whatever its batches and however often it restarts."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import dead_letters
from shared.dead_letter_limit import WINDOW, DeadLetterLimit, Tally, noted, tally_of
from shared.records import Outgoing, StoredRecord
from shared.settings import DeadLetterSettings


def limit_of(in_a_row: int = 1000, share: float = 1.0) -> DeadLetterLimit:
    return DeadLetterLimit(DeadLetterSettings(in_a_row=in_a_row, share=share))


def every(step: int, total: int) -> list[int]:
    return list(range(0, total, step))


def test_too_many_in_a_row_stop_the_service() -> None:
    limit = limit_of(in_a_row=3)
    said = [limit.observe([0] if dead else [], 1) for dead in (1, 1, 0, 1, 1, 1)]
    assert said[:5] == [None] * 5
    assert "3 records in a row" in str(said[5])
    assert "HEADRACE_DEAD_LETTERS__IN_A_ROW (now 3)" in str(said[5])


def test_a_row_goes_on_from_batch_to_batch() -> None:
    limit = limit_of(in_a_row=100)
    assert limit.observe(list(range(60)), 60) is None
    assert limit.observe(list(range(40)), 4000) is not None


def test_a_row_in_the_middle_of_a_batch_counts() -> None:
    assert limit_of(in_a_row=3).observe([7, 8, 9], 4000) is not None


def test_letters_spread_over_a_batch_are_no_row() -> None:
    limit = limit_of(in_a_row=100)
    assert limit.observe(every(40, 4000), 4000) is None
    assert limit.tally().row == 0


def test_the_good_records_of_another_partition_do_not_hide_a_poisoned_one() -> None:
    limit = limit_of(in_a_row=3)
    assert limit.observe([0, 1], 2, lane=0) is None
    assert limit.observe([], 50, lane=1) is None
    assert "3 records in a row" in str(limit.observe([0], 1, lane=0))


def test_too_large_a_share_stops_the_service_before_a_window_is_full() -> None:
    limit = limit_of(share=0.05)
    said = [limit.observe([0], 10) for _ in range(101)]
    assert said[:100] == [None] * 100
    assert "101 of the last 1010 records" in str(said[100])


def test_a_share_below_the_limit_goes_on_for_ever() -> None:
    limit = limit_of(share=0.05)
    assert all(limit.observe([0], 25) is None for _ in range(WINDOW // 25 * 3))


def test_good_records_never_stop_the_service() -> None:
    limit = limit_of(in_a_row=1, share=0.01)
    assert all(limit.observe([], 500) is None for _ in range(100))


@given(st.integers(11, 50), st.integers(1, 400))
def test_restarts_let_no_more_pass_than_one_process_would(percent: int, batch: int) -> None:
    """Each process commits what the limit lets pass, notes its tally, is stopped, and another begins."""
    passed, tally = 0, Tally()
    step = 100 // percent + 1
    for _ in range(50):
        limit = limit_of(share=0.05)
        limit.resume(tally)
        while passed < 10 * WINDOW:
            letters = [place for place in range(batch) if (passed + place) % step == 0]
            if limit.observe(letters, batch) is not None:
                break
            passed, tally = passed + batch, limit.tally()
    assert passed <= WINDOW * 0.05 * step + step


def test_the_last_letter_of_a_batch_carries_the_tally() -> None:
    letters = [Outgoing(dead_letters("validation"), b"k", b"%d" % number) for number in range(2)]
    first, last = (
        StoredRecord("d", 0, 0, 0, letter.key, letter.value, letter.headers)
        for letter in noted(letters, Tally(2, 5, 900))
    )
    assert tally_of(first) is None
    assert tally_of(last) == Tally(2, 5, 900)


def test_what_was_inherited_is_forgotten_with_the_window() -> None:
    limit = limit_of(share=0.05)
    limit.resume(Tally(row=0, dead=99, total=1500))
    assert limit.observe([], WINDOW) is None
    assert limit.tally().dead == 0
