"""``headrace dlq``: what services could not process, and sending it again, to its service alone."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import letters as dead
from cli import output
from cli.connection import connect
from cli.editing import edited
from cli.letters import Choice, Letter
from cli.output import AsJson
from schemas.topics import RETRYING, SERVICES, dead_letters, retry
from shared.clock import SystemClock
from shared.dead_letters import replay
from shared.errors import RefusedError
from shared.publishing import Publisher
from shared.records import Outgoing, topic_name
from shared.settings import PlatformSettings
from shared.tables import read_to_end

dlq = typer.Typer(no_args_is_help=True, help="Dead letters: what a service could not process.")

Service = Annotated[str, typer.Argument(metavar="SERVICE")]
Code = Annotated[str | None, typer.Option(help="Only those with this reason code.")]
Since = Annotated[str | None, typer.Option(help="Only those from then on: a time, or how long ago, such as 2h.")]
Until = Annotated[str | None, typer.Option(help="Only those before: a time, or how long ago.")]


@dlq.command("list")
def list_letters(
    service: Service,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest this many.")] = 50,
    *,
    json: AsJson = False,
) -> None:
    """The newest dead letters of a service."""
    chosen = _choice(code=code, since=since, until=until, limit=limit).among(_letters(connect().settings, service))
    output.show([each.row() for each in chosen], as_json=json, empty=f"{service} has no such dead letters.")


@dlq.command("show")
def show_letter(
    service: Service, place: Annotated[str, typer.Argument(metavar="PARTITION/OFFSET")], *, json: AsJson = False
) -> None:
    """One dead letter, with the original body as text. It is a JSON document either way."""
    del json
    output.document(_one(_letters(connect().settings, service), service, place).document())


@dlq.command("replay")
def replay_letters(  # noqa: PLR0913 - a command's options are its parameters
    service: Service,
    place: Annotated[
        str | None, typer.Argument(metavar="PARTITION/OFFSET", help="One of them; all that were not yet if not given.")
    ] = None,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest this many.")] = None,
    payload: Annotated[Path | None, typer.Option(help="Send this file's bytes instead of the original body.")] = None,
    *,
    edit: Annotated[bool, typer.Option(help="Open the body in $EDITOR and send what is saved.")] = False,
    again: Annotated[bool, typer.Option(help="Also what was replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Show exactly what would be sent, and send nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Send dead letters again, to their service alone. What was replayed already is left out and said."""
    settings = connect().settings
    found = _letters(settings, service)
    if service not in RETRYING:
        message = f"{service} takes no replays: it answers its producers at once, and they send again."
        raise RefusedError(message)
    if place is None and (edit or payload is not None):
        message = "Only one letter at a time can be edited: name it by PARTITION/OFFSET."
        raise RefusedError(message)
    if place is not None:
        found = [_one(found, service, place)]
    chosen = _choice(code=code, since=since, until=until, limit=limit).among(found)
    kept, skipped = dead.sort_out(chosen, again=again)
    if place is not None and skipped:
        message = f"{place} was not sent: {skipped[place]}."
        raise RefusedError(message)
    outgoing = [replay(each.record, payload=_payload(each, payload, edit=edit)) for each in kept]
    if not dry_run:
        asyncio.run(_send(settings, outgoing))
    name = topic_name(settings, retry(service))
    sent = [dead.sending(each, item, name) for each, item in zip(kept, outgoing, strict=True)]
    _tell(service, sent, skipped, dry_run=dry_run, json=json)


def _tell(service: str, sent: list[dict[str, Any]], skipped: dict[str, str], *, dry_run: bool, json: bool) -> None:
    if json:
        output.document({"service": service, "dry_run": dry_run, "sent": sent, "skipped": skipped})
        return
    for each in sent if dry_run else ():
        output.say(dead.described(each))
        for header, value in each["headers"]:
            output.say(f"    {header}: {value}")
    for place, why in skipped.items():
        output.say(f"{place} is left out: {why}.")
    output.say(f"{'Would replay' if dry_run else 'Replayed'} {len(sent)} dead letters to {service}.")


def _payload(letter: Letter, file: Path | None, *, edit: bool) -> bytes | None:
    """The bytes to send instead of the original body; None for that itself."""
    if not edit and file is None:
        return None
    try:
        content = letter.payload if file is None else file.read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}."
        raise RefusedError(message) from None
    if edit:
        content = edited(content)
    if content == letter.payload:
        message = f"The body of {letter.place} is unchanged: nothing was sent."
        raise RefusedError(message)
    return content


async def _send(settings: PlatformSettings, outgoing: list[Outgoing]) -> None:
    async with Publisher(settings) as publisher:
        await publisher.publish(*outgoing)


def _letters(settings: PlatformSettings, service: str) -> list[Letter]:
    if service not in SERVICES:
        message = f"There is no service {service!r}; the services are {', '.join(SERVICES)}."
        raise RefusedError(message)
    return asyncio.run(_read(settings, service))


async def _read(settings: PlatformSettings, service: str) -> list[Letter]:
    replayed = await read_to_end(settings, retry(service)) if service in RETRYING else []
    return dead.letters(await read_to_end(settings, dead_letters(service)), replayed)


def _one(found: list[Letter], service: str, place: str) -> Letter:
    chosen = Choice(place).among(found)
    if not chosen:
        message = f"{service} has no dead letter at {place!r}; `headrace dlq list {service}` names them."
        raise RefusedError(message)
    return chosen[0]


def _choice(*, code: str | None, since: str | None, until: str | None, limit: int | None) -> Choice:
    now = SystemClock().now()
    found = Choice(code=code, limit=limit)
    return replace(
        found, since=dead.moment(since, now) if since else None, until=dead.moment(until, now) if until else None
    )
