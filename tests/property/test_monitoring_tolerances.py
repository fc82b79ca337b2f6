"""One broken window among those of the training data does not blind the gross lane, whatever it and the others look like."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.monitoring.lanes.tolerances import BROKEN, STRETCH, Reach, tolerances

LEAST = 0.3
NONE = np.empty(0)
FREE = Reach(1e9, 1e9, 1.0)  # no end of the scale: what the windows tell alone
effects = st.lists(st.floats(-5, 5, allow_nan=False).map(lambda value: round(value, 6)), min_size=29, max_size=99)
ends = st.floats(0.01, 5).flatmap(lambda end: st.floats(0, 1).map(lambda room: Reach(end, end, room)))


def _up(seen: list[float], reach: Reach = FREE) -> float:
    return tolerances(LEAST, 10_000, np.array(seen), NONE, reach).up


@given(seen=effects, broken=st.floats(0, 1e6, allow_nan=False))
def test_one_window_more_widens_the_tolerance_by_a_bounded_factor(seen: list[float], broken: float) -> None:
    """Where the new one lies beyond twice what all others make tolerated it adds nothing; else it is not far.

    With w windows and tolerance T of all but the new one, an effect that counts is at most 2 T, and 2 rms at most T, so the new tolerance is at
    most (2 T + 2 sqrt(T²/4 + 2 (2 T)²/w)) (1 + 2/w): 3.9 T with 60 windows, however far out the broken one is.
    """
    before = max(_raw(seen), LEAST)
    count = len(seen) + 1
    largest = BROKEN * before + 2 * math.hypot(before / 2, BROKEN * before * math.sqrt(2 / count))
    assert _up([*seen, broken]) <= largest * (1 + STRETCH / (0.9 * count)) * (1 + 1e-9)


@given(seen=effects, broken=st.floats(0, 1e6, allow_nan=False))
def test_how_far_out_a_window_is_does_not_matter_once_it_is_broken(seen: list[float], broken: float) -> None:
    beyond = 2 * BROKEN * max(_raw(seen), LEAST)
    assert _up([*seen, beyond + broken]) == _up([*seen, beyond])


@given(seen=effects, reach=ends, seed=st.integers(0, 99))
def test_the_order_of_windows_does_not_change_a_bit(seen: list[float], reach: Reach, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(seen)
    assert tolerances(LEAST, 10_000, shuffled, NONE, reach) == tolerances(LEAST, 10_000, np.array(seen), NONE, reach)


@given(seen=effects, reach=ends)
def test_both_sides_are_judged_alike(seen: list[float], reach: Reach) -> None:
    found, mirrored = (tolerances(LEAST, 10_000, sign * np.array(seen), NONE, reach) for sign in (1, -1))
    assert (found.down, found.up) == (mirrored.up, mirrored.down)


@given(seen=effects, end=st.floats(0.4, 5), rooms=st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_more_room_tolerates_no_less_and_never_reaches_the_end_that_no_window_showed(
    seen: list[float], end: float, rooms: list[float]
) -> None:
    within = [max(-end * 0.999, min(value, end * 0.999)) for value in seen]
    found = [_up(within, Reach(end, end, room)) for room in sorted(rooms)]
    assert all(one <= other + 1e-12 for one, other in pairwise(found))
    assert all(each <= max(end, LEAST) for each in found)


def _raw(seen: list[float]) -> float:
    """The tolerance of all of ``seen``, with nothing left out."""
    values = np.maximum(seen, 0.0)
    return float(values.max() + 2 * math.sqrt(float(2 * (values**2).mean()))) * (1 + STRETCH / len(seen))
