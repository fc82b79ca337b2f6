"""Commands that are not commands: whoever waits for an answer gets one, as long as the command id can be read."""

from typing import Any

import msgspec

from schemas.envelope import ID_PATTERN
from schemas.events.registry import RegistryReply
from schemas.reasons import RefusedRecordError


def refusal(payload: bytes | None, error: RefusedRecordError) -> RegistryReply | None:
    """The reply ``invalid`` with every fault; None where no usable command id stands in ``payload``."""
    try:
        body: Any = msgspec.json.decode(payload or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    found = body.get("command_id") if isinstance(body, dict) else None
    if not isinstance(found, str) or not ID_PATTERN.fullmatch(found):
        return None
    problems = tuple(f"{one.field}: {one.expected}, observed {one.observed}" for one in error.reasons)
    return RegistryReply(
        command_id=found,
        status="refused",
        code="invalid",
        message=f"the command cannot be read: {problems[0]}. Correct it and send it under a new command id.",
        problems=problems,
    )
