"""Commands that are imported when they are called: what one of them needs, the others do not pay for."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command (a function) or a group of commands (a Typer) stands, and its line of help."""

    module: str
    attribute: str
    summary: str


class Listing(TyperGroup):
    """A group whose help tells each command's whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Wrap what does not fit a line; typer would cut it."""
        del ctx
        rows = [(name, _first_line(command.help)) for name, command in self.commands.items() if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class OnDemand(Listing):
    """A group that knows its commands by name; the one that is called is imported. A subclass names ``entries``."""

    entries: ClassVar[Mapping[str, Entry]]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in self.entries.items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command itself; None if there is none of that name."""
        del ctx
        return load(cmd_name, self.entries[cmd_name]) if cmd_name in self.entries else None


def load(name: str, entry: Entry) -> Any:
    """Import a command."""
    found = getattr(import_module(entry.module), entry.attribute)
    around = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    around.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name, cls=Listing)
    else:
        around.command(name)(found)
    return typer.main.get_group(around).commands[name]


def _first_line(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())
