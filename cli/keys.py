"""``headrace keys``: whose signatures count."""

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from cli import output
from cli.connection import connect
from cli.definitions import in_force
from cli.output import AsJson
from cli.registry import command
from schemas.definitions import Key, KeySpec, Metadata, Revocation, Role
from schemas.definitions.key import PRINCIPAL
from schemas.definitions.metadata import FORMS, NAME
from schemas.envelope import format_time, parse_time
from schemas.events.registry import ApplyDefinitions
from shared.clock import SystemClock
from shared.errors import ConfigurationError, RefusedError
from shared.settings import PlatformSettings, variable
from shared.signing import create_key, key_file

REASON_CHARACTERS: Final = 2000

app = typer.Typer(no_args_is_help=True, help="Keys: whose signatures on commands and candidates count.")


@app.command()
def create(
    principal: Annotated[str, typer.Argument(help="The person or service that will sign with it.")],
    role: Annotated[
        list[Role] | None, typer.Option(help="What it may sign; operator and approver if none is named.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The Key definition's name; made of the principal if not given.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help=f"Where the private key goes; {variable('signing', 'keys')} if not given.")
    ] = None,
    *,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the definition for an admin to apply, instead of applying it.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Make a key pair: the private half stays in a file of yours, the public half becomes a Key definition."""
    settings = connect().settings
    place = directory or settings.signing.keys
    if place is None:
        message = f"Nothing says where private keys lie: set {variable('signing', 'keys')}, or give --directory."
        raise ConfigurationError(message)
    spelt = name or _spelt(principal)
    wanted = tuple(role or (Role.OPERATOR, Role.APPROVER))
    file = key_file(place, principal)
    if only_print:
        definition = _made(place, principal, spelt, wanted)
        output.say(yaml.safe_dump(_document(definition), sort_keys=False).rstrip())
        output.hint(f"The private key lies in {file}; whoever is admin applies the definition above.")
        return
    definition = asyncio.run(admit(settings, place, principal, wanted, spelt))
    content = {**_row(definition), "private_key": str(file)}
    output.result(content, f"{principal} signs with {file}: key {definition.spec.key_id}.", as_json=json)


async def admit(
    settings: PlatformSettings, directory: Path, principal: str, roles: tuple[Role, ...], name: str | None = None
) -> Key:
    """Make a key for ``principal`` in ``directory`` and put its definition in force, as whoever runs this.

    Raises `RefusedError` where the registry says no; then the key is gone again, since it would only stand in the way.
    """
    definition = _made(directory, principal, name or _spelt(principal), roles)
    try:
        await _apply(settings, definition)
    except (RefusedError, ConfigurationError):  # of anything else, an answer that did not come may still be a yes
        key_file(directory, principal).unlink()
        raise
    return definition


def _spelt(principal: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", principal.lower()).strip("-0123456789")[:63] or "key"


@app.command("list")
def list_keys(*, json: AsJson = False) -> None:
    """The Key definitions in force; trust roots stand in the settings of the services."""
    records = asyncio.run(in_force(connect().settings, "Key"))
    rows = [_row(Key.model_validate(record.definition)) for record in records]
    output.show(
        rows, as_json=json, empty="No key is defined; those in the settings of the services count all the same."
    )


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The Key definition's name.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    since: Annotated[
        str | None, typer.Option(help="From when its signatures are worth nothing (RFC 3339); now if not given.")
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """Declare a key worthless from a moment on; versions that it signed since are rejected, live ones give way."""
    if not 1 <= len(reason) <= REASON_CHARACTERS:
        message = f"--reason takes 1 to {REASON_CHARACTERS} characters: it is kept in the audit log."
        raise RefusedError(message)
    settings = connect().settings
    known = {record.name: record for record in asyncio.run(in_force(settings, "Key"))}
    if name not in known:
        message = f"There is no Key {name!r}; there are: {', '.join(known) or 'none'}. A trust root is taken out of the settings."
        raise RefusedError(message)
    key = Key.model_validate(known[name].definition)
    revoked = key.spec.model_copy(update={"revoked": Revocation(since=_moment(since), reason=reason)})
    definition = key.model_copy(update={"spec": revoked})
    answer = asyncio.run(_apply(settings, definition, reason=reason))
    output.result(_row(definition), f"{name} is revoked: {answer}", as_json=json)


def _moment(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        return parse_time(text)
    except ValueError as error:
        message = f"--since: {error}."
        raise RefusedError(message) from None


def _made(directory: Path, principal: str, name: str, roles: tuple[Role, ...]) -> Key:
    if not re.fullmatch(PRINCIPAL, principal):
        message = (
            f"{principal!r} is no principal: letters, digits and . _ @ -, beginning with a letter or digit, at most 99."
        )
        raise RefusedError(message)
    if not re.fullmatch(NAME, name):
        message = f"{name!r} is no name of a definition; expected {FORMS[NAME]}."
        raise RefusedError(message)
    try:
        public = create_key(directory, principal)
    except FileExistsError:
        message = f"{key_file(directory, principal)} is there already: use it, or move it away first."
        raise RefusedError(message) from None
    except OSError as error:
        message = f"{error.filename or directory} cannot be written: {error.strerror}."
        raise RefusedError(message) from None
    spec = KeySpec(principal=principal, public_key=public, roles=roles)
    return Key(metadata=Metadata(name=name, owner=principal, description=f"Signing key of {principal}"), spec=spec)


async def _apply(settings: PlatformSettings, definition: Key, reason: str = "") -> str:
    reply = await command(settings, ApplyDefinitions(definitions=(_document(definition),)), reason=reason)
    if reply.status == "refused":
        raise RefusedError(reply.message)
    return reply.message


def _document(definition: Key) -> dict[str, Any]:
    return definition.model_dump(mode="json", by_alias=True, exclude_none=True)


def _row(definition: Key) -> dict[str, Any]:
    spec = definition.spec
    return {
        "name": definition.metadata.name,
        "principal": spec.principal,
        "roles": ", ".join(spec.roles),
        "key_id": spec.key_id,
        "public_key": spec.public_key,
        "revoked_since": None if spec.revoked is None else format_time(spec.revoked.since),
    }
