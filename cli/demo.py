"""``headrace demo``: the whole loop on real data, with one command."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    days: Annotated[
        int, typer.Option(min=1, max=300, help="Days to stream after the two months the model learns from.")
    ] = 28,
    json: Annotated[Path | None, typer.Option(help="Write the numbers of the final table to this file.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep everything here; a temporary directory if not given.")
    ] = None,
    *,
    keep: Annotated[bool, typer.Option(help="Stay up afterwards, until Ctrl-C.")] = False,
) -> None:
    """Run the whole loop on a real year of flights, from events to retraining."""
    from examples.flights.demo import run_demo  # noqa: PLC0415 - only this command needs the example's extra

    raise typer.Exit(run_demo(days=days, json_file=json, data_dir=data_dir, keep=keep))
