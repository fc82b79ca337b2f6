import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.breaking import breaking_changes, main
from schemas.generate import artefacts, stale, write
from schemas.generate import main as generate
from schemas.json_schemas import json_schemas

Schemas = dict[str, Any]
EVENT = "headrace.event.v1"
LABEL = "headrace.label.v1"
ALERT = "headrace.alert.v1"
PREDICTION = "headrace.prediction.v1"
CANDIDATE = "headrace.candidate.v1"
SET = "definition.FeatureSet"


def _set(schema: Any, *path: Any) -> None:
    *places, last, value = path
    for place in places:
        schema = schema[place]
    schema[last] = value


def _drop(schema: Any, *path: Any) -> None:
    *places, last = path
    for place in places:
        schema = schema[place]
    if isinstance(schema, list):
        schema.remove(last)
    else:
        del schema[last]


BREAKING: dict[str, Callable[[Schemas], None]] = {
    "record removed": lambda s: _drop(s, LABEL),
    "type renamed without a version": lambda s: s.update({"headrace.occurrence.v1": s.pop(EVENT)}),
    "version lowered": lambda s: s.update({"headrace.event.v0": s.pop(EVENT)}),
    "field removed": lambda s: _drop(s, EVENT, "properties", "occurred_at"),
    "field renamed": lambda s: _set(s, EVENT, "properties", "at", s[EVENT]["properties"].pop("occurred_at")),
    "optional became required": lambda s: s[LABEL]["required"].append("label_version"),
    "new required field": lambda s: (
        _set(s, EVENT, "properties", "colour", {"type": "string"}),
        s[EVENT]["required"].append("colour"),
    )[0],
    "type changed": lambda s: _set(s, EVENT, "properties", "entity_id", {"type": "integer"}),
    "number became integer": lambda s: _set(
        s, ALERT, "$defs", "Evidence", "properties", "effect", {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    ),
    "null no longer accepted": lambda s: _set(s, ALERT, "properties", "version", {"type": "integer"}),
    "union lost a member": lambda s: _set(
        s, LABEL, "properties", "value", {"anyOf": [{"type": "boolean"}, {"type": "string"}]}
    ),
    "enum lost a value": lambda s: _drop(s, ALERT, "properties", "severity", "enum", "warn"),
    "enum came": lambda s: _set(s, EVENT, "properties", "feature_set", {"type": "string", "enum": ["a@1"]}),
    "minimum raised": lambda s: _set(s, LABEL, "properties", "label_version", "minimum", 2),
    "maximum lowered": lambda s: _set(s, LABEL, "properties", "label_version", "exclusiveMaximum", 100),
    "pattern changed": lambda s: _set(s, EVENT, "properties", "entity_id", "pattern", "^[a-z]+$"),
    "pattern came": lambda s: _set(s, EVENT, "properties", "feature_set", "pattern", "^[a-z]+@1$"),
    "length bound came": lambda s: _set(s, EVENT, "properties", "feature_set", "maxLength", 10),
    "free object was closed": lambda s: _set(s, EVENT, "properties", "features", "additionalProperties", False),
    "nested field removed": lambda s: _drop(s, PREDICTION, "$defs", "Timing", "properties", "queue_ms"),
    "member of a discriminated union removed": lambda s: _drop(
        s, "headrace.registry-command.v1", "properties", "action", "oneOf", {"$ref": "#/$defs/Promote"}
    ),
    "constant changed": lambda s: _set(
        s, "headrace.registry-command.v1", "$defs", "Promote", "properties", "action", "const", "enthrone"
    ),
    "items narrowed": lambda s: _set(s, CANDIDATE, "properties", "golden", "items", {"type": "string"}),
    "map values narrowed": lambda s: _set(
        s, CANDIDATE, "properties", "metrics", "additionalProperties", {"type": "number"}
    ),
    "definition lost a dtype": lambda s: _drop(s, SET, "$defs", "Dtype", "enum", "category"),
    "definition field removed": lambda s: _drop(s, SET, "$defs", "Feature", "properties", "unit"),
}

COMPATIBLE: dict[str, Callable[[Schemas], None]] = {
    "nothing": lambda _: None,
    "description": lambda s: _set(s, EVENT, "description", "other words"),
    "new optional field": lambda s: _set(s, EVENT, "properties", "colour", {"type": "string"}),
    "new record": lambda s: _set(s, "headrace.other.v1", {"type": "object"}),
    "higher version": lambda s: s.update({"headrace.event.v2": s.pop(EVENT)}),
    "enum grew": lambda s: s[ALERT]["properties"]["severity"]["enum"].append("whisper"),
    "union grew": lambda s: s[LABEL]["properties"]["value"]["anyOf"].append({"type": "null"}),
    "integer became number": lambda s: _set(
        s, ALERT, "properties", "version", {"anyOf": [{"type": "number"}, {"type": "null"}]}
    ),
    "required became optional": lambda s: _drop(s, EVENT, "required", "feature_set"),
    "minimum lowered": lambda s: _set(s, LABEL, "properties", "label_version", "minimum", 0),
    "pattern dropped": lambda s: _drop(s, EVENT, "properties", "entity_id", "pattern"),
}


def changed(change: Callable[[Schemas], None]) -> tuple[Schemas, Schemas]:
    old = json_schemas()
    new = copy.deepcopy(old)
    change(new)
    return old, new


@pytest.mark.parametrize("name", BREAKING)
def test_a_breaking_change_is_found(name: str) -> None:
    assert breaking_changes(*changed(BREAKING[name]))


@pytest.mark.parametrize("name", COMPATIBLE)
def test_a_compatible_change_is_let_through(name: str) -> None:
    assert breaking_changes(*changed(COMPATIBLE[name])) == []


def test_a_change_is_told_by_record_and_place() -> None:
    assert breaking_changes(*changed(BREAKING["nested field removed"])) == [
        f"{PREDICTION}: timing.queue_ms: field removed"
    ]


def test_the_command_compares_two_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write(old)
    write(new)
    assert main([str(old), str(new)]) == 0
    (new / f"{EVENT}.schema.json").unlink()
    assert main([str(old), str(new)]) == 1
    assert EVENT in capsys.readouterr().out
    assert main([]) == 2


def test_generated_files_are_checked_made_and_kept_from_breaking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(["--check"], tmp_path) == 1
    assert generate([], tmp_path) == 0
    assert generate(["--check"], tmp_path) == 0
    assert stale(tmp_path) == []
    (tmp_path / "headrace.gone.v1.schema.json").write_text("{}")
    assert stale(tmp_path) == ["headrace.gone.v1.schema.json"]
    assert generate([], tmp_path) == 1
    assert "headrace.gone.v1: is gone" in capsys.readouterr().out
    assert generate(["--accept-breaking"], tmp_path) == 0
    assert generate(["--check"], tmp_path) == 0
    assert generate(["--chekc"], tmp_path) == 2


def test_generation_is_reproducible() -> None:
    assert artefacts() == artefacts()
