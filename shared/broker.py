"""FastStream brokers and subscribers that cannot be declared unsafe.

Every subscriber commits by hand, sees committed records only, starts at the earliest, never replies and never decodes
headers: a record's bytes arrive as they are, so that decoding lies inside the dead-letter boundary of the service.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber

from schemas.topics import Topic
from shared.fetched_records import fetch_light_records
from shared.header_names import tolerate_header_names
from shared.kafka_clients import UNREADABLE, faststream_security
from shared.records import Record, topic_name
from shared.settings import PlatformSettings

BatchHandler = Callable[[Sequence[Record]], Awaitable[None]]
Step = Callable[[], Awaitable[None]]
Fetch = Callable[[AIOKafkaConsumer], Awaitable[tuple[Record, ...]]]

IDLE_MILLISECONDS: Final = 1000
GRACEFUL_SECONDS: Final = 15.0
MAX_POLL_SECONDS: Final = 600.0
_CLOSERS: Final = "headrace_closers"
_DRAINS: Final = "headrace_drains"


def kafka_broker(settings: PlatformSettings, *, service: str) -> KafkaBroker:
    """A broker that only consumes: publishing is the affair of `Publisher` and of transactions."""
    tolerate_header_names()
    fetch_light_records()
    return KafkaBroker(
        [part.strip() for part in settings.kafka.bootstrap_servers.split(",")],
        client_id=f"headrace-{service}-{settings.instance}",
        consumer_only=True,
        allow_auto_create_topics=False,
        request_timeout_ms=int(settings.kafka.request_timeout * 1000),
        graceful_timeout=GRACEFUL_SECONDS,
        security=faststream_security(settings.kafka),
        logger=None,
        apply_types=False,
    )


def batch_subscriber(
    broker: KafkaBroker,
    settings: PlatformSettings,
    *topics: Topic,
    group: str,
    handler: BatchHandler,
    broken: Callable[[str], None],
    listener: ConsumerRebalanceListener | None = None,
    max_records: int = 500,
) -> BatchSubscriber:
    """Subscribe ``handler`` to ``topics`` in batches; it commits by itself. The consumer is ``.consumer`` once started.

    ``group`` gets the platform's prefix. A handler must not raise: FastStream would drop the batch. ``broken`` is told why
    no further batch can be fetched; nothing is handed over after that, and the process must end.
    """
    subscriber = broker.subscriber(
        *(topic_name(settings, topic) for topic in topics),
        group_id=group_name(settings, group),
        batch=True,
        max_records=max_records,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        no_reply=True,
        listener=listener,
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=int(settings.kafka.session_timeout * 1000),
        heartbeat_interval_ms=int(settings.kafka.session_timeout * 1000 / 3.5),
        rebalance_timeout_ms=30_000,
        max_poll_interval_ms=int(MAX_POLL_SECONDS * 1000),
        max_partition_fetch_bytes=2 * 1024 * 1024,
        parser=_parse,
        decoder=_decode,
        include_in_schema=False,
    )

    async def call(records: Any) -> None:  # FastStream would make a model of a better annotation
        await handler(records)

    subscriber(call)
    subscriber.get_msg = _fetch(max_records, broken)  # type: ignore[method-assign, assignment]  # it has no hook for this
    return subscriber


def _fetch(max_records: int, broken: Callable[[str], None]) -> Fetch:
    """What FastStream calls for the next batch; empty when none came.

    Its own sleeps after every empty poll, which delays the next record and keeps an idle process busy: here a fetch waits
    for records and for nothing else. And where its own would go on past records that it never saw, this ends the
    consumption: an error in the middle of a fetch comes after aiokafka has moved the positions of the partitions before.
    """

    async def fetch(consumer: AIOKafkaConsumer) -> tuple[Record, ...]:
        try:
            found = await consumer.getmany(timeout_ms=IDLE_MILLISECONDS, max_records=max_records)
        except ConsumerStoppedError:
            raise
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, UNREADABLE):
                raise  # said before anything was taken from a partition: FastStream waits and tries again
            broken(f"a fetched batch cannot be read: {type(error).__name__}: {error}")
            await asyncio.get_running_loop().create_future()  # for ever
            raise
        return tuple(chain.from_iterable(found.values()))

    return fetch


def group_name(settings: PlatformSettings, group: str) -> str:
    """The consumer group's name on the cluster."""
    return f"{settings.topics.prefix}{group}"


def consumer_of(subscriber: BatchSubscriber) -> AIOKafkaConsumer:
    """The running consumer. Raises RuntimeError before the broker is started."""
    if subscriber.consumer is None:
        problem = "the subscriber is not started"
        raise RuntimeError(problem)
    return subscriber.consumer


def on_stop(broker: KafkaBroker, close: Step, *, drain: Step | None = None) -> None:
    """Have ``close`` awaited by `stop` after the consumers are drained, and ``drain`` before they leave their groups."""
    broker.context.set_global(_CLOSERS, (*_registered(broker, _CLOSERS), close))
    if drain is not None:
        broker.context.set_global(_DRAINS, (*_registered(broker, _DRAINS), drain))


async def stop(broker: KafkaBroker) -> None:
    """Begin nothing new, drain the batches in flight, leave the groups, then close what subscribers opened."""
    for drain in _registered(broker, _DRAINS):
        await drain()
    await broker.stop()
    for close in _registered(broker, _CLOSERS):
        await close()


def _registered(broker: KafkaBroker, name: str) -> tuple[Step, ...]:
    found: tuple[Step, ...] = broker.context.get(name, ())
    return found


async def _parse(message: Any) -> KafkaAckableMessage:
    records = message if isinstance(message, tuple) else tuple(message)
    return KafkaAckableMessage(body=b"", headers={}, raw_message=records, consumer=None)


async def _decode(message: KafkaAckableMessage) -> Any:
    """The records themselves. Were it the message, the message would hold itself, and a batch live until the collector comes."""
    return message.raw_message
