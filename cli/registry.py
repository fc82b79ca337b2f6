"""Commands to the registry and its answers, over the two topics that carry them; and the registry's log, read to its end."""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from aiokafka import TopicPartition

from schemas.events.contract import decode
from schemas.events.registry import Action, RegistryCommand, RegistryEvent, RegistryReply
from schemas.topics import REGISTRY_COMMANDS, REGISTRY_EVENTS, REGISTRY_REPLIES
from shared.clock import SystemClock
from shared.errors import TransientError
from shared.kafka_clients import reader
from shared.publishing import Publisher
from shared.records import message, read, topic_name
from shared.settings import PlatformSettings
from shared.signing import COMMAND_LIFETIME, me, signed
from shared.tables import read_to_end

SOURCE: Final = "headrace/cli"
ANSWER_TIMEOUT: Final = 30.0  # seconds


def actor() -> str:
    """Who gives commands from this terminal."""
    return me()


def intent_of(
    action: Action,
    *,
    model: str | None = None,
    reason: str = "",
    expected_revision: int | None = None,
    by: str | None = None,
) -> RegistryCommand:
    """A command that was not given before."""
    return RegistryCommand(
        command_id=str(uuid4()),
        model=model,
        action=action,
        actor=by or actor(),
        reason=reason,
        expected_revision=expected_revision,
        issued_at=SystemClock().now(),
    )


async def command(
    settings: PlatformSettings,
    action: Action,
    *,
    model: str | None = None,
    reason: str = "",
    expected_revision: int | None = None,
    by: str | None = None,
) -> RegistryReply:
    """Give a command and return the registry's answer, as `answered` does."""
    intent = intent_of(action, model=model, reason=reason, expected_revision=expected_revision, by=by)
    return await answered(settings, intent)


async def order(settings: PlatformSettings, intent: RegistryCommand) -> None:
    """Publish a command, signed by its actor; its answer is nobody's affair. Raises `ConfigurationError` without the actor's key."""
    async with Publisher(settings) as publisher:
        key = intent.model or "definitions"
        record = message(REGISTRY_COMMANDS, intent, key=key, source=SOURCE, id=intent.command_id)
        expires = intent.issued_at + COMMAND_LIFETIME
        await publisher.publish(signed(settings, intent.actor, record, expires))


async def answered(
    settings: PlatformSettings,
    intent: RegistryCommand,
    timeout: float = ANSWER_TIMEOUT,  # noqa: ASYNC109 - the caller's patience, told in the error
) -> RegistryReply:
    """Publish a command and return the registry's answer.

    Raises `TransientError` where no answer comes within ``timeout`` seconds; the command is not lost then.
    """
    replies = reader(settings.kafka)
    partition = TopicPartition(topic_name(settings, REGISTRY_REPLIES), 0)
    await replies.start()
    try:
        replies.assign([partition])
        await replies.seek_to_end(partition)
        await replies.position(partition)  # the seek is lazy: without this an answer could come before it
        await order(settings, intent)
        async with asyncio.timeout(timeout):
            async for record in replies:
                if record.key == intent.command_id.encode() and record.value is not None:
                    return decode(RegistryReply, record.value)
    except TimeoutError:
        problem = (
            f"The registry did not answer command {intent.command_id} within {timeout:g} s; it stays on the topic and will "
            "be carried out. See `headrace doctor`."
        )
        raise TransientError(problem) from None
    finally:
        await replies.stop()
    raise AssertionError


async def history(settings: PlatformSettings, wanted: Callable[[RegistryEvent], bool]) -> list[RegistryEvent]:
    """The entries of the audit log that are ``wanted``, oldest first."""
    records = await read_to_end(settings, REGISTRY_EVENTS)
    entries = (read(RegistryEvent, record)[1] for record in records)
    return [entry for entry in entries if wanted(entry)]
