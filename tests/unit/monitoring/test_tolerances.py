"""What windows have shown is tolerated, but neither what was broken among them nor what no window could exceed."""

import numpy as np
import pytest

from services.monitoring.binning import NumericBinning
from services.monitoring.channels import feature_channels
from services.monitoring.lanes.gross import GrossLane, log_evidence
from services.monitoring.lanes.tolerances import Reach, Tolerances, tolerance, tolerances

NONE = np.empty(0)
WIDE = Reach(1e9, 1e9, 1.0)
PATIENCE = 365 * 7.0


def test_what_happened_before_is_tolerated_and_few_windows_are_stretched() -> None:
    assert tolerance(0.3, 10_000, NONE) == 0.3
    assert tolerance(0.3, 25, NONE) == 0.6
    assert tolerance(0.3, 10_000, np.array([0.8, -0.8] * 20)) == pytest.approx((0.8 + 2 * 0.8) * 1.05)
    assert tolerance(0.3, 10_000, np.array([0.1])) == pytest.approx((0.1 + 2 * 0.1) * 3)
    assert tolerance(0.3, 10_000, np.array([0.01, -0.02] * 20)) == 0.3


def test_each_side_has_its_own_largest_effect() -> None:
    found = tolerances(0.3, 10_000, np.array([1.6, -0.8] * 20), NONE, WIDE)
    assert (found.down, found.up) == pytest.approx(((0.8 + 2 * 0.8) * 1.05, (1.6 + 2 * 1.6) * 1.05))
    assert (found.of(-1.0), found.of(1.0)) == (found.down, found.up)


@pytest.mark.parametrize("breaks", [1, 3, 5])
def test_broken_windows_are_not_seen_even_if_there_are_several(breaks: int) -> None:
    quiet = np.array([0.2, -0.5] * 25)
    found = tolerances(0.3, 10_000, np.append(quiet, [4.0] * breaks), NONE, WIDE)
    assert found.up == tolerances(0.3, 10_000, quiet, NONE, WIDE).up
    assert found.down == pytest.approx(
        tolerances(0.3, 10_000, quiet, NONE, WIDE).down, rel=0.05
    )  # as there are more windows


def test_what_happens_in_more_than_a_tenth_of_the_windows_is_how_the_data_are() -> None:
    seen = np.append(np.array([0.1, -0.2] * 25), [2.0] * 6)
    assert tolerances(0.3, 10_000, seen, NONE, WIDE).up > 2


def test_the_worst_storm_of_a_season_is_seen_though_it_would_have_been_told() -> None:
    quiet = np.array([0.2, -0.5] * 25)
    limit = tolerances(0.3, 10_000, quiet, NONE, WIDE).up
    assert tolerances(0.3, 10_000, np.append(quiet, [1.9 * limit]), NONE, WIDE).up > 1.9 * limit
    assert tolerances(0.3, 10_000, np.append(quiet, [2.1 * limit]), NONE, WIDE).up == limit


def test_a_window_that_was_served_and_not_told_counts_whatever_it_was() -> None:
    quiet = np.array([0.2, -0.5] * 25)
    assert tolerances(0.3, 10_000, quiet, np.array([4.0]), WIDE).up > 4


def test_of_fewer_than_25_windows_nothing_is_left_out() -> None:
    """Twelve windows, as a test block has, do not tell an extreme from a break."""
    quiet = np.array([0.2, -0.5] * 12)
    assert tolerances(0.3, 10_000, np.append(quiet[:-1], 4.0), NONE, WIDE).up > 4
    assert tolerances(0.3, 10_000, np.append(quiet, 4.0), NONE, WIDE).up < 1


def test_a_season_is_seen_whole() -> None:
    """A trend, or two levels with a few days each, has no window that lies alone."""
    for seen in (np.linspace(-1.7, 1.7, 60), np.sin(np.arange(60) / 9), np.append(np.zeros(52), [1.0] * 8)):
        assert tolerances(0.3, 10_000, seen, NONE, WIDE).up > seen.max()


def test_a_tolerance_stays_within_what_a_channel_can_show() -> None:
    shares = Reach(0.1, 0.9, 0.5)
    assert tolerances(0.1, 10_000, np.array([0.5, -0.1] * 30), NONE, shares).up == pytest.approx(0.7)
    assert (
        tolerances(0.1, 10_000, np.array([0.9, -0.1] * 30), NONE, shares).up > 0.9
    )  # all windows have shown all of it


def _missing(worst: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reference of a number that is missing in 13 %, the shares missing in 60 windows up to ``worst``, and a window with all missing."""
    reference = np.append(np.full(20, 1740), 5200)
    seen = np.random.default_rng(1).beta(0.5, 3, 60)
    return reference, seen / seen.max() * worst, np.append(np.zeros(20, dtype=np.int64), 900)


@pytest.mark.parametrize("worst", [0.05, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("earlier", [0, 1, 3])
def test_a_feature_that_is_missing_in_every_row_is_told_in_one_window_whatever_was_seen(
    worst: float, earlier: int
) -> None:
    reference, seen, window = _missing(worst)
    seen[:earlier] = 1.0
    channels = {each.name: each for each in feature_channels({"x": NumericBinning(np.arange(19.0), reference)})}
    compared = {name: channel.comparison(window, seen, NONE) for name, channel in channels.items() if "missing" in name}
    verdict = GrossLane().judge(compared, {"missing:x": 1 / 60}, PATIENCE)
    assert verdict is not None
    assert verdict.named == ("missing:x",)


def test_a_feature_that_was_missing_in_every_row_of_every_fifth_window_is_not_told() -> None:
    reference, seen, window = _missing(0.2)
    seen[::5] = 1.0
    channels = {each.name: each for each in feature_channels({"x": NumericBinning(np.arange(19.0), reference)})}
    assert log_evidence(channels["missing:x"].comparison(window, seen, NONE)) < 0


def test_tolerances_without_windows_are_those_of_matter_and_chance() -> None:
    assert tolerances(0.3, 25, NONE, NONE, WIDE) == Tolerances(0.6, 0.6)
    assert tolerances(0.3, 10_000, NONE, NONE, WIDE) == Tolerances(0.3, 0.3)


@pytest.mark.parametrize(("learnt", "counts"), [(0.29, True), (0.31, False)])
def test_where_windows_hardly_differ_one_beyond_what_matters_is_not_seen(learnt: float, counts: bool) -> None:  # noqa: FBT001
    """A unit × 1.6 in the training data moves a location by half a standard deviation, and must be told again."""
    quiet = np.array([0.01, -0.01] * 30)
    found = tolerances(0.3, 100_000, np.append(quiet, learnt), NONE, WIDE).up
    assert (found > learnt) is counts
    assert found >= 0.3
