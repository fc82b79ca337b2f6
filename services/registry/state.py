"""What the registry knows: the fold of ``registry.events``, frozen, so that a decision can never change it by accident."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from schemas.definitions import Definition, FeatureSet, Key, KeySpec, Model
from schemas.events.registry import GateResult

GENESIS: Final = "0" * 64  # the hash before the first event
FAILED_GATES: Final = "gates"  # the code of a rejection that other gates may lift
Metrics = Mapping[str, float | None]


class Check(StrEnum):
    """Where a check of a version stands."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"


class Serving(StrEnum):
    """What inference has said of a version since it took its present role."""

    UNKNOWN = "unknown"
    CONFIRMED = "confirmed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model. ``role_revision`` is the model's revision at which it became champion or challenger last."""

    number: int
    candidate_id: str
    digest: str
    feature_set: str
    source: Literal["trained", "imported"]
    metrics: Metrics = field(default_factory=lambda: MappingProxyType({}))
    group_metrics: Mapping[str, Metrics] = field(default_factory=lambda: MappingProxyType({}))
    size: int | None = None
    proposed_by: str | None = None
    key_id: str | None = None
    offered_at: datetime | None = None
    offer: str = ""
    probe: Check = Check.PENDING
    probe_code: str | None = None
    probe_message: str = ""
    latency_ms: float | None = None
    gates: Check = Check.PENDING
    gate_results: tuple[GateResult, ...] = ()
    approvals: tuple[str, ...] = ()
    approved: bool = False
    rejected: str | None = None
    rejected_because: str = ""
    was_champion: bool = False
    serving: Serving = Serving.UNKNOWN
    role_revision: int = 0

    @property
    def deployable(self) -> bool:
        """Whether it may be served at all: probed, approved, and not rejected since."""
        return self.probe is Check.PASSED and self.approved and self.rejected is None

    @property
    def reconsidered(self) -> bool:
        """Whether it is judged again when it is offered again: nothing but its gates spoke against it."""
        return self.rejected == FAILED_GATES

    @property
    def stage(self) -> str:
        """Where it stands, in one word, for people."""
        if self.rejected is not None:
            return "rejected"
        if self.probe is Check.FAILED:
            return "quarantined"
        if self.probe is Check.PENDING:
            return "probing"
        return "approved" if self.approved else "awaiting-approval"


@dataclass(frozen=True, slots=True)
class Challenger:
    """The version that runs beside the champion. ``share`` of entities in (0, 1) for a canary, None for a shadow."""

    version: int
    route: Literal["shadow", "canary"]
    share: float | None = None
    since: datetime | None = None  # when it was started: evidence that Kafka had before is of another rollout


@dataclass(frozen=True, slots=True)
class ModelState:
    """All versions of one model. ``line`` is the stack of champions: the last is live, the one before is what a rollback restores."""

    name: str
    revision: int = 0
    versions: MappingProxyType[int, Version] = field(default_factory=lambda: MappingProxyType({}))
    line: tuple[int, ...] = ()
    challenger: Challenger | None = None
    refusals: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))  # candidate id → code
    commands: MappingProxyType[str, int] = field(
        default_factory=lambda: MappingProxyType({})
    )  # command id → revision it led to

    @property
    def champion(self) -> Version | None:
        """The version that is live."""
        return self.versions[self.line[-1]] if self.line else None


@dataclass(frozen=True, slots=True)
class DefinitionState:
    """A definition in force; ``revision`` counts how often it changed."""

    subject: str
    revision: int
    definition: Definition
    commands: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class State:
    """Everything, after ``sequence`` events whose chain ends in ``head``."""

    sequence: int = 0
    head: str = GENESIS
    models: MappingProxyType[str, ModelState] = field(default_factory=lambda: MappingProxyType({}))
    definitions: MappingProxyType[str, DefinitionState] = field(default_factory=lambda: MappingProxyType({}))

    def model(self, name: str) -> ModelState:
        """The state of a model; an empty one if nothing has happened to it."""
        return self.models.get(name) or ModelState(name)

    def definition_of(self, name: str) -> Model | None:
        """The Model definition in force."""
        found = self.definitions.get(f"Model/{name}/1")
        return found.definition if found is not None and isinstance(found.definition, Model) else None

    def feature_set(self, ref: str) -> FeatureSet | None:
        """The FeatureSet in force under ``name@major``."""
        name, _, major = ref.partition("@")
        found = self.definitions.get(f"FeatureSet/{name}/{major}")
        return found.definition if found is not None and isinstance(found.definition, FeatureSet) else None

    def keys(self) -> tuple[KeySpec, ...]:
        """The keys in force."""
        found = (each.definition for each in self.definitions.values())
        return tuple(definition.spec for definition in found if isinstance(definition, Key))

    def answered(self, command_id: str) -> tuple[str, int] | None:
        """Which subject a command changed, and the revision it led to; None if it never changed anything."""
        for subjects in (self.models, self.definitions):
            for subject, entry in subjects.items():
                revision = entry.commands.get(command_id)
                if revision is not None:
                    return subject, revision
        return None
