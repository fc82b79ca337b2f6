"""Whether memory stays where it is: ``python -m bench.memory [--events 3000000] [--swaps 100]``, without Kafka.

Resident set over millions of events through inference's path, then over a hundred hot swaps under load: a new session is opened, the
plan is swapped between two batches, the old one is let go. Prints a Markdown table.
"""

import argparse
import asyncio

import psutil

from bench.inference_path.__main__ import ScoringPath
from bench.inference_path.scene import Stream, artifact
from bench.timing import machine
from schemas.definitions import TargetType
from services.inference.adapters.onnxruntime import SessionOptions, open_session
from services.inference.outputs import OutputReader
from services.inference.serving_plan import LoadedVersion, ServedModel, Slot, build_plan
from services.training.graph import outputs_of
from shared.garbage_collection import calm_collector

STEPS = 6
MIB = 2**20


def resident() -> float:
    """MB."""
    return float(psutil.Process().memory_info().rss / MIB)


def run(path: ScoringPath, batches: int) -> None:
    """So many batches through the whole path."""
    for _ in range(batches):
        path.whole()


def swap(path: ScoringPath, stream: Stream, model: bytes, version: int) -> None:
    """Put a freshly loaded version in force."""
    reader = OutputReader(TargetType.BINARY, outputs_of(TargetType.BINARY), (False, True))
    loaded = LoadedVersion(f"{version:064x}", stream.inputs, reader, open_session(model, SessionOptions()))
    served = ServedModel("delay", "departures@1", Slot("delay", version, "champion", loaded))
    path.plan.swap(build_plan([served], {"departures@1": stream.feature_set}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--estimator", default="HistGradientBoostingClassifier")
    options = parser.parse_args()
    asyncio.run(calm_collector())
    stream = Stream(12)
    path, model = ScoringPath(stream, options.estimator), artifact(stream, options.estimator)
    print(f"{options.estimator}; {machine()}\n\n| after | resident MB |\n|---|---|")
    for step in range(1, STEPS + 1):
        run(path, options.events // stream.count // STEPS)
        print(f"| {step * options.events // STEPS:,} events | {resident():.1f} |", flush=True)
    for number in range(1, options.swaps + 1):
        swap(path, stream, model, number + 1)
        path.whole()
        if number % (options.swaps // 4) == 0:
            print(f"| {number} swaps | {resident():.1f} |", flush=True)


if __name__ == "__main__":
    main()
