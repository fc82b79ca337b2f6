"""``headrace train``: ask for a training run, and follow it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.progress import BarColumn, Progress, TextColumn

from cli import output
from cli.candidates import answer_to, outcome
from cli.connection import connect
from cli.definitions import in_force
from cli.following import follow
from cli.output import AsJson
from cli.registry import SOURCE, actor
from schemas.envelope import header, parse_time
from schemas.events.contract import Contract
from schemas.events.training import (
    DatasetMaterialized,
    RunCompleted,
    RunFailed,
    RunStarted,
    TrainingProgress,
    TrainingRequest,
)
from schemas.identities import candidate_id, run_id
from schemas.topics import REGISTRY_EVENTS, TRAINING_EVENTS, TRAINING_REQUESTS
from shared.clock import SystemClock
from shared.errors import RefusedError, TransientError
from shared.publishing import Publisher
from shared.records import Record, message, read
from shared.settings import PlatformSettings

RUN_TIMEOUT = 900.0  # seconds
_EVENTS: dict[str, type[Contract]] = {
    event.ce_type: event for event in (RunStarted, DatasetMaterialized, TrainingProgress, RunCompleted, RunFailed)
}


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    as_of: Annotated[
        str | None, typer.Option(help="Learn from what was known then (RFC 3339); everything so far if not given.")
    ] = None,
    *,
    wait: Annotated[bool, typer.Option(help="Wait until the candidate is registered or rejected.")] = False,
    json: AsJson = False,
) -> None:
    """Ask for a training run; with --wait, exit 1 if it fails."""
    settings = connect().settings
    moment = _time(as_of)
    columns = (TextColumn("{task.description}"), BarColumn())
    console = output.error_console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{model}: asked", total=1.0)

        def shown(stage: str, share: float) -> None:
            progress.update(bar, description=f"{model}: {stage}", completed=share)

        result = asyncio.run(request_training(settings, model, moment, wait=wait, shown=shown))
    if json:
        output.document(result)
    else:
        output.say(str(result["message"]))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        message = f"--as-of {text!r} is not a time like 2026-03-01T12:00:00Z."
        raise RefusedError(message) from error


async def request_training(
    settings: PlatformSettings,
    model: str,
    as_of: datetime | None,
    *,
    wait: bool,
    shown: Callable[[str, float], None],
    by: str | None = None,
) -> dict[str, Any]:
    """Publish a request; with ``wait`` return once the registry has given the candidate its version.

    Raises `RefusedError` for an unknown model, a failed run or a refused candidate.
    """
    known = [record.name for record in await in_force(settings, "Model")]
    if model not in known:
        problem = f"There is no model {model!r}; defined are: {', '.join(known) or 'none'}. `headrace apply -f FILE` defines one."
        raise RefusedError(problem)
    request = TrainingRequest(
        request_id=str(uuid4()),
        model=model,
        reason="manual",
        requested_by=by or actor(),
        requested_at=SystemClock().now(),
        as_of=as_of,
    )
    async with follow(settings, TRAINING_EVENTS, REGISTRY_EVENTS) as records:
        async with Publisher(settings) as publisher:
            await publisher.publish(
                message(TRAINING_REQUESTS, request, key=model, source=SOURCE, id=request.request_id)
            )
        if not wait:
            return {
                "request_id": request.request_id,
                "message": f"Asked for a run of {model}: request {request.request_id}.",
            }
        try:
            async with asyncio.timeout(RUN_TIMEOUT):
                return await _outcome(records, request, shown)
        except TimeoutError:
            problem = f"The run of {model} has not ended within {RUN_TIMEOUT:g} s; see `headrace doctor`."
            raise TransientError(problem) from None


async def _outcome(
    records: AsyncIterator[Record], request: TrainingRequest, shown: Callable[[str, float], None]
) -> dict[str, Any]:
    run = run_id(request.request_id)
    async for record in records:
        answer = answer_to(record, candidate_id(run))
        if answer is not None:
            return {"request_id": request.request_id, "model": request.model, **outcome(request.model, answer)}
        event = _training_event(record)
        if event is None or getattr(event, "run_id", None) != run:
            continue
        if isinstance(event, RunFailed):
            problem = f"The run of {request.model} failed ({event.code}): {event.message}"
            raise RefusedError(problem)
        if isinstance(event, TrainingProgress):
            shown(event.stage, event.share)
        if isinstance(event, RunCompleted):
            shown("waiting for the registry", 1.0)
    raise AssertionError


def _training_event(record: Record) -> Contract | None:
    kind = _EVENTS.get(header(record.headers, "ce_type") or "")
    return None if kind is None else read(kind, record)[1]
