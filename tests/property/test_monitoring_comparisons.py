"""A comparison of champion and challenger is that of the windows it saw: in whatever order, how often and after whatever stops they came."""

import math
import random
from statistics import fmean, variance

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.definitions import TargetType
from services.monitoring.comparing import KEPT, Course, Rivalry
from services.monitoring.joins import Pair, Twin
from services.monitoring.lanes.confidence import bounds, persistence
from services.monitoring.pairing import Difference, paired, tally_twins
from services.monitoring.tallies import merged

RIVALRY = Rivalry("trip-late", 1, 2, "shadow")
improvements = st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=KEPT)
scores = st.floats(0, 1, allow_nan=False)
twins = st.builds(
    lambda version, old, new, label: Twin(
        version,
        Pair(old, None if old is None else old > 0.5, None, label, 1),
        Pair(new, None if new is None else new > 0.5, None, label, 1),
    ),
    st.integers(1, 2),
    st.none() | scores,
    st.none() | scores,
    st.booleans(),
)


def stored(course: Course) -> Course:
    return Course.restored(msgspec.json.decode(msgspec.json.encode(course.content())))


@given(values=improvements, seed=st.integers(0, 99), stops=st.sets(st.integers(0, KEPT)))
def test_order_repeats_and_stops_change_nothing(values: list[float], seed: int, stops: set[int]) -> None:
    windows = list(enumerate(values))
    straight = Course()
    for start, value in windows:
        straight.put(start, Difference(value, 60))
    shuffled = [*windows, *windows[::3]]
    random.Random(seed).shuffle(shuffled)
    other = Course()
    for place, (start, value) in enumerate(shuffled):
        other = stored(other) if place in stops else other
        other.put(start, Difference(value, 60))
    assert other.content() == straight.content()
    assert other.comparison(RIVALRY, "brier") == straight.comparison(RIVALRY, "brier")


@given(values=st.lists(st.floats(-1, 1, allow_nan=False), min_size=2, max_size=3 * KEPT))
def test_the_sums_kept_say_what_all_windows_say(values: list[float]) -> None:
    course = Course()
    for start, value in enumerate(values):
        course.put(start, Difference(value, 60))
    found = course.comparison(RIVALRY, "brier")
    fine = [round(value, 9) for value in values]
    assert (found.windows, found.events) == (len(values), 60 * len(values))
    assert math.isclose(found.estimate, fmean(fine), rel_tol=1e-5, abs_tol=1e-12)
    expected = bounds(len(fine), fmean(fine), variance(fine) * persistence(fine[-KEPT:]))
    if expected is not None and found.lower is not None and variance(fine) > 1e-12:
        assert found.lower == pytest.approx(expected.lower, rel=1e-4, abs=1e-6)
        assert found.upper == pytest.approx(expected.upper, rel=1e-4, abs=1e-6)
    assert len(course.content()["windows"]) <= KEPT


@given(parts=st.lists(st.lists(twins, max_size=8), max_size=5), seed=st.integers(0, 99))
def test_partitions_merge_in_any_order_to_the_sums_of_the_whole(parts: list[list[Twin]], seed: int) -> None:
    everything = [twin for part in parts for twin in part]
    whole = tally_twins(TargetType.BINARY, {}, (), everything)
    shuffled = [tally_twins(TargetType.BINARY, {}, (), part) for part in parts]
    random.Random(seed).shuffle(shuffled)
    together = merged(shuffled)
    for version in (1, 2):
        assert paired(together, version) == paired(whole, version)
        both = [
            t
            for t in everything
            if t.version == version and t.champion.score is not None and t.shadow.score is not None
        ]
        if both:
            improved = [
                ((t.champion.score or 0) - t.champion.value) ** 2 - ((t.shadow.score or 0) - t.shadow.value) ** 2
                for t in both
            ]
            difference = paired(whole, version)["brier"]
            assert difference.events == len(both)
            assert np.isclose(difference.improvement, np.mean(improved), atol=2e-6)
