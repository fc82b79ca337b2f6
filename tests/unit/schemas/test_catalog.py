from typing import Any

import pytest
from machine_definitions import machines, model
from pydantic import ValidationError

from schemas.definitions import FeatureSet, Model
from schemas.definitions.catalog import DefinitionCatalog
from schemas.events.registry import DefinitionRecord
from schemas.reasons import RefusedRecordError, Rule

Features = list[dict[str, Any]]


def record(definition: FeatureSet | Model, revision: int = 1) -> DefinitionRecord:
    return DefinitionRecord(
        kind=definition.kind,
        name=definition.metadata.name,
        major=definition.major if isinstance(definition, FeatureSet) else 1,
        revision=revision,
        definition=definition.model_dump(mode="json"),
    )


def catalog(*definitions: FeatureSet | Model) -> DefinitionCatalog:
    result = DefinitionCatalog()
    for definition in definitions:
        result = result.with_record(record(definition))
    return result


def rule_of(found: DefinitionCatalog, ref: str) -> str:
    with pytest.raises(RefusedRecordError) as refused:
        found.feature_set(ref)
    return refused.value.reasons[0].rule


def test_a_bare_name_stands_for_the_one_major_that_is_live(features: Features) -> None:
    found = catalog(machines(features))
    assert found.feature_set("machines") == found.feature_set("machines@1") == machines(features)


def test_a_bare_name_is_ambiguous_once_a_second_major_is_live(features: Features) -> None:
    found = catalog(machines(features), machines(features, "2.0.0"))
    assert rule_of(found, "machines") == Rule.AMBIGUOUS_FEATURE_SET
    assert found.feature_set("machines@2").spec.version == "2.0.0"


@pytest.mark.parametrize(
    "ref", ["machines@2", "machine", "machines@1.0.0", "machines@", "", "m\u0430chines@1", "Machines@1"]
)
def test_a_set_that_nobody_applied_is_unknown(features: Features, ref: str) -> None:
    assert rule_of(catalog(machines(features)), ref) == Rule.UNKNOWN_FEATURE_SET
    assert rule_of(DefinitionCatalog(), ref) == Rule.UNKNOWN_FEATURE_SET


def test_a_later_revision_takes_the_place_of_an_earlier_one_and_never_the_other_way(features: Features) -> None:
    old, new = machines(features), machines(features, "1.1.0")
    forwards = DefinitionCatalog().with_record(record(old, 1)).with_record(record(new, 2))
    assert forwards.feature_set("machines@1") == new
    assert forwards.with_record(record(old, 1)) == forwards


def test_a_catalogue_does_not_change(features: Features) -> None:
    before = catalog(machines(features))
    before.with_record(record(machines(features, "2.0.0")))
    assert set(before.feature_sets) == {"machines@1"}


def test_models_are_found_by_name_and_by_feature_set(features: Features) -> None:
    found = catalog(machines(features), model())
    assert found.model("breakdown") == model()
    assert found.models_of("machines@1") == (model(),)
    assert found.models_of("machines@2") == ()
    with pytest.raises(KeyError):
        found.model("other")


def test_a_record_that_holds_no_definition_is_refused() -> None:
    with pytest.raises(ValidationError):
        DefinitionCatalog().with_record(DefinitionRecord(kind="Model", name="m", major=1, revision=1, definition={}))
