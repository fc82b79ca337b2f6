"""``headrace replay``: a file of events in order of time, with the ticks that advance event time."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import httpx
import typer

from cli import output
from cli.clocks import REPLAY, clock_of
from cli.connection import Connection, connect
from cli.definitions import in_force
from cli.output import AsJson
from cli.producing import TIMEOUT, File, Source, ticks
from cli.registry import SOURCE
from cli.rows import EVENT_COLUMNS, Line, event_line, rows_of, time_of
from cli.sending import Outcome, batches, send
from schemas.envelope import format_time
from schemas.events.registry import DefinitionRecord
from shared.errors import RefusedError
from shared.publishing import Publisher


def replay(
    file: File,
    feature_set: Annotated[str, typer.Option(help="name@major of a FeatureSet with clock: replay.")],
    source: Source = SOURCE,
    *,
    json: AsJson = False,
) -> None:
    """Send a file of events in order of time, with ticks for event time.

    Every line is sent; exit 1 if one was refused.
    """
    connection = connect()
    timed = sorted(
        ((time_of(row, "occurred_at"), row) for row in rows_of(file, EVENT_COLUMNS)), key=lambda each: each[0]
    )
    if not timed:
        message_ = f"{file} holds no events."
        raise RefusedError(message_)
    lines = [event_line(row, feature_set, source) for _, row in timed]
    outcome = asyncio.run(_replay(connection, lines, [time for time, _ in timed], feature_set))
    outcome.check()
    until = format_time(timed[-1][0])
    told = f"Replayed {outcome.accepted} events up to {until}."
    output.result({**outcome.document(), "event_time": until}, told, as_json=json)


async def _replay(
    connection: Connection, lines: Sequence[Line], times: Sequence[datetime], feature_set: str
) -> Outcome:
    check_clock(await in_force(connection.settings, "FeatureSet"), feature_set)
    outcome, sent = Outcome(), 0
    async with (
        Publisher(connection.settings) as publisher,
        httpx.AsyncClient(base_url=connection.ingestion, timeout=TIMEOUT) as http,
    ):
        for batch in batches(lines):
            await send(http, "/v1/events:batch", batch, outcome)
            sent += len(batch)
            await publisher.publish(*ticks(connection.settings, feature_set, times[sent - 1]))
    return outcome


def check_clock(records: Sequence[DefinitionRecord], feature_set: str) -> None:
    """Raise `RefusedError` unless the event time of ``feature_set`` is a replay's to advance."""
    clock = clock_of(records, feature_set)
    if clock is None:
        known = ", ".join(f"{record.name}@{record.major}" for record in records) or "none"
        problem = (
            f"There is no feature set {feature_set!r}; in force are: {known}. `headrace apply -f FILE` defines one."
        )
        raise RefusedError(problem)
    if clock != REPLAY:
        problem = (
            f"{feature_set} has clock: {clock}: its event time follows the wall clock, and a replay would set it back. "
            "Send the file with `headrace events send`, or define the set with clock: replay."
        )
        raise RefusedError(problem)
