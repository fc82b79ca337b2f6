"""Who may give a command or offer a candidate, judged by its signature. Pure; asks for nothing where there is no trust root."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.definitions import KeySpec, Role
from schemas.envelope import parse_time
from schemas.events.registry import Action, ApplyDefinitions, Approve, RegistryCommand
from schemas.events.training import Candidate
from schemas.signatures import Keyring, SignatureError, Signed
from schemas.vouching import vouched
from services.registry.state import State
from services.registry.verdicts import Refused

UNVERIFIED: Final = "unverified"  # the actor of a refusal whose command nobody has signed
UNAUTHORISED: Final = "unauthorised"
LONGEST_LIFETIME: Final = timedelta(hours=1)  # of a command: what is valid for ever could be given again on another day


@dataclass(frozen=True, slots=True)
class Denied:
    """A command that is not looked at any further. ``actor``: who signed it, or `UNVERIFIED`."""

    actor: str
    refusal: Refused


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who signed a candidate, or ``code`` and ``message`` of why nobody counts as having done so."""

    key_id: str | None = None
    offered_at: datetime | None = None
    code: str | None = None
    message: str = ""
    principal: str | None = None
    may_approve: bool = False  # then who signed must not approve it, whoever imported it


NOT_ASKED: Final = Voucher()


class Authority:
    """The trust roots of the settings and the Key definitions of the log, put to use."""

    def __init__(self, roots: Sequence[KeySpec] = ()) -> None:
        """Without ``roots`` everything is let through as it says of itself."""
        self._roots = tuple(roots)
        self._known: tuple[object, Keyring] | None = None

    def denial(self, state: State, command: RegistryCommand, signed: Signed) -> Denied | None:
        """Why ``command`` is not to be considered; None if whoever signed it may give it."""
        if not self._roots:
            return None
        try:
            key = self._keyring(state).verify(signed)
        except SignatureError as error:
            return Denied(UNVERIFIED, Refused(UNAUTHORISED, f"the command was not carried out: {error}."))
        if signed.envelope.id != command.command_id or not _expires_soon(signed):
            message = (
                "the command was not carried out: its ce_id must be its command_id, and its signature must expire within "
                f"{LONGEST_LIFETIME.total_seconds() / 3600:g} h."
            )
            return Denied(key.principal, Refused(UNAUTHORISED, message))
        if key.principal != command.actor:
            message = f"the command says that it comes from {command.actor}, but {key.principal} signed it; sign as who you are."
            return Denied(key.principal, Refused(UNAUTHORISED, message))
        role = role_for(command.action)
        if not key.may(role):
            message = (
                f"{key.principal} may not {command.action.action}: that takes the role {role.value}, and the key {key.key_id} has "
                f"{', '.join(key.roles)}. Ask somebody who has it."
            )
            return Denied(key.principal, Refused(UNAUTHORISED, message))
        return None

    def voucher(self, state: State, candidate: Candidate, signed: Signed) -> Voucher:
        """Who vouches for ``candidate``."""
        if not self._roots:
            return NOT_ASKED
        try:
            key = vouched(self._keyring(state), candidate, signed)
        except SignatureError as error:
            return Voucher(None, signed.appended, error.code, f"{error}.")
        return Voucher(key.key_id, signed.appended, principal=key.principal, may_approve=key.may(Role.APPROVER))

    def _keyring(self, state: State) -> Keyring:
        if self._known is None or self._known[0] is not state.definitions:
            self._known = (state.definitions, Keyring((*self._roots, *state.keys())))
        return self._known[1]


def _expires_soon(signed: Signed) -> bool:
    expiry = signed.envelope.extensions.get("expiry")
    return expiry is not None and parse_time(expiry) <= signed.appended + LONGEST_LIFETIME


def role_for(action: Action) -> Role:
    """The role that ``action`` takes; keys are an admin's affair, which includes who approves."""
    if isinstance(action, ApplyDefinitions):
        return Role.ADMIN if any(each.get("kind") == "Key" for each in action.definitions) else Role.OPERATOR
    return Role.APPROVER if isinstance(action, Approve) else Role.OPERATOR
