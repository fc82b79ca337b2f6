"""Permutation importance: what the artifact's loss hangs on, and nothing else."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from schemas.definitions import TargetType
from schemas.events.training import ModelInput, ReferenceProfile
from services.training.importance import MOST_CELLS, MOST_ROWS, importances

INPUTS = (
    ModelInput(name="numeric", kind="numeric", features=("strong", "weak", "idle")),
    ModelInput(name="city", kind="categorical", features=("city",), rank=1),
)
Arrays = Mapping[str, Any]


def world(rows: int = 4000) -> tuple[Arrays, Any]:
    random = np.random.default_rng(5)
    arrays = {"numeric": random.normal(size=(rows, 3)).astype(np.float32), "city": random.integers(0, 3, size=rows)}
    return arrays, (random.random(rows) < score(arrays)[:, 1]).astype(np.int64)


def score(arrays: Arrays) -> Any:
    numeric = arrays["numeric"].astype(np.float64)
    positive = 1 / (1 + np.exp(-2 * numeric[:, 0] - 0.5 * numeric[:, 1] - (arrays["city"] == 1)))
    return np.stack([1 - positive, positive], axis=1)


def found(rows: int = 4000, seed: int = 7) -> dict[str, float]:
    arrays, truth = world(rows)
    return importances(score, INPUTS, arrays, truth, TargetType.BINARY, seed)


def test_features_are_ordered_by_what_the_model_loses_without_them_and_an_unused_one_has_nothing() -> None:
    shares = found()
    assert shares["strong"] > 0.7 > shares["weak"] > 0.02
    assert shares["city"] > 0.02
    assert shares["idle"] == 0.0
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)


def test_the_same_rows_and_seed_give_the_same_numbers() -> None:
    assert found() == found()


def test_the_arrays_that_are_scored_stay_as_they_were() -> None:
    arrays, truth = world()
    before = {name: array.copy() for name, array in arrays.items()}
    importances(score, INPUTS, arrays, truth, TargetType.BINARY, 7)
    assert all(np.array_equal(before[name], array) for name, array in arrays.items())


def test_a_regression_is_measured_by_its_squared_error() -> None:
    arrays, _ = world()
    values = 3.0 * arrays["numeric"][:, 0].astype(np.float64)
    shares = importances(
        lambda held: 3.0 * held["numeric"][:, 0].astype(np.float64), INPUTS, arrays, values, TargetType.REGRESSION, 7
    )
    assert shares == {"strong": 1.0, "weak": 0.0, "idle": 0.0, "city": 0.0}


def test_a_model_that_uses_nothing_and_too_few_rows_have_no_importance() -> None:
    arrays, truth = world()
    constant = np.full((len(truth), 2), 0.5)
    assert importances(lambda held: constant[: len(held["city"])], INPUTS, arrays, truth, TargetType.BINARY, 7) == {}
    assert found(rows=49) == {}


@pytest.mark.parametrize(
    ("rows", "features", "expected"), [(100_000, 4, MOST_ROWS), (100_000, 1000, MOST_CELLS // 1000)]
)
def test_scored_rows_are_bounded_whatever_the_test_block_and_the_number_of_features(
    rows: int, features: int, expected: int
) -> None:
    names = tuple(f"f{place}" for place in range(features))
    seen: list[int] = []

    def counted(held: Arrays) -> Any:
        seen.append(len(held["x"]))
        return np.zeros(len(held["x"]))

    arrays = {"x": np.zeros((rows, features), np.float32)}
    importances(
        counted,
        [ModelInput(name="x", kind="numeric", features=names)],
        arrays,
        np.zeros(rows),
        TargetType.REGRESSION,
        7,
    )
    assert set(seen) == {expected}


def test_what_chance_alone_shows_is_no_importance() -> None:
    arrays, _ = world()
    unrelated = np.random.default_rng(8).integers(0, 2, size=4000)
    assert importances(score, INPUTS, arrays, unrelated, TargetType.BINARY, 7) == {}


def test_a_regression_that_a_permuted_row_sends_to_infinity_has_no_importance_and_a_candidate_can_carry_that() -> None:
    arrays, _ = world()
    twins = {**arrays, "numeric": arrays["numeric"][:, [0, 0, 2]]}

    def steep(held: Arrays) -> Any:
        return np.exp(4000 * (held["numeric"][:, 0] - held["numeric"][:, 1]).astype(np.float64))

    assert np.array_equal(steep(twins), np.ones(4000))
    found = importances(steep, INPUTS, twins, np.ones(4000), TargetType.REGRESSION, 7)
    assert found == {}
    ReferenceProfile(rows=1, features={}, importance=found)


@pytest.mark.parametrize("share", [float("nan"), float("inf"), -0.5, 1.5])
def test_a_candidate_with_an_impossible_importance_is_refused(share: float) -> None:
    with pytest.raises(ValidationError, match="importance"):
        ReferenceProfile(rows=1, features={}, importance={"a": share})
