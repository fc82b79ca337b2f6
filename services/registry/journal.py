"""From decided facts to the log: numbered, dated and chained events, and the state after them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.events.registry import CommandRefused, DefinitionApplied, RegistryEvent
from services.registry import audit
from services.registry.automatic import next_steps
from services.registry.evolution import evolve
from services.registry.state import State
from services.registry.verdicts import Entry

REGISTRY: Final = "registry"  # the actor of what follows by itself


@dataclass(frozen=True, slots=True)
class Author:
    """Who decided, why, by which command and when: what every event of a decision carries."""

    actor: str
    at: datetime
    reason: str = ""
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The state after a decision and the events that brought it there, automatic consequences included."""

    state: State
    events: tuple[RegistryEvent, ...] = field(default=())


def record(state: State, entries: Iterable[Entry], author: Author) -> Recorded:
    """``entries`` and everything that follows from them by itself, as events."""
    events: list[RegistryEvent] = []
    current = _append(state, entries, author, events)
    automatic = Author(REGISTRY, author.at, author.reason, author.command_id)
    for model in _touched(state, events):
        while steps := next_steps(current, model):
            current = _append(current, steps, automatic, events)
    return Recorded(current, tuple(events))


def _append(state: State, entries: Iterable[Entry], author: Author, events: list[RegistryEvent]) -> State:
    for entry in entries:
        event = _event(state, entry, author)
        state = evolve(state, event)
        events.append(event)
    return state


def _event(state: State, entry: Entry, author: Author) -> RegistryEvent:
    return audit.sealed(
        RegistryEvent(
            sequence=state.sequence + 1,
            model=entry.subject,
            revision=_revision(state, entry),
            fact=entry.fact,
            actor=author.actor,
            reason=author.reason,
            command_id=author.command_id,
            at=author.at,
            previous_hash=state.head,
            hash="",
        )
    )


def _revision(state: State, entry: Entry) -> int:
    """The subject's revision with this event: one more, except that a refusal changes nothing."""
    return _revision_before(state, entry) + (0 if isinstance(entry.fact, CommandRefused) else 1)


def _revision_before(state: State, entry: Entry) -> int:
    if isinstance(entry.fact, DefinitionApplied):
        known = state.definitions.get(entry.subject)
        return 0 if known is None else known.revision
    return state.model(entry.subject).revision


def _touched(state: State, events: list[RegistryEvent]) -> list[str]:
    """The models whose automatic steps may have changed: those with an event, and those whose definition came or changed."""
    names: dict[str, None] = {}
    for event in events:
        if isinstance(event.fact, CommandRefused):
            continue
        if not isinstance(event.fact, DefinitionApplied):
            names[event.model] = None
        elif event.fact.kind == "Key":
            names |= dict.fromkeys(state.models)
        elif event.fact.kind == "Model" and event.fact.name in state.models:
            names[event.fact.name] = None
    return list(names)
