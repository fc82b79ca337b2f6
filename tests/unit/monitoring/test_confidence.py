"""Bounds of a mean of windows hold at every look, and what looking at every window costs."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from services.monitoring.lanes.confidence import ALPHA, SPREAD, Bounds, bounds, persistence

STREAMS, WINDOWS = 1000, 40
# Were the probability of a miss exactly 5 %, more than this share of 1000 streams would miss once in 700 such runs.
TOLERATED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / STREAMS)


def looks(values: Any) -> Iterator[Bounds]:
    """What is said after each window of one stream."""
    sums, squares = np.cumsum(values), np.cumsum(values**2)
    for count in range(2, len(values) + 1):
        mean = sums[count - 1] / count
        variance = max(squares[count - 1] / count - mean * mean, 0.0) * count / (count - 1)
        found = bounds(count, mean, variance * persistence(values[:count].tolist()))
        if found is not None:
            yield found


def autocorrelated(random: Any, correlation: float) -> Any:
    noise = random.normal(size=(STREAMS, WINDOWS + 30))
    for window in range(1, WINDOWS + 30):
        noise[:, window] += correlation * noise[:, window - 1]
    return noise[:, 30:]


def quiet(name: str, random: Any) -> Any:
    """Streams [streams, windows] whose mean is 0."""
    shape = (STREAMS, WINDOWS)
    if name == "heavy-tailed":
        return random.standard_t(3, size=shape)
    if name == "skewed":
        return random.gamma(4, size=shape) - 4
    if name == "of different sizes":
        return random.normal(size=shape) / np.sqrt(random.choice([1, 0.1], size=shape))
    if name == "wilder at weekends":
        return random.normal(size=shape) * np.where(np.arange(WINDOWS) % 7 < 5, 1, 3)
    return autocorrelated(random, 0.2) if name == "persistent" else random.normal(size=shape)


@pytest.mark.parametrize(
    "name", ["normal", "heavy-tailed", "skewed", "of different sizes", "wilder at weekends", "persistent"]
)
def test_the_mean_is_within_its_bounds_at_every_look_of_95_percent_of_streams(name: str) -> None:
    streams = quiet(name, np.random.default_rng(11))
    missed = sum(any(not found.lower <= 0 <= found.upper for found in looks(stream)) for stream in streams)
    assert missed / STREAMS <= TOLERATED


def test_two_standard_errors_at_every_look_miss_the_mean_of_most_streams() -> None:
    """What the bounds are for: the rule that means are clearly different beyond two standard errors, looked at every window."""
    streams = np.random.default_rng(12).normal(size=(STREAMS, WINDOWS))
    counts = np.arange(1, WINDOWS + 1)
    means = streams.cumsum(axis=1) / counts
    variances = (streams**2).cumsum(axis=1) / counts - means**2
    errors = np.sqrt(np.maximum(variances, 0)[:, 1:] / (counts[1:] - 1))
    assert (np.abs(means[:, 1:]) > 2 * errors).any(axis=1).mean() > 0.4


@pytest.mark.parametrize(("effect", "median"), [(3.0, 6), (2.0, 8), (1.0, 18)])
def test_a_difference_of_some_window_deviations_is_shown_within_a_few_windows(effect: float, median: int) -> None:
    """Measured medians 5, 6 and 14; fixed sizes that find them nine times in ten are 4, 5 and 13. Seeded, so it cannot fail by chance."""
    streams = np.random.default_rng(13).normal(effect, 1, size=(200, WINDOWS))
    first = [next((at for at, found in enumerate(looks(s), 4) if found.lower > 0), WINDOWS) for s in streams]
    assert np.median(first) <= median


@pytest.mark.parametrize("count", [4, 7, 20, 300])
def test_at_the_bounds_the_evidence_against_the_mean_is_exactly_one_in_alpha(count: int) -> None:
    found = bounds(count, 0.3, 2.0)
    assert found is not None
    shrunk = SPREAD / (SPREAD + count)
    for mean in found:
        t2 = (0.3 - mean) ** 2 / (2.0 / count)
        nu = count - 1
        evidence = math.sqrt(shrunk) * ((1 + t2 / nu) / (1 + shrunk * t2 / nu)) ** (count / 2)
        assert evidence == pytest.approx(1 / ALPHA)


def test_evidence_is_a_martingale_while_nothing_differs() -> None:
    """Its mean over 200 000 t statistics of five windows is 1: within five standard errors, which chance leaves once in 10^6."""
    random, count = np.random.default_rng(14), 5
    windows = random.normal(size=(200_000, count))
    t2 = count * windows.mean(axis=1) ** 2 / windows.var(axis=1, ddof=1)
    shrunk = SPREAD / (SPREAD + count)
    evidence = math.sqrt(shrunk) * ((1 + t2 / (count - 1)) / (1 + shrunk * t2 / (count - 1))) ** (count / 2)
    assert evidence.mean() == pytest.approx(1.0, abs=5 * evidence.std() / math.sqrt(len(evidence)))


@pytest.mark.parametrize(("count", "variance"), [(1, 1.0), (2, 1.0), (3, 1.0), (9, 0.0)])
def test_too_few_windows_or_windows_that_are_all_the_same_have_no_bounds(count: int, variance: float) -> None:
    assert bounds(count, 0.1, variance) is None


def test_windows_that_take_after_the_one_before_count_for_less() -> None:
    rising = [float(value // 5) for value in range(40)]
    assert persistence(rising) > 3
    assert persistence([1.0, -1.0] * 20) == 1.0
    assert persistence([2.0] * 9) == persistence([1.0, 2.0]) == persistence([]) == 1.0
