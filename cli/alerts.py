"""``headrace alerts``: what is wrong with models, and what people do about it."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli import output
from cli.choosing import the_one
from cli.connection import connect
from cli.following import follow
from cli.output import SHORT_DIGEST, AsJson
from cli.registry import SOURCE, actor
from schemas.definitions.metadata import parse_duration
from schemas.events.monitoring import Alert, AlertCommand
from schemas.topics import ALERTS, ALERTS_COMMANDS
from shared.clock import SystemClock
from shared.errors import RefusedError
from shared.publishing import Publisher
from shared.records import message, read
from shared.settings import PlatformSettings
from shared.tables import read_to_end

app = typer.Typer(no_args_is_help=True, help="Alerts, and what people do about them.")
Fingerprint = Annotated[str, typer.Argument(metavar="FINGERPRINT", help="Its first characters are enough.")]


async def latest_alerts(settings: PlatformSettings) -> list[Alert]:
    """The last state of each alert, oldest change first."""
    latest: dict[str, Alert] = {}
    for record in await read_to_end(settings, ALERTS):
        if record.value is not None:
            alert = read(Alert, record)[1]
            latest[alert.fingerprint] = alert
    return sorted(latest.values(), key=lambda alert: alert.updated_at)


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "fingerprint": alert.fingerprint[:SHORT_DIGEST],
        "severity": alert.severity,
        "state": f"{alert.state}, flapping" if alert.flapping else alert.state,
        "model": alert.model,
        "version": alert.version,
        "kind": alert.kind,
        "window": alert.window.start.isoformat(timespec="minutes"),
        "summary": alert.summary,
    }


@app.command("list")
def list_alerts(
    *, everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False, json: AsJson = False
) -> None:
    """Alerts that are not resolved."""
    alerts = asyncio.run(latest_alerts(connect().settings))
    shown = [alert for alert in alerts if everything or alert.state != "resolved"]
    if json:
        output.document([alert.model_dump(mode="json") for alert in shown])
    else:
        output.show([_row(alert) for alert in shown], as_json=False, empty="No alert is open.")


@app.command()
def tail(*, json: AsJson = False) -> None:
    """Alerts as they change, until Ctrl-C; with --json one document a line."""
    asyncio.run(_tail(connect().settings, json=json))


async def _tail(settings: PlatformSettings, *, json: bool) -> None:
    async with follow(settings, ALERTS) as records:
        async for record in records:
            if record.value is not None:
                alert = read(Alert, record)[1]
                output.say(alert.model_dump_json() if json else _sentence(alert))


def _sentence(alert: Alert) -> str:
    at = alert.updated_at.isoformat(timespec="minutes")
    return f"{at} {alert.severity} {alert.state} {alert.model}: {alert.summary}"


@app.command()
def ack(fingerprint: Fingerprint, reason: Annotated[str, typer.Option()] = "", *, json: AsJson = False) -> None:
    """Acknowledge an alert: somebody looks after it."""
    alert = asyncio.run(_command(connect().settings, fingerprint, "acknowledge", None, reason))
    output.result({"acknowledged": alert.fingerprint}, f"Acknowledged: {alert.summary}", as_json=json)


@app.command()
def silence(
    fingerprint: Fingerprint,
    duration: Annotated[str, typer.Option("--for", help="Like 6h or 2d, event time after the alert's last change.")],
    reason: Annotated[str, typer.Option()] = "",
    *,
    json: AsJson = False,
) -> None:
    """Silence an alert for a while."""
    try:
        span = parse_duration(duration)
    except ValueError as error:
        raise RefusedError(f"--for: {error}.") from error
    assert isinstance(span, timedelta)  # noqa: S101 - what the parser returns for text
    alert = asyncio.run(_command(connect().settings, fingerprint, "silence", span, reason))
    silenced = {"silenced": alert.fingerprint, "until": (alert.updated_at + span).isoformat()}
    output.result(silenced, f"Silenced for {duration}: {alert.summary}", as_json=json)


async def _command(settings: PlatformSettings, start: str, action: Any, span: timedelta | None, reason: str) -> Alert:
    alert = the_one(
        {alert.fingerprint: alert for alert in await latest_alerts(settings)},
        start,
        what="alert",
        name="fingerprint",
        listing="headrace alerts list --all",
    )
    intent = AlertCommand(
        command_id=str(uuid4()),
        fingerprint=alert.fingerprint,
        action=action,
        until=None if span is None else alert.updated_at + span,
        actor=actor(),
        reason=reason,
        issued_at=SystemClock().now(),
    )
    async with Publisher(settings) as publisher:
        await publisher.publish(
            message(ALERTS_COMMANDS, intent, key=alert.fingerprint, source=SOURCE, id=intent.command_id)
        )
    return alert
