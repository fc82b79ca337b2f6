"""``headrace apply`` and ``get``: definitions."""

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import output
from cli.connection import connect
from cli.failures import DetailedError
from cli.output import AsJson
from cli.registry import command
from schemas.definitions import DefinitionError, Problem
from schemas.definitions.parsing import Declared, parse_declared
from schemas.definitions.problems import place
from schemas.events.registry import ApplyDefinitions, DefinitionRecord, RegistryReply
from schemas.topics import DEFINITIONS
from shared.errors import RefusedError
from shared.records import read
from shared.settings import PlatformSettings
from shared.tables import read_to_end

File = Annotated[str, typer.Option("--file", "-f", help="A YAML file, a directory of them, or - for standard input.")]


def apply(
    file: File, *, dry_run: Annotated[bool, typer.Option(help="Check only.")] = False, json: AsJson = False
) -> None:
    """Put definitions in force: all of them, or none if one is wrong."""
    declared = read_declared(file)
    settings = connect().settings
    reply = asyncio.run(apply_declared(settings, declared, dry_run=dry_run))
    if json:
        output.document(reply.model_dump(mode="json"))
    else:
        output.say(reply.message)


async def apply_declared(
    settings: PlatformSettings, declared: Sequence[Declared], *, dry_run: bool = False, by: str | None = None
) -> RegistryReply:
    """Ask the registry to put definitions in force. Raises `RefusedError` with every problem and the line it stands in."""
    contents = tuple(each.definition.model_dump(mode="json", by_alias=True) for each in declared)
    reply = await command(settings, ApplyDefinitions(definitions=contents, dry_run=dry_run), by=by)
    if reply.status == "refused":
        raise refusal(reply, declared)
    return reply


def refusal(reply: RegistryReply, declared: Sequence[Declared]) -> DetailedError:
    """The registry's refusal, every problem once, with its file and line instead of the document's place in the command."""
    problems = [located(problem, declared) for problem in reply.problems]
    if not problems:
        return DetailedError(reply.message, problems=[])
    head = reply.message.removesuffix(f": {reply.problems[0]}")
    sentence = (
        f"{head}: {problems[0]}" if len(problems) == 1 else "\n".join((f"{head}:", *(f"  {each}" for each in problems)))
    )
    return DetailedError(sentence, problems=problems)


def located(problem: str, declared: Sequence[Declared]) -> str:
    """A problem of the registry, told where its author finds it."""
    path = re.match(r"document \d+, ([^:]+):", problem)

    def told(match: re.Match[str]) -> str:
        number = int(match[1])
        if not 1 <= number <= len(declared):
            return match[0]
        found = declared[number - 1]
        line = found.document.line(path[1] if path and match.start() == 0 else "")
        return place(found.source, line, found.document.number)

    return re.sub(r"\bdocument (\d+)", told, problem)


def read_declared(file: str) -> list[Declared]:
    """The definitions in a file, in all YAML files of a directory, or on standard input, each with its place.

    Raises `DefinitionError` with file, line and path of each problem of each file, `RefusedError` where there is nothing to read.
    """
    if file == "-":
        return parse_declared(sys.stdin.read(), "standard input")
    path = Path(file)
    if not path.exists():
        message = f"There is no file or directory {file}."
        raise RefusedError(message)
    files = sorted((*path.glob("*.yaml"), *path.glob("*.yml"))) if path.is_dir() else [path]
    if not files:
        message = f"The directory {file} holds no YAML file."
        raise RefusedError(message)
    declared: list[Declared] = []
    problems: list[Problem] = []
    for each in files:
        try:
            declared += parse_declared(_text(each), str(each))
        except DefinitionError as error:
            problems += error.problems
    if problems:
        raise DefinitionError(problems)
    return declared


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not a text file in UTF-8."
        raise RefusedError(message) from error


async def in_force(settings: PlatformSettings, kind: str | None = None) -> list[DefinitionRecord]:
    """The definitions in force, sorted by kind, name and major."""
    latest: dict[bytes | None, DefinitionRecord] = {}
    for record in await read_to_end(settings, DEFINITIONS):
        if record.value is None:
            latest.pop(record.key, None)
        else:
            latest[record.key] = read(DefinitionRecord, record)[1]
    found = (each for each in latest.values() if kind in (None, each.kind))
    return sorted(found, key=lambda each: (each.kind, each.name, each.major))


def get(what: Annotated[Literal["features", "models", "keys"], typer.Argument()], *, json: AsJson = False) -> None:
    """List the definitions in force."""
    kind = {"features": "FeatureSet", "models": "Model", "keys": "Key"}[what]
    records = asyncio.run(in_force(connect().settings, kind))
    if json:
        output.document([record.definition for record in records])
        return
    rows = [
        {
            "name": f"{record.name}@{record.major}" if kind == "FeatureSet" else record.name,
            "revision": record.revision,
            "owner": record.definition["metadata"]["owner"],
            "description": record.definition["metadata"]["description"],
        }
        for record in records
    ]
    output.show(rows, as_json=False, empty=f"No {what} are defined; `headrace apply -f FILE` defines some.")
