"""One contestant on fresh topics: saturated throughput with its CPU and memory, or latency at a steady rate."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from uuid import uuid4

import psutil
from confluent_kafka import Consumer

from bench.inference_path.scene import Stream, artifact
from bench.throughput import traffic
from bench.throughput.contestants import Contestant
from bench.throughput.product import deploy
from schemas.topics import CATALOGUE, EVENTS_VALIDATED, PREDICTIONS
from shared.settings import KafkaSettings, PlatformSettings, TopicSettings
from shared.topic_admin import apply_topics

PATIENCE = 240.0
SETTLE_SECONDS = 2.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Answers a second; CPU time per answer in µs and the largest resident set in MB of the contestant's processes.

    ``broker_us``: CPU time per answer of the broker meanwhile, in µs.
    """

    rate: float
    cpu_us: float
    rss_mb: float
    answered: int
    broker_us: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from due to read; ``lost`` were not read within half a minute after the last was sent."""

    p50: float
    p99: float
    p999: float
    lost: int


class Arena:
    """A broker, a stream, a model. Contestants come one at a time, each to topics of its own."""

    def __init__(
        self, bootstrap: str, broker: psutil.Process, directory: Path, *, partitions: int, width: int, estimator: str
    ) -> None:
        self._bootstrap = bootstrap
        self._broker = broker
        self._directory = directory
        self._partitions = partitions
        self._stream = Stream(width, 20_000)
        self._artifact = artifact(self._stream, estimator)
        self._model = directory / "model.onnx"
        self._model.write_bytes(self._artifact)
        self._messages = {False: traffic.events(self._stream), True: traffic.v2_requests(Stream(width, 3_000))}

    def on(self, partitions: int) -> "Arena":
        """The same arena with topics of so many partitions."""
        found = copy(self)
        found._partitions = partitions  # noqa: SLF001 - our own copy
        return found

    def throughput(self, contestant: Contestant) -> Throughput:
        """Out of a backlog, or, for one that sees no backlog, out of a burst."""
        prefix, (source, sink) = self._prepared(contestant)
        messages = list(islice(cycle(self._messages[contestant.v2]), contestant.events))
        if not contestant.late:
            traffic.load(self._bootstrap, source, messages, self._partitions)
        with self._running(contestant, prefix) as processes:
            reader = traffic.reader(self._bootstrap, sink, self._partitions)
            before = 0
            if contestant.late:
                before = self._first_answer(reader, sink, source, messages)
                traffic.load(self._bootstrap, source, messages, self._partitions)
            usage, broker = _Usage(processes), _Usage([self._broker])
            begin = int(contestant.events * contestant.skipped)
            until = time.monotonic() + PATIENCE
            while (
                count := traffic.written(reader, sink, self._partitions) - before
            ) < contestant.events and time.monotonic() < until:
                if count >= begin:
                    usage.start(count)
                    broker.start(count)
                usage.sample()
                time.sleep(0.05)
            usage.stop(count)
            broker.stop(count)
            found = traffic.answers(reader, before + contestant.events, 20.0)
            reader.close()
        answered = len(found.appended) - before
        return Throughput(found.rate(contestant.skipped), usage.cpu_us, usage.rss_mb, answered, broker.cpu_us)

    def latency(self, contestant: Contestant, rate: int, seconds: float) -> Latency:
        """Open loop at ``rate`` events a second for ``seconds`` beyond a warm-up of two."""
        prefix, (source, sink) = self._prepared(contestant)
        warm, count = 2 * rate, int((seconds + 2) * rate)
        fresh = Stream(len(self._stream.feature_set.spec.features), count, entities=count)
        messages = traffic.v2_requests(fresh) if contestant.v2 else traffic.events(fresh)
        with self._running(contestant, prefix):
            if contestant.echo:
                sink = source
            else:
                reader = traffic.reader(self._bootstrap, sink, self._partitions)
                self._first_answer(reader, sink, source, self._messages[contestant.v2])
                reader.close()
            time.sleep(SETTLE_SECONDS)
            found = sorted(
                traffic.open_loop(self._bootstrap, (source, sink), messages, rate, self._partitions, warm=warm)
            )
        return Latency(*(found[int(len(found) * share)] for share in (0.5, 0.99, 0.999)), found.count(float("inf")))

    def _prepared(self, contestant: Contestant) -> tuple[str, tuple[str, str]]:
        prefix = f"b{uuid4().hex[:8]}."
        settings = PlatformSettings(
            kafka=KafkaSettings(bootstrap_servers=self._bootstrap),
            topics=TopicSettings(prefix=prefix, partitions=self._partitions),
        )
        ours = contestant.script is None and not contestant.echo
        topics = CATALOGUE if ours else (EVENTS_VALIDATED, PREDICTIONS)
        asyncio.run(apply_topics(settings, topics))
        if ours:
            asyncio.run(deploy(settings, self._stream, self._artifact))
        return prefix, (prefix + EVENTS_VALIDATED.name, prefix + PREDICTIONS.name)

    def _first_answer(self, reader: Consumer, sink: str, source: str, messages: Sequence[traffic.Message]) -> int:
        """Send single events until an answer comes and all of them are answered; how many offsets that took."""
        until = time.monotonic() + PATIENCE
        while not (count := traffic.written(reader, sink, self._partitions)):
            if time.monotonic() > until:
                message = f"no answer on {sink} within {PATIENCE:g} s"
                raise TimeoutError(message)
            traffic.load(self._bootstrap, source, messages[: self._partitions], self._partitions)
            time.sleep(0.5)
        time.sleep(SETTLE_SECONDS)
        return max(count, traffic.written(reader, sink, self._partitions))

    @contextmanager
    def _running(self, contestant: Contestant, prefix: str) -> Iterator[list[psutil.Process]]:
        directories = [
            self._directory / f"{prefix}{number}" for number in range(0 if contestant.echo else contestant.processes)
        ]
        started = [self._started(contestant, prefix, directory) for directory in directories]
        try:
            yield [psutil.Process(process.pid) for process in started]
        except (TimeoutError, psutil.Error) as error:
            said = "\n".join((directory / "log").read_text()[-2000:] for directory in directories)
            error.add_note(f"{contestant.name} said: {said}")
            raise
        finally:
            for process in started:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _started(self, contestant: Contestant, prefix: str, directory: Path) -> "subprocess.Popen[bytes]":
        directory.mkdir()
        environment = contestant.environment(
            bootstrap=self._bootstrap,
            prefix=prefix,
            directory=directory,
            model=self._model,
            stream=self._stream,
            partitions=self._partitions,
        )
        with (directory / "log").open("wb") as sink:
            return subprocess.Popen(
                contestant.command(), env=environment, stdout=sink, stderr=sink, cwd=ROOT, start_new_session=True
            )


class _Usage:
    """CPU time and memory of processes and their children, from `start` to `stop`."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self._began: tuple[int, float] | None = None
        self.cpu_us = float("nan")
        self.rss_mb = 0.0

    def start(self, answered: int) -> None:
        """From here on; later calls change nothing."""
        if self._began is None:
            self._began = (answered, self._cpu())

    def sample(self) -> None:
        """Look at the memory. Raises psutil's ZombieProcess where one has ended by itself."""
        for process in self._processes:
            if process.status() == psutil.STATUS_ZOMBIE:
                raise psutil.ZombieProcess(process.pid)
        self.rss_mb = max(self.rss_mb, sum(each.memory_info().rss for each in self._all()) / 2**20)

    def stop(self, answered: int) -> None:
        """Up to here."""
        if self._began is not None and answered > self._began[0]:
            self.cpu_us = (self._cpu() - self._began[1]) / (answered - self._began[0]) * 1e6

    def _cpu(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._all())

    def _all(self) -> list[psutil.Process]:
        return [each for process in self._processes for each in (process, *process.children(recursive=True))]
