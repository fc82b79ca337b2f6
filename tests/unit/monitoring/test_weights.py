"""What the model hangs on weighs more among the channels of its inputs, and nothing is without a voice."""

import pytest

from schemas.definitions import FalseAlarms
from services.monitoring.detectors import BY_IMPORTANCE, groups

CHANNELS = ["location:a", "location:b", "scale:a", "scale:b", "category:c=x", "category:c=y", "category:d=z"]
CORRELATIONS = ["correlation:a,b", "correlation:a,e"]


def weights(
    channels: list[str], importance: dict[str, float] | None = None, expected: list[str] | None = None
) -> dict[str, float]:
    [group] = groups(channels, FalseAlarms(), importance, expected or ())
    return dict(zip(group.channels, group.weights, strict=True))


def test_without_importance_every_family_has_the_same_weight_and_within_it_every_channel() -> None:
    found = weights(CHANNELS)
    assert found["location:a"] == found["location:b"] == pytest.approx(1 / 6)
    assert found["category:c=x"] == pytest.approx(1 / 9)


def test_importance_moves_weight_within_families_only() -> None:
    found = weights(CHANNELS, {"a": 0.6, "b": 0.2, "c": 0.2})
    assert found["location:a"] == pytest.approx((1 - BY_IMPORTANCE) / 6 + BY_IMPORTANCE * 0.75 / 3)
    assert found["location:a"] == found["scale:a"] > found["location:b"]
    assert found["location:a"] + found["location:b"] == pytest.approx(1 / 3)
    assert sum(found.values()) == pytest.approx(1.0)


def test_a_feature_without_importance_keeps_half_of_an_equal_share() -> None:
    found = weights(CHANNELS, {"a": 1.0})
    assert found["location:b"] == pytest.approx((1 - BY_IMPORTANCE) / 6)


def test_the_categories_of_a_feature_share_its_importance() -> None:
    found = weights(CHANNELS, {"c": 0.5, "d": 0.5})
    assert found["category:c=x"] == found["category:c=y"]
    assert found["category:d=z"] - found["category:c=x"] == pytest.approx(BY_IMPORTANCE * (1 / 2 - 1 / 4) / 3)


def test_a_correlation_has_the_mean_importance_of_its_features() -> None:
    found = weights(CORRELATIONS, {"a": 0.4, "b": 0.6})
    assert found["correlation:a,b"] - found["correlation:a,e"] == pytest.approx(BY_IMPORTANCE * (0.5 - 0.2) / 0.7)


def test_a_channel_that_a_window_lacks_takes_nothing_from_and_gives_nothing_to_the_others() -> None:
    whole, without = weights(CHANNELS, {"a": 0.9}), weights(CHANNELS[1:], {"a": 0.9}, expected=CHANNELS)
    assert without == {channel: weight for channel, weight in whole.items() if channel != "location:a"}


def test_channels_that_are_about_no_feature_are_weighed_alike_whatever_features_are_called() -> None:
    assert set(weights(["latency:p50", "latency:p99"], {"p50": 1.0}).values()) == {0.5}
