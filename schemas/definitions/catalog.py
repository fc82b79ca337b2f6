"""The definitions in force, as a fold of the ``definitions`` topic."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from schemas.definitions.feature_set import FeatureSet
from schemas.definitions.model import Model
from schemas.events.registry import DefinitionRecord
from schemas.reasons import OBSERVED_LIMIT, RefusedRecordError, Rule, reason

_REFERENCE: Final = re.compile(r"[a-z][a-z0-9-]{0,62}(@\d{1,6})?")


@dataclass(frozen=True)
class DefinitionCatalog:
    """Immutable: `with_record` gives a new catalogue. Keys are ``name@major`` for feature sets and the name for models."""

    feature_sets: Mapping[str, FeatureSet] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    revisions: Mapping[str, int] = field(default_factory=dict)  # topic key → revision in force

    def with_record(self, record: DefinitionRecord) -> "DefinitionCatalog":
        """The catalogue after ``record``; an older revision than the one in force changes nothing.

        Raises pydantic's ValidationError if the definition inside is not one.
        """
        definition: FeatureSet | Model
        if record.kind == "Key":  # who may sign is for those who verify
            return self
        if record.kind == "FeatureSet":
            definition = FeatureSet.model_validate(record.definition)
            key = definition.topic_key
            changed = replace(self, feature_sets={**self.feature_sets, definition.ref: definition})
        else:
            definition = Model.model_validate(record.definition)
            key = definition.topic_key
            changed = replace(self, models={**self.models, definition.metadata.name: definition})
        if record.revision < self.revisions.get(key, 0):
            return self
        return replace(changed, revisions={**self.revisions, key: record.revision})

    def feature_set(self, ref: str) -> FeatureSet:
        """The feature set that a record names, ``name@1`` or, while one major is live, the bare ``name``.

        Raises `RefusedRecordError`: unknown_feature_set, ambiguous_feature_set.
        """
        found = self.feature_sets.get(ref)
        if found is not None:
            return found
        majors = self._majors.get(ref, ())
        if len(majors) == 1:
            return majors[0]
        if majors:
            expected = " or ".join(each.ref for each in majors)
            raise RefusedRecordError((reason("feature_set", Rule.AMBIGUOUS_FEATURE_SET, expected, ref),))
        expected = "name@major" if not _REFERENCE.fullmatch(ref) else self._known()
        raise RefusedRecordError((reason("feature_set", Rule.UNKNOWN_FEATURE_SET, expected, ref),))

    def model(self, name: str) -> Model:
        """The model called ``name``; KeyError if there is none."""
        return self.models[name]

    def models_of(self, feature_set_ref: str) -> tuple[Model, ...]:
        """The models that use a feature set (``name@major``), by name."""
        return self._models_of.get(feature_set_ref, ())

    @cached_property
    def _majors(self) -> dict[str, tuple[FeatureSet, ...]]:
        majors: dict[str, tuple[FeatureSet, ...]] = {}
        for each in sorted(self.feature_sets.values(), key=lambda one: one.major):
            majors[each.metadata.name] = (*majors.get(each.metadata.name, ()), each)
        return majors

    @cached_property
    def _models_of(self) -> dict[str, tuple[Model, ...]]:
        models: dict[str, tuple[Model, ...]] = {}
        for _, each in sorted(self.models.items()):
            models[each.spec.feature_set] = (*models.get(each.spec.feature_set, ()), each)
        return models

    def _known(self) -> str:
        return (
            ("one of " + ", ".join(sorted(self.feature_sets)))[:OBSERVED_LIMIT]
            if self.feature_sets
            else "a feature set that was applied"
        )
