"""How an approved version reaches traffic: at once, or beside the champion first."""

from schemas.definitions import Model
from schemas.events.registry import ChallengerStarted, ChallengerStopped, ChampionPromoted, ChampionRolledBack
from services.registry.state import ModelState, Version
from services.registry.verdicts import Entry


def start(definition: Model, model: ModelState, version: Version) -> tuple[Entry, ...]:
    """What the definition's rollout does with ``version`` once it is approved.

    A model's first version goes live at once: there is nothing to stand beside. A version trained on another feature set than
    the champion cannot stand beside it either (they see different events): it waits for `promote`.
    """
    policy, champion = definition.spec.rollout, model.champion
    if champion is None or policy.strategy == "direct":
        return (*stop_challenger(model, _replaced(version)), promoted(model, version, automatic=True))
    if version.feature_set != champion.feature_set:
        return ()
    share = policy.share if policy.strategy == "canary" else None
    started = ChallengerStarted(version=version.number, route=policy.strategy, share=share)
    return (*stop_challenger(model, _replaced(version)), Entry(model.name, started))


def take_over(
    model: ModelState, version: Version, *, automatic: bool = False, evidence: tuple[str, ...] = ()
) -> tuple[Entry, ...]:
    """``version`` becomes champion; a challenger that cannot stand beside it ends."""
    return (*_unfit_challenger(model, version), promoted(model, version, automatic=automatic, evidence=evidence))


def roll_back(model: ModelState, champion: Version, target: Version) -> tuple[Entry, ...]:
    """``target`` is champion again instead of ``champion``."""
    back = ChampionRolledBack(version=target.number, digest=target.digest, previous=champion.number)
    return (*_unfit_challenger(model, target), Entry(model.name, back))


def previous_champion(model: ModelState) -> Version | None:
    """What a rollback returns to: the champion before this one that may still be served."""
    for number in reversed(model.line[:-1]):
        version = model.versions[number]
        if number != model.line[-1] and version.deployable:
            return version
    return None


def promoted(model: ModelState, version: Version, *, automatic: bool, evidence: tuple[str, ...] = ()) -> Entry:
    """The fact that ``version`` is champion from now on."""
    champion = model.champion
    fact = ChampionPromoted(
        version=version.number,
        digest=version.digest,
        previous=None if champion is None else champion.number,
        automatic=automatic,
        evidence=evidence,
    )
    return Entry(model.name, fact)


def stop_challenger(model: ModelState, message: str) -> tuple[Entry, ...]:
    """The end of the present challenger, if there is one."""
    if model.challenger is None:
        return ()
    return (Entry(model.name, ChallengerStopped(version=model.challenger.version, message=message)),)


def _unfit_challenger(model: ModelState, champion: Version) -> tuple[Entry, ...]:
    challenger = model.challenger
    if challenger is None or challenger.version == champion.number:
        return ()
    if model.versions[challenger.version].feature_set == champion.feature_set:
        return ()
    return stop_challenger(model, f"the new champion reads {champion.feature_set}, so it cannot run beside it")


def _replaced(version: Version) -> str:
    return f"replaced by version {version.number}"
