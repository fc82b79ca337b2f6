"""The one transaction that publishes a run's outcome: artifact, candidate and completion become visible together, or a failure.

Taking over the transactional id fences every other process that works on results; after that, whether the run already has an
outcome is certain. So of two processes that did the same run one wins, and neither can undo the other.
"""

from collections.abc import Sequence
from typing import Final

from aiokafka import TopicPartition

from schemas.envelope import header
from schemas.identities import derived_id
from schemas.topics import TRAINING_EVENTS, TRAINING_REQUESTS
from shared.errors import FatalError
from shared.records import Outgoing, TopicNames
from shared.settings import PlatformSettings
from shared.tables import scan
from shared.transaction_producer import PartitionProducer, output_places

STAGE: Final = "training.runs"
TAIL: Final = 2000  # offsets of training.events that are looked at for an outcome; a run writes a few dozen


class ResultProducer:
    """Opened for each result: a long-lived transactional id would expire between two runs."""

    def __init__(self, settings: PlatformSettings) -> None:
        """Nothing is opened before the first call."""
        self._settings = settings
        self._names = TopicNames(settings.topics.prefix)

    async def __call__(self, run: str, request_offset: int, outputs: Sequence[Outgoing]) -> bool:
        """Publish ``outputs`` unless ``run`` has an outcome; whether they were published.

        The request's offset is committed in the same transaction, and where there was an outcome too, so the lag of group
        ``training.runs`` is what waits.
        Raises `FatalError` when the outcome is unknown: the next process finds out.
        """
        prefix = self._settings.topics.prefix
        producer = PartitionProducer(
            self._settings.kafka,
            self._names,
            transactional_id=f"{prefix}{STAGE}.0",
            group=f"{prefix}{STAGE}",
            places=output_places("training", 0, self._names),
        )
        place = TopicPartition(self._names.name(TRAINING_REQUESTS), 0)
        try:
            await producer.start()
            decided = await self._decided(run)
            await producer.commit(0, () if decided else outputs, {place: request_offset + 1})
        except Exception as error:
            message = f"The result of run {run} could not be published for certain ({type(error).__name__}: {error})."
            raise FatalError(message) from error
        finally:
            await producer.stop()
        return not decided

    async def _decided(self, run: str) -> bool:
        outcomes = {derived_id("completed", run), derived_id("failed", run)}
        async for records in scan(self._settings, TRAINING_EVENTS, 0, tail=TAIL):
            if any(header(record.headers, "ce_id") in outcomes for record in records):
                return True
        return False
