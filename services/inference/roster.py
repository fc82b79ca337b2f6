"""What should be served (deployments) against what is loaded: which versions to load, which plan follows, what is owed.

Pure state: the keeper feeds it and acts on what it says. A champion that cannot be loaded leaves the one before it serving.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.definitions import FeatureSet, KeySpec
from schemas.events.registry import Canary, DeployedVersion, Deployment
from schemas.events.training import Candidate
from schemas.model_inputs import problems
from schemas.signatures import Signed
from services.inference.credentials import DISTRUSTED, Credentials, Offer
from services.inference.errors import MAY_STILL_COME, Refusal, VersionRefusedError
from services.inference.serving_plan import (
    NOTHING_SERVED,
    Breaker,
    LoadedVersion,
    Route,
    ServedModel,
    ServingPlan,
    Slot,
    build_plan,
)

Place = tuple[str, str]  # model, digest


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version that a deployment names."""

    model: str
    feature_set: str
    version: int
    digest: str
    route: Route
    revision: int
    offer: str = ""  # SHA-256 of the body of the candidate that is meant; "": whichever counts

    @property
    def place(self) -> Place:
        """What is loaded for it."""
        return self.model, self.digest


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a wanted version: loaded (``code`` None) or refused. ``message``: why, or the options it runs with."""

    wanted: Wanted
    code: Refusal | None = None
    message: str = ""


class Roster:
    """Deployments, definitions and candidates as of now, and the versions that were loaded or refused for them."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        """``credentials`` say which candidates may be loaded; without, all of them."""
        self._credentials = credentials or Credentials()
        self._deployments: dict[str, Deployment] = {}
        self._feature_sets: dict[str, FeatureSet] = {}
        self._offers: dict[Place, tuple[Offer, ...]] = {}
        self._sets: dict[Place, str] = {}
        self._loaded: dict[Place, LoadedVersion] = {}
        self._refused: dict[Place, VersionRefusedError] = {}
        self._champions: dict[str, Wanted] = {}  # what really serves: stays while its successor is not loaded
        self._breakers: dict[Place, Breaker] = {}

    # ---- what the topics say

    def deploy(self, deployment: Deployment) -> None:
        """A deployment came into force; an older revision changes nothing."""
        known = self._deployments.get(deployment.model)
        if known is None or known.revision <= deployment.revision:
            self._deployments[deployment.model] = deployment
            if known is None or known.revision < deployment.revision:
                self._try_again(wanted.place for wanted in wanted_of(deployment))

    def withdraw(self, model: str) -> None:
        """The model's deployment was deleted."""
        self._deployments.pop(model, None)

    def define(self, feature_set: FeatureSet) -> list[str]:
        """A FeatureSet came into force. Problems where loaded models could not be filled from it: then the old one stays."""
        found = [
            f"{place[0]}: {problem}"
            for place, loaded in self._loaded.items()
            if self._set_of(place) == feature_set.ref
            for problem in problems(loaded.inputs, feature_set)
        ]
        if not found:
            self._feature_sets[feature_set.ref] = feature_set
            self._try_again([place for place in self._refused if self._set_of(place) == feature_set.ref])
        return found

    def trust(self, name: str, key: KeySpec) -> None:
        """A Key came into force. What was loaded stays: whether it goes is the registry's decision."""
        self._credentials.trust(name, key)
        self._try_again([place for place, error in self._refused.items() if error.code in DISTRUSTED])

    def offer(self, candidate: Candidate, signed: Signed) -> None:
        """A candidate was published: what its artifact takes and gives, and who says so."""
        place = (candidate.model, candidate.digest)
        offers = (*self._offers.get(place, ()), Offer(candidate, signed))
        self._offers[place] = self._credentials.kept(offers, self._meant(place))
        self._try_again([place])

    def artifact_arrived(self, digest: str) -> None:
        """An artifact became available, perhaps after it was refused as missing or damaged."""
        self._try_again([place for place in self._refused if place[1] == digest])

    # ---- what loading said

    def loaded(self, wanted: Wanted, version: LoadedVersion) -> None:
        """``version`` is ready to score; refused after all where the definition has changed under it meanwhile."""
        feature_set = self._feature_sets.get(wanted.feature_set)
        found = problems(version.inputs, feature_set) if feature_set else [f"{wanted.feature_set} is not defined"]
        if found:
            self.refused(wanted, VersionRefusedError(Refusal.SIGNATURE, f"{'; '.join(found)}."))
            return
        self._refused.pop(wanted.place, None)
        self._loaded[wanted.place] = version
        self._sets[wanted.place] = wanted.feature_set

    def refused(self, wanted: Wanted, error: VersionRefusedError) -> None:
        """The version cannot be served."""
        self._refused[wanted.place] = error
        self._sets[wanted.place] = wanted.feature_set

    def may_heal(self) -> bool:
        """Whether trying again may help some refused version without anything new on the topics."""
        return any(map(self._retriable, self._refused.items()))

    def retry_refused(self) -> None:
        """Let those be tried again."""
        self._try_again([place for place, error in self._refused.items() if self._retriable((place, error))])

    # ---- what follows

    def candidate(self, wanted: Wanted) -> Candidate | None:
        """What is known about the artifact. Raises `VersionRefusedError` where nobody who counts has signed that."""
        offers = self._offers.get(wanted.place, ())
        meant = [offer for offer in offers if wanted.offer in ("", offer.signed.body_digest)]
        return self._credentials.candidate(meant) if meant else None

    def feature_set(self, ref: str) -> FeatureSet | None:
        """The definition in force."""
        return self._feature_sets.get(ref)

    def unsettled(self) -> list[Wanted]:
        """Versions neither loaded nor refused; champions first, then canaries, then shadows."""
        waiting = [
            wanted
            for deployment in self._deployments.values()
            for wanted in wanted_of(deployment)
            if wanted.place not in self._loaded and wanted.place not in self._refused
        ]
        return sorted(waiting, key=lambda wanted: _ORDER[wanted.route])

    def outcomes(self) -> list[Outcome]:
        """What became of each deployed version so far; per model the champion last, so that a compacted topic keeps it."""
        found = []
        for deployment in self._deployments.values():
            for wanted in reversed(wanted_of(deployment)):
                error = self._refused.get(wanted.place)
                if error is not None:
                    found.append(Outcome(wanted, error.code, str(error)))
                elif (version := self._loaded.get(wanted.place)) is not None:
                    found.append(Outcome(wanted, message=version.about))
        return found

    def missing_champions(self, owed: Iterable[str]) -> dict[str, str]:
        """Models among ``owed`` whose deployed champion is not served, nor any before it: model → why."""
        missing = {}
        for model in owed:
            deployment = self._deployments.get(model)
            if deployment is None or deployment.champion is None or self._champion(deployment) is not None:
                continue
            error = self._refused.get((model, deployment.champion.digest))
            missing[model] = f"version {deployment.champion.version}: {error}" if error else "it is being loaded"
        return missing

    def plan(self) -> ServingPlan:
        """The plan that follows; what it does not hold any more is released."""
        models = [served for deployment in self._deployments.values() if (served := self._serve(deployment))]
        self._champions = {
            model: wanted for model, wanted in self._champions.items() if model in {served.name for served in models}
        }
        self._release()
        return build_plan(models, self._feature_sets) if models else NOTHING_SERVED

    def _serve(self, deployment: Deployment) -> ServedModel | None:
        champion = self._champion(deployment)
        if champion is None:
            return None
        self._champions[deployment.model] = champion
        canary, shadows = None, []
        for wanted in wanted_of(deployment)[1:]:
            if wanted.place not in self._loaded or wanted.feature_set != champion.feature_set:
                continue
            if wanted.route == "canary":
                canary = self._slot(wanted)
            else:
                shadows.append(self._slot(wanted))
        share = deployment.canary.share if deployment.canary and canary else None
        return ServedModel(deployment.model, champion.feature_set, self._slot(champion), canary, share, tuple(shadows))

    def _champion(self, deployment: Deployment) -> Wanted | None:
        """What serves as champion now: the deployed one, or while that is not loaded the one before."""
        if deployment.champion is None:
            return None
        wanted = _wanted(deployment, deployment.champion, "champion")
        if wanted.place in self._loaded and wanted.feature_set in self._feature_sets:
            return wanted
        return self._champions.get(deployment.model)

    def _slot(self, wanted: Wanted) -> Slot:
        breaker = self._breakers.setdefault(wanted.place, Breaker()) if wanted.route == "shadow" else None
        return Slot(wanted.model, wanted.version, wanted.route, self._loaded[wanted.place], breaker)

    def _release(self) -> None:
        keep = {wanted.place for deployment in self._deployments.values() for wanted in wanted_of(deployment)}
        keep |= {wanted.place for wanted in self._champions.values()}
        self._loaded = {place: version for place, version in self._loaded.items() if place in keep}
        self._refused = {place: error for place, error in self._refused.items() if place in keep}
        self._breakers = {place: breaker for place, breaker in self._breakers.items() if place in keep}
        self._sets = {place: ref for place, ref in self._sets.items() if place in keep}

    def _retriable(self, refused: tuple[Place, VersionRefusedError]) -> bool:
        """What may pass by itself, and anything that leaves a model without a champion; what is missing announces itself."""
        (model, _), error = refused
        if error.code in MAY_STILL_COME:
            return False
        return error.code in (Refusal.DEADLINE, Refusal.STORAGE, Refusal.INTERNAL) or model not in self._champions

    def _set_of(self, place: Place) -> str | None:
        """The feature set under which it was loaded or refused."""
        return self._sets.get(place)

    def _meant(self, place: Place) -> set[str]:
        """The offers of an artifact that deployments name."""
        wanted = (each for deployment in self._deployments.values() for each in wanted_of(deployment))
        return {each.offer for each in wanted if each.place == place and each.offer}

    def _try_again(self, places: Iterable[Place]) -> None:
        for place in places:
            self._refused.pop(place, None)


_ORDER: Final[Mapping[str, int]] = {"champion": 0, "canary": 1, "shadow": 2}


def wanted_of(deployment: Deployment) -> list[Wanted]:
    """The versions that ``deployment`` names, the champion first; none without a champion, since nothing is served then."""
    if deployment.champion is None:
        return []
    found = [_wanted(deployment, deployment.champion, "champion")]
    if deployment.canary is not None:
        found.append(_wanted(deployment, deployment.canary, "canary"))
    found.extend(_wanted(deployment, shadow, "shadow") for shadow in deployment.shadows)
    return found


def _wanted(deployment: Deployment, version: DeployedVersion | Canary, route: Route) -> Wanted:
    return Wanted(
        model=deployment.model,
        feature_set=deployment.feature_set,
        version=version.version,
        digest=version.digest,
        route=route,
        revision=deployment.revision,
        offer=version.offer,
    )
