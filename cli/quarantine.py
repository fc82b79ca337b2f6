"""``headrace rejected``: what was quarantined."""

import asyncio
import base64
from typing import Annotated, Any

import typer

from cli import output
from cli.connection import connect
from cli.output import AsJson
from schemas.events.validation import Rejection
from schemas.topics import EVENTS_REJECTED, LABELS_REJECTED
from shared.errors import RefusedError
from shared.records import Record, read
from shared.settings import PlatformSettings
from shared.tables import read_to_end

rejected = typer.Typer(no_args_is_help=True, help="Quarantined events and labels, with every reason.")

Limit = Annotated[int, typer.Option(min=1, help="The newest this many.")]


@rejected.command("list")
def list_rejected(limit: Limit = 50, *, json: AsJson = False) -> None:
    """The newest rejections; with --json every reason of each."""
    records = asyncio.run(_rejections(connect().settings))[-limit:]
    rejections = [read(Rejection, record)[1] for record in records]
    if json:
        output.document([each.model_dump(mode="json", exclude={"payload_base64"}) for each in rejections])
        return
    output.show([_rejection_row(each) for each in rejections], as_json=False, empty="Nothing has been rejected.")


@rejected.command("show")
def show_rejected(event_id: Annotated[str, typer.Argument()], *, json: AsJson = False) -> None:
    """One rejected record: every reason, and the original body; JSON in any case."""
    del json
    for record in asyncio.run(_rejections(connect().settings)):
        rejection = read(Rejection, record)[1]
        if rejection.event_id == event_id:
            content = rejection.model_dump(mode="json")
            content["payload"] = base64.b64decode(content.pop("payload_base64")).decode(errors="replace")
            output.document(content)
            return
    message = f"No record with the id {event_id!r} has been rejected."
    raise RefusedError(message)


async def _rejections(settings: PlatformSettings) -> list[Record]:
    records = [*await read_to_end(settings, EVENTS_REJECTED), *await read_to_end(settings, LABELS_REJECTED)]
    return sorted(records, key=lambda record: record.timestamp)


def _rejection_row(rejection: Rejection) -> dict[str, Any]:
    first = rejection.reasons[0]
    more = f" (+{len(rejection.reasons) - 1})" if len(rejection.reasons) > 1 else ""
    return {
        "id": rejection.event_id,
        "source": rejection.event_source,
        "field": first.field,
        "rule": first.rule + more,
        "expected": first.expected,
        "observed": first.observed,
    }
