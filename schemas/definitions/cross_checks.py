"""What can only be checked across definitions: a Model against its FeatureSet, a FeatureSet against the one it follows."""

from collections.abc import Mapping

import polars as pl

from schemas.checks import compile_checker
from schemas.definitions.feature_set import Dtype, Feature, FeatureSet
from schemas.definitions.model import Model
from schemas.definitions.problems import DefinitionError, Problem
from schemas.expressions import ExpressionError
from schemas.kpis import check_kpi, kpi_columns
from schemas.model_inputs import exact_in_float32

_GROUP_DTYPES = (Dtype.CATEGORY, Dtype.BOOL, Dtype.STRING)


def cross_check(model: Model, feature_set: FeatureSet) -> list[Problem]:
    """Every problem of ``model`` against the FeatureSet it names, with its path; empty if there is none."""
    spec = model.spec
    if spec.feature_set != feature_set.ref:
        return [_problem("featureSet", f"names {spec.feature_set}, checked against {feature_set.ref}")]
    known = {feature.name: feature for feature in feature_set.spec.features}
    problems = _features(model, known, feature_set.ref)
    if spec.target.name in known:
        message = f"{spec.target.name!r} is a feature of {feature_set.ref}: the model would see its own answer"
        problems.append(_problem("target.name", message))
    groups = [(f"monitoring.groups[{position}]", name) for position, name in enumerate(spec.monitoring.groups)]
    groups += [
        (f"gates[{position}].group", gate.group) for position, gate in enumerate(spec.gates) if gate.group is not None
    ]
    problems.extend(each for path, name in groups for each in _group(path, known.get(name), name, feature_set.ref))
    if spec.monitoring.window.every is not None and spec.monitoring.window.lateness > spec.target.label.timeout:
        message = "longer than the label time-out: quality windows would close before the others"
        problems.append(_problem("monitoring.window.lateness", message))
    problems.extend(_kpis(model, feature_set))
    return problems


def compile_problems(feature_set: FeatureSet) -> list[Problem]:
    """What is wrong with the expressions and patterns of ``feature_set``; empty if it compiles."""
    try:
        compile_checker(feature_set)
    except DefinitionError as error:
        return list(error.problems)
    return []


def compatibility(old: FeatureSet, new: FeatureSet) -> list[str]:
    """Why ``new`` cannot follow ``old`` within one major, one sentence each; empty if it can (or if nothing changed).

    Breaking is whatever refuses records that were accepted, changes what a feature means, or shifts the codes that models
    learned: only derived features, wider bounds, more categories at the end and fewer rules may come.
    """
    if old == new:
        return []
    found = []
    if old.ref != new.ref:
        return [f"{new.ref} does not follow {old.ref}"]
    if _version(new) <= _version(old):
        found.append(f"spec.version: {new.spec.version} must be above {old.spec.version}, since the content differs")
    if old.spec.entity != new.spec.entity:
        found.append(f"spec.entity: changed from {old.spec.entity} to {new.spec.entity}")
    if old.spec.clock != new.spec.clock:
        found.append(f"spec.clock: changed from {old.spec.clock} to {new.spec.clock}")
    found.extend(_all_feature_changes(old, new))
    rules = {rule.name: rule.expression for rule in old.spec.rules}
    for rule in new.spec.rules:
        if rule.name not in rules:
            found.append(f"rule {rule.name}: new, and refuses what was accepted")
        elif rules[rule.name] != rule.expression:
            found.append(f"rule {rule.name}: changed")
    return found


def _problem(path: str, message: str) -> Problem:
    return Problem(1, f"spec.{path}", message)


def _features(model: Model, known: Mapping[str, Feature], ref: str) -> list[Problem]:
    found = [
        _problem(f"features[{position}]", f"{ref} has no feature {name!r}")
        for position, name in enumerate(model.spec.features)
        if name not in known
    ]
    if model.spec.recipe is None:  # an imported model may take wide integers as they are
        return found
    used = [known[name] for name in model.spec.features or tuple(known) if name in known]
    inexact = [each.name for each in used if each.dtype is Dtype.INT64 and not exact_in_float32(each)]
    text = [
        position
        for position, name in enumerate(model.spec.features)
        if name in known and known[name].dtype is Dtype.STRING
    ]
    found += [
        _problem(
            f"features[{position}]",
            f"{model.spec.features[position]!r} is free text, which no estimator can learn from",
        )
        for position in text
    ]
    if not [each for each in used if each.dtype is not Dtype.STRING]:
        found.append(
            _problem("features", f"{ref} has no number, bool or category for it, so there is nothing to learn from")
        )
    beyond = "ranges beyond 2^24, where float32 skips whole numbers; narrow its range or leave it out"
    return found + [_problem("features", f"{name!r} {beyond}") for name in inexact]


def _group(path: str, feature: Feature | None, name: str, ref: str) -> list[Problem]:
    if feature is None:
        return [_problem(path, f"{ref} has no feature {name!r}")]
    if feature.dtype not in _GROUP_DTYPES:
        return [_problem(path, f"{name!r} is {feature.dtype.value}; groups are categories, strings or booleans")]
    if feature.sensitivity == "personal" and feature.dtype is Dtype.STRING:
        return [_problem(path, f"{name!r} is personal text, which must not become a group's name")]
    return []


def _kpis(model: Model, feature_set: FeatureSet) -> list[Problem]:
    problems = []
    candidates = kpi_columns(model, feature_set)
    for position, kpi in enumerate(model.spec.kpis):
        faults = [fault for columns in candidates if (fault := _kpi_fault(kpi.expression, columns)) is not None]
        if len(faults) == len(candidates):
            problems.append(_problem(f"kpis[{position}].expression", faults[0]))
        if kpi.min is not None and kpi.max is not None and kpi.min > kpi.max:
            problems.append(_problem(f"kpis[{position}].min", "lower bound above upper"))
    return problems


def _kpi_fault(expression: str, columns: Mapping[str, pl.DataType]) -> str | None:
    try:
        check_kpi(expression, columns)
    except ExpressionError as error:
        return str(error)
    return None


def _all_feature_changes(old: FeatureSet, new: FeatureSet) -> list[str]:
    before = {feature.name: feature for feature in old.spec.features}
    after = {feature.name: feature for feature in new.spec.features}
    found = [f"feature {name}: removed" for name in before if name not in after]
    for name, feature in after.items():
        if name in before:
            found.extend(f"feature {name}: {change}" for change in _feature_changes(before[name], feature))
        elif not feature.derived:
            found.append(f"feature {name}: new, and producers do not send it yet")
    return found


def _feature_changes(old: Feature, new: Feature) -> list[str]:
    found = []
    if old.dtype != new.dtype:
        found.append(f"dtype changed from {old.dtype.value} to {new.dtype.value}")
    if old.unit != new.unit:
        found.append(f"unit changed from {old.unit} to {new.unit}")
    if old.expression != new.expression:
        found.append(
            "its expression changed"
            if old.derived and new.derived
            else "derived and sent features cannot change places"
        )
    if old.nullable != new.nullable:
        found.append("may no longer be null" if old.nullable else "may now be null, which models have not seen")
    if new.range is not None and (old.range is None or new.range[0] > old.range[0] or new.range[1] < old.range[1]):
        found.append("its range became narrower")
    if old.unseen == "allow" and new.unseen == "reject":
        found.append("unseen categories are no longer allowed")
    if (
        old.categories is not None
        and new.categories is not None
        and new.categories[: len(old.categories)] != old.categories
    ):
        found.append("categories were removed or moved; new ones go to the end")
    if new.pattern is not None and old.pattern != new.pattern:
        found.append("its pattern changed")
    return found


def _version(feature_set: FeatureSet) -> tuple[int, ...]:
    return tuple(int(part) for part in feature_set.spec.version.split("."))
