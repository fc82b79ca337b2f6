"""The FeatureSet definition: named, typed features of one entity, rules over them, and features derived from them."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from schemas.definitions.metadata import API_VERSION, NAME, SEMVER, FieldName, Metadata, Name, Strict, like


class Dtype(StrEnum):
    """The types a feature can have. A ``category`` is a string from a closed list."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT64 = "int64"
    BOOL = "bool"
    CATEGORY = "category"
    STRING = "string"

    @property
    def numeric(self) -> bool:
        """Whether a model takes it as a number (bool counts as 0 and 1)."""
        return self in (Dtype.FLOAT32, Dtype.FLOAT64, Dtype.INT64, Dtype.BOOL)


def located(path: str, message: str) -> PydanticCustomError:
    """A problem at ``path`` relative to the model that raises it; `parsing` joins the two."""
    return PydanticCustomError("located", "{path}: {text}", {"path": path, "text": message})


def refuse_repeated(names: Iterable[str], path: str) -> None:
    """Raise a problem at ``path``, its ``{}`` the position, for the first of ``names`` that stands there twice. Linear: a
    definition of a megabyte may have a hundred thousand of them.
    """
    seen: set[str] = set()
    for position, name in enumerate(names):
        if name in seen:
            raise located(path.format(position), f"{name} stands there twice")
        seen.add(name)


class Feature(Strict):
    """One feature. ``range`` is inclusive and in ``unit``; ``expression`` makes it derived, computed once, in validation."""

    name: Annotated[FieldName, like("distance")]
    """The key in an event's ``features``."""
    dtype: Annotated[Dtype, like("float32")]
    """The type of its values."""
    description: Annotated[str | None, like("Length of the planned route")] = None
    """What it means, for people."""
    unit: Annotated[str | None, like("km")] = None
    """The unit of its numbers; changing it is a breaking change."""
    owner: Annotated[str | None, like("maps-team")] = None
    """Who answers for it, if not the set's owner."""
    nullable: Annotated[bool, like(True)] = False  # noqa: FBT003 - an example
    """Whether an event may send null. The key must be there all the same."""
    range: Annotated[tuple[float, float] | None, like([0, 300])] = None
    """Lowest and highest value, both accepted; of float32, float64 and int64."""
    categories: Annotated[tuple[str, ...] | None, like(["economy", "comfort"])] = None
    """The values of a category. Their order is what models learn: new ones go to the end."""
    unseen: Annotated[Literal["allow", "reject"], like("allow")] = "reject"
    """What becomes of a category that is not listed: reject the record, or let it through as "unseen"."""
    pattern: Annotated[str | None, like("[A-Z]{2}[0-9]{4}")] = None
    """A regular expression that the whole of a string must match."""
    sensitivity: Annotated[Literal["none", "personal"], like("personal")] = "none"
    """Personal strings never become the name of a group."""
    expression: Annotated[str | None, like("distance > 50")] = None
    """Makes the feature derived: computed from the others, once, in validation. Producers do not send it."""

    @property
    def derived(self) -> bool:
        """Whether validation computes it, so that producers must not send it."""
        return self.expression is not None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.range is not None:
            if not (self.dtype.numeric and self.dtype is not Dtype.BOOL):
                raise located("range", f"only numbers have a range, this is {self.dtype.value}")
            if not self.range[0] <= self.range[1]:  # also true for NaN
                raise located("range", "lower bound above upper")
        if (self.categories is not None) != (self.dtype is Dtype.CATEGORY):
            raise located("categories", "a list of categories belongs to dtype category, and to no other")
        if self.categories is not None and (not self.categories or len(set(self.categories)) < len(self.categories)):
            raise located("categories", "must name at least one category, each once")
        if self.pattern is not None:
            if self.dtype is not Dtype.STRING:
                raise located("pattern", f"only strings have a pattern, this is {self.dtype.value}")
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise located("pattern", f"not a regular expression: {error}") from error
        return self


class RowRule(Strict):
    """A SQL boolean expression over one record's features; NULL passes, as in CHECK."""

    name: Annotated[str, like("moves", pattern=NAME)]
    """What a rejection calls it."""
    expression: Annotated[str, like("distance > 0 or waiting", min_length=1, max_length=1000)]
    """What must hold. A record for which it is false is rejected."""


class FeatureSetSpec(Strict):
    """The content of a FeatureSet."""

    version: Annotated[str, like("1.0.0", pattern=SEMVER)]
    """Major, minor, patch. A breaking change needs a new major; the majors live side by side."""
    entity: Annotated[Name, like("ride")]
    """What an event is about; ``entity_id`` names one of them."""
    clock: Annotated[Literal["live", "replay"], like("replay")] = "live"
    """What moves event time: the wall clock, or the ticks that producers send with the data."""
    features: Annotated[
        tuple[Feature, ...], like([{"name": "distance", "dtype": "float32"}], min_length=1, max_length=2000)
    ]
    """The features, in the order in which models take them."""
    rules: Annotated[tuple[RowRule, ...], like([{"name": "moves", "expression": "distance > 0"}])] = ()
    """Expressions that every record must keep."""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        refuse_repeated((feature.name for feature in self.features), "features[{}].name")
        refuse_repeated((rule.name for rule in self.rules), "rules[{}].name")
        if all(feature.derived for feature in self.features):
            raise located("features", "at least one feature must come from producers")
        return self


class FeatureSet(Strict):
    """A versioned FeatureSet; records refer to it as ``name@major``."""

    api_version: Annotated[Literal["headrace/v1"], like("headrace/v1", alias="apiVersion")] = API_VERSION
    """The version of this notation."""
    kind: Annotated[Literal["FeatureSet"], like("FeatureSet")] = "FeatureSet"
    """Tells a FeatureSet from a Model."""
    metadata: Metadata
    """Name, owner, description."""
    spec: FeatureSetSpec
    """The content."""

    @property
    def major(self) -> int:
        """The first part of the version; a breaking change needs a new one."""
        return int(self.spec.version.split(".")[0])

    @property
    def ref(self) -> str:
        """How records and models name it: ``name@major``."""
        return f"{self.metadata.name}@{self.major}"

    @property
    def topic_key(self) -> str:
        """Key on the ``definitions`` topic."""
        return f"FeatureSet/{self.metadata.name}/{self.major}"

    def feature(self, name: str) -> Feature:
        """The feature called ``name``; KeyError if there is none."""
        for feature in self.spec.features:
            if feature.name == name:
                return feature
        raise KeyError(name)
