from typing import Any

import numpy as np
import pytest
from machine_definitions import machines

from schemas.checks import compile_checker
from schemas.definitions import DefinitionError
from schemas.derived_texts import DERIVED_TEXT_BYTES
from schemas.reasons import MASK, MAX_REASONS, Rule

Features = list[dict[str, Any]]
Row = dict[str, Any]


def faults(features: Features, row: Row, **spec: Any) -> list[tuple[str, str]]:
    (found,) = compile_checker(machines(features, **spec)).check([row]).reasons
    return [(each.field.removeprefix("features."), each.rule) for each in found]


def test_an_accepted_row_comes_back_typed_in_definition_order_with_derived_features(
    features: Features, row: Row
) -> None:
    backwards = dict(reversed({**row, "load": 3, "speed": 0.1}.items()))
    (accepted,) = compile_checker(machines(features)).check([backwards]).features
    assert accepted is not None
    assert list(accepted) == [feature["name"] for feature in features]
    assert accepted["speed"] == float(np.float32(0.1))
    assert (accepted["load"], type(accepted["load"])) == (3.0, float)
    assert accepted["busy"] is True
    assert accepted["work"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cycles": 1.0}, ("cycles", Rule.TYPE)),
        ({"cycles": "1"}, ("cycles", Rule.TYPE)),
        ({"cycles": True}, ("cycles", Rule.TYPE)),
        ({"load": False}, ("load", Rule.TYPE)),
        ({"load": "0.5"}, ("load", Rule.TYPE)),
        ({"load": [0.5]}, ("load", Rule.TYPE)),
        ({"load": None}, ("load", Rule.NULL)),
        ({"load": 2**53 + 1}, ("load", Rule.NUMBER_TOO_LARGE)),
        ({"load": -(10**400)}, ("load", Rule.NUMBER_TOO_LARGE)),
        ({"load": float("nan")}, ("load", Rule.NOT_FINITE)),
        ({"load": float("-inf")}, ("load", Rule.NOT_FINITE)),
        ({"speed": 1e39}, ("speed", Rule.NUMBER_TOO_LARGE)),
        ({"speed": 2**24 + 1}, ("speed", Rule.NUMBER_TOO_LARGE)),
        ({"speed": 0.09}, ("speed", Rule.RANGE)),
        ({"speed": 100.2}, ("speed", Rule.RANGE)),
        ({"cycles": -1}, ("cycles", Rule.RANGE)),
        ({"cycles": 2**70}, ("cycles", Rule.NUMBER_TOO_LARGE)),
        ({"guarded": 1}, ("guarded", Rule.TYPE)),
        ({"guarded": "true"}, ("guarded", Rule.TYPE)),
        ({"kind": "lathe"}, ("kind", Rule.CATEGORY)),
        ({"kind": "press "}, ("kind", Rule.CATEGORY)),
        ({"kind": 1}, ("kind", Rule.TYPE)),
        ({"site": "\ud800"}, ("site", Rule.LONE_SURROGATE)),
        ({"serial": "AB-1\n"}, ("serial", Rule.PATTERN)),
        ({"serial": "xAB-1"}, ("serial", Rule.PATTERN)),
        ({"work": 1.0}, ("work", Rule.EXTRA_FIELD)),
        ({"Load": 1.0}, ("Load", Rule.EXTRA_FIELD)),
    ],
)
def test_a_bad_value_breaks_the_rule_that_fits(
    features: Features, row: Row, change: Row, fault: tuple[str, Rule]
) -> None:
    assert faults(features, {**row, **change}) == [fault]


@pytest.mark.parametrize(
    "change",
    [
        {"speed": None},
        {"site": "north"},
        {"speed": 0.1},
        {"speed": 100.1},
        {"load": 2**53},
        {"load": -0.0},
        {"cycles": 0},
    ],
)
def test_values_at_the_edge_are_accepted(features: Features, row: Row, change: Row) -> None:
    assert faults(features, {**row, **change}) == []


@pytest.mark.parametrize("name", ["kind", "speed", "serial"])
def test_a_feature_that_is_absent_is_missing_even_if_it_may_be_null(features: Features, row: Row, name: str) -> None:
    del row[name]
    assert faults(features, row) == [(name, Rule.MISSING_FEATURE)]


def test_every_fault_of_a_row_is_given(features: Features, row: Row) -> None:
    found = faults(features, {**row, "kind": "lathe", "cycles": -1, "serial": 5, "extra": 1})
    assert found == [
        ("kind", Rule.CATEGORY),
        ("cycles", Rule.RANGE),
        ("serial", Rule.TYPE),
        ("extra", Rule.EXTRA_FIELD),
    ]


def test_a_refused_row_does_not_touch_its_neighbours(features: Features, row: Row) -> None:
    checked = compile_checker(machines(features)).check([row, {**row, "cycles": "x"}, row])
    assert [each is None for each in checked.features] == [False, True, False]
    assert checked.features[0] == checked.features[2]
    assert checked.reasons[0] == checked.reasons[2] == ()


def test_no_rows_give_no_answers(features: Features) -> None:
    checked = compile_checker(machines(features)).check([])
    assert (checked.features, checked.reasons) == ([], [])


def test_a_personal_value_is_masked_in_every_reason(features: Features, row: Row) -> None:
    rules = [{"name": "serial-is-old", "expression": "serial < 'AA'"}]
    checked = compile_checker(machines(features, rules=rules)).check(
        [{**row, "serial": "secret"}, row, {**row, "serial": 7}]
    )
    observed = [each.observed for found in checked.reasons for each in found]
    assert observed == [MASK, f"serial={MASK}", MASK]


def test_the_value_of_a_feature_that_does_not_exist_is_not_repeated(features: Features, row: Row) -> None:
    (found,) = compile_checker(machines(features)).check([{**row, "serail": "AB-77"}]).reasons
    assert "AB-77" not in repr(found)


def test_thousands_of_foreign_fields_give_a_bounded_answer(features: Features, row: Row) -> None:
    assert len(faults(features, {**row, **{f"x{i}": 0 for i in range(5000)}})) == MAX_REASONS


@pytest.mark.parametrize(("speed", "refused"), [(10.0, True), (1.0, False), (None, False)])
def test_a_rule_refuses_what_is_false_and_passes_null(
    features: Features, row: Row, speed: float | None, *, refused: bool
) -> None:
    found = faults(features, {**row, "speed": speed}, rules=[{"name": "slow", "expression": "speed < 5"}])
    assert found == ([("features", Rule.CROSS_FIELD)] if refused else [])


def test_a_rule_says_what_it_saw(features: Features, row: Row) -> None:
    rules = [{"name": "slow-presses", "expression": "kind <> 'press' or speed < 1"}]
    (found,) = compile_checker(machines(features, rules=rules)).check([row]).reasons
    assert found[0].expected == "slow-presses: kind <> 'press' or speed < 1"
    assert found[0].observed == 'kind="press", speed=2.5'


def test_a_rule_is_silent_where_one_of_its_fields_is_faulty_already(features: Features, row: Row) -> None:
    rules = [{"name": "known", "expression": "speed is not null and cycles > 5"}]
    assert faults(features, {**row, "speed": "x"}, rules=rules) == [("speed", Rule.TYPE)]


def test_a_rule_sees_derived_features(features: Features, row: Row) -> None:
    assert faults(features, row, rules=[{"name": "idle", "expression": "not busy"}]) == [("features", Rule.CROSS_FIELD)]


def test_a_rule_that_cannot_be_computed_for_a_row_refuses_that_row_alone(features: Features, row: Row) -> None:
    rules = [{"name": "numbered", "expression": "cast(substr(serial, 4) as int) > 0"}]
    checked = compile_checker(machines(features, rules=rules)).check(
        [row, {**row, "serial": "AB-99999999999999999999"}, row]
    )
    assert [len(found) for found in checked.reasons] == [0, 1, 0]


@pytest.mark.parametrize(
    ("derived", "row_change"),
    [
        ({"dtype": "float64", "expression": "1 / load"}, {"load": 0.0}),
        ({"dtype": "float32", "expression": "exp(load)"}, {"load": 200.0}),
        ({"dtype": "float64", "expression": "load + 1", "range": [0, 1]}, {}),
        ({"dtype": "category", "expression": "concat(kind, site)", "categories": ["presswest"]}, {}),
        ({"dtype": "bool", "expression": "speed > 1"}, {"speed": None}),
        ({"dtype": "int64", "expression": "cast(load as int)", "nullable": True}, {"load": 1e300}),
        ({"dtype": "string", "expression": "lower(kind)", "pattern": "[A-Z]+"}, {}),
    ],
)
def test_a_derived_value_that_its_own_feature_refuses_is_a_derivation_fault(
    features: Features, row: Row, derived: dict[str, Any], row_change: Row
) -> None:
    features.append({"name": "extra", **derived})
    assert faults(features, {**row, **row_change}) == [("extra", Rule.DERIVATION)]


def test_a_derived_feature_is_null_where_it_may_be(features: Features, row: Row) -> None:
    (accepted,) = compile_checker(machines(features)).check([{**row, "speed": None}]).features
    assert accepted is not None
    assert accepted["work"] is None


def test_a_derived_feature_may_build_on_one_above_it(features: Features, row: Row) -> None:
    features.append({"name": "idle", "dtype": "bool", "expression": "not busy"})
    (accepted,) = compile_checker(machines(features)).check([row]).features
    assert accepted is not None
    assert accepted["idle"] is False


def test_the_derived_texts_of_a_record_are_bounded_together_and_nothing_is_computed_from_those_that_are_not(
    features: Features, row: Row
) -> None:
    features += [
        {"name": "twice", "dtype": "string", "expression": "concat(site, site)"},
        {"name": "fourfold", "dtype": "string", "expression": "concat(twice, twice)"},
        {"name": "eightfold", "dtype": "string", "expression": "concat(fourfold, fourfold)"},
    ]
    checker = compile_checker(machines(features))
    fits, grows = (
        {**row, "site": "x" * (DERIVED_TEXT_BYTES // 14 - 2)},
        {**row, "site": "x" * (DERIVED_TEXT_BYTES // 4)},
    )
    accepted, refused = checker.check([fits, grows]).reasons
    assert accepted == ()
    assert [(each.field, each.rule) for each in refused] == [("features.fourfold", Rule.OUTPUT_TOO_LARGE)]
    assert "x" * 9 not in refused[0].model_dump_json()


@pytest.mark.parametrize(
    ("feature", "path"),
    [
        ({"dtype": "bool", "expression": "colour = 'red'"}, "spec.features[9].expression"),
        ({"dtype": "bool", "expression": "later > 1"}, "spec.features[9].expression"),
        ({"dtype": "bool", "expression": "load + 1"}, "spec.features[9].expression"),
        ({"dtype": "int64", "expression": "load + 1"}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": "kind"}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": "avg(load)"}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": "load;"}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": "(select load)"}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": "read_csv('/etc/passwd')"}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": "random()"}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": ""}, "spec.features[9].expression"),
        ({"dtype": "float64", "expression": "1 +" * 400 + "1"}, "spec.features[9].expression"),
        ({"dtype": "string", "pattern": r"(a)\1"}, "spec.features[9].pattern"),
        ({"dtype": "string", "pattern": "a(?=b)"}, "spec.features[9].pattern"),
    ],
)
def test_a_feature_that_cannot_be_compiled_is_named_by_its_path(
    features: Features, feature: dict[str, Any], path: str
) -> None:
    features += [{"name": "extra", **feature}, {"name": "later", "dtype": "int64", "expression": "cycles"}]
    with pytest.raises(DefinitionError) as refused:
        compile_checker(machines(features))
    assert [problem.path for problem in refused.value.problems] == [path]


def test_every_bad_expression_is_reported_at_once(features: Features) -> None:
    rules = [
        {"name": "fine", "expression": "load > 0"},
        {"name": "number", "expression": "load + 1"},
        {"name": "unknown", "expression": "colour = 'red'"},
    ]
    features[7]["expression"] = "nothing"
    with pytest.raises(DefinitionError) as refused:
        compile_checker(machines(features, rules=rules))
    paths = [problem.path for problem in refused.value.problems]
    assert paths == ["spec.features[7].expression", "spec.rules[1].expression", "spec.rules[2].expression"]


def test_a_pattern_cannot_be_made_to_run_for_ever(features: Features, row: Row) -> None:
    features[6]["pattern"] = "(a+)+b"
    assert faults(features, {**row, "serial": "a" * 100_000}) == [("serial", Rule.PATTERN)]


def test_features_named_like_sql_words_can_be_used(features: Features, row: Row) -> None:
    features.append({"name": "left", "dtype": "int64"})
    features.append({"name": "order", "dtype": "int64"})
    rules = [{"name": "sides", "expression": 'left < "order"'}]
    assert faults(features, {**row, "left": 1, "order": 2}, rules=rules) == []
    assert faults(features, {**row, "left": 2, "order": 1}, rules=rules) == [("features", Rule.CROSS_FIELD)]


def test_a_value_computed_from_personal_data_is_masked(features: Features, row: Row) -> None:
    features.append({"name": "prefix", "dtype": "string", "expression": "left(serial, 2)", "pattern": "[a-z]+"})
    features.append({"name": "tail", "dtype": "category", "expression": "right(prefix, 1)", "categories": ["x"]})
    (found,) = compile_checker(machines(features)).check([row]).reasons
    assert [(each.field, each.observed) for each in found] == [("features.prefix", MASK)]
