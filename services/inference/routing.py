"""Which version answers for which entity: a canary replaces the champion for a stable share of the entities."""

from collections.abc import Sequence
from typing import Literal

from schemas.identities import canary_position

Side = Literal["champion", "canary"]


def side_of(model: str, entity_id: str, share: float | None) -> Side:
    """The version that serves ``entity_id``; ``share`` None means that there is no canary.

    The same entity gets the same side for as long as the share stands, and a larger share only adds entities.
    """
    if share is not None and canary_position(model, entity_id) < share:
        return "canary"
    return "champion"


def split(model: str, entities: Sequence[str], share: float | None) -> tuple[list[int], list[int]]:
    """Positions in ``entities`` that the champion serves, and those that the canary serves; both ascending."""
    if share is None:
        return list(range(len(entities))), []
    champion: list[int] = []
    canary: list[int] = []
    for position, entity in enumerate(entities):
        (canary if canary_position(model, entity) < share else champion).append(position)
    return champion, canary
