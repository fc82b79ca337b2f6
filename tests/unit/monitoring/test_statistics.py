"""Bins, quality and latency: right on known cases, never broken by odd ones."""

import math

import numpy as np
import pytest

from schemas.definitions import Dtype, Feature, TargetType
from schemas.events.training import CategoricalReference, NumericReference
from schemas.reference import count, describe
from services.monitoring import latency
from services.monitoring.binning import binning_of
from services.monitoring.joins import Pair
from services.monitoring.quality import metrics, positive_rate, tally_pairs
from services.monitoring.tallies import Tally, fixed_sum, merged

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize("dtype", [Dtype.FLOAT64, Dtype.BOOL, Dtype.STRING])
def test_bins_are_those_of_the_reference(dtype: Dtype) -> None:
    values: list[object] = [None, *(RANDOM.normal(0, 1, 300).tolist())]
    if dtype is Dtype.BOOL:
        values = [None, *[bool(value > 0) for value in RANDOM.normal(0, 1, 300)]]
    if dtype is Dtype.STRING:
        values = [None, *[f"v{int(value)}" for value in RANDOM.normal(0, 2, 300)]]
    reference = describe(Feature(name="x", dtype=dtype), values)
    later = [*values[:150], None, *(["new"] if isinstance(reference, CategoricalReference) else [])]
    binning = binning_of(reference)
    assert np.bincount(binning.codes(later), minlength=binning.width).tolist() == count(reference, later).tolist()
    assert len(binning.labels) == binning.width


def test_a_value_that_is_no_number_counts_as_missing() -> None:
    binning = binning_of(NumericReference(edges=(0.0,), counts=(1, 1), missing=0, mean=0, sd=1))
    assert binning.codes([1, "x", None, float("nan"), -1.0]).tolist() == [1, 2, 2, 2, 0]


def _pairs(scores: np.ndarray, labels: np.ndarray) -> list[Pair]:
    return [Pair(float(s), bool(s > 0.5), None, bool(y), 1) for s, y in zip(scores, labels, strict=True)]


def test_binary_metrics_agree_with_their_definitions() -> None:
    scores = RANDOM.uniform(0, 1, 2000)
    labels = RANDOM.uniform(0, 1, 2000) < scores
    tally = tally_pairs(TargetType.BINARY, (False, True), _pairs(scores, labels), 2100)
    found = metrics(TargetType.BINARY, tally)
    likelihood = np.where(labels, scores, 1 - scores)
    ranks = (scores[labels][:, None] > scores[~labels][None, :]).mean()
    assert found["roc_auc"].value == pytest.approx(ranks, abs=2e-3)
    assert found["log_loss"].value == pytest.approx(-np.log(likelihood).mean(), abs=1e-5)
    assert found["brier"].value == pytest.approx(((scores - labels) ** 2).mean(), abs=1e-5)
    assert found["accuracy"].value == pytest.approx(((scores > 0.5) == labels).mean())
    assert positive_rate(tally) == pytest.approx(labels.mean())


def test_regression_metrics_agree_with_their_definitions() -> None:
    actual = RANDOM.normal(10, 3, 500)
    predicted = actual + RANDOM.normal(0, 1, 500)
    pairs = [Pair(float(p), None, None, float(a), 1) for p, a in zip(predicted, actual, strict=True)]
    found = metrics(TargetType.REGRESSION, tally_pairs(TargetType.REGRESSION, (), pairs, 500))
    assert found["rmse"].value == pytest.approx(np.sqrt(((predicted - actual) ** 2).mean()), rel=1e-4)
    assert found["mae"].value == pytest.approx(np.abs(predicted - actual).mean(), rel=1e-4)
    assert found["r2"].value == pytest.approx(
        1 - ((predicted - actual) ** 2).sum() / ((actual - actual.mean()) ** 2).sum(), rel=1e-3
    )


def test_multiclass_metrics_use_the_probability_of_the_label() -> None:
    pairs = [Pair(None, "a", [0.7, 0.3], "a", 1), Pair(None, "a", [0.6, 0.4], "b", 1)]
    found = metrics(TargetType.MULTICLASS, tally_pairs(TargetType.MULTICLASS, ("a", "b"), pairs, 2))
    assert found["accuracy"].value == 0.5
    assert found["log_loss"].value == pytest.approx(-(math.log(0.7) + math.log(0.4)) / 2, abs=1e-5)


def test_quality_of_nothing_is_nothing() -> None:
    for target in TargetType:
        assert metrics(target, tally_pairs(target, (), [], 0)) == {}


def test_merging_halves_gives_the_bits_of_the_whole() -> None:
    scores = RANDOM.uniform(0, 1, 1000)
    pairs = _pairs(scores, RANDOM.uniform(0, 1, 1000) < 0.3)
    whole = tally_pairs(TargetType.BINARY, (), pairs, 1000)
    halves = [tally_pairs(TargetType.BINARY, (), part, 500) for part in (pairs[500:], pairs[:500])]
    assert merged(halves).to_content() == whole.to_content()
    assert Tally.from_content(whole.to_content()).to_content() == whole.to_content()


def test_fixed_sums_take_huge_values_and_nan_without_overflow() -> None:
    assert fixed_sum(np.array([1e12] * 10_000 + [np.nan])) == 10**4 * 10**12 * 10**6
    assert fixed_sum(np.array([np.inf, -np.inf, 1.5])) == 1_500_000


def test_latency_quantiles_are_within_six_percent() -> None:
    values = np.exp(RANDOM.normal(3, 1, 20_000))
    counts = latency.histogram(values)
    for share in latency.QUANTILES:
        assert latency.quantile(counts, share) == pytest.approx(np.quantile(values, share), rel=0.07)


def test_latency_of_nothing_and_of_zero() -> None:
    assert latency.quantile(latency.histogram(np.array([])), 0.5) is None
    assert latency.quantile(latency.histogram(np.array([0.0, -1.0])), 0.99) == latency.LOWEST_MS
