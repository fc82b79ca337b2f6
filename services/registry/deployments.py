"""Deployments, derived from state: what inference is to serve for a model."""

from datetime import datetime

from schemas.events.registry import Canary, DeployedVersion, Deployment
from services.registry.state import ModelState, Version


def deployment(model: ModelState, at: datetime) -> Deployment | None:
    """What is to be served now; None as long as the model never had a champion.

    A challenger trained on another feature set than the champion has no place in a deployment (it has one feature set).
    """
    champion = model.champion
    if champion is None:
        return None
    challenger = model.challenger
    beside = None if challenger is None else model.versions[challenger.version]
    if beside is not None and beside.feature_set != champion.feature_set:
        challenger = beside = None
    canary: Canary | None = None
    shadows: tuple[DeployedVersion, ...] = ()
    if challenger is not None and beside is not None:
        if challenger.route == "canary" and challenger.share is not None:
            canary = Canary(version=beside.number, digest=beside.digest, share=challenger.share, offer=beside.offer)
        else:
            shadows = (_deployed(beside),)
    return Deployment(
        model=model.name,
        feature_set=champion.feature_set,
        champion=_deployed(champion),
        canary=canary,
        shadows=shadows,
        revision=model.revision,
        at=at,
    )


def changed(before: Deployment | None, after: Deployment | None) -> bool:
    """Whether ``after`` serves something else; a mere higher revision does not count."""
    return after is not None and (before is None or _served(before) != _served(after))


def _served(deployment: Deployment) -> tuple[object, ...]:
    return deployment.feature_set, deployment.champion, deployment.canary, deployment.shadows


def _deployed(version: Version) -> DeployedVersion:
    return DeployedVersion(version=version.number, digest=version.digest, offer=version.offer)
