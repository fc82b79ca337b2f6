"""Shortages of the platform's processes: one alert for each service and resource, with the life of all others."""

from datetime import timedelta

import pytest
from monitoring_stream import NAMES, START, bodies, keep, told

from schemas.events.monitoring import Alert, AlertCommand
from schemas.events.platform import Heartbeat
from schemas.topics import ALERTS, ALERTS_COMMANDS, PLATFORM_HEARTBEATS
from services.monitoring.checkpoints import StateReader
from services.monitoring.presence import Limits
from services.monitoring.service_alerts import SERVICES, ServiceWatch
from services.monitoring.service_limits import resource_limits
from services.monitoring.settings import MonitoringSettings
from services.monitoring.shortages import ShortageLimits
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, message

GIB = 1024**3
MINUTE = 6  # beats


class Unseen:
    """Nobody looks at the gauges."""

    def show(self, beat: Heartbeat) -> None: ...
    def forget(self, service: str, instance: str) -> None: ...
    def clear(self) -> None: ...


class Platform:
    """Heartbeats every ten seconds and the stage that reads them, which may die at any time."""

    def __init__(self, *, present_from: int = 0) -> None:
        self.seconds = 0
        self.offset = 0
        self.present_from = present_from
        self.state = StateReader(SERVICES)
        self.published: list[Outgoing] = []
        self.watch = self._open()

    def _open(self) -> ServiceWatch:
        watch = ServiceWatch(FixedClock(START), Limits(), self.present_from, Unseen())
        watch.restore(self.state.entries)
        return watch

    def restart(self) -> None:
        self.watch = self._open()

    def beat(self, **memory: float) -> None:
        """One beat of each process ``service__instance``, whose memory is that share of its limit."""
        self.seconds += 10
        for name, share in memory.items():
            service, _, instance = name.partition("__")
            body = Heartbeat(
                service=service,
                instance=instance or "a",
                version="1",
                at=START + timedelta(seconds=self.seconds),
                started_at=START,
                ready=True,
                lag=0,
                processed=0,
                cpu=0.1,
                memory_bytes=int(share * 2 * GIB),
                memory_limit_bytes=2 * GIB,
                cores=1.0,
            )
            self._hear(message(PLATFORM_HEARTBEATS, body, key=name, source="tests"))

    def run(self, beats: int, **memory: float) -> None:
        for _ in range(beats):
            self.beat(**memory)

    def order(self, fingerprint: str) -> None:
        body = AlertCommand(
            command_id="c", fingerprint=fingerprint, action="acknowledge", actor="alex", issued_at=START
        )
        self._hear(message(ALERTS_COMMANDS, body, key="k", source="tests"))

    def _hear(self, made: Outgoing) -> None:
        at = int(START.timestamp() * 1000) + self.seconds * 1000
        record = StoredRecord(NAMES.name(made.topic), 0, self.offset, at, made.key, made.value, made.headers)
        self.offset += 1
        keep(self.watch.process([record]), self.state, self.published)

    @property
    def alerts(self) -> list[Alert]:
        return bodies(self.published, ALERTS, Alert)

    @property
    def said(self) -> list[tuple[str, str, str]]:
        return told(self.alerts)


def test_a_service_whose_processes_are_near_their_limits_pages_once_until_all_have_been_well_for_a_while() -> None:
    platform = Platform()
    platform.run(2 * MINUTE, monitoring=0.1, inference__a=0.93, inference__b=0.96)
    [alert] = platform.alerts
    assert (alert.model, alert.severity, alert.state, alert.kind, alert.version) == (
        "inference",
        "page",
        "firing",
        "errors",
        None,
    )
    assert alert.started_at - alert.window.start == timedelta(seconds=60)
    platform.run(10 * MINUTE, monitoring=0.1, inference__a=0.93, inference__b=0.1)
    assert len(platform.alerts) == 1
    platform.run(5 * MINUTE, monitoring=0.1, inference__a=0.1, inference__b=0.1)
    assert len(platform.alerts) == 1
    platform.run(MINUTE, monitoring=0.1, inference__a=0.1, inference__b=0.1)
    assert [each.state for each in platform.alerts] == ["firing", "resolved"]
    assert platform.alerts[1].episode == alert.episode


def test_silence_and_shortage_of_a_service_are_two_alerts() -> None:
    platform = Platform()
    platform.run(2 * MINUTE, monitoring=0.1, inference=0.95)
    platform.run(10 * MINUTE, monitoring=0.1)
    assert platform.said == [
        ("inference", "firing", "service:memory"),
        ("inference", "firing", "service:silent"),
        ("inference", "resolved", "service:memory"),
    ]
    assert len({alert.fingerprint for alert in platform.alerts}) == 2


def test_a_process_that_is_killed_at_its_limit_again_and_again_is_one_alert() -> None:
    platform = Platform()
    for turn in range(10):
        name = f"inference__{turn}"
        platform.run(2 * MINUTE, monitoring=0.1, **{name: 0.4})
        platform.run(2 * MINUTE, monitoring=0.1, **{name: 0.97})
    assert platform.said == [("inference", "firing", "service:memory")]


def test_an_alert_about_a_resource_is_acknowledged_like_any_other_and_ends() -> None:
    platform = Platform()
    platform.run(2 * MINUTE, monitoring=0.1, inference=0.95)
    platform.order(platform.alerts[0].fingerprint)
    platform.run(7 * MINUTE, monitoring=0.1, inference=0.1)
    assert [alert.state for alert in platform.alerts] == ["firing", "acknowledged", "resolved"]
    assert platform.alerts[-1].acknowledged_by == "alex"


def test_of_a_shortage_that_is_over_nobody_is_told_by_a_monitoring_that_was_away() -> None:
    platform = Platform(present_from=40)
    platform.run(15, monitoring=0.1, inference=0.95)
    platform.run(5 * MINUTE, monitoring=0.1, inference=0.1)
    assert platform.alerts == []


def test_an_alert_goes_on_and_ends_when_monitoring_dies_meanwhile() -> None:
    platform = Platform()
    platform.run(2 * MINUTE, monitoring=0.1, inference=0.95)
    platform.restart()
    platform.run(3 * MINUTE, monitoring=0.1, inference=0.95)
    assert len(platform.alerts) == 1
    platform.restart()
    platform.run(7 * MINUTE, monitoring=0.1, inference=0.1)
    assert [alert.state for alert in platform.alerts] == ["firing", "resolved"]


def test_growth_is_told_though_monitoring_dies_every_ten_minutes() -> None:
    platform = Platform()
    for beat in range(3 * 60 * MINUTE):
        if beat % (10 * MINUTE) == 20:  # in the middle of a block of five minutes
            platform.restart()
        platform.beat(monitoring=0.1, inference=0.1 + 0.25 * beat / (60 * MINUTE))
    assert platform.said == [("inference", "firing", "service:memory_growth")]
    assert platform.alerts[0].severity == "warn"
    assert "rss 1." in platform.alerts[0].summary
    assert len(platform.alerts[0].evidence) == 1


def test_what_is_kept_of_processes_that_are_gone_is_deleted_also_after_a_restart() -> None:
    platform = Platform()
    platform.run(45 * MINUTE, monitoring=0.1, **{f"inference__{k}": 0.1 for k in range(3)})
    assert len([key for key in platform.state.entries if key.startswith("process/")]) == 4
    platform.restart()
    platform.run(3 * MINUTE, monitoring=0.1, inference__0=0.1)
    assert {key for key in platform.state.entries if key.startswith("process/")} == {
        "process/monitoring/a",
        "process/inference/0",
    }


def test_a_checkpoint_from_before_resources_were_judged_is_taken_over() -> None:
    platform = Platform()
    platform.run(5, monitoring=0.1, inference=0.1)
    platform.run(15, monitoring=0.1)
    assert platform.said == [("inference", "firing", "service:silent")]
    assert set(platform.state.entries) == {"presence", "alert/inference"}  # as they were written then
    platform.restart()
    platform.run(12, monitoring=0.1, inference=0.1)
    assert [state for _, state, _ in platform.said] == ["firing", "resolved"]


def test_the_defaults_of_the_settings_are_those_of_the_judgement() -> None:
    assert resource_limits(MonitoringSettings()) == ShortageLimits()


@pytest.mark.parametrize("name", ["service_memory", "service_memory_growth_hours", "service_cpu", "service_gpu_memory"])
def test_a_resource_is_switched_off_by_a_0(name: str) -> None:
    off = resource_limits(MonitoringSettings.model_validate({name: 0}))
    assert off != ShortageLimits()
    assert None in (off.memory_share, off.growth_hours, off.cpu_share, off.gpu_memory_share)
