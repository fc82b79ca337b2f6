"""A small client for applications and notebooks: send events and labels, follow predictions, command the registry.

>>> async with Client() as client:                       # doctest: +SKIP
...     await client.send_events([event], source="shop")
...     async for prediction in client.predictions(model="churn"):
...         print(prediction.outputs)
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

from pydantic import ValidationError

from schemas.envelope import header
from schemas.events.contract import Contract, decode
from schemas.events.inference import Prediction
from schemas.events.ingestion import Event, Label, Tick
from schemas.events.registry import RegistryCommand, RegistryReply
from schemas.events.training import TrainingRequest
from schemas.reasons import RefusedRecordError
from schemas.topics import (
    EVENTS_RAW,
    LABELS_RAW,
    PREDICTIONS,
    REGISTRY_COMMANDS,
    REGISTRY_REPLIES,
    TRAINING_REQUESTS,
    Topic,
)
from shared.errors import RefusedError, TransientError
from shared.publishing import Publisher
from shared.records import Outgoing, Record, message
from shared.settings import PlatformSettings, load
from shared.tables import follow

SOURCE: Final = "headrace/client"
CHUNK: Final = 500  # records in flight at once
ANSWER_SECONDS: Final = 30.0

M = TypeVar("M", bound=Contract)
Identified = tuple[str, M]  # an id of the sender's own, and the record


class Client:
    """An open connection to Kafka. Settings default to the environment (``HEADRACE_…``)."""

    def __init__(self, settings: PlatformSettings | None = None) -> None:
        """Nothing is opened before it is entered. Raises `ConfigurationError`."""
        self._settings = settings or load(PlatformSettings)
        self._publisher = Publisher(self._settings)

    async def __aenter__(self) -> Self:
        await self._publisher.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._publisher.stop()

    async def send_events(
        self, events: Iterable[Event | Mapping[str, Any] | Identified[Event]], *, source: str = SOURCE
    ) -> list[str]:
        """Publish events, in order; the ids, in the same order. Acknowledged by all replicas on return.

        An event is an `Event`, a mapping with its fields (and ``id``, if it has one), or a pair of id and event. Without an id
        of the sender's own, a repeat cannot be told from a second event. Raises `RefusedError` for what is no event, before
        anything of its chunk is sent; `OutcomeUnknownError`: send again with the same ids.
        """
        return await self._send(EVENTS_RAW, Event, events, source)

    async def send_labels(
        self, labels: Iterable[Label | Mapping[str, Any] | Identified[Label]], *, source: str = SOURCE
    ) -> list[str]:
        """Publish labels; like `send_events`."""
        return await self._send(LABELS_RAW, Label, labels, source)

    async def tick(self, tick: Tick, *, source: str = SOURCE) -> None:
        """Say on every partition of events and labels that event time has reached ``tick.time``."""
        await self._publisher.publish(
            *(
                message(topic, tick, key=tick.feature_set, source=source, time=tick.time, partition=number)
                for topic in (EVENTS_RAW, LABELS_RAW)
                for number in range(self._settings.topics.partitions)
            )
        )

    async def train(self, request: TrainingRequest) -> None:
        """Ask for a training run."""
        await self._publisher.publish(
            message(TRAINING_REQUESTS, request, key=request.model, source=SOURCE, id=request.request_id)
        )

    async def command(self, command: RegistryCommand, *, seconds: float = ANSWER_SECONDS) -> RegistryReply:
        """The registry's answer to ``command``. Raises `TransientError` where none comes: the command stays on its topic."""
        replies = follow(self._settings, REGISTRY_REPLIES, from_beginning=False)
        key = command.model or "definitions"
        sent = message(REGISTRY_COMMANDS, command, key=key, source=SOURCE, id=command.command_id)
        try:
            async with asyncio.timeout(seconds):
                async for records in replies:
                    if (
                        not records
                    ):  # the first batch is empty: the reader stands at the end, now an answer cannot be missed
                        await self._publisher.publish(sent)
                    for record in records:
                        if record.key == command.command_id.encode() and record.value is not None:
                            return decode(RegistryReply, record.value)
        except TimeoutError:
            text = f"The registry did not answer command {command.command_id} within {seconds:g} s; is it running?"
            raise TransientError(text) from None
        finally:
            await replies.aclose()
        raise AssertionError  # `follow` never ends by itself

    async def predictions(self, *, model: str | None = None, from_beginning: bool = False) -> AsyncIterator[Prediction]:
        """Predictions as they are made (of one model), for ever; ``from_beginning`` starts at the oldest kept."""
        batches = follow(self._settings, PREDICTIONS, from_beginning=from_beginning)
        try:
            async for records in batches:
                for prediction in _predictions(records, model):
                    yield prediction
        finally:
            await batches.aclose()

    async def _send(
        self, topic: Topic, kind: type[M], items: Iterable[M | Mapping[str, Any] | Identified[M]], source: str
    ) -> list[str]:
        ids: list[str] = []
        chunk: list[Outgoing] = []
        for item in items:
            own, body = _identified(kind, item)
            ids.append(own)
            chunk.append(message(topic, body, key=str(getattr(body, "entity_id")), source=source, id=own))  # noqa: B009
            if len(chunk) == CHUNK:
                await self._publisher.publish(*chunk)
                chunk.clear()
        if chunk:
            await self._publisher.publish(*chunk)
        return ids


def _identified(kind: type[M], item: M | Mapping[str, Any] | Identified[M]) -> Identified[M]:
    if isinstance(item, tuple):
        return item
    if isinstance(item, kind):
        return str(uuid4()), item
    if not isinstance(item, Mapping):
        text = f"Expected a {kind.__name__} or a mapping with its fields, not {type(item).__name__}."
        raise RefusedError(text)
    fields = dict(item)
    own = fields.pop("id", None)
    try:
        return str(uuid4() if own is None else own), kind.model_validate(fields)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        text = f"This is no {kind.__name__}: {faults}."
        raise RefusedError(text) from None


def _predictions(records: Sequence[Record], model: str | None) -> list[Prediction]:
    found = []
    for record in records:
        if header(record.headers, "ce_type") != Prediction.ce_type or record.value is None:
            continue  # a tick
        if model is not None and header(record.headers, "model") not in (None, model):
            continue
        try:
            prediction = decode(Prediction, record.value)
        except RefusedRecordError:
            continue  # not written by the platform
        if model in (None, prediction.model):
            found.append(prediction)
    return found
