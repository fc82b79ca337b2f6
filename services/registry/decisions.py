"""``decide``: what a command about a model comes to, given everything that has happened. Pure; every refusal says what to do."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.definitions.metadata import NAME
from schemas.events.registry import (
    ApplyDefinitions,
    Approve,
    ChallengerStarted,
    Promote,
    RegistryCommand,
    Reject,
    Rollback,
    StartChallenger,
    StopChallenger,
    VersionRejected,
)
from services.registry import automatic, rollout
from services.registry.applying import apply
from services.registry.state import Check, ModelState, State, Version
from services.registry.verdicts import Accepted, Entry, Refused, Unchanged, Verdict


def decide(state: State, command: RegistryCommand) -> Verdict:
    """What ``command`` comes to. Whether its id was answered before is the caller's question (`services.registry.answers`)."""
    if isinstance(command.action, ApplyDefinitions):
        return apply(state, command.action, command.expected_revision)
    if command.model is None or not re.fullmatch(NAME, command.model):
        return Refused(
            "invalid",
            f"{command.model!r} is not a model name; names are like parcel-delay: a-z, 0-9 and -, nothing else.",
        )
    model = state.model(command.model)
    if not model.versions:
        return Refused("not_found", f"{_missing(state, model)} `headrace models list` shows what there is.")
    if command.expected_revision not in (None, model.revision):
        return Refused(
            "conflict",
            f"{model.name} is at revision {model.revision}, not {command.expected_revision}: it has changed since you looked. "
            "Look again and repeat the command if it still makes sense.",
        )
    return _DECISIONS[type(command.action)](state, model, command)


def _missing(state: State, model: ModelState) -> str:
    if state.definition_of(model.name) is None:
        return f"There is no model called {model.name}."
    return f"{model.name} has no version yet; train or import one first."


def _version(model: ModelState, number: int) -> Version | Refused:
    version = model.versions.get(number)
    if version is not None:
        return version
    return Refused("not_found", f"{model.name} has no version {number}; it has 1 to {max(model.versions)}.")


def _blocked(model: ModelState, version: Version) -> Refused | None:
    """Why a version may not be served, None if it may."""
    if version.deployable:
        return None
    name = f"version {version.number} of {model.name}"
    if version.rejected is not None:
        return Refused(
            "rejected",
            f"{name} was rejected ({version.rejected}): {_sentence(version.rejected_because)} Train or import a new one.",
        )
    if version.probe is Check.FAILED:
        return Refused(
            "rejected",
            f"{name} is in quarantine, because its file failed the probe ({version.probe_code}): "
            f"{_sentence(version.probe_message)} Train or import a new one.",
        )
    if version.probe is Check.PENDING:
        return Refused(
            "rejected", f"{name} is still being probed; repeat the command when its gates have been evaluated."
        )
    return Refused(
        "rejected", f"{name} is not approved; `headrace models approve {model.name} {version.number}` first."
    )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text or 'no reason was given'}."


def _approve(state: State, model: ModelState, command: RegistryCommand) -> Verdict:
    number = _action(Approve, command).version
    version = _version(model, number)
    if isinstance(version, Refused):
        return version
    if version.approved and version.rejected is None:
        return Unchanged(f"version {number} of {model.name} is already approved.")
    if version.rejected is not None or version.gates is not Check.PASSED:
        return _blocked(model, version) or Refused("rejected", f"version {number} of {model.name} cannot be approved.")
    if command.actor == version.proposed_by:
        return Refused(
            "unauthorised",
            f"{command.actor} imported version {number}; another person must approve it (`--as NAME` names who).",
        )
    if command.actor in version.approvals:
        return Refused(
            "unauthorised",
            f"{command.actor} has already approved version {number}; another person must (`--as NAME` names who).",
        )
    definition = state.definition_of(model.name)
    if definition is None:
        return Refused("not_found", f"the definition of {model.name} is missing; apply it first.")
    entries = automatic.approval(definition, model, version, automatic=False)
    missing = definition.spec.approval.approvers - len(version.approvals) - 1
    return Accepted(
        entries, f"version {number} of {model.name} is approved" + (f"; {missing} more needed." if missing > 0 else ".")
    )


def _reject(_: State, model: ModelState, command: RegistryCommand) -> Verdict:
    number = _action(Reject, command).version
    version = _version(model, number)
    if isinstance(version, Refused):
        return version
    if version.rejected is not None:
        return Unchanged(f"version {number} of {model.name} is already rejected.")
    if model.line and model.line[-1] == number:
        return Refused(
            "rejected", f"version {number} of {model.name} is live; roll back or promote another version first."
        )
    stopped: tuple[Entry, ...] = ()
    if model.challenger is not None and model.challenger.version == number:
        stopped = rollout.stop_challenger(model, f"rejected by {command.actor}")
    fact = VersionRejected(version=number, code="manual", message=command.reason or f"rejected by {command.actor}")
    return Accepted((*stopped, Entry(model.name, fact)), f"version {number} of {model.name} is rejected.")


def _promote(_: State, model: ModelState, command: RegistryCommand) -> Verdict:
    number = _action(Promote, command).version
    version = _version(model, number)
    if isinstance(version, Refused):
        return version
    if model.line and model.line[-1] == number:
        return Unchanged(f"version {number} of {model.name} is already live.")
    return _blocked(model, version) or Accepted(
        rollout.take_over(model, version),
        f"version {number} of {model.name} is champion; inference reports when it serves.",
    )


def _rollback(_: State, model: ModelState, command: RegistryCommand) -> Verdict:
    number, champion = _action(Rollback, command).version, model.champion
    if champion is None:
        return Refused("not_found", f"{model.name} has no champion to roll back from; promote a version.")
    target: Version | Refused | None = rollout.previous_champion(model) if number is None else _version(model, number)
    if target is None:
        return Refused(
            "not_found", f"{model.name} had no other champion before version {champion.number} that may be served."
        )
    if isinstance(target, Refused):
        return target
    if target.number == champion.number:
        return Unchanged(f"version {target.number} of {model.name} is already live.")
    if not target.was_champion:
        return Refused("rejected", f"version {target.number} of {model.name} was never champion; use promote.")
    return _blocked(model, target) or Accepted(
        rollout.roll_back(model, champion, target), f"version {target.number} of {model.name} is champion again."
    )


def _challenge(state: State, model: ModelState, command: RegistryCommand) -> Verdict:
    action = _action(StartChallenger, command)
    version = _version(model, action.version)
    if isinstance(version, Refused):
        return version
    problem = _blocked(model, version) or _misplaced(model, version, action)
    if problem is not None:
        return problem
    definition = state.definition_of(model.name)
    default = definition.spec.rollout.share if definition is not None else None
    share = (action.share or default) if action.route == "canary" else None
    present = model.challenger
    if present is not None and (present.version, present.route, present.share) == (version.number, action.route, share):
        return Unchanged(f"version {version.number} of {model.name} already runs as {action.route}.")
    stopped: tuple[Entry, ...] = ()
    if present is not None and present.version != version.number:
        stopped = rollout.stop_challenger(model, f"replaced by version {version.number}")
    started = ChallengerStarted(version=version.number, route=action.route, share=share)
    return Accepted(
        (*stopped, Entry(model.name, started)), f"version {version.number} of {model.name} runs as {action.route}."
    )


def _misplaced(model: ModelState, version: Version, action: StartChallenger) -> Refused | None:
    champion = model.champion
    if champion is None:
        return Refused(
            "rejected", f"{model.name} has no champion to challenge; promote version {version.number} instead."
        )
    if champion.number == version.number:
        return Refused(
            "rejected", f"version {version.number} of {model.name} is the champion; it cannot challenge itself."
        )
    if champion.feature_set != version.feature_set:
        return Refused(
            "rejected",
            f"version {version.number} reads {version.feature_set} and the champion {champion.feature_set}, so they see different "
            "events and cannot run side by side; promote it instead.",
        )
    if action.route == "shadow" and action.share is not None:
        return Refused("invalid", "a shadow sees every event; leave the share out, or start a canary.")
    return None


def _stop(_: State, model: ModelState, command: RegistryCommand) -> Verdict:
    number = _action(StopChallenger, command).version
    version = _version(model, number)
    if isinstance(version, Refused):
        return version
    if model.challenger is None or model.challenger.version != number:
        return Unchanged(f"version {number} of {model.name} does not run beside the champion.")
    message = command.reason or f"stopped by {command.actor}"
    return Accepted(rollout.stop_challenger(model, message), f"version {number} of {model.name} no longer runs.")


def _action(kind: type[Any], command: RegistryCommand) -> Any:
    assert isinstance(command.action, kind)  # noqa: S101 - the table below says so
    return command.action


_DECISIONS: Final[Mapping[type, Callable[[State, ModelState, RegistryCommand], Verdict]]] = {
    Approve: _approve,
    Reject: _reject,
    Promote: _promote,
    Rollback: _rollback,
    StartChallenger: _challenge,
    StopChallenger: _stop,
}
