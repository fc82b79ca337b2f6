"""``python -m bench.throughput.profile [--events 1000000] [--flame FILE]``: where the running service's CPU time goes, under load on Kafka.

A timer of CPU time meets the service's stacks at each of the kernel's ticks, about every 4 ms (`sampled_service`). Prints shares and microseconds an event, and
writes a flame graph. Native code is counted where Python calls it.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil

from bench import sampling
from bench.throughput.contest import Arena
from bench.throughput.contestants import CONTESTANTS, HERE
from bench.timing import machine
from deploy.local.platform import running

LOOP: Final = "BaseEventLoop._run_once"
PARTS: Final[Mapping[str, Sequence[str]]] = {  # by the innermost frame of a stack that is one of these files
    "fetching, records out of batches": ("fetcher.py", "shared/fetched_records.py", "shared/broker.py"),
    "decoding and columns": (
        "services/inference/decoding.py",
        "services/inference/columns.py",
        "services/inference/request_rows.py",
        "schemas/envelope.py",
        "schemas/model_inputs.py",
    ),
    "the model": ("services/inference/adapters/onnxruntime.py", "onnxruntime_inference_collection.py"),
    "predictions: identities, bodies, headers": (
        "services/inference/predictions.py",
        "services/inference/outputs.py",
        "services/inference/partition_scoring.py",
        "services/inference/scoring.py",
        "services/inference/routing.py",
        "schemas/identities.py",
        "shared/tracing.py",
        "shared/records.py",
    ),
    "predictions into batches": ("shared/transaction_producer.py", "shared/noted_positions.py", "message_accumulator.py"),
    "the producers' requests": ("sender.py", "producer.py", "transaction_manager.py"),
    "connections": ("conn.py", "client.py", "group_coordinator.py"),
    "transactions, handover, metrics, lag": (
        "shared/transactions.py",
        "shared/partition_slot.py",
        "shared/batch_metrics.py",
        "shared/lag.py",
        "shared/health.py",
        "shared/isolation.py",
    ),
}  # fmt: skip
REST: Final = "asyncio and the rest"


def part_of(stack: Sequence[str]) -> str:
    """Which of `PARTS` a stack's time belongs to."""
    for label in reversed(stack):
        file = label.partition(":")[0]
        for part, files in PARTS.items():
            if file in files:
                return part
    return REST


def within_loop(stack: Sequence[str]) -> tuple[str, ...]:
    """``stack`` from what the event loop calls on."""
    places = [place for place, label in enumerate(stack) if label.endswith(LOOP)]
    return tuple(stack[places[-1] + 1 :] if places else stack)


def measure(arena: Arena, directory: Path, events: int) -> tuple[Counter[sampling.Stack], float]:
    """Stacks, and CPU time per event in µs with the sampling in it."""
    file = directory / "stacks.json"
    own = (str(HERE / "sampled_service.py"), str(file))
    contestant = replace(
        CONTESTANTS[0], name="sampled", events=events, own=own, settings={"PYTHONPATH": str(Path.cwd())}
    )
    found = arena.throughput(contestant)
    stacks = Counter({within_loop(stack): 0 for stack, _ in json.loads(file.read_text())})
    for stack, count in json.loads(file.read_text()):
        stacks[within_loop(stack)] += count
    return stacks, found.cpu_us


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput.profile", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--flame", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="headrace-profile-") as directory,
        running(Path(directory) / "platform", with_mongo=False, report=lambda _: None) as platform,
    ):
        arena = Arena(
            platform.bootstrap_servers, psutil.Process(platform.kafka_pid), Path(directory), partitions=4, width=12,
            estimator="LogisticRegression",
        )  # fmt: skip
        stacks, cpu_us = measure(arena, Path(directory), options.events)
    parts = Counter[str]()
    for stack, count in stacks.items():
        parts[part_of(stack)] += count
    print(f"{machine()}; {cpu_us:.1f} µs of CPU time an event, sampling included; {stacks.total()} samples\n")
    print("| part | share | µs |\n|---|---|---|")
    for part, count in parts.most_common():
        share = count / stacks.total()
        print(f"| {part} | {share:.0%} | {share * cpu_us:.1f} |")
    if options.flame is not None:
        options.flame.write_text(sampling.flame_graph(stacks, "the inference service under load, exactly once"))


if __name__ == "__main__":
    main()
