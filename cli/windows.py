"""``headrace windows``: how good a model was window by window, and how good it probably is where labels are still out."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from cli import output
from cli.connection import connect
from cli.output import AsJson
from schemas.events.monitoring import ChannelResult, ClosedWindow
from schemas.topics import METRICS_WINDOWS
from shared.errors import RefusedError
from shared.records import read
from shared.settings import PlatformSettings
from shared.tables import read_to_end

MEASURED: Final = "quality:"
ESTIMATED: Final = "estimate:"
CALIBRATION: Final = "estimate:calibration"
INTERVAL: Final = "estimate_interval:"
PAST_ERRORS: Final = "past_errors"  # the interval holds what past estimates missed, too; else chance in labels alone
GUESSED: Final = "estimated"

Key = tuple[int, str, datetime]  # version, route, start
Lanes = Mapping[str, ClosedWindow]


def windows(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    limit: Annotated[int, typer.Option(min=1, help="How many windows, the latest.")] = 20,
    *,
    json: AsJson = False,
) -> None:
    """A model's latest windows: measured where labels are in, estimated with an interval where not."""
    found = latest(asyncio.run(_closed(connect().settings, model)))
    shown = [found[key] for key in sorted(found, key=lambda key: (key[2], key[0], key[1]))[-limit:]]
    if json:
        output.document([window.model_dump(mode="json") for lanes in shown for window in lanes.values()])
    else:
        output.show(table(shown), as_json=False, empty=f"No window of {model} is closed yet.")


def latest(closed: Iterable[ClosedWindow]) -> dict[Key, dict[str, ClosedWindow]]:
    """The last revision of each window by lane."""
    found: dict[Key, dict[str, ClosedWindow]] = {}
    for window in closed:
        lanes = found.setdefault((window.version, window.route, window.window.start), {})
        if window.lane not in lanes or lanes[window.lane].revision <= window.revision:
            lanes[window.lane] = window
    return found


def table(shown: Iterable[Lanes]) -> list[dict[str, Any]]:
    """A row a window; what is not measured yet says "estimated", and what its probabilities were calibrated on."""
    rows = [(lanes, _metrics(lanes)) for lanes in shown]
    names = list(dict.fromkeys(name for _, metrics in rows for name in metrics))
    return [_row(lanes, {name: metrics.get(name) for name in names}) for lanes, metrics in rows]


def _row(lanes: Lanes, metrics: Mapping[str, str | None]) -> dict[str, Any]:
    window = lanes.get("performance") or lanes["quality"]
    quality = lanes.get("quality")
    return {
        "window": window.window.start.isoformat(timespec="minutes"),
        "version": window.version,
        "route": window.route,
        "rows": window.rows,
        "labelled": None if quality is None else quality.labelled,
        **metrics,
        "calibrated_on": _basis(window) if any(GUESSED in (shown or "") for shown in metrics.values()) else None,
    }


def _metrics(lanes: Lanes) -> dict[str, str]:
    """What is measured, else estimated: a quality window that closed without labels measures nothing."""
    served, labelled = _channels(lanes, "performance"), _channels(lanes, "quality")
    widened = {row.channel for row in served if row.statistic == PAST_ERRORS}
    estimated = {
        row.statistic: _estimated(row, widened=f"{INTERVAL}{row.statistic}" in widened)
        for row in served
        if _is(row, ESTIMATED)
    }
    return estimated | {row.statistic: f"{row.value:.4g}" for row in labelled if _is(row, MEASURED)}


def _channels(lanes: Lanes, lane: str) -> tuple[ChannelResult, ...]:
    return lanes[lane].channels if lane in lanes else ()


def _is(row: ChannelResult, prefix: str) -> bool:
    return row.channel == f"{prefix}{row.statistic}" and row.value is not None


def _estimated(row: ChannelResult, *, widened: bool) -> str:
    if row.low is None or row.high is None:
        return f"{row.value:.3g} {GUESSED}"
    return f"{row.value:.3g} {GUESSED} ({row.low:.3g} to {row.high:.3g}{'' if widened else ' by chance alone'})"


def _basis(window: ClosedWindow) -> str | None:
    found = next((row for row in window.channels if row.channel == CALIBRATION), None)
    if found is None:
        return None
    return {
        "labels": f"{found.value or 0:.0f} labels",
        "test_block": f"{found.value or 0:.0f} rows of the test block",
    }.get(found.statistic, "nothing, scores as they are")


async def _closed(settings: PlatformSettings, model: str) -> list[ClosedWindow]:
    records = [record for record in await read_to_end(settings, METRICS_WINDOWS) if record.value is not None]
    found = [window for window in (read(ClosedWindow, record)[1] for record in records) if window.model == model]
    if records and not found:
        message = f"No window of a model {model} is on {METRICS_WINDOWS.name}; `headrace models list` names the models."
        raise RefusedError(message)
    return found
