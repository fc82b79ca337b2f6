"""A service for the tests of `shared.transactions`: numbers the records of each partition, state rebuilt from its outputs."""

from collections.abc import Sequence

from schemas.topics import EVENTS_RAW, EVENTS_VALIDATED
from shared.broker import kafka_broker
from shared.health import Health
from shared.records import Outgoing, Record
from shared.service import App, main
from shared.settings import PlatformSettings
from shared.tables import scan
from shared.transactions import transactional_subscriber


class Counter:
    """Answers record number n of its partition with ``n:<value>``."""

    def __init__(self, count: int) -> None:
        self._count = count

    def process(self, records: Sequence[Record]) -> list[Outgoing]:
        outputs = []
        for record in records:
            self._count += 1
            value = str(self._count).encode() + b":" + (record.value or b"")
            outputs.append(Outgoing(EVENTS_VALIDATED, record.key, value, record.headers))
        return outputs

    def close(self) -> None:
        self._count = -1


def build(settings: PlatformSettings) -> App:
    """The counting service."""
    health = Health()
    broker = kafka_broker(settings, service="counting")

    async def open_partition(number: int) -> Counter:
        count = 0
        async for records in scan(settings, EVENTS_VALIDATED, number):
            count += len(records)
        return Counter(count)

    transactional_subscriber(
        broker,
        settings,
        service="counting",
        stage="main",
        topics=[EVENTS_RAW],
        open_partition=open_partition,
        health=health,
        max_records=100,
    )
    return App(health=health, broker=broker, topics=[EVENTS_RAW, EVENTS_VALIDATED])


if __name__ == "__main__":
    main("counting", PlatformSettings, build)
