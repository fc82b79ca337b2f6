"""Publishing outside a transaction: idempotent, acknowledged by all replicas, or an error that says what is known."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import RecordMetadata

from shared import metrics
from shared.bulk_publishing import publish_in_bulk
from shared.errors import OutcomeUnknownError, PermanentError
from shared.kafka_clients import idempotent_producer
from shared.logs import get_logger
from shared.records import Outgoing, TopicNames
from shared.settings import PlatformSettings

log = get_logger(__name__)

LOG_APPEND_TIME: Final = 1
BULK: Final = 16  # records from which on batches made here are cheaper than one `send` each
REFUSALS: Final = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)


class Publisher:
    """A producer without transactions. One a process is enough; `publish` may be called concurrently."""

    name = "publisher"

    def __init__(self, settings: PlatformSettings, *, linger_ms: int = 0) -> None:
        """Nothing is opened before `start`."""
        self._settings = settings
        self._names = TopicNames(settings.topics.prefix)
        self._linger_ms = linger_ms
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._ahead = timedelta(0)
        self._acknowledged = asyncio.Event()

    async def start(self) -> None:
        """Connect. Raises aiokafka's errors where no broker answers."""
        self._producer = idempotent_producer(self._settings.kafka, linger_ms=self._linger_ms)
        await self._producer.start()

    async def stop(self) -> None:
        """Flush and close."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._close(producer)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def publish(self, *outgoing: Outgoing) -> list[RecordMetadata]:
        """Publish and wait for every acknowledgement, in the order given.

        Raises `OutcomeUnknownError` after ``kafka.publish_timeout`` (some may have been written), `PermanentError` where
        the broker refuses a record (too large, not authorised).
        """
        producer = self._producer
        if producer is None:
            problem = "the publisher is not started"
            raise RuntimeError(problem)
        futures: list[asyncio.Future[RecordMetadata]] = []
        with metrics.publish_seconds.time():
            try:
                async with asyncio.timeout(self._settings.kafka.publish_timeout):
                    if len(outgoing) >= BULK and all(item.key or item.partition is not None for item in outgoing):
                        written = await publish_in_bulk(producer, outgoing, self._names, futures)
                    else:
                        for item in outgoing:
                            futures.append(await self._send(producer, item))  # noqa: PERF401 - kept for what follows an error
                        written = [await future for future in futures]
            except TimeoutError:
                _let_go(futures)
                seconds = self._settings.kafka.publish_timeout
                message = (
                    f"Kafka acknowledged nothing for {seconds:g} s: the outcome is unknown, retry with the same id."
                )
                raise OutcomeUnknownError(message) from None
            except REFUSALS as error:
                message = f"Kafka refused the record: {error}"
                raise PermanentError(message) from error
            except KafkaError as error:
                _let_go(futures)
                await self._renew(producer, error)
                message = f"Kafka could not take the record, the outcome is unknown, retry with the same id: {error}"
                raise OutcomeUnknownError(message) from error
        for topic, count in Counter([item.topic.name for item in outgoing]).items():
            metrics.records_out.labels(topic).inc(count)
        if written and written[-1].timestamp_type == LOG_APPEND_TIME:
            self._ahead = timedelta(milliseconds=written[-1].timestamp - int(time.time() * 1000))
            self._acknowledged.set()
        return written

    async def broker_ahead(self) -> timedelta:
        """How far the broker's clock is ahead of this process's, as of the last acknowledgement.

        Append times are the broker's: whoever compares them with the present needs it. Waits for the first
        acknowledgement, at most the publish time-out; then both clocks are taken to agree.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._acknowledged.wait(), self._settings.kafka.publish_timeout)
        return self._ahead

    async def _renew(self, producer: AIOKafkaProducer, error: KafkaError) -> None:
        """Replace a producer that will never publish again: its sender has died, or its sequence is broken.

        aiokafka may give up a batch that has its sequence number already (a broker that was away for long); the broker
        waits for that number, and all that follow are out of order for ever.
        """
        sender = producer._sender.sender_task  # noqa: SLF001 - aiokafka has no other sign of it
        dead = sender is not None and sender.done()
        if self._producer is not producer or not (dead or isinstance(error, OutOfOrderSequenceNumber)):
            return
        async with self._renewing:
            if self._producer is not producer:
                return  # another publish has replaced it already, or it was stopped
            renewed = idempotent_producer(self._settings.kafka, linger_ms=self._linger_ms)
            try:
                async with asyncio.timeout(self._settings.kafka.publish_timeout):
                    await renewed.start()
            except (KafkaError, TimeoutError) as away:  # the next publish fails on the old one and tries again
                log.warning("a producer could not be replaced yet", why=str(away) or type(away).__name__)
                await self._close(renewed)
                return
            self._producer = renewed
        await self._close(producer)

    async def _close(self, producer: AIOKafkaProducer) -> None:
        """Flush and close; gives up after the publish time-out, because a broker that is down would hold it for ever."""
        sender = producer._sender.sender_task  # noqa: SLF001 - see `_renew`
        if sender is None or sender.done():
            producer._closed = True  # noqa: SLF001 - its own `stop` would flush through the dead sender, and fail unheard
            await producer.client.close()
            return
        try:
            await asyncio.wait_for(producer.stop(), self._settings.kafka.publish_timeout)
        except (KafkaError, TimeoutError):
            await producer.client.close()

    async def _send(self, producer: AIOKafkaProducer, item: Outgoing) -> "asyncio.Future[RecordMetadata]":
        future: asyncio.Future[RecordMetadata] = await producer.send(
            self._names.name(item.topic), item.value, key=item.key, partition=item.partition, headers=list(item.headers)
        )
        return future


def _let_go(futures: "Sequence[asyncio.Future[RecordMetadata]]") -> None:
    """Nobody waits for these any more; what becomes of them is no news."""
    for future in futures:
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
