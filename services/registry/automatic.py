"""What follows without anyone asking: gates, automatic approval, promotion on evidence, and answers to what inference says."""

from typing import Final

from schemas.definitions import Model
from schemas.events.inference import ModelStatus
from schemas.events.monitoring import Alert, AlertKind
from schemas.events.registry import (
    GatesEvaluated,
    ServingConfirmed,
    ServingRefused,
    VersionApproved,
    VersionRejected,
)
from services.registry import gates, revocation, rollout
from services.registry.promotion import Looks, Pair, judge
from services.registry.state import FAILED_GATES, Check, ModelState, Serving, State, Version
from services.registry.verdicts import Entry

ENDING: Final[frozenset[AlertKind]] = frozenset({"errors", "quality", "kpi"})

Entries = tuple[Entry, ...]


def next_steps(state: State, name: str) -> Entries:
    """The next automatic step of a model, () when it is at rest. Apply it and ask again."""
    model, definition = state.models.get(name), state.definition_of(name)
    if model is None:
        return ()
    revoked = revocation.consequences(model, state.keys())
    if revoked or definition is None:
        return revoked
    for number in sorted(model.versions):
        steps = _version_steps(definition, model, model.versions[number])
        if steps:
            return steps
    return ()


def on_evidence(state: State, name: str, pairs: list[Pair], looks: Looks) -> Entries:
    """Promotion or end of the challenger, if the shared quality windows say so. Only where the definition rolls out in steps."""
    model, definition = state.model(name), state.definition_of(name)
    if (
        definition is None
        or definition.spec.rollout.strategy == "direct"
        or model.challenger is None
        or model.champion is None
    ):
        return ()
    judgement = judge(definition, pairs, looks)
    challenger = model.versions[model.challenger.version]
    if judgement.verdict == "promote" and challenger.deployable:
        return rollout.take_over(model, challenger, automatic=True, evidence=judgement.lines)
    if judgement.verdict == "stop":
        return rollout.stop_challenger(model, f"{judgement.why}: " + "; ".join(judgement.lines))
    return ()


def on_alert(state: State, alert: Alert) -> Entries:
    """An alert about the challenger's own version ends it, if its kind would page were it about a champion.

    Not its severity: monitoring wakes nobody for a canary. What to do about a champion is for people and for training.
    """
    model = state.model(alert.model)
    if model.challenger is None or alert.version != model.challenger.version:
        return ()
    if alert.kind not in ENDING or alert.state != "firing":
        return ()
    return rollout.stop_challenger(model, f"alert {alert.kind}: {alert.summary}"[:2000])


def on_status(state: State, status: ModelStatus) -> Entries:
    """Confirmation or refusal of a version in its present role; reports about an earlier role are ignored.

    A refused champion gives way to the champion before it, unless some other process serves it already. A refused challenger ends.
    """
    model = state.model(status.model)
    version = model.versions.get(status.version)
    if version is None or version.digest != status.digest or status.deployment_revision < version.role_revision:
        return ()
    is_champion = bool(model.line) and model.line[-1] == version.number
    is_challenger = model.challenger is not None and model.challenger.version == version.number
    if status.state == "loaded" and is_champion and version.serving is not Serving.CONFIRMED:
        return (Entry(model.name, ServingConfirmed(version=version.number)),)
    if status.state == "refused" and (is_champion or is_challenger) and version.serving is not Serving.REFUSED:
        message = f"{status.instance}: {status.code or 'refused'}: {status.message}"[:2000]
        refused = Entry(model.name, ServingRefused(version=version.number, message=message))
        return (refused, *_instead(model, version, is_champion=is_champion))
    return ()


def approval(definition: Model, model: ModelState, version: Version, *, automatic: bool) -> Entries:
    """One more approval and, once there are enough, the rollout."""
    count = len(version.approvals) + (0 if automatic else 1)
    complete = automatic or count >= definition.spec.approval.approvers
    fact = VersionApproved(version=version.number, approvals=count, complete=complete, automatic=automatic)
    entries = (Entry(model.name, fact),)
    return (*entries, *rollout.start(definition, model, version)) if complete else entries


def _version_steps(definition: Model, model: ModelState, version: Version) -> Entries:
    if version.rejected is not None or version.probe is not Check.PASSED:
        return ()
    if version.gates is Check.PENDING:
        return _gated(definition, model, version)
    newest = model.champion is None or version.number > model.champion.number
    if (
        version.gates is Check.PASSED
        and not version.approved
        and newest
        and definition.spec.approval.mode == "automatic"
    ):
        return approval(definition, model, version, automatic=True)
    return ()


def _gated(definition: Model, model: ModelState, version: Version) -> Entries:
    results = gates.evaluate(definition, version, model.champion)
    passed = all(result.passed for result in results)
    evaluated = Entry(model.name, GatesEvaluated(version=version.number, passed=passed, results=results))
    if passed:
        return (evaluated,)
    rejected = VersionRejected(version=version.number, code=FAILED_GATES, message=gates.failures(results))
    return (evaluated, Entry(model.name, rejected))


def _instead(model: ModelState, version: Version, *, is_champion: bool) -> Entries:
    if not is_champion:
        return rollout.stop_challenger(model, "inference refused to load it")
    before = rollout.previous_champion(model)
    if before is None or version.serving is Serving.CONFIRMED:
        return ()
    return rollout.roll_back(model, version, before)
