"""What monitoring knows of models: their definitions, which artifact each version is, and what it was trained on.

A fold of definitions, deployments and models.candidates. Every version ever seen in a deployment is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from schemas.definitions import Dtype, FeatureSet, Model
from schemas.events.registry import DefinitionRecord, Deployment
from schemas.events.training import Candidate
from services.monitoring.artifacts import Artifact, artifact_of
from services.monitoring.kpi_frames import empty_frame
from services.monitoring.kpis import KpiError, Plan, check, plan
from services.monitoring.windows import WindowPolicy, common_grain, moment, policy_of


class Series(NamedTuple):
    """What is profiled separately."""

    model: str
    version: int
    route: str

    def __str__(self) -> str:
        return f"{self.model}/{self.version}/{self.route}"


@dataclass(frozen=True, slots=True)
class Watched:
    """A model as it is to be watched."""

    definition: Model
    policy: WindowPolicy
    kpis: tuple[Plan, ...]
    dtypes: Mapping[str, Dtype]  # of the feature set's features

    def season(self, start: int) -> int:
        """Windows of one season have one number: by hour of the day and day of the week, UTC, as the definition says."""
        seasonality, at = self.definition.spec.monitoring.seasonality, moment(start)
        return ("weekday" in seasonality) * at.weekday() * 24 + ("hour" in seasonality) * at.hour


class Knowledge:
    """The present state; `apply_…` fold one record each and may be repeated."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._models: dict[str, Model] = {}
        self._sets: dict[str, FeatureSet] = {}
        self._watched: dict[str, Watched] = {}
        self._digests: dict[tuple[str, int], str] = {}
        self._champions: dict[str, int] = {}
        self._artifacts: dict[str, Artifact] = {}
        self.problems: dict[str, str] = {}  # model/part → why it is not monitored

    def apply_definition(self, record: DefinitionRecord) -> None:
        """A definition came into force. Raises pydantic's ValidationError for one that cannot be read."""
        if record.kind == "FeatureSet":
            feature_set = FeatureSet.model_validate(record.definition)
            self._sets[feature_set.ref] = feature_set
        elif record.kind == "Model":
            model = Model.model_validate(record.definition)
            self._models[model.metadata.name] = model
        self._watched.clear()
        self.problems.clear()
        for name in self._models:
            self.watched(name)

    def apply_deployment(self, deployment: Deployment) -> None:
        """Versions and their digests."""
        for deployed in (deployment.champion, deployment.canary, *deployment.shadows):
            if deployed is not None:
                self.remember(deployment.model, deployed.version, deployed.digest)
        if deployment.champion is not None:
            self._champions[deployment.model] = deployment.champion.version

    def apply_candidate(self, candidate: Candidate) -> None:
        """What a model was trained on."""
        if candidate.digest not in self._artifacts:
            self._artifacts[candidate.digest] = artifact_of(candidate)

    def remember(self, model: str, version: int, digest: str) -> None:
        """``version`` of ``model`` is this artifact; compaction of deployments may have removed the record that said so."""
        self._digests[model, version] = digest

    def digest(self, model: str, version: int) -> str | None:
        """The artifact of a version, None if no deployment has named it."""
        return self._digests.get((model, version))

    def champion(self, model: str) -> int | None:
        """The version that is champion now."""
        return self._champions.get(model)

    def artifact(self, digest: str | None) -> Artifact | None:
        """What is known of an artifact."""
        return self._artifacts.get(digest) if digest is not None else None

    def watched(self, model: str) -> Watched | None:
        """How ``model`` is to be watched; None without a definition."""
        found = self._watched.get(model)
        if found is None and (definition := self._models.get(model)) is not None:
            found = self._watched[model] = self._watch(definition)
        return found

    def resolve(self, feature_set: str) -> str:
        """``name@major`` of a feature set that may be named without its major, or not at all ("") where there is but one."""
        if "@" in feature_set:
            return feature_set
        found = [ref for ref in self._sets if feature_set in ("", ref.partition("@")[0])]
        return found[0] if len(found) == 1 else feature_set

    def meant(self, model: str) -> str:
        """The model that a label means by ``model``: itself, or the only one there is where no such model is defined."""
        return model if model in self._models or len(self._models) != 1 else next(iter(self._models))

    def live_model(self, model: str) -> bool:
        """Whether the event time of the model that a label means by ``model`` is that of the clock."""
        known = self._models.get(self.meant(model))
        return known is not None and self.live(known.spec.feature_set)

    def live(self, feature_set: str) -> bool:
        """Whether the event time of ``feature_set`` is that of the clock."""
        known = self._sets.get(self.resolve(feature_set))
        return known is not None and known.spec.clock == "live"

    def models_of(self, feature_set: str) -> list[str]:
        """Names of the models on ``feature_set``, sorted."""
        return sorted(name for name, model in self._models.items() if model.spec.feature_set == feature_set)

    def grain(self, feature_set: str) -> int:
        """Windows of the feature set's models close at multiples of this many microseconds only."""
        names = self.models_of(feature_set)
        return common_grain(found.policy for name in names if (found := self.watched(name)) is not None)

    def _watch(self, definition: Model) -> Watched:
        if definition.spec.monitoring.window.rows is not None:
            self.problems[f"{definition.metadata.name}/window"] = (
                "windows of rows are not monitored, only windows of time"
            )
        feature_set = self._sets.get(definition.spec.feature_set)
        dtypes = {feature.name: feature.dtype for feature in feature_set.spec.features} if feature_set else {}
        kpis = []
        for kpi in definition.spec.kpis:
            try:
                item = plan(kpi.name, kpi.expression)
                check(item, empty_frame(dtypes, definition.spec.target.type))
            except KpiError as error:
                self.problems[f"{definition.metadata.name}/{kpi.name}"] = str(error)
            else:
                kpis.append(item)
        return Watched(definition, policy_of(definition), tuple(kpis), dtypes)
