"""What the service's own work would make on librdkafka: the same decoding, routing, scoring, predictions with all headers.

Without the handover of partitions, fencing by partition, retries, dead letters, metrics and health, so a bound from above.
"""

import asyncio
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import os
from collections.abc import Sequence

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from job import GROUP, INPUT, OUTPUT, TUNED_CONSUMER, TUNED_PRODUCER

from bench.inference_path.scene import Stream, serving
from services.inference.adapters.metrics import ServingMetrics
from services.inference.partition_scoring import PartitionScoring
from services.inference.scoring import Scorer, ScoringLimits
from shared.clock import SystemClock
from shared.fetched_records import FetchedRecord
from shared.garbage_collection import calm_collector

BATCH = int(os.environ.get("BENCH_BATCH", "4000"))
HEADERS = os.environ.get("BENCH_HEADERS", "1") == "1"
PRODUCERS = int(os.environ.get("BENCH_PRODUCERS", "2"))


def record(message: Message) -> FetchedRecord:
    """The fields that the service reads."""
    return FetchedRecord(
        INPUT, message.partition(), message.offset(), message.timestamp()[1], message.key(), message.value(),
        message.headers() or [],
    )  # fmt: skip


def producer(number: int) -> Producer:
    """A transactional one, tuned like the tuned loop's."""
    made = Producer({**TUNED_PRODUCER, "transactional.id": f"{GROUP}-{number}"})
    made.init_transactions()
    return made


def main() -> None:
    """Loop for ever."""
    consumer = Consumer(TUNED_CONSUMER)
    clock = SystemClock()
    plan = serving(Stream(int(os.environ.get("BENCH_WIDTH", "12"))))
    scoring = PartitionScoring(
        0, {"delay"}, plan=plan, scorer=Scorer(ScoringLimits(), clock.monotonic), observer=ServingMetrics(), clock=clock
    )
    producers = [producer(number) for number in range(PRODUCERS)]
    pool = ThreadPoolExecutor(PRODUCERS)
    pending: list[Future[None] | None] = [None] * PRODUCERS
    consumer.subscribe([INPUT])
    asyncio.run(calm_collector())
    turn = 0
    while True:
        messages = [each for each in consumer.consume(BATCH, 0.02) if each.error() is None]
        if not messages:
            continue
        outputs = scoring.process([record(each) for each in messages])
        turn = (turn + 1) % PRODUCERS
        mine, before = producers[turn], pending[turn]
        if before is not None:
            before.result()
        mine.begin_transaction()
        produce = mine.produce
        for message, output in zip(messages, outputs, strict=True):
            produce(OUTPUT, output.value, output.key, message.partition(), headers=output.headers if HEADERS else None)
        positions, group = consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        if PRODUCERS == 1:
            commit(mine, positions, group)
        else:
            pending[turn] = pool.submit(commit, mine, positions, group)


def commit(mine: Producer, positions: Sequence[TopicPartition], group: object) -> None:
    """Outputs and offsets together."""
    mine.send_offsets_to_transaction(list(positions), group)
    mine.commit_transaction()


if __name__ == "__main__":
    main()
