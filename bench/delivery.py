"""What exactly_once costs against at_least_once: latency and throughput of one stage, both ways, on the embedded Kafka.

``uv run python -m bench.delivery [--rate 500] [--seconds 8] [--backlog 40000] [--rounds 2]``. One process, four partitions, the
stage answers each record with one; latency is from publish to a read_committed consumer, open loop; the rounds alternate, so
that what else the machine does hits both alike. Prints one JSON document; look at the ratios, not at the absolute numbers.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local.platform import running
from schemas.topics import EVENTS_RAW, EVENTS_VALIDATED
from shared import broker as brokers
from shared.broker import kafka_broker
from shared.health import Health
from shared.publishing import Publisher
from shared.records import Outgoing, Record
from shared.settings import Delivery, KafkaSettings, PlatformSettings, TopicSettings
from shared.tables import follow
from shared.topic_admin import apply_topics
from shared.transactions import transactional_subscriber

PARTITIONS = 4
PATIENCE = 120.0
PADDING = b"x" * 300


class Echo:
    """Answers each record with one of the same size."""

    def process(self, records: Sequence[Record]) -> list[Outgoing]:
        """Headers and body as they came."""
        return [Outgoing(EVENTS_VALIDATED, r.key, r.value, r.headers) for r in records]

    def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def stage(settings: PlatformSettings, delivery: Delivery) -> AsyncIterator[Health]:
    """The stage in this process, ready."""
    health, broker = Health(), kafka_broker(settings, service="bench")

    async def open_partition(number: int) -> Echo:
        del number
        return Echo()

    transactional_subscriber(
        broker,
        settings,
        service="bench",
        stage=delivery.value,
        topics=[EVENTS_RAW],
        open_partition=open_partition,
        health=health,
        delivery=delivery,
    )
    await broker.start()
    try:
        while health.missing:  # noqa: ASYNC110 - health has no event for it
            await asyncio.sleep(0.05)
        yield health
    finally:
        await brokers.stop(broker)


async def latency(settings: PlatformSettings, delivery: Delivery, rate: int, seconds: float) -> list[float]:
    """Milliseconds from publish to a read_committed consumer, for each record."""
    found: list[float] = []
    total = int(rate * seconds)
    async with stage(settings, delivery), Publisher(settings) as publisher:
        stream = follow(settings, EVENTS_VALIDATED, from_beginning=False)
        await anext(stream)
        feeding = asyncio.create_task(_feed(publisher, rate, total))
        async for records in stream:
            now = time.perf_counter_ns()
            found += [(now - int((r.value or b"").split(b" ")[0])) / 1e6 for r in records]
            if len(found) >= total:
                break
        await stream.aclose()
        await feeding
    return found


async def _feed(publisher: Publisher, rate: int, total: int) -> None:
    step = 0.01
    begin, sent = time.perf_counter(), 0
    pending: set[asyncio.Task[Any]] = set()
    while sent < total:
        due = min(total, int((time.perf_counter() - begin + step) * rate))
        batch = [_record(number) for number in range(sent, due)]
        if batch:
            pending.add(asyncio.create_task(publisher.publish(*batch)))
            sent = due
        await asyncio.sleep(step)
    await asyncio.gather(*pending)


def _record(number: int) -> Outgoing:
    body = b"%d %s" % (time.perf_counter_ns(), PADDING)
    return Outgoing(EVENTS_RAW, b"k%d" % (number % 97), body)


async def throughput(settings: PlatformSettings, delivery: Delivery, backlog: int) -> float:
    """Records a second out of a backlog."""
    async with Publisher(settings) as publisher:
        for start in range(0, backlog, 1000):
            await publisher.publish(*(_record(number) for number in range(start, start + 1000)))
    begin = time.perf_counter()
    async with stage(settings, delivery) as health:
        while health.processed < backlog and time.perf_counter() - begin < PATIENCE:  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.02)
        return health.processed / (time.perf_counter() - begin)


async def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both deliveries, alternating; medians over the rounds."""
    found: dict[Delivery, dict[str, list[float]]] = {each: {"p50": [], "p99": [], "rate": []} for each in Delivery}
    for _ in range(options.rounds):
        for delivery in Delivery:
            settings = PlatformSettings(
                kafka=KafkaSettings(bootstrap_servers=bootstrap),
                topics=TopicSettings(prefix=f"b{uuid.uuid4().hex[:8]}.", partitions=PARTITIONS),
            )
            await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
            times = sorted(await latency(settings, delivery, options.rate, options.seconds))
            found[delivery]["p50"].append(times[len(times) // 2])
            found[delivery]["p99"].append(times[int(len(times) * 0.99)])
            found[delivery]["rate"].append(await throughput(settings, delivery, options.backlog))
    middle = {
        each.value: {name: round(statistics.median(values), 1) for name, values in numbers.items()}
        for each, numbers in found.items()
    }
    once, least = middle["exactly_once"], middle["at_least_once"]
    ratios = {name: round(once[name] / least[name], 2) for name in once}
    return {
        **middle,
        "exactly_once / at_least_once": ratios,
        "rounds": options.rounds,
        "offered_per_second": options.rate,
    }


def main() -> None:
    """Start Kafka, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--backlog", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="headrace-bench-") as directory,
        running(Path(directory), with_mongo=False, report=lambda _: None) as platform,
    ):
        print(json.dumps(asyncio.run(measure(platform.bootstrap_servers, options)), indent=2))


if __name__ == "__main__":
    main()
