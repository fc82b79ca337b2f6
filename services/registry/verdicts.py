"""What a decision comes to: facts, nothing to do, or a refusal. Plain values; nothing has happened yet."""

from dataclasses import dataclass

from schemas.events.registry import Fact
from schemas.reasons import Reason


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact about a subject: a model's name, or a definition's ``kind/name/major``."""

    subject: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class Accepted:
    """These facts follow; ``message`` answers the person who asked."""

    entries: tuple[Entry, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """It is already so."""

    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not done; ``message`` says what to do instead. Codes: not_found, conflict, rejected, invalid, unauthorised."""

    code: str
    message: str
    problems: tuple[str, ...] = ()


def too_long(reason: Reason) -> Refused:
    """The refusal of what would have to be written in a record that its topic does not take."""
    text = f"nothing was done: {reason.field} would take {reason.observed}, and its topic takes {reason.expected}; leave something out."
    return Refused("invalid", text)


Verdict = Accepted | Unchanged | Refused
