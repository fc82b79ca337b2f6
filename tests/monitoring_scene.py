"""Monitoring on a real Kafka: the world it watches, streams of two partitions, and the windows that come of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from monitoring_stream import MODEL, START, Rows, candidate, definition_records, deployment, hours
from service_process import eventually

from schemas.events.contract import Contract, decode
from schemas.events.monitoring import ClosedWindow
from schemas.topics import (
    DEFINITIONS,
    DEPLOYMENTS,
    LABELS_VALIDATED,
    METRICS_WINDOWS,
    MODELS_CANDIDATES,
    PREDICTIONS,
    Topic,
)
from shared.records import Outgoing, message
from shared.settings import PlatformSettings
from shared.tables import read_to_end

Streams = list[list[Outgoing]]


def monitored_world() -> list[Outgoing]:
    """A definition, a candidate with its reference, a deployment."""
    return [
        *(message(DEFINITIONS, body, key=body.name, source="tests") for body in definition_records()),
        message(MODELS_CANDIDATES, candidate(), key=MODEL, source="tests"),
        message(DEPLOYMENTS, deployment(), key=MODEL, source="tests"),
    ]


def two_partitions(count: int, *, per_hour: int = 60) -> Streams:
    """Predictions and labels of ``count`` hours in two partitions; the second half drifts."""
    streams = []
    for partition in (0, 1):
        rows = Rows(seed=partition + 1)
        calm = hours(count // 2, rows, per_hour=per_hour)
        drifting = hours(count - count // 2, rows, per_hour=per_hour, first=count // 2, shift=0.8)
        streams.append(_outgoing(PREDICTIONS, [*calm[0], *drifting[0]], partition))
        streams.append(_outgoing(LABELS_VALIDATED, [*calm[1], *drifting[1]], partition))
    return streams


def stretch(streams: Streams, first: float, last: float) -> list[Outgoing]:
    """What lies between two shares of every stream."""
    return [item for stream in streams for item in stream[int(first * len(stream)) : int(last * len(stream))]]


async def closed_windows(settings: PlatformSettings, count: int) -> list[ClosedWindow]:
    """All revisions, once the windows that `two_partitions` closes are there in both lanes."""

    async def read() -> list[ClosedWindow]:
        return [decode(ClosedWindow, record.value or b"") for record in await read_to_end(settings, METRICS_WINDOWS)]

    def complete(windows: list[ClosedWindow]) -> bool:
        lanes = {(w.lane, w.window.start) for w in windows}
        performance, quality = START + timedelta(hours=count - 2), START + timedelta(hours=count - 4)
        return ("performance", performance) in lanes and ("quality", quality) in lanes

    return await eventually(read, complete, "all windows closed")


def last_revisions(windows: Sequence[ClosedWindow]) -> dict[Any, dict[str, Any]]:
    """The last revision of each window, without its number."""
    return {
        (w.version, w.route, w.lane, w.window.start): without_estimates(w).model_dump(exclude={"revision"})
        for w in sorted(windows, key=lambda w: w.revision)
    }


def without_estimates(window: ClosedWindow) -> ClosedWindow:
    """Estimates depend on which labels were known when the window closed, so on how two topics were interleaved."""
    rows = tuple(row for row in window.channels if not row.channel.startswith("estimate"))
    return window.model_copy(update={"channels": rows})


def _outgoing(topic: Topic, bodies: Sequence[Contract], partition: int) -> list[Outgoing]:
    return [message(topic, body, key=f"k{partition}", source="tests", partition=partition) for body in bodies]
