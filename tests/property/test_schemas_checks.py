import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.checks import compile_checker
from schemas.definitions import FeatureSet
from schemas.events.training import ModelInput
from schemas.feature_columns import ABSENT, ColumnCheck
from schemas.model_inputs import assemble
from schemas.reasons import Reason

FEATURES: list[dict[str, Any]] = [
    {"name": "kind", "dtype": "category", "categories": ["a", "b", "c"]},
    {"name": "site", "dtype": "category", "categories": ["x", "y"], "unseen": "allow", "nullable": True},
    {"name": "small", "dtype": "float32", "range": [-1000, 1000.1], "nullable": True},
    {"name": "wide", "dtype": "float64"},
    {"name": "count", "dtype": "int64", "range": [-5, 2**40]},
    {"name": "flag", "dtype": "bool", "nullable": True},
    {"name": "text", "dtype": "string", "pattern": "[a-z]*", "nullable": True},
    {"name": "ratio", "dtype": "float64", "nullable": True, "expression": "wide / count"},
    {"name": "number", "dtype": "int64", "nullable": True, "expression": "cast(wide as int)"},
    {"name": "known", "dtype": "bool", "expression": "site is not null"},
]
RULES = [
    {"name": "small-counts", "expression": "small < 500 or count > 0"},
    {"name": "flags", "expression": "flag or kind <> 'c'"},
]
SET = FeatureSet.model_validate(
    {
        "metadata": {"name": "things", "owner": "tests", "description": "Things"},
        "spec": {"version": "1.0.0", "entity": "thing", "features": FEATURES, "rules": RULES},
    }
)
CHECKER = compile_checker(SET)
COLUMNS = [ColumnCheck(feature) for feature in SET.spec.features]

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.text(st.characters(), max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from("abc"),
    "site": st.sampled_from(["x", "y", "z", None]),
    "small": st.none() | st.floats(-1000, 1000) | st.integers(-1000, 1000),
    "wide": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "count": st.integers(-5, 100) | st.integers(0, 2**40),
    "flag": st.booleans() | st.none(),
    "text": st.none() | st.from_regex(r"[a-z]{0,4}", fullmatch=True),
}
ROW = st.fixed_dictionaries(GOOD)
MIXED = st.fixed_dictionaries({name: good | ANYTHING for name, good in GOOD.items()}) | st.dictionaries(
    st.sampled_from([*GOOD, "ratio", "more"]), ANYTHING
)
ROWS = st.lists(ROW | ROW | MIXED, min_size=1, max_size=12)


def judged(rows: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    checked = CHECKER.check(rows)
    assert len(checked.features) == len(checked.reasons) == len(rows)
    return list(zip(map(repr, checked.features), checked.reasons, strict=True))


@given(st.lists(st.dictionaries(st.text(max_size=6), ANYTHING) | MIXED, max_size=8))
def test_the_checker_judges_anything_without_failing(rows: list[dict[str, Any]]) -> None:
    checked = CHECKER.check(rows)
    for features, reasons in zip(checked.features, checked.reasons, strict=True):
        assert (features is None) == bool(reasons)
        json.dumps(features, allow_nan=False)
        for each in reasons:
            each.model_dump_json()


@given(ROWS, st.randoms(use_true_random=False))
def test_what_is_said_of_a_row_does_not_depend_on_the_order(rows: list[dict[str, Any]], random: Any) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    assert judged([rows[i] for i in order]) == [judged(rows)[i] for i in order]


@given(ROWS, st.integers(0, 12))
def test_what_is_said_of_a_row_does_not_depend_on_the_batch(rows: list[dict[str, Any]], cut: int) -> None:
    assert judged(rows[:cut] or rows) + (judged(rows[cut:]) if 0 < cut < len(rows) else []) == judged(rows)
    assert [judged([row])[0] for row in rows] == judged(rows)


@given(st.lists(ROW, min_size=1, max_size=8))
def test_the_canonical_form_is_its_own_canonical_form(rows: list[dict[str, Any]]) -> None:
    once = [features for features in CHECKER.check(rows).features if features is not None]
    sent = [{name: value for name, value in features.items() if name in GOOD} for features in once]
    assert repr(CHECKER.check(sent).features) == repr(once)
    over_the_wire = json.loads(json.dumps(sent))
    assert repr(CHECKER.check(over_the_wire).features) == repr(once)


@given(st.sampled_from(COLUMNS), st.lists(ANYTHING | st.just(ABSENT), min_size=1, max_size=6), st.data())
def test_a_column_is_judged_as_its_values_are(check: ColumnCheck, values: list[Any], data: st.DataObject) -> None:
    good = GOOD.get(check.feature.name)
    if good is not None:
        values = data.draw(st.lists(good, min_size=1, max_size=6)) + (values if data.draw(st.booleans()) else [])
    column = check.check(values)
    for row, value in enumerate(values):
        alone = check.judge(value)
        if isinstance(alone, Reason):
            assert column.faults[row] == alone
            assert column.values[row] is None
        else:
            assert row not in column.faults
            assert repr(column.values[row]) == repr(alone)


@given(st.lists(ROW, max_size=8))
@settings(max_examples=50)
def test_what_the_checker_accepts_can_be_given_to_a_model(rows: list[dict[str, Any]]) -> None:
    accepted = [features for features in CHECKER.check(rows).features if features is not None]
    inputs = [
        ModelInput(name="n", kind="numeric", features=("small", "wide", "count", "flag", "ratio", "known")),
        ModelInput(name="c", kind="categorical", features=("kind", "site")),
        ModelInput(name="s", kind="string", features=("text", "site")),
    ]
    arrays = assemble(inputs, SET, accepted)
    assert [arrays[name].shape for name in "ncs"] == [(len(accepted), 6), (len(accepted), 2), (len(accepted), 2)]
    assert all(math.isnan(arrays["n"][row, 0]) == (features["small"] is None) for row, features in enumerate(accepted))
