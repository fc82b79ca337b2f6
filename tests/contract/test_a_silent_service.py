"""What monitoring says of a silent service, or one short of memory, is what the notifier tells people, and no model's affair."""

from datetime import timedelta

from monitoring_stream import NAMES, START, bodies

from schemas.events.monitoring import Alert
from schemas.events.platform import Gpu, Heartbeat
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


def beat(service: str, second: int, memory: int = 5) -> StoredRecord:
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
        memory_bytes=memory,
        memory_limit_bytes=100,
        cores=2.0,
        gpus=(Gpu(index=3, name="g", memory_bytes=4, memory_total_bytes=9),),
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


def test_a_service_short_of_memory_is_said_in_a_sentence_and_ends_no_rollout() -> None:
    resources = ResourceGauges()
    watch = ServiceWatch(FixedClock(START), Limits(), 0, resources)
    [alert] = bodies(watch.process([beat("training", second, 92) for second in range(0, 120, 10)]), ALERTS, Alert)
    for shown in (
        b'headrace_service_memory_limit_bytes{instance="i",service="training"} 100.0',
        b'headrace_service_cores{instance="i",service="training"} 2.0',
        b'headrace_service_gpu_memory_bytes{gpu="3",instance="i",service="training"} 4.0',
        b'headrace_service_gpu_memory_total_bytes{gpu="3",instance="i",service="training"} 9.0',
    ):
        assert shown in exposition()
    notice = of_alert(alert)
    assert notice is not None
    assert notice.title == "[PAGE] training: errors"
    assert notice.text.startswith("Memory is near its limit: rss ")
    assert ("service:memory", "share 0.92, threshold 0.9") in notice.facts
    assert on_alert(State(), alert) == ()
    resources.forget("training", "i")
    for name in (b"memory_limit_bytes", b"cores", b"gpu_memory_bytes", b"gpu_memory_total_bytes"):
        assert b"headrace_service_" + name + b"{" not in exposition()
