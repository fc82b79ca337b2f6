"""The hash chain over ``registry.events``: an edit, a deletion or a reordering breaks it at a known place.

``hash`` = SHA-256 over the canonical bytes of the event without its hash; ``previous_hash`` is among those bytes.
Canonical bytes are JSON with sorted keys; fields that have their default value are left out, so a field added to the
contract later does not change the hash of older events. A fact's ``type`` is a default too and is therefore put in.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from schemas.events.registry import RegistryEvent
from services.registry.state import GENESIS


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log, kept elsewhere: only with it can a cut-off tail be noticed."""

    sequence: int
    hash: str


def canonical_bytes(event: RegistryEvent) -> bytes:
    """What an event's hash covers."""
    content = event.model_dump(mode="json", exclude={"hash"}, exclude_defaults=True)
    content["fact"]["type"] = event.fact.type
    return msgspec.json.encode(content, order="sorted")


def sealed(event: RegistryEvent) -> RegistryEvent:
    """``event`` with its hash."""
    return event.model_copy(update={"hash": digest(event)})


def digest(event: RegistryEvent) -> str:
    """SHA-256 of the canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical_bytes(event)).hexdigest()


def follows(event: RegistryEvent, *, sequence: int, head: str) -> bool:
    """Whether ``event`` is the untouched successor of the log that ends at ``sequence`` in ``head``."""
    return event.sequence == sequence + 1 and event.previous_hash == head and event.hash == digest(event)


def verify(events: Iterable[RegistryEvent], head: Head | None = None) -> int | None:
    """The first sequence number at which the log is broken, None if it is whole.

    The whole log from its first event is expected. With ``head``, a missing or replaced tail is found as well.
    """
    sequence, previous = 0, GENESIS
    at_head = GENESIS if head is not None and head.sequence == 0 else None
    for event in events:
        if not follows(event, sequence=sequence, head=previous):
            return sequence + 1
        sequence, previous = event.sequence, event.hash
        if head is not None and sequence == head.sequence:
            at_head = previous
    if head is None or at_head == head.hash:
        return None
    return min(sequence + 1, head.sequence)
