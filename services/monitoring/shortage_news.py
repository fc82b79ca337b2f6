"""What people are told when processes of a service run short of something: the numbers of the worst, and what to do."""

from collections.abc import Sequence
from typing import Final

from schemas.events.monitoring import Evidence, Severity
from schemas.events.platform import Gpu, Heartbeat
from services.monitoring.memory_growth import HOUR_MS, Growth
from services.monitoring.saturation import Saturation
from services.monitoring.service_book import News
from services.monitoring.shortages import Resource, Shortage

# At its memory limit a process is killed, so that wakes people; the rest can wait until somebody is at work.
SEVERITIES: Final[dict[Resource, Severity]] = {
    "memory": "page",
    "memory_growth": "warn",
    "cpu": "warn",
    "gpu_memory": "warn",
}
GIB: Final = 1024**3
MIB: Final = 1024**2


def news(shortages: Sequence[Shortage]) -> News:
    """Of a service's processes that run short of one resource, the worst first."""
    worst, others = shortages[0], len(shortages) - 1
    more = f" So {'does one' if others == 1 else f'do {others}'} more of its processes." if others else ""
    evidence = Evidence(
        channel=f"service:{worst.resource}",
        statistic=worst.statistic,
        value=round(worst.value, 4),
        threshold=worst.threshold,
    )
    return News(SEVERITIES[worst.resource], _sentence(worst) + more, evidence, worst.since)


def _sentence(shortage: Shortage) -> str:
    beat = shortage.beat
    place, seconds = f"{beat.service}/{beat.instance}", round(shortage.lasted_ms / 1000)
    match shortage.about:
        case Gpu() as gpu:
            return (
                f"GPU {gpu.index} ({gpu.name}) has hardly any memory left: {size(gpu.memory_bytes)} of "
                f"{size(gpu.memory_total_bytes)} for {seconds} s on {place}{_own(gpu)}. "
                "When it is full models cannot run or be loaded: serve fewer versions there, or move a process away."
            )
        case Growth() as growth:
            watched = shortage.lasted_ms / HOUR_MS
            return (
                f"Memory grows towards its limit: {_memory(beat)} on {place}, {size(round(growth.rate))} more an hour over the last "
                f"{watched:.1f} h; so it reaches the limit in {growth.hours:.1f} h. Restart the process in good time, and look for a leak."
            )
        case Saturation() as saturation:
            return (
                f"CPU is used up while records wait: {saturation.cores:.2f} of {saturation.of:g} cores for {seconds} s on {place}, "
                f"{saturation.lag:,} records wait, {_worth(saturation)}, and they do not get fewer. "
                "Start more processes of the service, or give them more cores if they use all that they have."
            )
        case None:
            return (
                f"Memory is near its limit: {_memory(beat)} for {seconds} s on {place}. At the limit the system ends the process: "
                "raise the limit, or start more processes with fewer partitions each."
            )


def _memory(beat: Heartbeat) -> str:
    return f"rss {size(beat.memory_bytes)} of {size(beat.memory_limit_bytes or 0)}"


def _own(gpu: Gpu) -> str:
    return "" if gpu.own_memory_bytes is None else f" ({size(gpu.own_memory_bytes)} of it by this process)"


def _worth(saturation: Saturation) -> str:
    return "none is done" if saturation.waiting is None else f"{saturation.waiting:.0f} s of its work"


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
