from typing import Any

import pytest
from machine_definitions import machines, model

from schemas.definitions.cross_checks import compatibility, compile_problems, cross_check

Features = list[dict[str, Any]]


def paths(made_of: Features, target: str = "binary", /, **spec: Any) -> list[str]:
    return [problem.path for problem in cross_check(model(target, **spec), machines(made_of))]


def test_a_model_that_fits_its_feature_set_has_no_problem(features: Features) -> None:
    assert not paths(
        features,
        features=["kind", "load"],
        gates=[{"metric": "parity_gap", "group": "site", "max": 0.1}],
        monitoring={"window": {"every": "1d", "lateness": "1h"}, "groups": ["guarded"]},
        kpis=[{"name": "warned", "expression": "avg(cast(score > 0.5 and label as int))"}],
    )


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"featureSet": "machines@2"}, "spec.featureSet"),
        ({"features": ["load", "colour"]}, "spec.features[1]"),
        ({"target": {"name": "load", "type": "binary"}}, "spec.target.name"),
        ({"gates": [{"metric": "gap", "group": "load", "max": 0.1}]}, "spec.gates[0].group"),
        ({"monitoring": {"groups": ["kind", "colour"]}}, "spec.monitoring.groups[1]"),
        ({"monitoring": {"groups": ["serial"]}}, "spec.monitoring.groups[0]"),
        ({"monitoring": {"window": {"every": "1d", "lateness": "4d"}}}, "spec.monitoring.window.lateness"),
        ({"kpis": [{"name": "k", "expression": "avg(value)"}]}, "spec.kpis[0].expression"),
        ({"kpis": [{"name": "k", "expression": "max(score)"}]}, "spec.kpis[0].expression"),
        ({"kpis": [{"name": "k", "expression": "avg(score)", "min": 2, "max": 1}]}, "spec.kpis[0].min"),
    ],
)
def test_a_model_that_does_not_fit_is_told_where(features: Features, spec: dict[str, Any], path: str) -> None:
    assert paths(features, **spec) == [path]


@pytest.mark.parametrize(
    ("target", "expression", "fits"),
    [
        ("regression", "avg(value) / count(*)", True),
        ("regression", "avg(score)", False),
        ("multiclass", "count(case when label = 'bad' then 1 end) / count(*)", True),
        ("multiclass", "count(case when label = 3 then 1 end) / count(*)", True),
        ("binary", "count(case when label = 1 then 1 end)", True),
        ("binary", "sum(cast(label as int) * load)", True),
    ],
)
def test_a_kpi_reads_the_outputs_of_its_target_type(
    features: Features, target: str, expression: str, *, fits: bool
) -> None:
    assert (paths(features, target, kpis=[{"name": "k", "expression": expression}]) == []) is fits


def test_an_integer_beyond_float32_cannot_be_trained_on(features: Features) -> None:
    features[4]["range"] = [0, 2**24 + 1]
    recipe = {"estimator": "LogisticRegression"}
    assert paths(features, recipe=recipe) == ["spec.features"]
    assert paths(features, recipe=recipe, features=["load"]) == []
    assert paths(features) == []


def test_a_feature_set_that_does_not_compile_is_told_where(features: Features) -> None:
    features[8]["expression"] = "load >"
    assert [problem.path for problem in compile_problems(machines(features))] == ["spec.features[8].expression"]


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (0, {"categories": ["press", "drill", "lathe"]}),
        (2, {"range": [0, 200]}),
        (2, {"range": None}),
        (3, {"description": "share of the rated load"}),
        (6, {"pattern": None}),
        (0, {"unseen": "allow"}),
    ],
)
def test_what_accepts_more_is_compatible(features: Features, position: int, change: dict[str, Any]) -> None:
    old = machines(features)
    features[position].update(change)
    assert compatibility(old, machines(features, "1.1.0")) == []


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (0, {"categories": ["drill", "press"]}),
        (0, {"categories": ["press"]}),
        (1, {"unseen": "reject"}),
        (2, {"range": [1, 100]}),
        (2, {"nullable": False}),
        (3, {"nullable": True}),
        (3, {"range": [0, 1]}),
        (3, {"unit": "kW"}),
        (3, {"dtype": "float32"}),
        (3, {"name": "strain"}),
        (6, {"pattern": "[A-Z]{2}-[0-9]{3}"}),
        (8, {"expression": "load > 0.6"}),
        (8, {"expression": None}),
    ],
)
def test_what_refuses_more_or_means_something_else_is_breaking(
    features: Features, position: int, change: dict[str, Any]
) -> None:
    old = machines(features)
    features[position].update(change)
    assert compatibility(old, machines(features, "1.1.0"))


def test_only_derived_features_may_come(features: Features) -> None:
    old = machines(features)
    derived = machines([*features, {"name": "full", "dtype": "bool", "expression": "load > 1"}], "1.1.0")
    assert compatibility(old, derived) == []
    assert compatibility(old, machines([*features, {"name": "full", "dtype": "bool"}], "1.1.0"))


def test_rules_may_only_go(features: Features) -> None:
    rule = {"name": "loaded", "expression": "load > 0"}
    assert compatibility(machines(features, rules=[rule]), machines(features, "1.1.0")) == []
    assert compatibility(machines(features), machines(features, "1.1.0", rules=[rule]))
    assert compatibility(
        machines(features, rules=[rule]), machines(features, "1.1.0", rules=[{**rule, "expression": "load > 1"}])
    )


def test_other_content_needs_a_higher_version(features: Features) -> None:
    old = machines(features)
    assert compatibility(old, old) == []
    features[3]["description"] = "share of the rated load"
    assert compatibility(old, machines(features))
    assert compatibility(machines(features, "1.2.0"), machines(features, "1.1.9"))
    assert compatibility(old, machines(features, "2.0.0"))
