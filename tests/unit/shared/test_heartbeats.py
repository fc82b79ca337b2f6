"""What a process says of itself."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.events.contract import decode, encode
from schemas.events.platform import Gpu, Heartbeat
from shared import heartbeats, metrics
from shared.clock import FixedClock
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.publishing import Publisher
from shared.records import Outgoing
from shared.settings import PlatformSettings


def test_a_heartbeat_tells_readiness_lag_progress_and_resources() -> None:
    settings = PlatformSettings(instance="i-1")
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    health = Health(clock)
    health.starting("table")
    health.processed = 12
    health.progressed("t", 0, 3, 10)
    beats = Heartbeats(settings, service="validation", publisher=Publisher(settings), health=health, clock=clock)
    clock.advance(timedelta(seconds=10))
    beat = beats.heartbeat(clock.now())
    assert (beat.service, beat.instance, beat.ready, beat.lag, beat.processed) == ("validation", "i-1", False, 7, 12)
    assert beat.memory_bytes > 1_000_000
    assert beat.at - beat.started_at == timedelta(seconds=10)
    assert beat.memory_limit_bytes is not None
    assert beat.memory_bytes < beat.memory_limit_bytes <= psutil.virtual_memory().total
    assert beat.cores is not None
    assert 0 < beat.cores <= psutil.cpu_count()


def test_what_a_heartbeat_tells_of_limits_and_gpus_is_on_the_metrics_and_comes_back_from_the_topic() -> None:
    settings = PlatformSettings(instance="i-1")
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    beats = Heartbeats(settings, service="s", publisher=Publisher(settings), health=Health(clock), clock=clock)
    gpu = Gpu(index=1, name="g", utilisation=0.5, memory_bytes=3, memory_total_bytes=8, own_memory_bytes=2)
    beat = beats.heartbeat(clock.now(), (gpu,))
    assert decode(Heartbeat, encode(beat)) == beat
    shown = _shown()
    assert shown["headrace_memory_limit_bytes", ()] == beat.memory_limit_bytes
    assert shown["headrace_cores_available", ()] == beat.cores
    of_gpus = {name: value for (name, labels), value in shown.items() if labels == (("gpu", "1"),)}
    assert of_gpus == {
        "headrace_gpu_utilisation": 0.5,
        "headrace_gpu_memory_bytes": 3.0,
        "headrace_gpu_memory_total_bytes": 8.0,
    }
    beats.heartbeat(clock.now())
    assert not [name for name, labels in _shown() if labels == (("gpu", "1"),)]


def _shown() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, tuple(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


class Beating:
    """A publisher that keeps the bodies."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Heartbeat] = asyncio.Queue()

    async def publish(self, outgoing: Outgoing) -> None:
        self.sent.put_nowait(decode(Heartbeat, outgoing.value or b""))


@pytest.mark.parametrize("hang", [False, True])
async def test_a_driver_that_breaks_or_hangs_costs_no_heartbeat(*, hang: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    released = threading.Event()

    class Broken:
        def __bool__(self) -> bool:
            return True

        def read(self) -> tuple[Gpu, ...]:
            asked.append(1)
            if hang:
                released.wait(10)
            message = "the device fell off the bus"
            raise RuntimeError(message)

    monkeypatch.setattr(heartbeats, "GPU_SECONDS", 0.05)
    monkeypatch.setattr(heartbeats.Gpus, "found", Broken)
    settings, publisher = PlatformSettings(instance="i-1"), Beating()
    beats = Heartbeats(settings, service="s", publisher=publisher, health=Health(), period=0.01)  # type: ignore[arg-type]
    async with beats:
        for _ in range(3):
            assert (await asyncio.wait_for(publisher.sent.get(), 5)).gpus == ()
    # The end of the process must not wait for it.
    assert not hang or [each.daemon for each in threading.enumerate() if each.name == "gpus"] == [True]
    released.set()
    assert len(asked) == 1
