from typing import Any

import numpy as np
import pytest
from machine_definitions import machines

from schemas.events.training import ModelInput
from schemas.model_inputs import MISSING, UNSEEN, assemble, problems

Features = list[dict[str, Any]]
ROWS: list[dict[str, Any]] = [
    {"kind": "drill", "site": "east", "speed": 2.5, "load": 1.0, "cycles": 3, "guarded": True, "serial": "A"},
    {"kind": "lathe", "site": None, "speed": None, "load": 2.0, "cycles": 4, "guarded": False, "serial": None},
    {},
]


def one(
    features: Features, kind: str, *names: str, rank: int = 2, rows: list[dict[str, Any]] = ROWS
) -> np.ndarray[Any, Any]:
    item = ModelInput.model_validate({"name": "x", "kind": kind, "features": names, "rank": rank})
    return assemble([item], machines(features), rows)["x"]


def test_numbers_are_float32_in_order_with_nan_for_missing(features: Features) -> None:
    found = one(features, "numeric", "cycles", "speed", "guarded")
    expected = np.array([[3, 2.5, 1], [4, np.nan, 0], [np.nan] * 3], dtype=np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_categories_are_codes_by_position_with_their_own_codes_for_missing_and_unseen(features: Features) -> None:
    found = one(features, "categorical", "kind", "site")
    assert found.dtype == np.int64
    assert found.tolist() == [[1, 0], [UNSEEN, MISSING], [MISSING, MISSING]]


def test_strings_are_objects_with_nothing_for_missing(features: Features) -> None:
    found = one(features, "string", "serial", "kind")
    assert found.dtype == object
    assert found.tolist() == [["A", "drill"], ["", "lathe"], ["", ""]]


def test_wide_numbers_keep_their_width(features: Features) -> None:
    assert one(features, "float64", "load").dtype == np.float64
    assert one(features, "int64", "cycles", "guarded", rows=ROWS[:2]).tolist() == [[3, 1], [4, 0]]


def test_an_integer_input_cannot_be_missing(features: Features) -> None:
    with pytest.raises(ValueError, match="'cycles' is missing in row 2"):
        one(features, "int64", "cycles")


@pytest.mark.parametrize(("kind", "name"), [("numeric", "load"), ("categorical", "kind"), ("string", "serial")])
def test_rank_one_is_a_flat_array(features: Features, kind: str, name: str) -> None:
    assert one(features, kind, name, rank=1).shape == (3,)


@pytest.mark.parametrize("kind", ["numeric", "float64"])
def test_no_rows_give_empty_arrays_of_the_right_width(features: Features, kind: str) -> None:
    assert one(features, kind, "load", "speed", rows=[]).shape == (0, 2)


@pytest.mark.parametrize(
    ("kind", "names", "rank", "count"),
    [
        ("numeric", ["load", "speed", "cycles", "guarded", "work", "busy"], 2, 0),
        ("categorical", ["kind", "site"], 2, 0),
        ("string", ["serial", "kind"], 2, 0),
        ("int64", ["cycles", "guarded"], 2, 0),
        ("numeric", ["kind"], 2, 1),
        ("categorical", ["serial"], 2, 1),
        ("string", ["load"], 2, 1),
        ("int64", ["load"], 2, 1),
        ("numeric", ["colour", "shape"], 2, 2),
        ("numeric", ["load", "speed"], 1, 1),
    ],
)
def test_inputs_that_cannot_be_filled_are_named(
    features: Features, kind: str, names: list[str], rank: int, count: int
) -> None:
    item = ModelInput.model_validate({"name": "x", "kind": kind, "features": names, "rank": rank})
    assert len(problems([item], machines(features))) == count


def test_two_inputs_of_one_name_are_a_problem(features: Features) -> None:
    item = ModelInput(name="x", kind="numeric", features=("load",))
    assert problems([item, item], machines(features)) == ["input 'x' is mapped twice"]


def test_a_nullable_or_huge_integer_is_a_problem_where_it_cannot_be_kept(features: Features) -> None:
    features[4].update(range=[0, 2**25], nullable=True)
    inputs = [ModelInput(name=kind, kind=kind, features=("cycles",)) for kind in ("numeric", "int64", "float64")]
    assert [text.split("'")[1] for text in problems(inputs, machines(features))] == ["numeric", "int64"]
