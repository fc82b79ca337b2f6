import numpy as np
import pytest

from schemas.definitions import Feature
from schemas.events.training import CategoricalReference, NumericReference
from schemas.reference import MAX_VALUES, count, counts_of, describe, describe_numbers


def feature(dtype: str, **more: object) -> Feature:
    return Feature.model_validate({"name": "f", "dtype": dtype, **more})


def test_bins_of_numbers_hold_about_equal_shares() -> None:
    reference = describe(feature("float64"), [*range(1000), None, None])
    assert isinstance(reference, NumericReference)
    assert (len(reference.counts), reference.missing) == (20, 2)
    assert min(reference.counts) >= 49
    assert max(reference.counts) <= 51
    assert reference.mean == pytest.approx(499.5)
    assert reference.sd == pytest.approx(np.arange(1000).std())


@pytest.mark.parametrize("values", [[5.0] * 100, [0.0] * 90 + [1.0] * 10, [1, 2, 3], [7], [-1e300, 1e300], [0.0, -0.0]])
def test_repeated_values_make_fewer_bins_and_every_value_is_counted(values: list[float]) -> None:
    reference = describe_numbers(np.array(values))
    assert sum(reference.counts) == len(values)
    assert all(reference.counts)
    assert list(reference.edges) == sorted(set(reference.edges))


def test_nothing_at_all_can_be_described() -> None:
    reference = describe(feature("float32"), [None, None])
    assert counts_of(reference).tolist() == [0, 2]
    assert count(reference, [1.0, None]).tolist() == [1, 1]


def test_a_value_on_an_edge_belongs_to_the_bin_above() -> None:
    reference = NumericReference(edges=(1.0, 2.0), counts=(1, 1, 1), missing=0, mean=0, sd=0)
    assert count(reference, [0.9, 1.0, 1.9, 2.0, 9.0, None, float("nan")]).tolist() == [1, 2, 2, 2]


@pytest.mark.parametrize(
    ("described", "values", "later", "expected"),
    [
        (
            feature("category", categories=["b", "a", "c"]),
            ["a", "b", "b", "x", None],
            ["c", "c", "y", None],
            [0, 0, 2, 1, 1],
        ),
        (feature("bool"), [True, False, True, None], [True, True], [0, 2, 0, 0]),
        (feature("string"), ["x", "y", "x"], ["y", "z", None], [0, 1, 1, 1]),
    ],
)
def test_later_values_are_counted_in_the_reference_order(
    described: Feature, values: list[object], later: list[object], expected: list[int]
) -> None:
    reference = describe(described, values)
    assert isinstance(reference, CategoricalReference)
    assert count(reference, later).tolist() == expected


def test_a_category_keeps_its_declared_order_and_counts_of_zero() -> None:
    reference = describe(feature("category", categories=["b", "a", "c"]), ["a", "x"])
    assert reference == CategoricalReference(counts={"b": 0, "a": 1, "c": 0}, missing=0, unseen=1)


def test_a_string_keeps_its_most_frequent_values_alone() -> None:
    values = [f"v{i}" for i in range(MAX_VALUES + 5)] + ["v3"]
    reference = describe(feature("string"), values)
    assert isinstance(reference, CategoricalReference)
    assert (len(reference.counts), reference.unseen, reference.counts["v3"]) == (MAX_VALUES, 5, 2)


@pytest.mark.parametrize("described", [feature("float64"), feature("bool"), feature("string")])
def test_counting_the_reference_values_gives_the_reference_counts(described: Feature) -> None:
    values: dict[str, list[object]] = {
        "float64": [1.5, 2.5, None, 2.5],
        "bool": [True, None],
        "string": ["a", "b", None],
    }
    reference = describe(described, values[described.dtype.value])
    assert count(reference, values[described.dtype.value]).tolist() == counts_of(reference).tolist()


@pytest.mark.parametrize("described", [feature("float64"), feature("category", categories=["a"])])
def test_no_values_are_counted_as_nothing(described: Feature) -> None:
    reference = describe(described, [])
    assert count(reference, []).sum() == 0
