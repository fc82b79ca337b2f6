"""A decision about a version, from the command given to what people are told of it."""

import asyncio
from dataclasses import asdict

import typer

from cli import output
from cli.connection import connect
from cli.registry import answered, order
from cli.serving import Serving, decide_and_serve
from schemas.events.registry import RegistryCommand, RegistryReply
from shared.errors import RefusedError


def decide(intent: RegistryCommand, *, wait: bool, json: bool, until_served: bool = False) -> None:
    """Give a command; ``wait`` for its answer and, with ``until_served``, for inference to serve what it made champion."""
    settings = connect().settings
    if not wait:
        asyncio.run(order(settings, intent))
        asked = {"command_id": intent.command_id, "message": f"Asked the registry; command {intent.command_id}."}
        output.document(asked) if json else output.say(asked["message"])
    elif until_served:
        told(*asyncio.run(decide_and_serve(settings, intent)), json=json)
    else:
        told(asyncio.run(answered(settings, intent)), json=json)


def told(reply: RegistryReply, serving: Serving | None = None, *, json: bool) -> None:
    """Print the registry's answer, and what inference made of it; a refusal by either, or its silence, is exit 1."""
    served = serving is None or serving.state == "confirmed"
    if json:
        content = reply.model_dump(mode="json")
        output.document(content if serving is None else {**content, "serving": asdict(serving)})
        if reply.status == "refused" or not served:
            raise typer.Exit(1)
        return
    if reply.status == "refused":
        raise RefusedError(reply.message)
    output.say(reply.message)
    if serving is not None:
        if not served:
            raise RefusedError(serving.message)
        output.say(serving.message)
