"""``headrace models``: versions, their evidence, and the decisions about them."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import output, version_report
from cli.connection import connect
from cli.deciding import decide
from cli.output import SHORT_DIGEST, AsJson
from cli.registry import history, intent_of
from schemas.envelope import format_time, parse_time
from schemas.events.registry import (
    Approve,
    ChampionPromoted,
    Promote,
    RegistryEvent,
    Reject,
    Rollback,
    StartChallenger,
    StopChallenger,
)
from shared.errors import RefusedError
from shared.settings import PlatformSettings

if (
    TYPE_CHECKING
):  # the registry's fold is imported where it is used: without that service the other commands still work
    from services.registry.state import ModelState, State, Version

app = typer.Typer(no_args_is_help=True, help="Versions of models, and the decisions about them.")

ModelName = Annotated[str, typer.Argument(metavar="MODEL")]
VersionNumber = Annotated[int, typer.Argument(metavar="VERSION", min=1)]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit log.")]
ExpectedRevision = Annotated[int | None, typer.Option(help="Refuse if the model has moved on from this revision.")]
Wait = Annotated[
    bool, typer.Option(help="Wait for the registry's answer, and for inference where the champion changes.")
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Who decides, whose key signs it; your login name if not given. `headrace keys create NAME` makes a key.",
    ),
]


async def registry_state(settings: PlatformSettings) -> "State":
    """Everything the registry has decided, folded from its log."""
    return _fold(await history(settings, lambda _: True))


def _fold(events: list[RegistryEvent]) -> "State":
    from services.registry.evolution import fold  # noqa: PLC0415 - see above

    return fold(events)


def _model(state: "State", name: str) -> "ModelState":
    found = state.models.get(name)
    if found is None:
        known = ", ".join(sorted(state.models)) or "none yet"
        message = f"There is no model {name!r} with a version; there are: {known}."
        raise RefusedError(message)
    return found


def _row(model: "ModelState", version: "Version") -> dict[str, Any]:
    champion = model.champion
    role = "champion" if champion is not None and champion.number == version.number else None
    if model.challenger is not None and model.challenger.version == version.number:
        role = model.challenger.route
    return {
        "model": model.name,
        "version": version.number,
        "stage": version.stage,
        "role": role,
        "source": version.source,
        "digest": version.digest[:SHORT_DIGEST],
        "revision": model.revision,
    }


@app.command("list")
def list_models(*, json: AsJson = False) -> None:
    """All versions of all models."""
    state = asyncio.run(registry_state(connect().settings))
    rows = [
        _row(model, version)
        for _, model in sorted(state.models.items())
        for _, version in sorted(model.versions.items())
    ]
    output.show(rows, as_json=json, empty="No model has a version yet; `headrace train MODEL` makes one.")


@app.command()
def show(model: ModelName, *, json: AsJson = False) -> None:
    """One model: its versions with their metrics, probe and gates."""
    found = _model(asyncio.run(registry_state(connect().settings)), model)
    versions = [version for _, version in sorted(found.versions.items())]
    if json:
        output.document([{**_row(found, version), **version_report.evidence(version)} for version in versions])
        return
    for version in versions:
        row = _row(found, version)
        output.say("  ".join(f"{name} {value}" for name, value in row.items() if value is not None))
        for line in version_report.lines(version):
            output.say(f"    {line}")


@app.command()
def approve(
    model: ModelName,
    version: VersionNumber,
    reason: Reason,
    revision: ExpectedRevision = None,
    by: Actor = None,
    *,
    wait: Wait = True,
    json: AsJson = False,
) -> None:
    """Approve a version that has passed its gates."""
    action = Approve(version=version)
    decide(intent_of(action, model=model, reason=reason, expected_revision=revision, by=by), wait=wait, json=json)


@app.command()
def reject(
    model: ModelName,
    version: VersionNumber,
    reason: Reason,
    revision: ExpectedRevision = None,
    by: Actor = None,
    *,
    wait: Wait = True,
    json: AsJson = False,
) -> None:
    """Refuse a version for good."""
    action = Reject(version=version)
    decide(intent_of(action, model=model, reason=reason, expected_revision=revision, by=by), wait=wait, json=json)


@app.command()
def promote(
    model: ModelName,
    version: VersionNumber,
    reason: Reason,
    revision: ExpectedRevision = None,
    by: Actor = None,
    *,
    wait: Wait = True,
    json: AsJson = False,
) -> None:
    """Make an approved version the champion now; ends when inference serves it."""
    intent = intent_of(Promote(version=version), model=model, reason=reason, expected_revision=revision, by=by)
    decide(intent, wait=wait, json=json, until_served=True)


@app.command()
def challenge(
    model: ModelName,
    version: VersionNumber,
    reason: Reason,
    route: Annotated[Literal["shadow", "canary"], typer.Option()] = "shadow",
    share: Annotated[float | None, typer.Option(help="Share of entities that a canary serves, in (0, 1).")] = None,
    by: Actor = None,
    *,
    wait: Wait = True,
    json: AsJson = False,
) -> None:
    """Run an approved version beside the champion."""
    action = StartChallenger(version=version, route=route, share=share)
    decide(intent_of(action, model=model, reason=reason, by=by), wait=wait, json=json)


@app.command("stop-challenger")
def stop_challenger(
    model: ModelName,
    version: VersionNumber,
    reason: Reason,
    by: Actor = None,
    *,
    wait: Wait = True,
    json: AsJson = False,
) -> None:
    """End a challenger without promoting it."""
    action = StopChallenger(version=version)
    decide(intent_of(action, model=model, reason=reason, by=by), wait=wait, json=json)


@app.command()
def rollback(
    model: ModelName,
    reason: Reason,
    version: Annotated[int | None, typer.Argument(help="To this version; to the champion before if not given.")] = None,
    by: Actor = None,
    *,
    wait: Wait = True,
    json: AsJson = False,
) -> None:
    """Return to an earlier champion; ends when inference serves it."""
    action = Rollback(version=version)
    decide(intent_of(action, model=model, reason=reason, by=by), wait=wait, json=json, until_served=True)


@app.command("history")
def show_history(model: ModelName, *, json: AsJson = False) -> None:
    """What happened to a model, who did it and why."""
    events = asyncio.run(history(connect().settings, lambda event: event.model == model))
    if json:
        output.document([event.model_dump(mode="json") for event in events])
        return
    output.show([_line(event) for event in events], as_json=False, empty=f"Nothing has happened to {model!r}.")


def _line(event: RegistryEvent) -> dict[str, Any]:
    return {
        "revision": event.revision,
        "at": event.at.isoformat(timespec="seconds"),
        "what": event.fact.type,
        "version": getattr(event.fact, "version", None),
        "actor": event.actor,
        "reason": version_report.because(event),
    }


@app.command()
def at(
    model: ModelName, time: Annotated[str, typer.Argument(help="RFC 3339 with offset.")], *, json: AsJson = False
) -> None:
    """What was in production at a time."""
    try:
        moment: datetime = parse_time(time)
    except ValueError as error:
        message = f"{time!r} is not a time like 2026-03-01T12:00:00Z."
        raise RefusedError(message) from error
    events = asyncio.run(history(connect().settings, lambda _: True))
    _model(_fold(events), model)  # refuses a name that nobody has
    state = _fold([event for event in events if event.at <= moment]).models.get(model)
    champion = None if state is None else state.champion
    row = None if state is None or champion is None else _row(state, champion)
    if json:
        output.document(row)
    elif row is not None:
        output.say(f"{model} version {row['version']}, digest {row['digest']}…")
    else:
        output.say(nothing_then(model, [event for event in events if event.model == model]))


def nothing_then(model: str, events: list[RegistryEvent]) -> str:
    """That no version of ``model`` was champion, and since when one is."""
    promotions = [event.at for event in events if isinstance(event.fact, ChampionPromoted)]
    if not promotions:
        return f"Nothing of {model} was in production at that time; no version has been promoted yet."
    return (
        f"Nothing of {model} was in production at that time; its first promotion was at {format_time(min(promotions))}."
    )


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file made elsewhere.")],
    model: Annotated[str, typer.Option(help="The Model definition it is a version of.")],
    inputs: Annotated[
        str | None,
        typer.Option(
            help="ONNX input → features: `x=a,b,c;y=d`, with an optional kind: `x:numeric=a,b`. All of the model's features in order if not given."
        ),
    ] = None,
    by: Actor = None,
    *,
    wait: Annotated[bool, typer.Option(help="Wait until the registry has probed or refused it.")] = True,
    json: AsJson = False,
) -> None:
    """Offer an ONNX file made elsewhere as a new version; probe, gates and approval follow."""
    from cli import importing  # noqa: PLC0415 - only this command needs onnx

    result = asyncio.run(importing.import_model(connect().settings, file, model, inputs, by=by, wait=wait))
    if json:
        output.document(result)
    else:
        output.say(str(result["message"]))
