"""What is served at this moment: an immutable snapshot that a batch reads once, so that a swap happens between batches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from numpy.typing import NDArray

from schemas.definitions import FeatureSet
from schemas.events.training import Candidate, ModelInput
from schemas.identities import SERVING, shadow_slot
from services.inference.columns import FeatureColumns
from services.inference.outputs import OutputReader

Route = Literal["champion", "canary", "shadow"]


class Runnable(Protocol):
    """A loaded model."""

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], deadline: float) -> Mapping[str, Any]:
        """The named outputs for one batch; blocks for at most about ``deadline`` seconds.

        Raises `ScoringError` where the model fails on the batch, `DeadlineError` where it was stopped.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A model that was verified, loaded and probed, ready to score. Shared by all plans that hold it."""

    digest: str
    inputs: tuple[ModelInput, ...]
    reader: OutputReader
    session: Runnable
    about: str = ""  # for people: the options that it runs with

    @classmethod
    def of(cls, candidate: Candidate, session: Runnable) -> "LoadedVersion":
        """What ``candidate`` says about the model in ``session``."""
        reader = OutputReader(candidate.target_type, candidate.outputs, candidate.classes)
        return cls(candidate.digest, candidate.inputs, reader, session)


@dataclass(slots=True)
class Breaker:
    """Suspends a version that hangs. A shadow's is the one mutable thing in a plan; scoring alone touches it."""

    until: float = 0.0  # monotonic seconds
    trips: int = 0

    def open(self, now: float) -> bool:
        """Whether the version rests."""
        return now < self.until

    def trip(self, now: float, rest: float) -> None:
        """Let it rest for ``rest`` seconds from ``now``."""
        self.until = now + rest
        self.trips += 1


@dataclass(frozen=True, slots=True)
class Slot:
    """A version in its role for one model."""

    model: str
    version: int
    route: Route
    loaded: LoadedVersion
    breaker: Breaker | None = None  # shadows have one

    @property
    def name(self) -> str:
        """The slot in the sense of `schemas.identities`: champion and canary share one."""
        return shadow_slot(self.version) if self.route == "shadow" else SERVING


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with a champion, perhaps a canary for a ``share`` of the entities, and shadows."""

    name: str
    feature_set: str
    champion: Slot
    canary: Slot | None = None
    share: float | None = None
    shadows: tuple[Slot, ...] = ()

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them, the champion first."""
        return (self.champion, *((self.canary,) if self.canary else ()), *self.shadows)


@dataclass(frozen=True, slots=True)
class FeatureSetPlan:
    """The models on one FeatureSet, which share its decoding."""

    definition: FeatureSet
    columns: FeatureColumns
    models: tuple[ServedModel, ...]


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """Models by the FeatureSet that they are served on."""

    feature_sets: Mapping[str, FeatureSetPlan] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, tuple[FeatureSet, tuple[ServedModel, ...]]]:
        """What the plan says, to be compared."""
        return {ref: (plan.definition, plan.models) for ref, plan in self.feature_sets.items()}

    @property
    def models(self) -> dict[str, ServedModel]:
        """All served models by name."""
        return {model.name: model for plan in self.feature_sets.values() for model in plan.models}


NOTHING_SERVED: Final = ServingPlan()


def build_plan(models: Iterable[ServedModel], feature_sets: Mapping[str, FeatureSet]) -> ServingPlan:
    """A plan for ``models``. Raises KeyError where a FeatureSet, or a feature that a model takes, is not defined."""
    by_set: dict[str, list[ServedModel]] = {}
    for model in models:
        by_set.setdefault(model.feature_set, []).append(model)
    return ServingPlan(
        {
            ref: FeatureSetPlan(feature_sets[ref], FeatureColumns(feature_sets[ref], _inputs(served)), tuple(served))
            for ref, served in by_set.items()
        }
    )


def _inputs(models: Sequence[ServedModel]) -> list[ModelInput]:
    return [model_input for model in models for slot in model.slots for model_input in slot.loaded.inputs]


class CurrentPlan:
    """Holds the plan in force. Assignment is atomic: a reader sees the plan before a swap or the one after."""

    def __init__(self) -> None:
        self._plan = NOTHING_SERVED
        self.swaps = 0

    def __call__(self) -> ServingPlan:
        """The plan in force."""
        return self._plan

    def swap(self, plan: ServingPlan) -> None:
        """Put ``plan`` in force from the next batch on."""
        self._plan = plan
        self.swaps += 1
