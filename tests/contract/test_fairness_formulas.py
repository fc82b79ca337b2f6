"""What a gate refuses and what monitoring pages about is one figure: training and monitoring measure the same gaps."""

from typing import Any

import numpy as np
import pytest

from schemas.definitions import TargetType
from schemas.definitions.metrics import GROUP_METRICS
from schemas.groups import GAPS, describe_groups
from services.monitoring.binning import grouping_of
from services.monitoring.fairness import gaps, tally_groups
from services.monitoring.joins import Pair
from services.monitoring.tallies import Tally
from services.training.fairness import group_metrics

CLASSES: dict[TargetType, tuple[Any, ...]] = {
    TargetType.BINARY: (False, True),
    TargetType.MULTICLASS: ("low", "middle", "high"),
    TargetType.REGRESSION: (),
}


@pytest.mark.parametrize("target", TargetType)
@pytest.mark.parametrize("rare", [0.002, 0.2], ids=["a group too small to compare", "groups that are all large"])
def test_gaps_of_a_window_are_those_of_a_gate_on_the_same_rows(target: TargetType, rare: float) -> None:
    random, classes = np.random.default_rng(1), CLASSES[target]
    cities = random.choice(["rome", "bern", "ulm"], 900, p=[0.6 - rare, 0.4, rare]).tolist()
    groups = {"city": grouping_of(describe_groups(cities))}
    codes = groups["city"].codes(cities).tolist()
    if classes:
        truth, predicted = random.integers(0, len(classes), 900), random.dirichlet([1.0] * len(classes), 900)
        pairs = [
            Pair(None, classes[row.argmax()], None, classes[value], 1, [code])
            for row, value, code in zip(predicted, truth, codes, strict=True)
        ]
    else:
        truth, predicted = random.normal(size=900), random.normal(size=900)
        pairs = [
            Pair(float(score), None, None, float(value), 1, [code])
            for score, value, code in zip(predicted, truth, codes, strict=True)
        ]
    tally = Tally()
    tally_groups(target, classes, pairs, groups, tally)
    gates = group_metrics(target, {"city": cities}, truth, predicted)["city"]
    found = {row.channel.split(":")[1]: row.value for row in gaps(target, tally, groups, (), 0.01)}
    assert found == {metric: pytest.approx(gates[metric], abs=1e-5) for metric in GAPS[target]}


@pytest.mark.parametrize("target", TargetType)
def test_every_gap_that_a_gate_may_name_is_watched(target: TargetType) -> None:
    assert {name for name in GROUP_METRICS[target] if name.endswith("_gap")} == set(GAPS[target])
