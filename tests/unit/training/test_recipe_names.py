"""What definitions may name (`schemas`) is what training can do, and the other way round."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints
from training_scene import end, filled, job, model, stream

from schemas.definitions import Recipe, TargetType
from schemas.definitions.estimators import ESTIMATORS
from schemas.definitions.metrics import GROUP_METRICS, METRICS, PROBED
from schemas.definitions.model_checks import model_problems
from schemas.events.contract import decode
from schemas.events.training import Candidate
from services.training import recipes
from services.training.recipes import WHITELIST, Estimator
from services.training.run import execute
from shared.clock import SystemClock

OURS = {"random_state", "n_jobs", "verbose", "warm_start", "copy_X", "n_iter_no_change"}
PAIRS = [(name, parameter) for name, contract in ESTIMATORS.items() for parameter in contract.parameters]
VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3, 255, 256, 1000, -0.5, 0.0, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 300.0),
    *(float("inf"), float("nan"), [], [3], [0.4, 0.6], ["a"], {}, {"a": 1}, "", "a word"),
]
# What scikit-learn takes and a definition may not say, each with its reason.
NOT_IN_A_DEFINITION = {
    "class_weight": "classes are numbers by then, and the keys of YAML are texts; only 'balanced' can work",
    "loss": "what skl2onnx does not convert",
    "priors": "shares alone, whose number scikit-learn checks against the classes when it fits",
    "alpha": "one for all outputs; there is one output",
    "precompute": "a Gram matrix is no value of a definition",
    "C": "infinity is no number of JSON",
    "scoring": "any text is a scorer's name, which scikit-learn looks up when it fits",
    "hidden_layer_sizes": "an empty list is no network",
}


def words_of(constraints: list[Any]) -> set[str]:
    """Every word that scikit-learn's constraints name, deprecated ones too."""
    found: set[str] = set()
    for each in constraints:
        inner = getattr(each, "constraint", each)
        found |= {word for word in getattr(inner, "options", ()) if isinstance(word, str)}
    return found


def takes(name: str, parameter: str, value: object) -> bool:
    """What scikit-learn says about one value."""
    cls = WHITELIST[name].load()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            validate_parameter_constraints(
                {parameter: cls._parameter_constraints[parameter]},
                {parameter: tuple(value) if isinstance(value, list) else value},
                caller_name=name,
            )
    except InvalidParameterError:
        return False
    return True


def test_the_estimators_of_the_contract_are_those_of_the_whitelist() -> None:
    assert set(ESTIMATORS) == set(WHITELIST)


@pytest.mark.parametrize("name", WHITELIST)
def test_every_parameter_of_an_estimator_is_open_closed_or_ours(name: str) -> None:
    contract, entry = ESTIMATORS[name], WHITELIST[name]
    known = set(entry.load()().get_params(deep=False))
    assert set(contract.parameters) | set(contract.closed) | (known & OURS) == known
    assert not set(contract.parameters) & (set(contract.closed) | OURS)
    assert (entry.targets, entry.closed) == (contract.targets, contract.closed)


@pytest.mark.parametrize("name", WHITELIST)
def test_the_defaults_of_training_are_values_that_a_definition_could_give(name: str) -> None:
    entry = WHITELIST[name]
    for parameter, value in entry.defaults.items():
        assert ESTIMATORS[name].parameters[parameter].accepts(value)
    for parameter, values in entry.refused.items():
        assert not any(ESTIMATORS[name].parameters[parameter].accepts(value) for value in values)


@pytest.mark.parametrize(("name", "parameter"), PAIRS)
def test_what_the_contract_accepts_scikit_learn_accepts_and_the_other_way_round(name: str, parameter: str) -> None:
    notation = ESTIMATORS[name].parameters[parameter]
    words = words_of(WHITELIST[name].load()._parameter_constraints[parameter])
    for value in [*VALUES, *sorted(words - {"deprecated"})]:
        accepted, taken = notation.accepts(value), takes(name, parameter, value)
        assert taken or not accepted, f"{parameter}: {value!r} is accepted, and scikit-learn refuses it"
        excused = parameter in NOT_IN_A_DEFINITION or isinstance(value, bool) or value == float("inf")
        assert accepted or not taken or excused, f"{parameter}: {value!r} is refused, and scikit-learn takes it"


@pytest.mark.parametrize("target", list(TargetType))
def test_the_metrics_of_the_contract_are_those_that_a_run_measures(tmp_path: Path, target: TargetType) -> None:
    groups = {"window": {"every": "1d"}, "groups": ["night"]}
    estimator = "Ridge" if target is TargetType.REGRESSION else "LogisticRegression"
    store = filled(tmp_path, list(stream(target.value)))
    asked = job(
        tmp_path, store, model(target.value, estimator, monitoring=groups, dataset={"split": {"test": 0.5}}), end()
    )
    execute(asked, lambda _: None, SystemClock())
    candidate = decode(Candidate, asked.candidate_path.read_bytes())
    assert set(candidate.metrics) | set(PROBED) == set(METRICS[target])
    assert set(candidate.group_metrics["night"]) == set(GROUP_METRICS[target])
    for name, metric in METRICS[target].items():
        value = candidate.metrics.get(name)
        assert value is None or metric.low <= value <= metric.high, name


def test_an_entry_point_of_an_installed_package_passes_the_check_and_is_what_training_loads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from importlib.metadata import EntryPoint, EntryPoints

    from schemas.definitions import estimators

    offered = Estimator("Ridge", "sklearn.linear_model", frozenset({TargetType.REGRESSION}))
    monkeypatch.setattr(EntryPoint, "load", lambda _self: offered)
    points = EntryPoints([EntryPoint("Bent", "acme:bent", estimators.ENTRY_POINTS)])
    for module in (estimators, recipes):
        monkeypatch.setattr(module, "entry_points", points.select)
    assert model_problems(model("regression", recipe={"estimator": "Bent", "parameters": {"curve": 3}})) == []
    assert recipes.find(Recipe(estimator="Bent"), TargetType.REGRESSION) is offered
