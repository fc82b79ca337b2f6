"""Monitoring on a real Kafka: windows from predictions and labels, equal after kill -9 and a lost disk."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring_scene import without_estimates
from monitoring_stream import (
    MODEL,
    SET,
    START,
    Rows,
    candidate,
    definition_records,
    deployment,
    hours,
)
from service_process import ServiceProcess, eventually

from cli.draining import until_drained
from schemas.events.contract import Contract, decode
from schemas.events.monitoring import Alert, AlertCommand, ClosedWindow
from schemas.events.platform import Heartbeat
from schemas.topics import (
    ALERTS,
    ALERTS_COMMANDS,
    DEFINITIONS,
    DEPLOYMENTS,
    LABELS_VALIDATED,
    METRICS_WINDOWS,
    MODELS_CANDIDATES,
    PLATFORM_HEARTBEATS,
    PREDICTIONS,
    Topic,
    dead_letters,
)
from shared.publishing import Publisher
from shared.records import Outgoing, message
from shared.settings import PlatformSettings, TopicSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

HOURS = 11


def _outgoing(topic: Topic, bodies: list[Contract], partition: int) -> list[Outgoing]:
    return [message(topic, body, key=f"k{partition}", source="tests", partition=partition) for body in bodies]


def _world() -> list[Outgoing]:
    definitions = [message(DEFINITIONS, body, key=body.name, source="tests") for body in definition_records()]
    return [
        *definitions,
        message(MODELS_CANDIDATES, candidate(), key=MODEL, source="tests"),
        message(DEPLOYMENTS, deployment(), key=MODEL, source="tests"),
    ]


def _stream() -> list[tuple[list[Outgoing], list[Outgoing]]]:
    """Per partition: predictions and labels; from hour 6 on the input drifts."""
    parts = []
    for partition in (0, 1):
        rows = Rows(seed=partition + 1)
        calm, drifting = hours(6, rows, per_hour=100), hours(HOURS - 6, rows, per_hour=100, first=6, shift=0.8)
        parts.append(
            (
                _outgoing(PREDICTIONS, [*calm[0], *drifting[0]], partition),
                _outgoing(LABELS_VALIDATED, [*calm[1], *drifting[1]], partition),
            )
        )
    return parts


async def _windows(settings: PlatformSettings) -> list[ClosedWindow]:
    return [decode(ClosedWindow, record.value or b"") for record in await read_to_end(settings, METRICS_WINDOWS)]


async def _alerts(settings: PlatformSettings) -> list[Alert]:
    return [decode(Alert, record.value or b"") for record in await read_to_end(settings, ALERTS)]


def _complete(windows: list[ClosedWindow]) -> bool:
    lanes = {(w.lane, w.window.start) for w in windows}
    last_closed = START + timedelta(hours=HOURS - 2)
    return ("performance", last_closed) in lanes and ("quality", START + timedelta(hours=HOURS - 4)) in lanes


def _last(windows: list[ClosedWindow]) -> dict[Any, dict[str, Any]]:
    """The last revision of each window, without its number."""
    return {
        (w.version, w.route, w.lane, w.window.start): without_estimates(w).model_dump(exclude={"revision"})
        for w in sorted(windows, key=lambda w: w.revision)
    }


def _stretch(parts: list[tuple[list[Outgoing], list[Outgoing]]], first: float, last: float) -> list[Outgoing]:
    """The stretch of every stream between two shares of it."""
    return [
        item for part in parts for stream in part for item in stream[int(first * len(stream)) : int(last * len(stream))]
    ]


async def test_windows_and_alerts_are_equal_after_kill_9_and_a_lost_disk(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path, prefix: str
) -> None:
    parts = _stream()
    other = settings.model_copy(update={"topics": TopicSettings(prefix=f"x{prefix}", partitions=2)})
    await apply_topics(settings)
    await apply_topics(other)
    async with Publisher(settings) as calm, Publisher(other) as rough:
        await calm.publish(*_world())
        await rough.publish(*_world())
        env = {**service_env, "HEADRACE_MONITORING__DATA_DIR": str(tmp_path / "calm")}
        with ServiceProcess("monitoring", env, tmp_path / "calm.log") as process:
            await process.ready()
            await calm.publish(*_stretch(parts, 0, 1))
            await eventually(lambda: _windows(settings), _complete, "all windows closed")
            await until_drained(settings, seconds=60)  # later windows may close too: in both worlds, or in none
            expected = await _windows(settings)
            assert process.stop() == 0
        rough_env = {
            **service_env,
            "HEADRACE_KAFKA__SESSION_TIMEOUT": "6",
            "HEADRACE_TOPICS__PREFIX": f"x{prefix}",
            "HEADRACE_MONITORING__DATA_DIR": str(tmp_path / "rough"),
        }
        for kill in range(2):
            await rough.publish(*_stretch(parts, kill / 3, (kill + 1) / 3))
            seen = len(await read_to_end(other, METRICS_WINDOWS))
            with ServiceProcess("monitoring", rough_env, tmp_path / "rough.log") as process:
                await eventually(
                    lambda: read_to_end(other, METRICS_WINDOWS), lambda found, seen=seen: len(found) > seen, "progress"
                )
                process.kill()
            if kill == 1:  # the disk is lost too
                shutil.rmtree(tmp_path / "rough")
        with ServiceProcess("monitoring", rough_env, tmp_path / "rough.log") as process:
            await rough.publish(*_stretch(parts, 2 / 3, 1))
            await eventually(lambda: _windows(other), _complete, "all windows closed")
            await until_drained(other, seconds=60)
            found = await _windows(other)
            assert process.stop() == 0
    assert _last(found) == _last(expected)
    assert len(_last(found)) > 14
    assert all(window["rows"] > 180 for window in _last(found).values())
    for where in (settings, other):
        assert await read_to_end(where, dead_letters("monitoring")) == []
    drift = [alert for alert in await _alerts(settings) if alert.kind == "drift"]
    assert drift[-1].state == "firing"
    assert {"location:distance", "scale:distance"} & {item.channel for item in drift[-1].evidence}
    assert [a.model_dump() for a in await _alerts(other)] == [a.model_dump() for a in await _alerts(settings)]


async def test_an_alert_can_be_acknowledged(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    env = {**service_env, "HEADRACE_MONITORING__DATA_DIR": str(tmp_path / "data")}
    async with Publisher(settings) as publisher:
        await publisher.publish(*_world())
        for partition in (0, 1):
            predictions, _ = hours(4, Rows(partition), per_hour=100, shift=2)
            await publisher.publish(*_outgoing(PREDICTIONS, predictions, partition))
        with ServiceProcess("monitoring", env, tmp_path / "monitoring.log"):
            alerts = await eventually(
                lambda: _alerts(settings), lambda found: any(a.kind == "drift" for a in found), "a drift alert"
            )
            firing = next(alert for alert in alerts if alert.kind == "drift")
            order = AlertCommand(
                command_id="c1", fingerprint=firing.fingerprint, action="acknowledge", actor="alex", issued_at=START
            )
            await publisher.publish(message(ALERTS_COMMANDS, order, key=firing.fingerprint, source="tests"))
            await eventually(
                lambda: _alerts(settings), lambda found: found[-1].acknowledged_by == "alex", "acknowledged"
            )
    assert firing.state == "firing"
    assert SET == "trips@1"


async def test_a_service_that_falls_silent_is_an_alert(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    env = {
        **service_env,
        "HEADRACE_MONITORING__DATA_DIR": str(tmp_path / "data"),
        "HEADRACE_MONITORING__SERVICE_SILENT": "10",
    }
    now = datetime.now(UTC)
    last = Heartbeat(
        service="validation",
        instance="v",
        version="1",
        at=now,
        started_at=now,
        ready=True,
        lag=0,
        processed=0,
        cpu=0.25,
        memory_bytes=1000,
    )
    async with Publisher(settings) as publisher:
        await publisher.publish(message(PLATFORM_HEARTBEATS, last, key="validation/v", source="tests"))
    with ServiceProcess("monitoring", env, tmp_path / "monitoring.log"):
        [alert] = await eventually(lambda: _alerts(settings), bool, "an alert")
    assert (alert.model, alert.severity, alert.state) == ("validation", "page", "firing")
