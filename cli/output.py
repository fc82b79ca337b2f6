"""What commands print: tables for people, one JSON document for programs (``--json``)."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import columns

if TYPE_CHECKING:
    from rich.console import Console

SHORT_DIGEST: Final = 12
_RED, _BOLD = 31, 1
_programs = False  # whether the command that runs was asked for JSON


def for_programs(*, wanted: bool) -> None:
    """Whether a refusal is printed as JSON too; every command starts without."""
    global _programs  # noqa: PLW0603 - one command a process; an error must know the option of the command that it ended
    _programs = wanted


def _remember(wanted: bool) -> bool:  # noqa: FBT001 - typer calls it
    for_programs(wanted=wanted)
    return wanted


AsJson = Annotated[bool, typer.Option("--json", callback=_remember, help="Print one JSON document instead of text.")]


def error_console() -> "Console":
    """Where progress is shown."""
    from rich.console import Console  # noqa: PLC0415 - few commands show progress

    return Console(stderr=True)


def complain(sentence: str) -> None:
    """An error, on stderr."""
    _write(sys.stderr, _styled(sys.stderr, f"headrace: {sentence}", _RED))


def refused(content: Mapping[str, Any]) -> None:
    """A refusal, on stdout for programs; people have read it on stderr."""
    if _programs:
        document(content)


def say(sentence: str) -> None:
    """A plain line, on stdout."""
    _write(sys.stdout, sentence)


def hint(sentence: str) -> None:
    """A line beside the result, on stderr: what programs read stays as it is."""
    _write(sys.stderr, sentence)


def result(content: Mapping[str, Any], sentence: str, *, as_json: bool) -> None:
    """What a command has done, as JSON or as a sentence."""
    if as_json:
        document(content)
    else:
        say(sentence)


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """``rows`` as a table with their keys as head, or as a JSON array; ``empty`` is said where there are none.

    On a terminal as wide as it is, sentences wrapped; elsewhere each row is one line.
    """
    if as_json:
        document(list(rows))
        return
    if not rows:
        say(empty)
        return
    head = [str(name).replace("_", " ") for name in rows[0]]
    width = os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None
    first, *others = columns.lines([head, *([_cell(value) for value in row.values()] for row in rows)], width)
    say("\n".join((_styled(sys.stdout, first, _BOLD), *others)))


def document(content: Any) -> None:
    """One JSON document, on stdout."""
    _write(sys.stdout, json.dumps(content, indent=2, default=str))


def _write(stream: IO[str], text: str) -> None:
    stream.write(text + "\n")  # in one piece: others write lines at the same time
    stream.flush()


def _styled(stream: IO[str], text: str, style: int) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if stream.isatty() and not os.environ.get("NO_COLOR") else text


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split())
