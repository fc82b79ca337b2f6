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
_memory_limit = gauge(
    "headrace_service_memory_limit_bytes",
    "Memory that a process may take at most, from its heartbeat.",
    unit="bytes",
    labels=LABELS,
)
_cores = gauge(
    "headrace_service_cores", "Cores that a process may keep busy, from its heartbeat.", unit="cores", labels=LABELS
)
_gpu_memory = gauge(
    "headrace_service_gpu_memory_bytes",
    "Memory taken on a GPU that a process uses, by anybody, from its heartbeat.",
    unit="bytes",
    labels=(*LABELS, "gpu"),
)
_gpu_memory_total = gauge(
    "headrace_service_gpu_memory_total_bytes",
    "Memory of a GPU that a process uses, from its heartbeat.",
    unit="bytes",
    labels=(*LABELS, "gpu"),
)
_gpu_utilisation = gauge(
    "headrace_service_gpu_utilisation",
    "Share of time in which a GPU that a process uses computed, from its heartbeat.",
    unit="share",
    labels=(*LABELS, "gpu"),
)
OF_PROCESSES: Final = (_cpu, _memory, _ready, _memory_limit, _cores)
OF_GPUS: Final = (_gpu_memory, _gpu_memory_total, _gpu_utilisation)


class ResourceGauges:
    """A `services.monitoring.service_alerts.Resources`."""

    def show(self, beat: Heartbeat) -> None:
        """The latest of a process. What it does not tell is not shown."""
        place = (beat.service, beat.instance)
        _cpu.labels(*place).set(beat.cpu)
        _memory.labels(*place).set(beat.memory_bytes)
        _ready.labels(*place).set(beat.ready)
        if beat.memory_limit_bytes is not None:
            _memory_limit.labels(*place).set(beat.memory_limit_bytes)
        if beat.cores is not None:
            _cores.labels(*place).set(beat.cores)
        _forget_gpus(*place)
        for gpu in beat.gpus:
            device = (*place, str(gpu.index))
            _gpu_memory.labels(*device).set(gpu.memory_bytes)
            _gpu_memory_total.labels(*device).set(gpu.memory_total_bytes)
            if gpu.utilisation is not None:
                _gpu_utilisation.labels(*device).set(gpu.utilisation)

    def forget(self, service: str, instance: str) -> None:
        """The process has ended."""
        for each in OF_PROCESSES:
            each.remove(service, instance)
        _forget_gpus(service, instance)

    def clear(self) -> None:
        """Another process shows them now."""
        for each in (*OF_PROCESSES, *OF_GPUS):
            each.clear()


def _forget_gpus(service: str, instance: str) -> None:
    for each in OF_GPUS:
        each.remove_by_labels({"service": service, "instance": instance})
