"""Facts about what is committed in `schemas/generated`, which need no Node."""

import json
from typing import Any

import pytest
from golden import Example, examples
from jsonschema import Draft7Validator, Draft202012Validator

from schemas.asyncapi import PREFIX, asyncapi
from schemas.contracts import ARTIFACT_CHUNK, contracts
from schemas.definition_reference import page
from schemas.generate import GENERATED, PAGE, stale
from schemas.json_schemas import json_schemas
from schemas.topics import CATALOGUE

DOCUMENT = asyncapi()
JSON_BODIES = [each for each in examples() if each.valid and ("ce_type", ARTIFACT_CHUNK.encode()) not in each.headers]


def pointers(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for item in value.values() for each in pointers(item)]
    return [each for item in value for each in pointers(item)] if isinstance(value, list) else []


def resolve(document: dict[str, Any], pointer: str) -> Any:
    found: Any = document
    for part in pointer.removeprefix("#/").split("/"):
        found = found[part]
    return found


def ce_type(example: Example) -> str:
    return next(value.decode() for name, value in example.headers if name == "ce_type" and value)


def test_what_is_committed_is_what_the_code_says() -> None:
    assert stale(GENERATED) == [], "run python -m schemas.generate"


@pytest.mark.parametrize("name", json_schemas())
def test_every_schema_is_valid_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(json_schemas()[name])


@pytest.mark.parametrize("example", JSON_BODIES, ids=lambda each: f"{each.topic.name}/{each.path.stem}")
def test_every_valid_example_keeps_its_json_schema(example: Example) -> None:
    assert example.value is not None
    schema = json_schemas()[ce_type(example)]
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(json.loads(example.value))] == []


def test_an_identifier_or_a_time_that_the_decoder_refuses_is_refused_by_the_schema_too() -> None:
    schema = json_schemas()["headrace.event.v1"]["properties"]
    assert not Draft202012Validator(schema["entity_id"]).is_valid("a b")
    assert schema["occurred_at"]["format"] == "date-time"


def test_the_document_has_every_topic_and_every_record() -> None:
    assert set(DOCUMENT["channels"]) == {topic.name for topic in CATALOGUE}
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == {
        PREFIX + topic.name for topic in CATALOGUE
    }
    assert set(contracts()) | {ARTIFACT_CHUNK} <= set(DOCUMENT["components"]["messages"])


def test_every_record_has_a_place_on_a_topic() -> None:
    placed = {message for topic in CATALOGUE for message in topic.messages}
    assert set(contracts()) <= placed
    assert placed - {"*", ARTIFACT_CHUNK} <= set(contracts())


def test_every_writer_and_reader_is_an_operation() -> None:
    expected = {f"{who}.send.{topic.name}" for topic in CATALOGUE for who in topic.writers}
    expected |= {f"{who}.receive.{topic.name}" for topic in CATALOGUE for who in topic.readers}
    assert set(DOCUMENT["operations"]) == expected


def test_every_reference_in_the_document_leads_somewhere() -> None:
    assert pointers(DOCUMENT)
    for pointer in pointers(DOCUMENT):
        resolve(DOCUMENT, pointer)


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_payload_is_a_schema_of_the_dialect_that_asyncapi_reads(name: str) -> None:
    Draft7Validator.check_schema({**DOCUMENT["components"]["schemas"][name], "components": DOCUMENT["components"]})


@pytest.mark.parametrize("example", JSON_BODIES, ids=lambda each: f"{each.topic.name}/{each.path.stem}")
def test_every_valid_example_keeps_its_message_in_the_document(example: Example) -> None:
    assert example.value is not None
    message = DOCUMENT["components"]["messages"][ce_type(example)]
    validator = Draft7Validator({**message["payload"], "components": DOCUMENT["components"]})
    assert [error.message for error in validator.iter_errors(json.loads(example.value))] == []
    headers = {name: (value or b"").decode() for name, value in example.headers}
    assert Draft7Validator(message["headers"]).is_valid(headers)


def defaults(schema: dict[str, Any], value: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Every default of a schema with the schema it stands in."""
    if isinstance(value, list):
        return [each for item in value for each in defaults(schema, item)]
    if not isinstance(value, dict):
        return []
    own = [(value["default"], {**value, "$defs": schema.get("$defs", {})})] if "default" in value else []
    return own + [each for item in value.values() for each in defaults(schema, item)]


@pytest.mark.parametrize("name", json_schemas())
def test_every_default_and_every_example_keeps_its_own_schema(name: str) -> None:
    schema = json_schemas()[name]
    for value, own in defaults(schema, schema):
        for each in (value, *own.get("examples", ())):
            found = [error.message for error in Draft202012Validator(own).iter_errors(each)]
            assert found == [], own


def test_durations_by_default_stand_in_the_spelling_that_is_read() -> None:
    found = json_schemas()["definition.Model"]["$defs"]
    assert found["Dataset"]["properties"]["window"]["default"] == "90d"
    assert found["Monitoring"]["properties"]["window"]["default"]["every"] == "1d"


def test_the_reference_of_definitions_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), "run python -m schemas.generate"


def test_the_reference_explains_every_property_of_both_definitions() -> None:
    text = PAGE.read_text()
    for kind in ("FeatureSet", "Model"):
        schema = json_schemas()[f"definition.{kind}"]
        for part in (schema, *schema["$defs"].values()):
            for name, own in part.get("properties", {}).items():
                assert f"{name}`" in text or f"{name}[]`" in text, name
                assert own.get("description", "").split("``")[0][:40] in text, name
