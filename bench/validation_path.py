"""Validation's judgement without Kafka: ``python -m bench.validation_path [--features 12 200] [--flame FILE.svg]``.

Raw events as records of events.raw, judged by the service's own processor: envelope, partition, strict JSON (repeated keys
included), features, duplicates, and the validated record with its headers. Each round starts with an empty duplicate window.
"""

import argparse
import asyncio
from datetime import timedelta
from pathlib import Path

from bench import sampling
from bench.inference_path.scene import Stream, raw_records
from bench.timing import machine, measure
from schemas.checks import compile_checker
from schemas.decoding import decode_event
from schemas.events.registry import DefinitionRecord
from schemas.topics import DEFINITIONS, EVENTS_RAW
from services.validation.definitions import Definitions
from services.validation.duplicates import DuplicateWindow
from services.validation.processing import Processor, Windows
from shared.clock import SystemClock
from shared.garbage_collection import calm_collector
from shared.records import StoredRecord, TopicNames, message

BATCH = 1000


class Judgement:
    """A processor and a batch for it."""

    def __init__(self, stream: Stream) -> None:
        self.records = raw_records(stream, EVENTS_RAW.name)
        self.checker = compile_checker(stream.feature_set)
        self.rows = [decode_event(record.value or b"").features for record in self.records]
        self._definitions = Definitions()
        self._definitions.apply(definition_record(stream))
        if any("rejected" in each.topic.name or "dead" in each.topic.name for each in self.judge()):
            message = "the benchmark's own events must be valid"
            raise RuntimeError(message)

    def judge(self) -> list:  # type: ignore[type-arg]
        """Everything that validation does with the batch, but Kafka."""
        windows = Windows(*(DuplicateWindow(limit=200_000, age=timedelta(hours=24)) for _ in range(2)))
        processor = Processor(
            names=TopicNames(""), partitions=1, definitions=self._definitions, windows=windows, clock=SystemClock(),
            report=lambda _: None, catch_up=_nothing,
        )  # fmt: skip
        return list(processor.process(self.records))

    def decode(self) -> object:
        """Strict JSON alone."""
        return [decode_event(record.value or b"") for record in self.records]

    def check(self) -> object:
        """The features alone."""
        return self.checker.check(self.rows)


async def _nothing() -> None:
    pass


def definition_record(stream: Stream) -> StoredRecord:
    """The FeatureSet as it stands on the definitions topic."""
    definition = stream.feature_set
    body = DefinitionRecord(
        kind="FeatureSet", name="departures", major=1, revision=1, definition=definition.model_dump(mode="json", by_alias=True)
    )  # fmt: skip
    made = message(DEFINITIONS, body, key=definition.topic_key, source="bench")
    return StoredRecord(DEFINITIONS.name, 0, 0, 0, made.key, made.value, tuple(made.headers))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.validation_path", description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[12, 200])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--flame", type=Path)
    options = parser.parse_args()
    asyncio.run(calm_collector())
    print(f"{machine()}; batches of {BATCH}; median [best–worst] of {options.rounds}\n")
    print("| features | decode µs | check µs | all of judging µs | events/s, one core |\n|---|---|---|---|---|")
    for width in options.features:
        judgement = Judgement(Stream(width, BATCH))
        decode, check, whole = (
            measure(work, BATCH, rounds=options.rounds) for work in (judgement.decode, judgement.check, judgement.judge)
        )
        print(f"| {width} | {decode} | {check} | {whole} | {whole.per_second:,.0f} |")
    if options.flame:
        judgement = Judgement(Stream(options.features[0], BATCH))
        stacks = sampling.sample(judgement.judge)
        options.flame.write_text(sampling.flame_graph(stacks, f"validation, {options.features[0]} features"))
        print("\n".join(f"{share:6.1%}  {line}" for share, line in sampling.hottest(stacks, 40)))


if __name__ == "__main__":
    main()
