"""What monitoring says of a silent service is what the notifier tells people, and no model's affair."""

from datetime import timedelta

from monitoring_stream import NAMES, START, bodies

from schemas.events.monitoring import Alert
from schemas.events.platform import Heartbeat
from schemas.topics import ALERTS, PLATFORM_HEARTBEATS
from services.monitoring.adapters.resource_gauges import ResourceGauges
from services.monitoring.presence import Limits
from services.monitoring.service_alerts import ServiceWatch
from services.notifier.notices import of_alert
from services.registry.automatic import on_alert
from services.registry.state import State
from shared.clock import FixedClock
from shared.metrics import exposition
from shared.records import StoredRecord, message


def beat(service: str, second: int) -> StoredRecord:
    body = Heartbeat(
        service=service,
        instance="i",
        version="1",
        at=START,
        started_at=START,
        ready=True,
        lag=None,
        processed=0,
        cpu=0.25,
        memory_bytes=5,
    )
    made = message(PLATFORM_HEARTBEATS, body, key=f"{service}/i", source="tests")
    at = int((START + timedelta(seconds=second)).timestamp() * 1000)
    return StoredRecord(NAMES.name(PLATFORM_HEARTBEATS), 0, second, at, made.key, made.value, made.headers)


def test_a_silent_service_is_said_in_a_sentence_shown_with_its_resources_and_ends_no_rollout() -> None:
    resources = ResourceGauges()
    watch = ServiceWatch(FixedClock(START), Limits(), 0, resources)
    stream = [beat("validation", 0), *(beat("monitoring", second) for second in range(10, 70, 10))]
    assert bodies(watch.process(stream), ALERTS, Alert) == []
    assert b'headrace_service_cpu{instance="i",service="validation"} 0.25' in exposition()
    [alert] = bodies(watch.process([beat("monitoring", second) for second in range(70, 210, 10)]), ALERTS, Alert)
    assert b'headrace_service_cpu{instance="i",service="validation"}' not in exposition()
    notice = of_alert(alert)
    assert notice is not None
    assert notice.title == "[PAGE] validation: errors"
    assert notice.text.startswith(
        "The service validation is silent: none of its processes has sent a heartbeat since 2024-03-01T00:00:00"
    )
    assert ("service:silent", "seconds 100, threshold 90") in notice.facts
    assert on_alert(State(), alert) == ()
    watch.close()
    assert b"headrace_service_cpu{" not in exposition()
