"""Every metric of the mechanics, declared once with name, unit and meaning. The reference page is generated from `DECLARED`.

Services declare theirs with `counter`, `gauge` and `histogram` in their composition root or adapters; domain code never does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

registry: Final = CollectorRegistry()
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)
GCCollector(registry=registry)

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RECORDS: Final = (1.0, 5.0, 20.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric as the reference page shows it."""

    name: str
    kind: str
    unit: str
    meaning: str
    labels: tuple[str, ...]


DECLARED: Final[list[Declared]] = []


def counter(name: str, meaning: str, *, unit: str, labels: Sequence[str] = ()) -> Counter:
    """Declare something that only grows; Prometheus shows it as ``<name>_total``."""
    DECLARED.append(Declared(f"{name}_total", "counter", unit, meaning, tuple(labels)))
    return Counter(name, meaning, labels, registry=registry)


def gauge(name: str, meaning: str, *, unit: str, labels: Sequence[str] = ()) -> Gauge:
    """Declare something that goes up and down."""
    DECLARED.append(Declared(name, "gauge", unit, meaning, tuple(labels)))
    return Gauge(name, meaning, labels, registry=registry)


def histogram(
    name: str, meaning: str, *, unit: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
) -> Histogram:
    """Declare a distribution."""
    DECLARED.append(Declared(name, "histogram", unit, meaning, tuple(labels)))
    return Histogram(name, meaning, labels, registry=registry, buckets=buckets)


def exposition() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest(registry)


records_in = counter("headrace_records_in", "Records taken from a topic.", unit="records", labels=("stage", "topic"))
records_out = counter("headrace_records_out", "Records published to a topic.", unit="records", labels=("topic",))
batch_records = histogram(
    "headrace_batch_records",
    "Records in one batch of one partition.",
    unit="records",
    labels=("stage",),
    buckets=RECORDS,
)
process_seconds = histogram(
    "headrace_process_seconds", "Time in the domain code per batch.", unit="seconds", labels=("stage",)
)
transaction_seconds = histogram(
    "headrace_transaction_seconds",
    "From the begin of a transaction to its commit; of at_least_once until the outputs are acknowledged.",
    unit="seconds",
    labels=("stage",),
)
dead_letters = counter(
    "headrace_dead_letters", "Records that could not be processed.", unit="records", labels=("service", "code")
)
retries = counter("headrace_retries", "Attempts repeated after a transient error.", unit="attempts", labels=("stage",))
lag = gauge("headrace_consumer_lag", "Stable records not yet processed.", unit="records", labels=("topic", "partition"))
partitions_owned = gauge(
    "headrace_partitions_owned", "Partitions this process serves.", unit="partitions", labels=("stage",)
)
rebalances = counter(
    "headrace_rebalances", "Assignments received from the group.", unit="assignments", labels=("stage",)
)
offsets_forgotten = counter(
    "headrace_offsets_forgotten",
    "Committed records that the group did not know of at a takeover, and the outputs did.",
    unit="records",
    labels=("stage",),
)
table_records = counter("headrace_table_records", "Records a table applied.", unit="records", labels=("table",))
table_refused = counter("headrace_table_refused", "Records a table could not apply.", unit="records", labels=("table",))
table_ready = gauge(
    "headrace_table_ready", "1 once the table has read its topics to their end.", unit="0 or 1", labels=("table",)
)
publish_seconds = histogram("headrace_publish_seconds", "From publish to the last acknowledgement.", unit="seconds")
memory_limit = gauge("headrace_memory_limit_bytes", "Memory that this process may take at most.", unit="bytes")
cores_available = gauge("headrace_cores_available", "Cores that this process may keep busy.", unit="cores")
gpu_utilisation = gauge(
    "headrace_gpu_utilisation",
    "Share of time in which a GPU that this process uses computed.",
    unit="share",
    labels=("gpu",),
)
gpu_memory = gauge(
    "headrace_gpu_memory_bytes",
    "Memory taken on a GPU that this process uses, by anybody.",
    unit="bytes",
    labels=("gpu",),
)
gpu_memory_total = gauge(
    "headrace_gpu_memory_total_bytes", "Memory of a GPU that this process uses.", unit="bytes", labels=("gpu",)
)
