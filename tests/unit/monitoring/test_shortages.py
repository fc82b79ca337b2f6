"""What a process runs short of: memory and CPU for long enough, and only where it hurts."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.events.platform import Gpu, Heartbeat
from services.monitoring.shortage_news import news, size
from services.monitoring.shortages import Processes, ShortageLimits

GIB = 1024**3
START = datetime(2024, 3, 1, tzinfo=UTC)
PERIOD = 10  # seconds


class Watched:
    """One process, beat by beat."""

    def __init__(self, limits: ShortageLimits = ShortageLimits()) -> None:  # noqa: B008 - frozen
        self.processes = Processes(limits)
        self.seconds = 0.0
        self.processed = 0

    def beat(
        self,
        *,
        memory: float = 0.1,
        cpu: float = 0.1,
        cores: float | None = 2.0,
        lag: int | None = 0,
        done: int = 0,
        gpu: float | None = None,
        limit: int | None = 2 * GIB,
    ) -> None:
        """One beat, a period after the last. ``memory`` and ``gpu`` are shares."""
        self.seconds += PERIOD
        self.processed += done
        device = Gpu(index=0, name="g", memory_bytes=int((gpu or 0) * 8 * GIB), memory_total_bytes=8 * GIB)
        beat = Heartbeat(
            service="training",
            instance="abc",
            version="1",
            at=START + timedelta(seconds=self.seconds),
            started_at=START,
            ready=True,
            lag=lag,
            processed=self.processed,
            cpu=cpu,
            memory_bytes=int(memory * 2 * GIB),
            memory_limit_bytes=limit,
            cores=cores,
            gpus=() if gpu is None else (device,),
        )
        now = int(self.seconds * 1000)
        self.processes.hear(beat, now, now + int(START.timestamp() * 1000))

    @property
    def short(self) -> set[str]:
        return {resource for _, resource in self.processes.short()}


def test_memory_near_its_limit_is_short_after_a_minute_until_it_is_clearly_below() -> None:
    watched = Watched()
    for _ in range(6):
        watched.beat(memory=0.91)
        assert watched.short == set()
    watched.beat(memory=0.92)
    assert watched.short == {"memory"}
    watched.beat(memory=0.87)
    assert watched.short == {"memory"}
    watched.beat(memory=0.84)
    assert watched.short == set()
    watched.beat(memory=0.99)
    assert watched.short == set()


def test_memory_that_keeps_falling_back_is_not_near_its_limit() -> None:
    watched = Watched()
    for k in range(100):
        watched.beat(memory=0.95 if k % 4 else 0.89)
        assert watched.short == set()


def test_a_process_that_tells_no_limits_is_short_of_nothing() -> None:
    watched = Watched()
    for k in range(100):
        watched.beat(memory=0.99, cpu=2.0, lag=1000 * k, cores=None, limit=None)
    assert watched.short == set()


def test_cpu_that_is_used_up_while_lag_grows_is_short_after_five_minutes() -> None:
    watched = Watched()
    for k in range(30):
        watched.beat(cpu=1.95, lag=10_000 + 500 * k, done=1000)
        assert watched.short == set()
    watched.beat(cpu=1.95, lag=25_000, done=1000)
    assert watched.short == {"cpu"}


def test_one_core_of_several_is_used_up_by_python_alone() -> None:
    watched = Watched()
    for k in range(40):
        watched.beat(cpu=1.0 + 0.03 * (-1) ** k, cores=8.0, lag=20_000, done=1000)
    assert watched.short == {"cpu"}


@pytest.mark.parametrize("cpu", [1.3, 0.8])
def test_work_that_waits_for_something_else_is_no_shortage_of_cpu(cpu: float) -> None:
    watched = Watched()
    for k in range(40):
        watched.beat(cpu=cpu, lag=1000 * k)
    assert watched.short == set()


def test_busy_while_it_catches_up_is_no_shortage() -> None:
    watched = Watched()
    for k in range(300):
        watched.beat(cpu=2.0, lag=1_000_000 - 50 * k + 20 * (-1) ** k, done=1000)
        assert watched.short == set()


def test_busy_with_little_waiting_is_no_shortage() -> None:
    watched = Watched()
    for k in range(100):
        watched.beat(cpu=2.0, lag=3000 + 500 * (k % 3), done=1000)  # half a minute of its work
        assert watched.short == set()


def test_a_long_training_with_a_request_that_waits_is_no_shortage() -> None:
    watched = Watched()
    for _ in range(100):
        watched.beat(cpu=2.0, lag=1, done=0)
    assert watched.short == set()


def test_a_burst_at_the_end_of_busy_minutes_is_no_shortage_yet() -> None:
    watched = Watched()
    for k in range(60):
        watched.beat(cpu=2.0, lag=0 if k < 45 else 100_000, done=1000)
        assert watched.short == set()


def test_partitions_that_come_and_go_are_no_trend() -> None:
    watched = Watched()
    for k in range(100):
        watched.beat(cpu=2.0, lag=None if k % 20 == 0 else 100_000, done=1000)
    assert watched.short == set()


def test_a_gpu_that_is_nearly_full_is_short_of_memory() -> None:
    watched = Watched()
    for _ in range(8):
        watched.beat(gpu=0.97)
    assert watched.short == {"gpu_memory"}
    watched.beat(gpu=None)  # the device does not answer
    assert watched.short == set()


def test_a_full_gpu_that_does_not_always_answer_is_told_still() -> None:
    watched = Watched()
    for k in range(12):
        watched.beat(gpu=None if k % 6 == 5 else 0.97)
    watched.beat(gpu=0.97)
    assert watched.short == {"gpu_memory"}


def test_each_can_be_switched_off() -> None:
    watched = Watched(ShortageLimits(memory_share=None, growth_hours=None, cpu_share=None, gpu_memory_share=None))
    for k in range(2000):
        watched.beat(memory=0.1 + 0.0004 * k, cpu=2.0, lag=1000 * k, gpu=1.0)
    assert watched.short == set()


def test_memory_that_grows_is_short_before_the_limit_is_near_and_not_while_it_starts() -> None:
    watched = Watched()
    hours = {}
    for k in range(3 * 360):
        watched.beat(memory=0.1 + 0.3 * k / 360)
        for resource in watched.short:
            hours.setdefault(resource, k / 360)
    assert 2.4 < hours["memory_growth"] < 2.7
    assert hours["memory"] > hours["memory_growth"]


def test_people_are_told_the_numbers_of_the_worst_process() -> None:
    watched = Watched()
    for _ in range(7):
        watched.beat(memory=0.9001)
    [found] = watched.processes.short().values()
    told = news([*found, *found])
    assert told.severity == "page"
    assert told.summary.startswith("Memory is near its limit: rss 1.8 GiB of 2.0 GiB for 60 s on training/abc.")
    assert told.summary.endswith("So does one more of its processes.")
    assert (told.evidence.channel, told.evidence.value, told.evidence.threshold) == ("service:memory", 0.9001, 0.9)


def test_people_are_told_how_much_work_waits() -> None:
    watched = Watched()
    for k in range(31):
        watched.beat(cpu=1.96, lag=10_000 + 500 * k, done=1000)
    [found] = watched.processes.short().values()
    told = news(found)
    assert told.severity == "warn"
    assert told.summary.startswith(
        "CPU is used up while records wait: 1.96 of 2 cores for 300 s on training/abc, 25,000 records wait, 250 s of its work"
    )


def test_sizes_are_told_in_units_that_people_read() -> None:
    assert (size(300 * 1024**2), size(int(1.75 * GIB))) == ("300 MiB", "1.8 GiB")
