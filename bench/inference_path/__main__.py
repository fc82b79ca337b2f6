"""``python -m bench.inference_path [--features 12 200] [--estimator LogisticRegression] [--rounds 15] [--flame FILE.svg]``.

Each stage is the product's own code on record batches as a broker sends them: fetch (batches to records), process (decode,
route, score, encode, headers), pack (outputs to record batches), count (metrics). Prints a Markdown table.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder

from bench import sampling
from bench.inference_path.floor import floor
from bench.inference_path.scene import PARAMETERS, Stream, fetched, serving
from bench.timing import Timing, machine, measure
from schemas.topics import EVENTS_VALIDATED
from services.inference.adapters.metrics import ServingMetrics
from services.inference.partition_scoring import PartitionScoring
from services.inference.scoring import Scorer, ScoringLimits
from shared.batch_metrics import count_batch
from shared.clock import SystemClock
from shared.garbage_collection import calm_collector
from shared.kafka_clients import MAX_BATCH_BYTES
from shared.partition_slot import by_partition
from shared.records import Outgoing, TopicNames
from shared.transaction_producer import batches, group

STAGES = ("fetch", "process", "pack", "count")


class ScoringPath:
    """The product's path over one batch, stage by stage."""

    def __init__(self, stream: Stream, estimator: str) -> None:
        clock = SystemClock()
        self.plan = serving(stream, [estimator])
        self.sent = stream.records()
        self.records: list[Any] = fetched(self.sent)
        self.scoring = PartitionScoring(
            0, {"delay"}, plan=self.plan, scorer=Scorer(ScoringLimits(), clock.monotonic), observer=ServingMetrics(), clock=clock
        )  # fmt: skip
        self.outputs: Sequence[Outgoing] = self.scoring.process(self.records)
        self.names = TopicNames("")

    def fetch(self) -> object:
        """Batches to records, sorted by partition."""
        return by_partition(fetched(self.sent), {EVENTS_VALIDATED.name: 0})

    def process(self) -> object:
        """Records to outputs."""
        return self.scoring.process(self.records)

    def pack(self) -> object:
        """Outputs to the bytes that go to the broker."""
        found = []
        for items in group(self.outputs, 0, self.names).values():
            found.extend(batch._build() for batch in batches(_Producer(), items))  # type: ignore[arg-type]  # noqa: SLF001
        return found

    def count(self) -> object:
        """Metrics of the batch."""
        return count_batch("bench", self.records, self.outputs)

    def whole(self) -> object:
        """All of it."""
        self.records = fetched(self.sent)
        by_partition(self.records, {EVENTS_VALIDATED.name: 0})
        self.outputs = self.scoring.process(self.records)
        self.count()
        return self.pack()


class _Producer:
    """Makes batches as the transactional producer does."""

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(MAX_BATCH_BYTES, 0, is_transactional=1)


def table(features: Sequence[int], estimator: str, rounds: int) -> str:
    """Microseconds per event by stage, Markdown."""
    columns: list[dict[str, Timing]] = []
    for width in features:
        stream = Stream(width, 4000 if width < 50 else 1000)
        path = ScoringPath(stream, estimator)
        found = {stage: measure(getattr(path, stage), stream.count, rounds=rounds) for stage in STAGES}
        found["whole"] = measure(path.whole, stream.count, rounds=rounds)
        values = [record.value for record in path.records]
        loaded = path.plan().models["delay"].champion.loaded
        found["floor"] = measure(floor(stream, loaded, values), stream.count, rounds=rounds)
        columns.append(found)
    lines = ["| µs per event | " + " | ".join(f"{width} features" for width in features) + " |"]
    lines.append("|---" * (len(features) + 1) + "|")
    lines += [f"| {stage} | " + " | ".join(str(found[stage]) for found in columns) + " |" for stage in columns[0]]
    shares = " | ".join(f"{found['floor'].best / found['whole'].best:.0%}" for found in columns)
    rates = " | ".join(f"{found['whole'].per_second:,.0f}" for found in columns)
    return "\n".join([*lines, f"| events/s, one core | {rates} |", f"| floor / whole | {shares} |"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.inference_path", description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[12, 200])
    parser.add_argument("--estimator", choices=sorted(PARAMETERS), default="LogisticRegression")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--flame", type=Path, help="write a flame graph of the first width here")
    options = parser.parse_args()
    asyncio.run(calm_collector())
    print(f"{options.estimator}; {machine()}; median [best–worst] of {options.rounds}\n")
    print(table(options.features, options.estimator, options.rounds))
    if options.flame:
        path = ScoringPath(Stream(options.features[0]), options.estimator)
        stacks = sampling.sample(path.whole)
        options.flame.write_text(
            sampling.flame_graph(stacks, f"inference, {options.features[0]} features, {options.estimator}")
        )
        print("\n".join(f"{share:6.1%}  {line}" for share, line in sampling.hottest(stacks)))


if __name__ == "__main__":
    main()
