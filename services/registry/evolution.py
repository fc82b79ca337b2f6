"""``evolve``: one event further. The only place where the registry's state changes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from schemas.definitions import Definition, FeatureSet, Key, Model
from schemas.events import registry as facts
from schemas.events.registry import RegistryEvent
from services.registry import audit
from services.registry.state import Challenger, Check, DefinitionState, ModelState, Serving, State, Version

_KINDS: Final[Mapping[str, type[Definition]]] = {"FeatureSet": FeatureSet, "Model": Model, "Key": Key}
LINE_KEPT: Final = 100  # champions that a rollback can reach step by step

K = TypeVar("K")
V = TypeVar("V")


class BrokenLogError(Exception):
    """The log does not hang together; ``sequence`` is where. Nothing may be decided on such a log."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        super().__init__(
            f"registry.events is broken at sequence {sequence}: its hash chain does not hold there. Find out who wrote to the "
            "topic (`headrace audit verify`) and restore it before the registry decides anything."
        )


def fold(events: Iterable[RegistryEvent], state: State | None = None) -> State:
    """The state after ``events``. Raises `BrokenLogError` where the chain breaks."""
    current = state or State()
    for event in events:
        if not audit.follows(event, sequence=current.sequence, head=current.head):
            raise BrokenLogError(current.sequence + 1)
        current = evolve(current, event)
    return current


def evolve(state: State, event: RegistryEvent) -> State:
    """``state`` after ``event``; trusts the event, which `fold` or the journal has checked."""
    moved = replace(state, sequence=event.sequence, head=event.hash)
    if isinstance(event.fact, facts.CommandRefused):
        return moved
    if isinstance(event.fact, facts.DefinitionApplied):
        return replace(moved, definitions=_with(state.definitions, event.model, _defined(state, event, event.fact)))
    model = replace(state.model(event.model), revision=event.revision)
    if event.command_id is not None:
        model = replace(model, commands=_with(model.commands, event.command_id, event.revision))
    model = _CHANGES[type(event.fact)](model, event)
    return replace(moved, models=_with(state.models, event.model, model))


def _with(mapping: MappingProxyType[K, V], key: K, value: V) -> MappingProxyType[K, V]:
    return MappingProxyType(mapping | {key: value})  # ten times as fast as unpacking the proxy


def _defined(state: State, event: RegistryEvent, fact: facts.DefinitionApplied) -> DefinitionState:
    before = state.definitions.get(event.model)
    commands = before.commands if before is not None else MappingProxyType({})
    if event.command_id is not None:
        commands = _with(commands, event.command_id, event.revision)
    definition = _KINDS[fact.kind].model_validate(fact.definition)
    return DefinitionState(event.model, event.revision, definition, commands)


def _change(model: ModelState, number: int, **changes: Any) -> ModelState:
    return replace(model, versions=_with(model.versions, number, replace(model.versions[number], **changes)))


def _registered(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.CandidateRegistered, event)
    version = Version(
        number=fact.version,
        candidate_id=fact.candidate_id,
        digest=fact.digest,
        feature_set=fact.feature_set,
        source=fact.source,
        metrics=MappingProxyType(dict(fact.metrics)),
        group_metrics=MappingProxyType(
            {group: MappingProxyType(dict(values)) for group, values in fact.group_metrics.items()}
        ),
        size=fact.size,
        proposed_by=fact.proposed_by,
        key_id=fact.key_id,
        offered_at=fact.offered_at,
        offer=fact.offer,
    )
    return replace(model, versions=_with(model.versions, fact.version, version))


def _refused(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.CandidateRefused, event)
    model = replace(model, refusals=_with(model.refusals, fact.candidate_id, fact.code))
    known = model.versions.get(fact.version) if fact.version is not None else None
    if known is not None and known.reconsidered:
        return _change(model, known.number, rejected=None, rejected_because="", gates=Check.PENDING, gate_results=())
    return model


def _probed(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.VersionProbed, event)
    probe = Check.PASSED if fact.passed else Check.FAILED
    return _change(
        model, fact.version, probe=probe, probe_code=fact.code, probe_message=fact.message, latency_ms=fact.latency_ms
    )


def _gated(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.GatesEvaluated, event)
    return _change(model, fact.version, gates=Check.PASSED if fact.passed else Check.FAILED, gate_results=fact.results)


def _approved(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.VersionApproved, event)
    before = model.versions[fact.version].approvals
    approvals = before if fact.automatic else (*before, event.actor)
    return _change(model, fact.version, approvals=approvals, approved=fact.complete)


def _rejected(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.VersionRejected, event)
    line = tuple(number for number in model.line if number != fact.version)
    return _change(replace(model, line=line), fact.version, rejected=fact.code, rejected_because=fact.message)


def _challenged(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.ChallengerStarted, event)
    started = replace(model, challenger=Challenger(fact.version, fact.route, fact.share, event.at))
    return _change(started, fact.version, serving=Serving.UNKNOWN, role_revision=event.revision)


def _stopped(model: ModelState, event: RegistryEvent) -> ModelState:
    _fact(facts.ChallengerStopped, event)
    return replace(model, challenger=None)


def _promoted(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.ChampionPromoted, event)
    return _crowned(model, fact.version, (*model.line[1 - LINE_KEPT :], fact.version), event)


def _rolled_back(model: ModelState, event: RegistryEvent) -> ModelState:
    fact = _fact(facts.ChampionRolledBack, event)
    last = max((i for i, number in enumerate(model.line) if number == fact.version), default=None)
    line = (*model.line, fact.version) if last is None else model.line[: last + 1]
    return _crowned(model, fact.version, line, event)


def _crowned(model: ModelState, number: int, line: tuple[int, ...], event: RegistryEvent) -> ModelState:
    challenger = None if model.challenger is not None and model.challenger.version == number else model.challenger
    crowned = replace(model, line=line, challenger=challenger)
    return _change(crowned, number, was_champion=True, serving=Serving.UNKNOWN, role_revision=event.revision)


def _confirmed(model: ModelState, event: RegistryEvent) -> ModelState:
    return _change(model, _fact(facts.ServingConfirmed, event).version, serving=Serving.CONFIRMED)


def _serving_refused(model: ModelState, event: RegistryEvent) -> ModelState:
    return _change(model, _fact(facts.ServingRefused, event).version, serving=Serving.REFUSED)


F = TypeVar("F")


def _fact(kind: type[F], event: RegistryEvent) -> F:
    assert isinstance(event.fact, kind)  # noqa: S101 - the table below says so
    return event.fact


_CHANGES: Final[Mapping[type, Callable[[ModelState, RegistryEvent], ModelState]]] = {
    facts.CandidateRegistered: _registered,
    facts.CandidateRefused: _refused,
    facts.VersionProbed: _probed,
    facts.GatesEvaluated: _gated,
    facts.VersionApproved: _approved,
    facts.VersionRejected: _rejected,
    facts.ChallengerStarted: _challenged,
    facts.ChallengerStopped: _stopped,
    facts.ChampionPromoted: _promoted,
    facts.ChampionRolledBack: _rolled_back,
    facts.ServingConfirmed: _confirmed,
    facts.ServingRefused: _serving_refused,
}
