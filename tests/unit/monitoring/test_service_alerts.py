"""Heartbeats of the platform's services: one page for a service that is silent or never ready, and none for a restart."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from monitoring_stream import NAMES, START, bodies, keep, told

from schemas.events.contract import Contract
from schemas.events.monitoring import Alert, AlertCommand
from schemas.events.platform import Heartbeat
from schemas.topics import ALERTS, ALERTS_COMMANDS, PLATFORM_HEARTBEATS, Topic
from services.monitoring.checkpoints import StateReader
from services.monitoring.presence import PERIOD_MS, Limits
from services.monitoring.service_alerts import SERVICES, ServiceWatch
from shared import heartbeats
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, message

HOUR = 3600


class Shown:
    """The processes whose resources are shown."""

    def __init__(self) -> None:
        self.processes: dict[tuple[str, str], float] = {}

    def show(self, beat: Heartbeat) -> None:
        self.processes[beat.service, beat.instance] = beat.cpu

    def forget(self, service: str, instance: str) -> None:
        del self.processes[service, instance]

    def clear(self) -> None:
        self.processes.clear()


class Platform:
    """The topic of heartbeats, second by second, and the third stage that reads it."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.limits = limits
        self.now = 0.0
        self.topic: list[StoredRecord] = []
        self.read = 0
        self.state = StateReader(SERVICES)
        self.published: list[Outgoing] = []
        self.shown = Shown()
        self.watch = self._open()

    def _open(self) -> ServiceWatch:
        watch = ServiceWatch(FixedClock(START), self.limits, len(self.topic), self.shown)
        watch.restore(self.state.entries)
        return watch

    def _append(self, topic: Topic, body: Contract) -> None:
        made = message(topic, body, key="k", source="tests")
        at = int(START.timestamp() * 1000 + self.now * 1000)
        offset = len(self.topic)
        self.topic.append(StoredRecord(NAMES.name(topic), 0, offset, at, made.key, made.value, made.headers))

    def beat(self, service: str, instance: str = "a", *, ready: bool = True, started: float = 0.0) -> None:
        beat = Heartbeat(
            service=service,
            instance=instance,
            version="1",
            at=START,
            started_at=START + timedelta(seconds=started),
            ready=ready,
            lag=0,
            processed=0,
            cpu=0.5,
            memory_bytes=1,
        )
        self._append(PLATFORM_HEARTBEATS, beat)

    def order(self, fingerprint: str, action: str) -> None:
        until = START + timedelta(days=1) if action == "silence" else None
        self._append(
            ALERTS_COMMANDS,
            AlertCommand(
                command_id="c",
                fingerprint=fingerprint,
                action=action,  # type: ignore[arg-type]
                actor="alex",
                until=until,
                issued_at=START,
            ),
        )

    def run(self, seconds: float, *alive: str, read: bool = True) -> None:
        """``alive`` beat every ten seconds: ``service``, or ``service/instance``."""
        for _ in range(int(seconds // 10)):
            for name in alive:
                service, _, instance = name.partition("/")
                self.beat(service, instance or "a")
            self.now += 10
            if read:
                self.catch_up()

    def catch_up(self) -> None:
        self._commit(self.watch.process(self.topic[self.read :]))

    def _commit(self, outgoing: Sequence[Outgoing]) -> None:
        self.read = len(self.topic)
        keep(outgoing, self.state, self.published)

    def restart_watch(self) -> None:
        self.watch.close()
        self.watch = self._open()

    @property
    def alerts(self) -> list[Alert]:
        return bodies(self.published, ALERTS, Alert)

    @property
    def said(self) -> list[tuple[str, str, str]]:
        return told(self.alerts)


def test_a_service_that_stopped_pages_once_and_is_resolved_when_it_is_ready_again() -> None:
    platform = Platform()
    platform.run(60, "monitoring", "validation", "validation/b")
    platform.run(600, "monitoring")
    [firing] = platform.alerts
    assert (firing.severity, firing.state, firing.model, firing.version) == ("page", "firing", "validation", None)
    assert firing.started_at - firing.window.start == timedelta(seconds=100)
    platform.run(10, "monitoring", "validation/c")
    assert len(platform.alerts) == 1  # it beats, but nobody knows yet whether it lives
    platform.run(60, "monitoring", "validation/c")
    assert [alert.state for alert in platform.alerts] == ["firing", "resolved"]
    assert platform.alerts[1].episode == firing.episode


def test_an_hour_of_rolling_restarts_alarms_nobody() -> None:
    platform = Platform()
    platform.run(60, "monitoring", "inference/a", "inference/b")
    for turn in range(30):
        platform.beat("inference", f"a{turn}", ready=False, started=platform.now)
        platform.run(60, "monitoring", f"inference/a{turn}")
        platform.run(60, "monitoring")  # the only one is away for a minute
    assert platform.alerts == []


def test_one_process_of_several_may_be_taken_away() -> None:
    platform = Platform()
    platform.run(60, "monitoring", "inference/a", "inference/b")
    platform.run(2 * HOUR, "monitoring", "inference/a")
    assert platform.alerts == []
    assert set(platform.shown.processes) == {("monitoring", "a"), ("inference", "a")}


def test_a_service_that_dies_at_every_start_pages() -> None:
    platform = Platform()
    platform.run(60, "monitoring", "validation")
    for turn in range(60):
        platform.beat("validation", f"x{turn}", ready=False, started=platform.now)
        platform.beat("validation", f"x{turn}", started=platform.now)  # ready, then the same batch again: exit 70
        platform.run(10, "monitoring")
    assert platform.said == [("validation", "firing", "service:not_ready")]


def test_a_service_that_is_never_ready_pages_after_a_while() -> None:
    platform = Platform()
    for _ in range(40):
        platform.beat("inference", ready=False)
        platform.run(10, "monitoring")
    assert platform.said == [("inference", "firing", "service:not_ready")]


def test_a_platform_that_was_switched_off_as_a_whole_is_nobodys_silence() -> None:
    platform = Platform()
    everybody = ("monitoring", "validation", "inference")
    platform.run(60, *everybody)
    platform.now += 9 * HOUR
    platform.run(60, "monitoring")  # the others take their time to start
    platform.run(60, *everybody)
    assert platform.alerts == []


@pytest.mark.parametrize("back_before", [10, 600])
def test_of_a_past_silence_nobody_is_told_by_a_monitoring_that_was_away(back_before: int) -> None:
    platform = Platform()
    platform.run(120, "ingestion", "validation", "monitoring")
    platform.run(HOUR, "ingestion", read=False)
    platform.run(back_before, "ingestion", "validation", read=False)
    platform.restart_watch()
    platform.run(300, "ingestion", "validation", "monitoring")
    assert platform.alerts == []


def test_of_a_silence_that_goes_on_a_monitoring_that_was_away_tells() -> None:
    platform = Platform()
    platform.run(120, "ingestion", "validation", "monitoring")
    platform.run(HOUR, "ingestion", read=False)
    platform.restart_watch()
    platform.catch_up()
    assert platform.alerts == []
    platform.run(10, "ingestion", "monitoring")
    assert platform.said == [("validation", "firing", "service:silent")]


def test_the_same_alerts_begin_and_end_wherever_monitoring_dies() -> None:
    calm, killed = Platform(), Platform()
    for platform in (calm, killed):
        for step in range(12):
            platform.run(50, "monitoring", *(["validation"] if step % 6 < 2 else []))
            if platform is killed:
                platform.beat("validation")
                platform.watch.process(platform.topic[platform.read :])  # never committed
                platform.topic.pop()
                platform.restart_watch()
    assert [alert.state for alert in calm.alerts] == ["firing", "resolved", "firing"]
    assert [alert.state for alert in killed.alerts] == [alert.state for alert in calm.alerts]


def test_an_alert_is_acknowledged_and_silenced_like_any_other() -> None:
    platform = Platform()
    platform.run(60, "monitoring", "validation")
    platform.run(200, "monitoring")
    fingerprint = platform.alerts[0].fingerprint
    platform.order(fingerprint, "acknowledge")
    platform.order("somebody-elses", "acknowledge")
    platform.order(fingerprint, "silence")
    platform.run(60, "monitoring", "validation")
    assert [alert.state for alert in platform.alerts] == ["firing", "acknowledged", "acknowledged", "resolved"]
    assert platform.alerts[-1].silenced_until is not None


def test_a_service_that_is_gone_for_long_is_given_up() -> None:
    platform = Platform(Limits(given_up_ms=HOUR * 1000))
    platform.run(60, "monitoring", "notifier")
    platform.run(HOUR, "monitoring")
    assert [alert.state for alert in platform.alerts] == ["firing"]
    platform.run(300, "monitoring")
    assert [alert.state for alert in platform.alerts] == ["firing", "resolved"]


def test_what_is_no_heartbeat_is_a_dead_letter_and_the_rest_is_heard() -> None:
    platform = Platform()
    platform.beat("validation")
    object.__setattr__(platform.topic[0], "value", b"{")
    platform.run(10, "monitoring")
    assert [item.topic.name for item in platform.published] == ["monitoring.dead-letters"]
    assert set(platform.shown.processes) == {("monitoring", "a")}


def test_the_period_is_that_of_the_heartbeats() -> None:
    assert PERIOD_MS == heartbeats.PERIOD_SECONDS * 1000
