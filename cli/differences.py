"""``headrace diff``: what ``apply`` would change."""

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
import yaml

from cli import failures, output
from cli.connection import connect
from cli.definitions import File, apply_declared, in_force, read_declared
from cli.output import AsJson
from schemas.definitions import Definition
from schemas.definitions.parsing import Declared, validate_documents
from shared.settings import PlatformSettings

CHANGES: Final = 1
TROUBLE: Final = 2

Contents = dict[str, dict[str, Any]]


def diff(file: File, *, json: AsJson = False) -> None:
    """Show what `apply` would change.

    Exit codes as those of diff(1): 0 nothing would change, 1 something would, 2 the definitions are refused or cannot be
    compared. What `apply` would refuse is refused: the registry is asked.
    """
    with failures.told(exit_code=TROUBLE):
        declared = read_declared(file)
        wanted = contents([each.definition for each in declared])
        changes = compare(asyncio.run(_in_force(connect().settings, declared, wanted)), wanted, file)
    if json:
        output.document([{"definition": key, "diff": lines} for key, lines in changes.items()])
    elif changes:
        output.say("\n".join(line for lines in changes.values() for line in lines))
    else:
        output.say("Nothing would change.")
    if changes:
        raise typer.Exit(CHANGES)


async def _in_force(settings: PlatformSettings, declared: Sequence[Declared], wanted: Contents) -> Contents:
    """What is in force. Raises `RefusedError` where the registry would refuse what is ``declared``."""
    records = await in_force(settings)
    now = contents(validate_documents([record.definition for record in records]))
    if any(now.get(key) != content for key, content in wanted.items()):
        await apply_declared(settings, declared, dry_run=True)
    return now


def compare(now: Mapping[str, dict[str, Any]], wanted: Mapping[str, dict[str, Any]], file: str) -> dict[str, list[str]]:
    """The lines that would change, by definition."""
    found = {
        key: list(
            difflib.unified_diff(
                _lines(now.get(key)), _lines(content), f"{key} (in force)", f"{key} ({file})", lineterm=""
            )
        )
        for key, content in wanted.items()
    }
    return {key: lines for key, lines in found.items() if lines}


def contents(definitions: list[Definition]) -> Contents:
    """By key, spelt alike whoever wrote them."""
    return {each.topic_key: each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in definitions}


def _lines(content: dict[str, Any] | None) -> list[str]:
    return [] if content is None else yaml.safe_dump(content, sort_keys=True).splitlines()
