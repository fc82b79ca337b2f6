"""The table the demo ends with: what happened, and how many of what."""

from typing import Protocol

from rich.console import Console
from rich.table import Table

from cli.accounts import Accounts, Flow


class Result(Protocol):
    """What the table is made of."""

    @property
    def accounts(self) -> Accounts:
        """The balance sheet."""
        ...

    @property
    def counts(self) -> dict[str, int]:
        """Windows, alerts, requests, promotions."""
        ...

    @property
    def champion(self) -> int | None:
        """The version that is live at the end."""
        ...

    @property
    def slack_messages(self) -> int:
        """How many the stand-in received."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


def print_summary(console: Console, result: Result) -> None:
    """Print the accounts and the counts."""
    sheet = result.accounts
    console.print(_flows(sheet))
    console.print(_models(sheet))
    told = ", ".join(f"{count} {name}" for name, count in sorted(result.counts.items()))
    console.print(
        f"\n  {told or 'no windows yet'}; {result.slack_messages} Slack messages; champion v{result.champion}",
        highlight=False,
    )
    verdict = "[bold green]The accounts balance.[/]" if sheet.balanced else "[bold red]The accounts do not balance.[/]"
    console.print(f"  {verdict}  {result.seconds:.0f} s\n", highlight=False)


def _flows(sheet: Accounts) -> Table:
    table = Table(title="What went in and what came out", title_justify="left", header_style="bold")
    table.add_column("")
    for name in ("in", "validated", "rejected", "duplicates", "dead letters", "moved to their partition", "balance"):
        table.add_column(name, justify="right")
    table.add_row("events", *_cells(sheet.events))
    table.add_row("labels", *_cells(sheet.labels))
    return table


def _cells(flow: Flow) -> list[str]:
    numbers = (flow.received, flow.validated, flow.rejected, flow.duplicates, flow.dead_letters, flow.rerouted)
    return [*(f"{number:,}" for number in numbers), "✓" if flow.balanced else "✗"]


def _models(sheet: Accounts) -> Table:
    table = Table(title="Predictions since the first served offset", title_justify="left", header_style="bold")
    table.add_column("model")
    for name in ("validated", "ok", "failed", "repeated", "shadow", "by version", "balance"):
        table.add_column(name, justify="right")
    for name, model in sorted(sheet.models.items()):
        versions = ", ".join(f"v{version} {count:,}" for version, count in sorted(model.by_version.items()))
        numbers = (model.owed, model.ok, model.failed, model.repeated, model.shadow)
        table.add_row(name, *(f"{number:,}" for number in numbers), versions, "✓" if model.balanced else "✗")
    return table
