import pytest
from golden import Example, examples, judge

from schemas.contracts import ARTIFACT_CHUNK, contracts
from schemas.definitions.catalog import DefinitionCatalog
from schemas.envelope import encode_headers
from schemas.events.contract import Contract, encode
from schemas.events.registry import DefinitionRecord
from schemas.reasons import RefusedRecordError, Rule
from schemas.records import read_record
from schemas.topics import CATALOGUE, Topic

EXAMPLES = examples()
VALID = [example for example in EXAMPLES if example.valid]
INVALID = [example for example in EXAMPLES if not example.valid]

# What validation alone can know, from the records before; and what only a record has that is too long to be looked at.
NOT_IN_A_FILE = {Rule.ID_CONFLICT, Rule.OUTPUT_TOO_LARGE}


def name(example: Example) -> str:
    return f"{example.topic.name}/{example.path.stem}"


@pytest.mark.parametrize("example", VALID, ids=name)
def test_a_valid_example_is_accepted(example: Example) -> None:
    judge(example)


@pytest.mark.parametrize("example", INVALID, ids=name)
def test_an_invalid_example_is_refused_for_exactly_its_reasons(example: Example) -> None:
    assert example.expected
    with pytest.raises(RefusedRecordError) as refused:
        judge(example)
    assert sorted((each.field, each.rule) for each in refused.value.reasons) == sorted(example.expected)


@pytest.mark.parametrize("example", VALID, ids=name)
def test_a_valid_record_that_is_read_and_written_again_reads_the_same(example: Example) -> None:
    envelope, body = judge(example)
    value = encode(body) if isinstance(body, Contract) else body
    again = read_record(example.topic, headers=encode_headers(envelope), key=example.key, value=value)
    assert again == (envelope, body)


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_every_topic_has_a_valid_and_an_invalid_example(topic: Topic) -> None:
    assert {example.valid for example in EXAMPLES if example.topic == topic} == {True, False}


def test_every_contract_record_has_a_valid_example() -> None:
    shown = {value.decode() for example in VALID for header, value in example.headers if header == "ce_type" and value}
    assert shown == set(contracts()) | {ARTIFACT_CHUNK}


def test_every_rule_has_an_example_that_breaks_it() -> None:
    broken = {rule for example in INVALID for _, rule in example.expected}
    assert {rule.value for rule in Rule} - broken == {rule.value for rule in NOT_IN_A_FILE}


def test_the_definitions_among_the_examples_are_definitions() -> None:
    catalog = DefinitionCatalog()
    for example in VALID:
        _, body = judge(example)
        if isinstance(body, DefinitionRecord):
            catalog = catalog.with_record(body)
    assert catalog.feature_sets
    assert catalog.models
