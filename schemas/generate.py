"""Writes ``schemas/generated/`` and ``docs/reference/definitions.md``: ``python -m schemas.generate [--check] [--accept-breaking]``.

With ``--check`` nothing is written; the exit code is 1 if what is committed is not what the code says. Without it, a
breaking change against the committed schemas is refused unless ``--accept-breaking`` says that it is meant.
"""

import json
import sys
from pathlib import Path
from typing import Final

from schemas.asyncapi import asyncapi
from schemas.breaking import breaking_changes, load
from schemas.definition_reference import page
from schemas.json_schemas import json_schemas

GENERATED: Final = Path(__file__).parent / "generated"
PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "definitions.md"
_OPTIONS: Final = {"--check", "--accept-breaking"}


def artefacts() -> dict[str, str]:
    """Every generated file by name, as text; the same code gives the same text."""
    files = {f"{name}.schema.json": schema for name, schema in json_schemas().items()}
    return {
        name: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for name, content in {**files, "asyncapi.json": asyncapi()}.items()
    }


def stale(directory: Path) -> list[str]:
    """Names of files that are missing, differ, or should not be there."""
    wanted = artefacts()
    present = {path.name: path.read_text() for path in directory.glob("*.json")} if directory.is_dir() else {}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write(directory: Path) -> None:
    """Make ``directory`` hold the artefacts and nothing else that ends in ``.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = artefacts()
    for path in directory.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (directory / name).write_text(text)


def main(arguments: list[str], directory: Path = GENERATED, reference: Path | None = None) -> int:
    """The command; 0 done, 1 stale or breaking, 2 usage."""
    if not set(arguments) <= _OPTIONS:
        sys.stderr.write("usage: python -m schemas.generate [--check] [--accept-breaking]\n")
        return 2
    place = PAGE if reference is None and directory == GENERATED else reference
    changes = breaking_changes(load(directory), json_schemas()) if directory.is_dir() else []
    sys.stdout.writelines(f"breaking: {change}\n" for change in changes)
    if "--check" in arguments:
        outdated = stale(directory)
        if place is not None and (not place.is_file() or place.read_text() != page()):
            outdated.append(place.name)
        sys.stdout.writelines(f"stale: {name}; run python -m schemas.generate\n" for name in outdated)
        return 1 if outdated else 0
    if changes and "--accept-breaking" not in arguments:
        sys.stdout.write(
            "nothing written: give the record a new version, or --accept-breaking if it never left this checkout\n"
        )
        return 1
    write(directory)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
