"""What makes a Model unable to work although its shape is right: recipes, gates and monitors that nothing can carry out.

Asked for when a definition is applied, never when one in force is read again: what was accepted once must stay readable.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from math import prod
from typing import Final

from schemas.definitions.estimators import ESTIMATORS, MAX_GRID, may_be_installed, names_for
from schemas.definitions.metadata import format_duration
from schemas.definitions.metrics import GROUP_METRICS, METRICS
from schemas.definitions.model import Gate, Model, Recipe, TargetType
from schemas.definitions.problems import Problem
from schemas.definitions.sentences import closest

MAX_GATES: Final = 200  # their results are one event of the audit log, which must fit its topic


def model_problems(model: Model, document: int = 1) -> list[Problem]:
    """Every reason why ``model`` can never do what it declares, with its path; empty if there is none."""
    spec = model.spec
    found = [] if spec.recipe is None else list(_recipe(spec.recipe, spec.target.type))
    if len(spec.gates) > MAX_GATES:
        found.append(("gates", f"must have at most {MAX_GATES} entries, observed {len(spec.gates)}"))
    for position, gate in enumerate(spec.gates):
        found += [(f"gates[{position}].{key}", text) for key, text in _gate(gate, spec.target.type)]
    found += [*_dataset(model), *_retraining(model)]
    return [Problem(document, f"spec.{path}", message) for path, message in found]


def _recipe(recipe: Recipe, target: TargetType) -> Iterator[tuple[str, str]]:
    known = ESTIMATORS.get(recipe.estimator)
    if known is None:
        if not may_be_installed(recipe.estimator):
            yield "recipe.estimator", _unknown_estimator(recipe.estimator, target)
    elif target not in known.targets:
        choices = ", ".join(names_for(target))
        text = f"{recipe.estimator} cannot learn a {target.value} target; choose one of {choices}"
        yield "recipe.estimator", text
    else:
        for name, value in recipe.parameters.items():
            yield from _parameter(recipe.estimator, f"recipe.parameters.{name}", name, (value,))
        for name, values in recipe.search.items():
            yield from _parameter(recipe.estimator, f"recipe.search.{name}", name, values)
    yield from _search(recipe)


def _unknown_estimator(name: str, target: TargetType) -> str:
    choices = names_for(target)
    return (
        f"there is no estimator {name!r}{closest(name, choices)}; for a {target.value} target there are {', '.join(choices)}. "
        "One that an installed package offers as an entry point has a dot in its name, like acme.Boosted"
    )


def _parameter(estimator: str, path: str, name: str, values: Iterable[object]) -> Iterator[tuple[str, str]]:
    recipe = ESTIMATORS[estimator]
    if name in recipe.closed:
        yield path, f"cannot be set: {recipe.closed[name]}"
        return
    parameter = recipe.parameters.get(name)
    if parameter is None:
        there = ", ".join(recipe.parameters)
        yield path, f"{estimator} has no parameter {name!r}{closest(name, recipe.parameters)}; there are {there}"
        return
    for value in values:
        if not parameter.accepts(value):
            yield path, f"must be {parameter}, observed {str(value)[:80]!r}"


def _search(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for name, values in recipe.search.items():
        if not values:
            yield f"recipe.search.{name}", "names no value to try"
    size = prod(len(values) for values in recipe.search.values())
    if size > MAX_GRID:
        yield "recipe.search", f"{size} combinations; at most {MAX_GRID} are tried, leave values out"


def _gate(gate: Gate, target: TargetType) -> Iterator[tuple[str, str]]:
    names = METRICS[target] if gate.group is None else GROUP_METRICS[target]
    metric = names.get(gate.metric)
    if metric is None:
        yield "metric", _unknown_metric(gate, target)
        return
    if gate.min is not None and gate.min > metric.high:
        yield "min", f"{gate.metric} is never above {metric.high:g}, so no version could pass"
    if gate.max is not None and gate.max < metric.low:
        yield "max", f"{gate.metric} is never below {metric.low:g}, so no version could pass"


def _unknown_metric(gate: Gate, target: TargetType) -> str:
    plain, grouped = METRICS[target], GROUP_METRICS[target]
    if gate.group is None and gate.metric in grouped:
        return f"{gate.metric} compares groups: add group with the name of a feature"
    if gate.group is not None and gate.metric in plain:
        return f"{gate.metric} is not measured by group; leave group out, or choose one of {', '.join(grouped)}"
    names = plain if gate.group is None else grouped
    by = "" if gate.group is None else " by group"
    there = ", ".join(names)
    return f"a {target.value} target has no metric {gate.metric!r}{by}{closest(gate.metric, names)}; there are {there}"


def _dataset(model: Model) -> Iterator[tuple[str, str]]:
    window, expected = model.spec.dataset.window, model.spec.target.label.expected
    if model.spec.recipe is not None and window <= expected:
        text = (
            f"{format_duration(window)} is no longer than target.label.expected ({format_duration(expected)}), "
            "so no row of it could have its label yet"
        )
        yield "dataset.window", text


def _retraining(model: Model) -> list[tuple[str, str]]:
    retraining, kpis = model.spec.retraining, model.spec.kpis
    found = []
    if "kpi" in retraining.on and all(kpi.min is None and kpi.max is None for kpi in kpis):
        position = retraining.on.index("kpi")
        text = (
            "no KPI of this model has a min or max, so none can ever raise an alert; give one a bound, or leave kpi out"
        )
        found.append((f"retraining.on[{position}]", text))
    if retraining.schedule is not None and retraining.schedule <= timedelta(0):
        found.append(("retraining.schedule", "must be longer than nothing, like 30d; leave it out for no schedule"))
    return found
