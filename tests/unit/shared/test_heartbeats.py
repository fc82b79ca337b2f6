"""What a process says of itself."""

from datetime import UTC, datetime, timedelta

from shared.clock import FixedClock
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.publishing import Publisher
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
