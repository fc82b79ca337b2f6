"""``headrace events send`` and ``labels send``: producers for the command line."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from aiokafka.errors import KafkaError

from cli import output
from cli.clocks import REPLAY, clock_of
from cli.connection import Connection, connect
from cli.definitions import in_force
from cli.output import AsJson
from cli.registry import SOURCE
from cli.rows import EVENT_COLUMNS, LABEL_COLUMNS, Line, event_line, feature_set_of, label_line, rows_of
from cli.sending import Outcome, batches, send
from schemas.envelope import format_time
from schemas.events.ingestion import Tick
from schemas.topics import EVENTS_RAW, LABELS_RAW
from shared.errors import HeadraceError
from shared.records import message
from shared.settings import PlatformSettings

events = typer.Typer(no_args_is_help=True, help="Send events.")
labels = typer.Typer(no_args_is_help=True, help="Send labels.")

TIMEOUT = 30.0  # seconds for one batch
File = Annotated[Path, typer.Argument(help="NDJSON, CSV or Parquet; - for NDJSON on standard input.")]
Source = Annotated[str, typer.Option(help="Who says so; ids are unique per source.")]


@events.command("send")
def send_events(
    file: File,
    feature_set: Annotated[str | None, typer.Option(help="name@major, for files whose rows do not say it.")] = None,
    source: Source = SOURCE,
    *,
    json: AsJson = False,
) -> None:
    """Send a file of events through ingestion; every line is sent, exit 1 if one was refused.

    NDJSON lines are records ({"id", "feature_set", "entity_id", "occurred_at", "features"}) or structured CloudEvents. Tables
    have the columns id, entity_id and occurred_at; every other column is a feature.
    """
    connection = connect()
    lines = [event_line(row, feature_set, source) for row in rows_of(file, EVENT_COLUMNS)]
    _send(connection, "/v1/events:batch", lines, json=json)
    waiting = asyncio.run(_without_ticks(connection.settings, lines))
    if waiting:
        output.hint(
            f"Note: {', '.join(waiting)} has clock: replay: event time will not advance without ticks, which "
            "`headrace replay` sends."
        )


@labels.command("send")
def send_labels(
    file: File,
    model: Annotated[str | None, typer.Option(help="For files whose rows do not say it.")] = None,
    source: Source = SOURCE,
    *,
    json: AsJson = False,
) -> None:
    """Send a file of labels through ingestion; every line is sent, exit 1 if one was refused.

    The fields are model, event_id, event_source, entity_id, observed_at and value. Rows without event_source speak of events
    that came from --source.
    """
    lines = [label_line(row, model, source) for row in rows_of(file, LABEL_COLUMNS)]
    _send(connect(), "/v1/labels:batch", lines, json=json)


def _send(connection: Connection, path: str, lines: Sequence[Line], *, json: bool) -> None:
    outcome = asyncio.run(_all(connection, path, lines))
    outcome.check()
    output.result(outcome.document(), f"Accepted {outcome.accepted} records.", as_json=json)


async def _all(connection: Connection, path: str, lines: Sequence[Line]) -> Outcome:
    outcome = Outcome()
    async with httpx.AsyncClient(base_url=connection.ingestion, timeout=TIMEOUT) as http:
        for batch in batches(lines):
            await send(http, path, batch, outcome)
    return outcome


async def _without_ticks(settings: PlatformSettings, lines: Sequence[Line]) -> list[str]:
    """The feature sets of ``lines`` whose event time only a replay advances; none where that cannot be found out."""
    named = {name for line in lines if (name := feature_set_of(line)) is not None}
    try:
        records = await in_force(settings, "FeatureSet")
    except (HeadraceError, KafkaError):
        return []
    return sorted(name for name in named if clock_of(records, name) == REPLAY)


def ticks(settings: PlatformSettings, feature_set: str, time: datetime) -> list[Any]:
    """One tick for every partition of both raw topics."""
    body = Tick(feature_set=feature_set, time=time)
    return [
        message(topic, body, key="tick", source=SOURCE, id=f"tick:{format_time(time)}", partition=partition)
        for topic in (EVENTS_RAW, LABELS_RAW)
        for partition in range(settings.topics.partitions)
    ]
