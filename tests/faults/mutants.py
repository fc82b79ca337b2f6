"""Products that are wrong on purpose: what the oracle must catch. Each is a change to a running service, made by the launcher."""

import functools
import os
from collections.abc import Callable
from typing import Any, Final


def ack_first() -> None:
    """Offsets are committed before the batch is processed."""
    from shared.transactions import _Stage

    original = _Stage._run

    @functools.wraps(original)
    async def run(self: Any, slot: Any, places: Any, *args: Any, **kwargs: Any) -> Any:
        await self._handover.consumer().commit({place: some[-1].offset + 1 for place, some in places.items()})
        return await original(self, slot, places, *args, **kwargs)

    _Stage._run = run


def commit_before_produce() -> None:
    """Offsets are committed, in a transaction, before the outputs are produced, in another."""
    from shared.transaction_producer import PartitionProducer

    original = PartitionProducer.commit

    @functools.wraps(original)
    async def commit(self: Any, partition: int, outputs: Any, offsets: Any, *args: Any, **kwargs: Any) -> None:
        await original(self, partition, (), offsets, *args, **kwargs)
        await original(self, partition, outputs, {}, *args, **kwargs)

    PartitionProducer.commit = commit  # type: ignore[method-assign]


def id_per_instance() -> None:
    """The transactional id belongs to the process, not to the partition: taking over fences nobody."""
    from shared.transaction_producer import PartitionProducer

    original = PartitionProducer.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, transactional_id: str, **kwargs: Any) -> None:
        original(self, *args, transactional_id=f"{transactional_id}.{os.getpid()}", **kwargs)

    PartitionProducer.__init__ = init  # type: ignore[method-assign]


def no_pause() -> None:
    """An assigned partition is neither paused nor sought: fetching goes on while its state is rebuilt.

    Without the pause alone nothing is lost: the seek is a second guard. So both are taken away.
    """
    from shared import transactions

    original = transactions.consumer_of

    class Unpausable:
        def __init__(self, consumer: Any) -> None:
            self._consumer = consumer

        def __getattr__(self, name: str) -> Any:
            if name in ("pause", "resume", "seek"):
                return lambda *_: None
            return getattr(self._consumer, name)

    transactions.consumer_of = lambda subscriber: Unpausable(original(subscriber))


def not_idempotent() -> None:
    """What ingestion publishes is sent again after a lost acknowledgement, and stands twice."""
    from aiokafka import AIOKafkaProducer

    from shared import publishing
    from shared.kafka_clients import connection_options

    def producer(kafka: Any, **options: Any) -> Any:
        return AIOKafkaProducer(**connection_options(kafka), acks="all", enable_idempotence=False, **options)

    publishing.idempotent_producer = producer


def one_deleted() -> None:
    """One output of one batch is left out."""
    from shared.transaction_producer import PartitionProducer

    original = PartitionProducer.commit
    left_out = []

    @functools.wraps(original)
    async def commit(self: Any, partition: int, outputs: Any, *args: Any, **kwargs: Any) -> None:
        kept = list(outputs)
        if kept and not left_out:
            left_out.append(kept.pop(len(kept) // 2))
        await original(self, partition, kept, *args, **kwargs)

    PartitionProducer.commit = commit  # type: ignore[method-assign]


def forgetful() -> None:
    """The duplicate window is not rebuilt when a partition is taken over."""
    from services.validation.adapters import window_tails

    async def nothing(*_: Any) -> list[Any]:
        return []

    window_tails._entries = nothing


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    "ack-first": ack_first,
    "commit-before-produce": commit_before_produce,
    "id-per-instance": id_per_instance,
    "no-pause": no_pause,
    "not-idempotent": not_idempotent,
    "one-deleted": one_deleted,
    "forgetful": forgetful,
}
