"""Answers given before: a repeated command id gets the same reply and changes nothing."""

from collections import OrderedDict
from typing import Final

from schemas.events.registry import RegistryCommand, RegistryReply
from schemas.reasons import shortened
from services.registry.state import State
from services.registry.verdicts import Accepted, Refused, Verdict

REMEMBERED: Final = 50_000
MESSAGE_LIMIT: Final = (
    4000  # characters: a message may name what was sent, and a reply must fit its topic whatever that was
)


class Answers:
    """The latest replies by command id, bounded. Commands that changed something are known from the log besides, for ever."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        """Forget the oldest beyond ``remembered``."""
        self._replies: OrderedDict[str, RegistryReply] = OrderedDict()
        self._remembered = remembered

    def remember(self, reply: RegistryReply) -> None:
        """Take a reply in; the first one to a command id stands."""
        if reply.command_id in self._replies:
            return
        self._replies[reply.command_id] = reply
        if len(self._replies) > self._remembered:
            self._replies.popitem(last=False)

    def earlier(self, state: State, command: RegistryCommand) -> RegistryReply | None:
        """The answer to the same command id, if it was answered before."""
        known = self._replies.get(command.command_id)
        if known is not None:
            return known
        done = state.answered(command.command_id)
        if done is None:
            return None
        subject, revision = done
        return RegistryReply(
            command_id=command.command_id,
            status="accepted",
            message=f"the command was carried out before; it brought {subject} to revision {revision}.",
            model=command.model,
            revision=revision,
        )


def reply(command: RegistryCommand, verdict: Verdict, state: State) -> RegistryReply:
    """What to answer, in bounds that fit its topic; ``state`` is the one after the decision."""
    named = None if command.model is None else shortened(command.model)
    message = shortened(verdict.message, MESSAGE_LIMIT)
    model = state.models.get(command.model or "")
    revision = None if model is None else model.revision
    if isinstance(verdict, Refused):
        return RegistryReply(
            command_id=command.command_id,
            status="refused",
            code=verdict.code,
            message=message,
            model=named,
            revision=revision,
            problems=verdict.problems,
        )
    return RegistryReply(
        command_id=command.command_id,
        status="accepted" if isinstance(verdict, Accepted) else "unchanged",
        message=message,
        model=named,
        revision=revision,
    )
