"""Who takes part, how each is started, and what it promises."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.inference_path.scene import CATEGORIES, Stream
from schemas.topics import EVENTS_VALIDATED, PREDICTIONS

HERE = Path(__file__).parent
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Contestant:
    """``events`` of a throughput round, fewer for the slow; ``late`` ones see only what comes after they are ready.

    The first ``skipped`` share of the answers does not count: a process starts, or several find each other.
    """

    name: str
    promise: str
    script: str | None = None  # None: our own service
    requirements: str = "confluent"
    events: int = 200_000
    late: bool = False
    v2: bool = False  # takes V2 requests instead of events
    processes: int = 1
    skipped: float = 0.1
    echo: bool = False  # nobody: events are read back from where they were put, the floor of every latency
    settings: Mapping[str, str] = field(default_factory=dict)
    own: Sequence[str] = ("-m", "services.inference")  # what Python runs for our own service

    def command(self) -> list[str]:
        """What starts it. A peer runs in an environment of its own, pinned in ``requirements``."""
        if self.script is None:
            return [sys.executable, *self.own]
        if self.requirements == "own":  # the product's own code, in its own environment
            return [sys.executable, str(HERE / "peers" / self.script)]
        pins = HERE / "requirements" / f"{self.requirements}.txt"
        isolated = [
            "uv",
            "run",
            "--quiet",
            "--no-project",
            "--isolated",
            "--python",
            PYTHON,
            "--with-requirements",
            str(pins),
        ]
        return [*isolated, "python", str(HERE / "peers" / self.script)]

    def environment(
        self, *, bootstrap: str, prefix: str, directory: Path, model: Path, stream: Stream, partitions: int
    ) -> dict[str, str]:
        """What it is told."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        if self.script is None:
            return {
                **kept,
                "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
                "HEADRACE_TOPICS__PREFIX": prefix,
                "HEADRACE_TOPICS__PARTITIONS": str(partitions),
                "HEADRACE_INFERENCE__DATA_DIR": str(directory / "inference"),
                "HEADRACE_LOG__LEVEL": "WARNING",
                **self.settings,
            }
        numeric, categorical = stream.inputs
        return {
            **kept,
            "BENCH_BOOTSTRAP": bootstrap,
            "BENCH_INPUT": f"{prefix}{EVENTS_VALIDATED.name}",
            "BENCH_OUTPUT": f"{prefix}{PREDICTIONS.name}",
            "BENCH_GROUP": f"{prefix}peer",
            "BENCH_MODEL": str(model),
            "BENCH_NUMERIC": json.dumps(numeric.features),
            "BENCH_CATEGORICAL": json.dumps(dict.fromkeys(categorical.features, CATEGORIES)),
            **self.settings,
        }


AT_LEAST_ONCE = {"HEADRACE_INFERENCE__DELIVERY": "at_least_once"}
CONTESTANTS: Sequence[Contestant] = (
    Contestant("headrace", "exactly once"),
    Contestant("headrace, two processes", "exactly once", processes=2, events=600_000, skipped=0.5),
    Contestant("headrace, at least once", "at least once", settings=AT_LEAST_ONCE),
    Contestant("confluent-kafka loop", "exactly once", "confluent_loop.py"),
    Contestant("confluent-kafka loop, tuned", "exactly once", "confluent_tuned.py"),
    Contestant("headrace's work on librdkafka", "none in failures", "product_on_librdkafka.py", "own"),
    Contestant(
        "the same, answers without headers", "none in failures", "product_on_librdkafka.py", "own", settings={"BENCH_HEADERS": "0"}
    ),
    Contestant("Quix Streams", "exactly once", "quix.py", "quix", events=60_000),
    Contestant("Bytewax", "at least once", "bytewax_flow.py", "bytewax"),
    Contestant("FastStream, one message at a time", "at most once", "faststream_naive.py", "faststream", events=5_000),
    Contestant("MLServer's Kafka server", "none", "mlserver_kafka.py", "mlserver", events=15_000, late=True, v2=True),
    Contestant("echo through the broker", "none", events=0, echo=True),
)  # fmt: skip
