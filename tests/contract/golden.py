"""The golden examples of `schemas/examples`, found by walking the directory, and how one is judged."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from schemas.checks import Checker, compile_checker
from schemas.definitions import FeatureSet, Model, parse_definitions
from schemas.definitions.catalog import DefinitionCatalog
from schemas.envelope import RawHeaders, parse_time
from schemas.events.ingestion import Event, Label
from schemas.events.registry import DefinitionRecord
from schemas.labels import check_label_value
from schemas.reasons import Reason, RefusedRecordError, Rule, reason
from schemas.records import Record, read_record
from schemas.topics import CATALOGUE, Topic

DIRECTORY: Final = Path(__file__).parents[2] / "schemas" / "examples"
NOW: Final[datetime] = parse_time("2024-06-01T10:00:00Z")


@dataclass(frozen=True, slots=True)
class Example:
    """One record as it stands on its topic; ``expected`` are the (field, rule) of every reason, empty for a valid one."""

    topic: Topic
    path: Path
    headers: RawHeaders
    key: bytes | None
    value: bytes | None
    expected: tuple[tuple[str, str], ...]

    @property
    def valid(self) -> bool:
        """Whether the file calls itself valid."""
        return self.path.name.startswith("valid-")


def examples() -> list[Example]:
    """Every example of every topic; raises KeyError for a directory that is no topic."""
    topics = {topic.name: topic for topic in CATALOGUE}
    return [_read(topics[path.parent.name], path) for path in sorted(DIRECTORY.glob("*/*.json"))]


@cache
def catalog() -> DefinitionCatalog:
    """The definitions that the examples refer to, in force."""
    result = DefinitionCatalog()
    for definition in parse_definitions((DIRECTORY / "definitions.yaml").read_text()):
        result = result.with_record(_record(definition))
    return result


def judge(example: Example) -> Record:
    """The record, judged by everything that `schemas` offers; raises `RefusedRecordError` with every reason."""
    envelope, body = read_record(example.topic, headers=example.headers, key=example.key, value=example.value, now=NOW)
    found: tuple[Reason, ...] = ()
    if isinstance(body, Event):
        found = _checker(catalog().feature_set(body.feature_set)).check([body.features]).reasons[0]
    elif isinstance(body, Label):
        try:
            found = check_label_value(catalog().model(body.model), body.value)
        except KeyError:
            found = (reason("model", Rule.UNKNOWN_MODEL, "a model that was applied", body.model),)
    if found:
        raise RefusedRecordError(found)
    return envelope, body


@cache
def _checker(feature_set: FeatureSet) -> Checker:
    return compile_checker(feature_set)


def _record(definition: FeatureSet | Model) -> DefinitionRecord:
    return DefinitionRecord(
        kind=definition.kind,
        name=definition.metadata.name,
        major=definition.major if isinstance(definition, FeatureSet) else 1,
        revision=1,
        definition=definition.model_dump(mode="json", by_alias=True, exclude_none=True),
    )


def _read(topic: Topic, path: Path) -> Example:
    document: dict[str, Any] = json.loads(path.read_text())
    return Example(
        topic=topic,
        path=path,
        headers=[(name, _bytes(value)) for name, value in document["headers"].items()],
        key=None if document["key"] is None else document["key"].encode(),
        value=_value(document),
        expected=tuple((each["field"], each["rule"]) for each in document.get("expected", ())),
    )


def _bytes(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def _value(document: dict[str, Any]) -> bytes | None:
    if "body_text" in document:
        return str(document["body_text"]).encode()
    if "body_base64" in document:
        return base64.b64decode(document["body_base64"])
    return None if document["body"] is None else json.dumps(document["body"], ensure_ascii=False).encode()
