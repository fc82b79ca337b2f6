"""What was in production at a time: a fold of the log up to then."""

from collections.abc import Iterable
from datetime import datetime

from schemas.events.registry import Deployment, RegistryEvent
from services.registry.deployments import deployment
from services.registry.evolution import evolve
from services.registry.state import State


def at(events: Iterable[RegistryEvent], time: datetime) -> dict[str, Deployment]:
    """The deployment of each model that had one at ``time``; ``events`` in the log's order, from the first."""
    return {
        name: found
        for name, model in state_at(events, time).models.items()
        if (found := deployment(model, time)) is not None
    }


def state_at(events: Iterable[RegistryEvent], time: datetime) -> State:
    """The state after the last event that happened at or before ``time``.

    The log's order decides, not the clocks: an event that stands before one of these counts even if its clock ran ahead.
    """
    state = found = State()
    for event in events:
        state = evolve(state, event)
        if event.at <= time:
            found = state
    return found
