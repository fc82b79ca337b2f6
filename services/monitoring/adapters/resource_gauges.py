"""What heartbeats say of processes, on this process's ``/metrics``."""

from typing import Final

from schemas.events.platform import Heartbeat
from shared.metrics import gauge

LABELS: Final = ("service", "instance")

_cpu = gauge("headrace_service_cpu", "CPU that a process used lately, from its heartbeat.", unit="cores", labels=LABELS)
_memory = gauge(
    "headrace_service_memory_bytes", "Resident memory of a process, from its heartbeat.", unit="bytes", labels=LABELS
)
_ready = gauge("headrace_service_ready", "1 while a process says that it is ready.", unit="0 or 1", labels=LABELS)


class ResourceGauges:
    """A `services.monitoring.service_alerts.Resources`."""

    def show(self, beat: Heartbeat) -> None:
        """The latest of a process."""
        place = (beat.service, beat.instance)
        _cpu.labels(*place).set(beat.cpu)
        _memory.labels(*place).set(beat.memory_bytes)
        _ready.labels(*place).set(beat.ready)

    def forget(self, service: str, instance: str) -> None:
        """The process has ended."""
        for each in (_cpu, _memory, _ready):
            each.remove(service, instance)

    def clear(self) -> None:
        """Another process shows them now."""
        for each in (_cpu, _memory, _ready):
            each.clear()
