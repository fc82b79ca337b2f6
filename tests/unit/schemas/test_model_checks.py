"""Definitions of the right shape that can never work are refused, with the path and what would be right."""

from typing import Any

import pytest
from machine_definitions import machines, model

from schemas.definitions.cross_checks import cross_check
from schemas.definitions.model_checks import model_problems
from schemas.definitions.parameters import Parameter

HIST = "HistGradientBoostingClassifier"


def problems(target: str = "binary", /, **spec: Any) -> list[tuple[str, str]]:
    return [(each.path, each.message) for each in model_problems(model(target, **spec))]


@pytest.mark.parametrize(
    ("target", "spec"),
    [
        ("binary", {"recipe": {"estimator": HIST, "parameters": {"max_iter": 60, "learning_rate": 1}}}),
        ("binary", {"recipe": {"estimator": "MLPClassifier", "parameters": {"hidden_layer_sizes": [16, 8]}}}),
        ("multiclass", {"recipe": {"estimator": HIST, "search": {"max_depth": [None, 3], "max_iter": [20, 50]}}}),
        ("regression", {"recipe": {"estimator": "Ridge", "parameters": {"alpha": 0.5, "max_iter": None}}}),
        ("regression", {"recipe": {"estimator": "acme.Boosted", "parameters": {"anything": "goes"}}}),
        ("binary", {"gates": [{"metric": "latency_ms", "max": 5}, {"metric": "roc_auc", "min": 1.0}]}),
        ("binary", {"gates": [{"metric": "demographic_parity_gap", "group": "site", "max": 0.1}]}),
        ("regression", {"gates": [{"metric": "rmse", "group": "site", "max": 4}, {"metric": "bias", "min": -2}]}),
        ("binary", {"retraining": {"on": ["kpi"]}, "kpis": [{"name": "n", "expression": "count(*)", "min": 1}], "recipe": {"estimator": HIST}}),
    ],
)  # fmt: skip
def test_what_can_work_has_no_problem(target: str, spec: dict[str, Any]) -> None:
    assert problems(target, **spec) == []


@pytest.mark.parametrize(
    ("target", "spec", "path", "said"),
    [
        ("binary", {"recipe": {"estimator": "XGBClassifier"}}, "recipe.estimator", "no estimator 'XGBClassifier'; for a binary target there are AdaBoostClassifier, "),
        ("binary", {"recipe": {"estimator": "LogisticRegresion"}}, "recipe.estimator", "did you mean LogisticRegression?"),
        ("binary", {"recipe": {"estimator": "Ridge"}}, "recipe.estimator", "Ridge cannot learn a binary target; choose one of AdaBoost"),
        ("regression", {"recipe": {"estimator": HIST}}, "recipe.estimator", "cannot learn a regression target"),
        ("binary", {"recipe": {"estimator": HIST, "parameters": {"bogus": 1}}}, "recipe.parameters.bogus", "there are class_weight, early_stopping,"),
        ("binary", {"recipe": {"estimator": HIST, "parameters": {"max_iters": 1}}}, "recipe.parameters.max_iters", "did you mean max_iter?"),
        ("binary", {"recipe": {"estimator": HIST, "parameters": {"max_iter": 0}}}, "recipe.parameters.max_iter", "must be a whole number from 1, observed '0'"),
        ("binary", {"recipe": {"estimator": HIST, "parameters": {"max_iter": "many"}}}, "recipe.parameters.max_iter", "observed 'many'"),
        ("binary", {"recipe": {"estimator": HIST, "parameters": {"random_state": 1}}}, "recipe.parameters.random_state", "no parameter 'random_state'"),
        ("binary", {"recipe": {"estimator": HIST, "parameters": {"categorical_features": [1]}}}, "recipe.parameters.categorical_features", "one-hot columns inside the ONNX graph"),
        ("regression", {"recipe": {"estimator": "MLPRegressor", "parameters": {"loss": "poisson"}}}, "recipe.parameters.loss", "must be squared_error"),
        ("binary", {"recipe": {"estimator": HIST, "search": {"max_iter": [10, -1]}}}, "recipe.search.max_iter", "observed '-1'"),
        ("binary", {"recipe": {"estimator": HIST, "search": {"max_iter": []}}}, "recipe.search.max_iter", "names no value"),
        ("binary", {"recipe": {"estimator": HIST, "search": {"max_iter": list(range(1, 70))}}}, "recipe.search", "69 combinations; at most 64"),
        ("binary", {"gates": [{"metric": "auc_roc", "min": 0.7}]}, "gates[0].metric", "did you mean roc_auc?"),
        ("regression", {"gates": [{"metric": "roc_auc", "min": 0.7}]}, "gates[0].metric", "a regression target has no metric 'roc_auc'; there are rmse, mae"),
        ("binary", {"gates": [{"metric": "accuracy_gap", "max": 0.1}]}, "gates[0].metric", "compares groups: add group"),
        ("binary", {"gates": [{"metric": "latency_ms", "group": "site", "max": 1}]}, "gates[0].metric", "is not measured by group"),
        ("binary", {"gates": [{"metric": "roc_auc", "min": 70}]}, "gates[0].min", "never above 1, so no version could pass"),
        ("binary", {"gates": [{"metric": "brier", "max": -0.1}]}, "gates[0].max", "never below 0, so no version could pass"),
        ("binary", {"recipe": {"estimator": HIST}, "retraining": {"on": ["drift", "kpi"]}}, "retraining.on[1]", "no KPI of this model has a min or max"),
        ("binary", {"recipe": {"estimator": HIST}, "retraining": {"schedule": "0d"}}, "retraining.schedule", "like 30d"),
        ("binary", {"recipe": {"estimator": HIST}, "dataset": {"window": "3d"}, "target": {"name": "broke", "type": "binary", "label": {"expected": "7d", "timeout": "9d"}}}, "dataset.window", "no longer than target.label.expected (1w)"),
    ],
)  # fmt: skip
def test_what_can_never_work_is_refused_with_its_path_and_what_would_be_right(
    target: str, spec: dict[str, Any], path: str, said: str
) -> None:
    found = problems(target, **spec)
    assert [each for each, _ in found] == [f"spec.{path}"]
    assert said in found[0][1], found[0][1]


def test_every_problem_of_a_model_is_told_at_once() -> None:
    recipe = {"estimator": HIST, "parameters": {"bogus": 1, "max_iter": -1}}
    gates = [{"metric": "auc_roc", "min": 1}, {"metric": "gap", "group": "site", "max": 1}]
    assert [path for path, _ in problems(recipe=recipe, gates=gates)] == [
        "spec.recipe.parameters.bogus",
        "spec.recipe.parameters.max_iter",
        "spec.gates[0].metric",
        "spec.gates[1].metric",
    ]


def test_free_text_is_nothing_to_learn_from(features: list[dict[str, Any]]) -> None:
    recipe = {"estimator": HIST}
    named = cross_check(model(recipe=recipe, features=["load", "serial"]), machines(features))
    assert [(each.path, each.message) for each in named] == [
        ("spec.features[1]", "'serial' is free text, which no estimator can learn from")
    ]
    assert cross_check(model(recipe=recipe), machines(features)) == []
    alone = cross_check(model(recipe=recipe), machines([{"name": "serial", "dtype": "string"}]))
    assert [each.message for each in alone] == [
        "machines@1 has no number, bool or category for it, so there is nothing to learn from"
    ]


@pytest.mark.parametrize(
    ("notation", "accepted", "refused"),
    [
        ("int [1, 5)", [1, 4], [0, 5, 1.0, True, "1", None]),
        ("number (0, 1]", [0.5, 1, 1.0], [0, 1.1, True, float("nan"), float("inf")]),
        ("fraction (0, 1]", [0.5, 1.0], [1, 0.0]),
        ("bool | null", [True, None], [0, 1, "true"]),
        ("'a' | 'b'", ["a", "b"], ["c", "'a'", None]),
        ("list of int [1, inf)", [[1], [2, 3]], [[], [0], 1, "12"]),
    ],
)
def test_a_notation_accepts_what_it_says(notation: str, accepted: list[Any], refused: list[Any]) -> None:
    parameter = Parameter(notation)
    assert [value for value in [*accepted, *refused] if parameter.accepts(value)] == accepted
