"""Whether inference serves what was decided: ``promote`` and ``rollback`` wait for it, within bounds."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from cli.following import follow
from cli.registry import answered
from schemas.envelope import header
from schemas.events.registry import (
    ChampionPromoted,
    ChampionRolledBack,
    RegistryCommand,
    RegistryEvent,
    RegistryReply,
    ServingConfirmed,
    ServingRefused,
)
from schemas.topics import REGISTRY_EVENTS
from shared.records import Record, read
from shared.settings import PlatformSettings

SERVING_TIMEOUT: Final = 60.0  # seconds: a model is loaded in a few


@dataclass(frozen=True, slots=True)
class Serving:
    """What became of a new champion. ``unknown``: nobody has said anything yet."""

    state: Literal["confirmed", "refused", "replaced", "unknown"]
    message: str


async def decide_and_serve(
    settings: PlatformSettings, intent: RegistryCommand, *, seconds: float = SERVING_TIMEOUT
) -> tuple[RegistryReply, Serving | None]:
    """The registry's answer and, where a champion came of it, what inference made of that. Waits ``seconds`` for inference."""
    async with follow(settings, REGISTRY_EVENTS) as events:
        reply = await answered(settings, intent)
        if reply.status != "accepted":
            return reply, None
        try:
            async with asyncio.timeout(seconds):
                return reply, await serving(events, intent)
        except TimeoutError:
            message = (
                f"No inference process has said within {seconds:g} s that it serves this version of {intent.model}. The decision "
                f"stands and the champion before it goes on serving meanwhile; see `headrace models history {intent.model}` and "
                "`headrace doctor`."
            )
            return reply, Serving("unknown", message)


async def serving(events: AsyncIterator[Record], intent: RegistryCommand) -> Serving:
    """Read the registry's log until inference has loaded or refused the champion that ``intent`` made."""
    champion: int | None = None
    async for record in events:
        if header(record.headers, "ce_type") != RegistryEvent.ce_type:
            continue
        event = read(RegistryEvent, record)[1]
        if event.model != intent.model:
            continue
        fact, mine = event.fact, event.command_id == intent.command_id
        name = f"version {champion} of {intent.model}"
        match fact:
            case ChampionPromoted() | ChampionRolledBack() if mine:
                champion = fact.version
            case ServingConfirmed() if fact.version == champion:
                return Serving("confirmed", f"Inference serves {name}.")
            case ServingRefused() if fact.version == champion:
                return Serving(
                    "refused",
                    f"Inference refused {name}: {fact.message} The version before it serves, if there is one; "
                    f"`headrace models list` shows what is champion now.",
                )
            case ChampionPromoted() | ChampionRolledBack() if champion is not None:
                return Serving("replaced", f"Version {fact.version} became champion before {name} was served.")
            case _:
                pass
    raise AssertionError
