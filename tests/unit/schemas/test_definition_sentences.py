"""Whoever writes a definition wrongly is told what would be right, in words, without the library's jargon."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from schemas.definitions import FeatureSet, Model, parse_definitions, validate_documents
from schemas.definitions.metadata import FORMS
from schemas.definitions.parsing import DefinitionError
from schemas.definitions.sentences import field_at
from schemas.json_schemas import json_schemas

FEATURE_SET = yaml.safe_load("""
apiVersion: headrace/v1
kind: FeatureSet
metadata: {name: rides, owner: data-team, description: Rides}
spec:
  version: 1.0.0
  entity: ride
  clock: replay
  features:
    - {name: distance, dtype: float32, unit: km, range: [0, 300], nullable: true, description: d, owner: o}
    - {name: tariff, dtype: category, categories: [economy, comfort], unseen: allow, sensitivity: none}
    - {name: plate, dtype: string, pattern: "[A-Z]+"}
    - {name: far, dtype: bool, expression: "distance > 50"}
  rules: [{name: moves, expression: "distance > 0"}]
""")
MODEL = yaml.safe_load("""
apiVersion: headrace/v1
kind: Model
metadata: {name: fares, owner: ml-team, description: Fares}
spec:
  featureSet: rides@1
  features: [distance, tariff]
  target: {name: late, type: binary, label: {expected: 6h, timeout: 3d}}
  recipe: {estimator: LogisticRegression, parameters: {C: 1.0}, search: {max_iter: [100, 200]}}
  dataset: {window: 60d, split: {strategy: forward, validation: 0.2, test: 0.2}, seed: 7, minimumRows: 100}
  gates: [{metric: roc_auc, min: 0.6, max: 1.0, against: champion, minDelta: -0.01, group: tariff}]
  approval: {mode: manual, approvers: 1}
  rollout: {strategy: canary, share: 0.1, minWindows: 5}
  monitoring: {window: {every: 1d, lateness: 1h}, seasonality: [weekday], falseAlarms: {page: 365, warn: 90, inform: 30}, groups: [tariff]}
  kpis: [{name: share, expression: avg(score), min: 0.1, max: 0.9}]
  retraining: {on: [quality], schedule: 30d, cooldown: 7d}
""".replace("{on:", "{'on':"))  # fmt: skip
WRONG: list[Any] = [None, 7, -3, 1.5, True, "", "an: odd text!", "x" * 3000, [], ["!", 3], {}, {"odd": 1}, float("inf")]
JARGON = ("Input should", "should match", "should have", "valid ", "Value error", "tuple", "dictionary", "NoneType", "pydantic", "Extra inputs", "Field required")  # fmt: skip


def message(document: dict[str, Any], path: str) -> str:
    with pytest.raises(DefinitionError) as error:
        validate_documents([document])
    found = [each.message for each in error.value.problems if each.path == path]
    assert len(found) == 1, error.value
    return found[0]


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(document)
    inner: Any = made
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return made


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in entries:
        yield from places(inner, (*path, name))


@pytest.mark.parametrize("document", [FEATURE_SET, MODEL], ids=["FeatureSet", "Model"])
def test_the_definitions_that_are_varied_here_are_right_and_use_every_field(document: dict[str, Any]) -> None:
    (definition,) = validate_documents([document])
    used = {tuple(part for part in place if isinstance(part, str)) for place in places(document)}
    missing = {".".join(path) for path in fields(type(definition))} - {".".join(path) for path in used}
    assert missing <= {"spec.monitoring.window.rows"}


def fields(kind: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    from schemas.definitions.sentences import _model_in

    for name, field in kind.model_fields.items():
        here = (*path, field.alias or name)
        yield here
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from fields(inner, here)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("document", [FEATURE_SET, MODEL], ids=["FeatureSet", "Model"])
def test_no_value_at_any_place_is_answered_in_the_words_of_a_library(document: dict[str, Any], wrong: Any) -> None:
    for place in places(document):
        try:
            validate_documents([changed(document, place, wrong)])
        except DefinitionError as error:
            for problem in error.problems:
                said = problem.message.split(", observed")[0]
                assert not [word for word in JARGON if word in said], f"{place}: {problem}"


@pytest.mark.parametrize(
    ("document", "place", "value", "path", "said"),
    [
        (MODEL, ("spec", "retraining", "on"), "quality", "spec.retraining.on", "must be a list like [quality, drift], observed quality"),
        (MODEL, ("spec", "features"), "distance", "spec.features", "must be a list like [distance, hour], observed distance"),
        (MODEL, ("spec", "rollout"), "shadow", "spec.rollout", "must be a mapping like {minWindows: 2, strategy: shadow}, observed shadow"),
        (MODEL, ("spec", "gates", 0), "roc_auc", "spec.gates[0]", "must be a mapping like {metric: roc_auc, min: 0.7}, observed roc_auc"),
        (MODEL, ("spec", "recipe", "parameters"), [1], "spec.recipe.parameters", "must be a mapping like {max_iter: 60}, observed [1]"),
        (MODEL, ("spec", "featureSet"), "rides", "spec.featureSet", "must be name@major like rides@1, observed rides"),
        (MODEL, ("spec", "retraining", "cooldown"), "7 days", "spec.retraining.cooldown", "not a duration like 90s, 15m, 6h, 30d or 2w: '7 days'"),
        (MODEL, ("spec", "target", "type"), "binery", "spec.target.type", "must be binary, multiclass or regression (did you mean binary?), observed binery"),
        (MODEL, ("spec", "approval", "approvers"), 0, "spec.approval.approvers", "must be at least 1, observed 0"),
        (MODEL, ("spec", "approval", "approvers"), "two", "spec.approval.approvers", "must be a whole number, observed two"),
        (MODEL, ("spec", "dataset", "split", "test"), 1.5, "spec.dataset.split.test", "must be below 1, observed 1.5"),
        (MODEL, ("spec", "colldown"), 3, "spec.colldown", "unknown key"),
        (MODEL, ("spec", "retraning"), 3, "spec.retraning", "unknown key (did you mean retraining?)"),
        (MODEL, ("spec",), "x", "spec", "must be a mapping, observed x"),
        (MODEL, ("metadata", "owner"), "", "metadata.owner", "must not be empty, observed ''"),
        (FEATURE_SET, ("metadata", "name"), "My Rides", "metadata.name", f"must be {FORMS['^[a-z][a-z0-9-]{0,62}$']}, observed My Rides"),
        (FEATURE_SET, ("spec", "version"), 1.0, "spec.version", "must be a text (in quotes, if it looks like a number), observed 1.0"),
        (FEATURE_SET, ("spec", "version"), "1.0", "spec.version", "must be a version of three numbers like 1.0.0, observed '1.0'"),
        (FEATURE_SET, ("spec", "features"), [], "spec.features", "must have at least 1 entry, observed []"),
        (FEATURE_SET, ("spec", "features", 0, "range"), [0, 1, 2], "spec.features[0].range", "must have at most 2 entries, observed [0, 1, 2]"),
        (FEATURE_SET, ("spec", "features", 0, "nullable"), "maybe", "spec.features[0].nullable", "must be true or false, observed maybe"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_answered_with_a_right_one(
    document: dict[str, Any], place: tuple[Any, ...], value: Any, path: str, said: str
) -> None:
    assert message(changed(document, place, value), path) == said


@pytest.mark.parametrize("text", ["- 1\n", "just text\n", "kind: Pod\n", "metadata: {}\n"])
def test_what_is_no_definition_at_all_is_said_so(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"must be a mapping|expected FeatureSet, Model or Key"):
        parse_definitions(text)


def test_every_pattern_of_a_definition_has_words() -> None:
    def patterns(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value["pattern"]
            for inner in value.values():
                yield from patterns(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from patterns(inner)

    schemas = json_schemas()
    found = {each for kind in ("FeatureSet", "Model") for each in patterns(schemas[f"definition.{kind}"])}
    assert found
    assert found <= set(FORMS)


@pytest.mark.parametrize("kind", [FeatureSet, Model])
def test_every_example_of_a_field_is_valid_and_every_field_is_explained(kind: type[BaseModel]) -> None:
    for path in fields(kind):
        field = field_at(kind, path)
        assert field is not None
        assert field.description, path
        assert field.examples or path in (("metadata",), ("spec",)), path
        for example in field.examples or ():
            TypeAdapter(field.rebuild_annotation()).validate_python(example)
