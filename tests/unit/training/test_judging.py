"""Metrics, fairness, parity and the split, on numbers small enough to check by hand."""

import numpy as np
import pytest

from schemas.definitions import Split, TargetType
from services.training import evaluation, fairness, parity, split, targets
from services.training.errors import RunError
from services.training.preparation import learn

BINARY, REGRESSION = TargetType.BINARY, TargetType.REGRESSION


def test_binary_metrics_agree_with_their_definitions() -> None:
    truth = np.array([0, 0, 1, 1])
    score = np.array([0.1, 0.6, 0.4, 0.9])
    found = evaluation.evaluate(BINARY, truth, np.stack([1 - score, score], axis=1))
    assert found["roc_auc"] == 0.75
    assert found["accuracy"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.9]).mean())
    assert found["base_rate"] == 0.5


def test_a_perfectly_calibrated_score_has_no_calibration_error() -> None:
    happened = np.array([0.0, 1.0] * 50)
    assert evaluation.calibration_error(happened, np.full(100, 0.5)) == 0
    assert evaluation.calibration_error(happened, np.full(100, 0.75)) == pytest.approx(0.25)


def test_ranking_metrics_of_one_class_are_absent_not_wrong() -> None:
    found = evaluation.evaluate(BINARY, np.zeros(5, int), np.tile([0.7, 0.3], (5, 1)))
    assert found["roc_auc"] is None
    assert found["log_loss"] is not None


def test_a_class_that_the_model_never_saw_counts_as_wrong() -> None:
    found = evaluation.evaluate(TargetType.MULTICLASS, np.array([-1, 0]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    assert found["accuracy"] == 0.5


def test_skill_is_zero_for_a_constant_and_one_for_a_perfect_predictor() -> None:
    fitted, truth = np.array([1.0, 3.0]), np.array([1.0, 3.0])
    constant = evaluation.baseline(REGRESSION, fitted, truth, 0)
    assert evaluation.skill(evaluation.evaluate(REGRESSION, truth, np.full(2, 2.0)), constant) == 0
    assert evaluation.skill(evaluation.evaluate(REGRESSION, truth, truth), constant) == 1


def test_the_gap_between_groups_is_the_difference_of_their_positive_shares() -> None:
    groups = ["a"] * 40 + ["b"] * 40 + ["tiny"] * 3 + [None] * 5
    score = np.array([0.9] * 30 + [0.1] * 10 + [0.9] * 10 + [0.1] * 30 + [0.9] * 8)
    truth = np.array([0, 1] * 44)
    found = fairness.group_metrics(BINARY, {"city": groups}, truth, np.stack([1 - score, score], axis=1))["city"]
    assert found["demographic_parity_gap"] == pytest.approx(0.5)
    assert found["groups"] == 2
    assert found["accuracy"] == 0.5  # the worst group's


def test_numbers_with_many_values_are_grouped_by_quartile() -> None:
    assert list(fairness.groups_of([float(i) for i in range(400)])) == [f"quartile {i}" for i in (1, 2, 3, 4)]


def test_one_group_alone_has_no_gap() -> None:
    found = fairness.group_metrics(BINARY, {"x": [True] * 50}, np.zeros(50, int), np.tile([0.7, 0.3], (50, 1)))
    assert found["x"] == {"groups": 1.0}


def test_a_tie_that_falls_the_other_way_is_no_flip_but_a_changed_mind_is() -> None:
    reference = np.array([[0.50001, 0.49999], [0.9, 0.1]])
    assert parity.mismatch_share(reference, np.array([[0.49999, 0.50001], [0.9, 0.1]])) == 0
    assert parity.mismatch_share(reference, np.array([[0.50001, 0.49999], [0.1, 0.9]])) == 0.5


def test_a_value_that_is_not_a_number_is_a_mismatch() -> None:
    assert parity.mismatch_share(np.array([1.0, 2.0]), np.array([1.0, np.nan])) == 0.5
    with pytest.raises(RunError, match="differs from Ridge on 50"):
        parity.prove(0.5, "Ridge")


def test_the_split_is_forward_and_never_parts_one_instant() -> None:
    times = np.repeat(np.arange(10), 10)
    blocks = split.forward(times, Split(validation=0.25, test=0.25))
    assert (blocks.train, blocks.validation, blocks.rows) == (50, 70, 100)
    assert times[blocks.train_rows].max() < times[blocks.validation_rows].min()
    assert times[blocks.validation_rows].max() < times[blocks.test_rows].min()


def test_rows_of_a_single_instant_cannot_be_split() -> None:
    with pytest.raises(RunError, match="rows at different times"):
        split.forward(np.zeros(100, np.int64), Split())


def test_labels_known_only_after_the_next_block_began_are_counted() -> None:
    times = np.arange(10)
    blocks = split.Blocks(6, 8, 10)
    assert split.late_labels(times + 3, times, blocks) == {"train": 2, "validation": 2}


def test_classes_keep_the_type_of_the_labels() -> None:
    assert targets.classes_of([True, False, True], BINARY) == (False, True)
    assert targets.classes_of([3, 1, 2], TargetType.MULTICLASS) == (1, 2, 3)
    assert targets.unified([True, 0], BINARY) == [1, 0]
    with pytest.raises(RunError, match="mix int and str"):
        targets.unified([1, "1"], TargetType.MULTICLASS)
    with pytest.raises(RunError, match="All 3 rows"):
        targets.classes_of([True] * 3, BINARY)


def test_preparation_fills_with_the_median_and_flags_what_was_missing() -> None:
    numeric = np.array([[1, 5], [np.nan, 5], [3, 5], [8, 5]], np.float32)
    found = learn({"numeric": numeric}, impute=True, standardise=True)
    prepared = found.apply({"numeric": numeric})
    assert found.fill is not None
    assert found.fill.tolist() == [3, 5]
    assert found.flagged == (0,)
    assert prepared[:, 2].tolist() == [0, 1, 0, 0]
    assert prepared[:, 1].tolist() == [0, 0, 0, 0]  # a constant column
