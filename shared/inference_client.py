"""Asks models over the stream, and waits for their answers.

>>> async with InferenceClient(source="shop") as client:                       # doctest: +SKIP
...     answer = await client.infer("churn", [{"visits": 3, "plan": "basic"}], key="customer-7", seconds=0.5)
...     print(answer.outputs)
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Protocol, Self
from uuid import uuid4

import msgspec

from schemas.envelope import Envelope, encode_headers, format_time, header
from schemas.events.contract import decode, encode
from schemas.events.open_inference import Datatype, InferenceRequest, InferenceResponse, RequestedOutput, Tensor
from schemas.topics import INFERENCE_REQUESTS, INFERENCE_RESPONSES
from shared.clock import Clock, SystemClock
from shared.errors import OutcomeUnknownError, PermanentError, RefusedError, TransientError, UnansweredError
from shared.health import Health
from shared.publishing import Publisher
from shared.records import Outgoing, Record
from shared.settings import PlatformSettings, load
from shared.tables import Table

GRACE_SECONDS: Final = 0.5  # beyond the deadline, for the word that it was missed
DRAIN_SECONDS: Final = 1.0  # for what is being answered while the client is left


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What inference answered: ``status`` as in `schemas.events.open_inference`, and the bytes of an `InferenceResponse`."""

    status: str
    body: bytes

    def response(self) -> InferenceResponse:
        """The body, decoded. Raises `RefusedRecordError`."""
        return decode(InferenceResponse, self.body)


class Publish(Protocol):
    """As `Publisher.publish`."""

    async def __call__(self, *outgoing: Outgoing) -> Sequence[Any]:
        """Where the records stand."""
        ...


class InferenceClient:
    """A component; any number of requests may wait at once. It follows all responses from their end, in no group, and keeps its
    own: so any number of clients work side by side.
    """

    name = "inference client"

    def __init__(
        self,
        settings: PlatformSettings | None = None,
        *,
        source: str = "headrace/client",
        clock: Clock | None = None,
        publish: Publish | None = None,
        health: Health | None = None,
    ) -> None:
        """Nothing is opened before it is entered. ``publish`` None: it has a publisher of its own. ``health`` has a gate until
        responses can be seen, and fails where they cannot be followed any more. Raises `ConfigurationError`.
        """
        settings = settings or load(PlatformSettings)
        self._source = source
        self._clock = clock or SystemClock()
        responses = Table(
            settings, INFERENCE_RESPONSES, apply=self.take, name="responses", health=health, from_beginning=False
        )
        self._parts: list[AbstractAsyncContextManager[Any]] = [responses]
        if publish is None:
            publisher = Publisher(settings)
            self._parts.insert(0, publisher)
            publish = publisher.publish
        self._publish: Publish = publish
        self._waiting: dict[tuple[str, str], asyncio.Future[Reply]] = {}  # by source and id of the request
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entered:
            for part in self._parts:
                await entered.enter_async_context(part)
            self._entered = entered.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()), timeout=DRAIN_SECONDS)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(TransientError("The client was closed before an answer came; ask again."))
        await self._entered.aclose()

    async def infer(
        self,
        model: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        key: str,
        seconds: float = 1.0,
        outputs: Sequence[str] = (),
    ) -> InferenceResponse:
        """The answer for ``rows`` of features (without derived ones), within ``seconds``; ``key`` is the entity.

        Raises `UnansweredError` past the deadline, `RefusedError` for a request that breaks a rule, `PermanentError` where the
        model failed, and what `Publisher.publish` raises. The clocks of client and service should agree.
        """
        body = InferenceRequest(
            id=str(uuid4()), inputs=tensors_of(rows), outputs=tuple(RequestedOutput(name=name) for name in outputs)
        )
        reply = await self.ask(model, encode(body), key=key, seconds=seconds)
        return _checked(reply.response(), reply.status)

    async def ask(
        self,
        model: str,
        body: bytes,
        *,
        key: str,
        seconds: float,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> Reply:
        """What is answered within ``seconds`` to ``body``, the bytes of an `InferenceRequest`. ``source`` None: the client's.

        Raises `UnansweredError` where nothing came, `OutcomeUnknownError` where Kafka acknowledged nothing in that time,
        `TransientError` where the client is left meanwhile, and what
        `Publisher.publish` raises. To be cancelled is to wait no longer.
        """
        identity, now = str(uuid4()), self._clock.now()
        envelope = Envelope(
            id=identity,
            source=source or self._source,
            type=InferenceRequest.ce_type,
            time=now,
            traceparent=traceparent,
            extensions={"model": model, "deadline": format_time(now + timedelta(seconds=seconds))},
        )
        place = (envelope.source, identity)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[place] = answer
        acknowledged = False
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                await self._publish(Outgoing(INFERENCE_REQUESTS, key.encode(), body, encode_headers(envelope)))
                acknowledged = True
                return await answer
        except TimeoutError:
            if not acknowledged:
                text = f"Kafka did not acknowledge the request within {seconds:g} s: whether it will be answered is unknown; ask again."
                raise OutcomeUnknownError(text) from None
            text = f"{model} did not answer within {seconds:g} s: is inference running, and is {model} deployed?"
            raise UnansweredError(text) from None
        finally:
            del self._waiting[place]

    def take(self, record: Record) -> None:
        """A record of inference.responses; those that nobody here waits for are passed over."""
        place = (header(record.headers, "ce_requestsource") or "", header(record.headers, "ce_correlationid") or "")
        answer = self._waiting.get(place)
        if answer is not None and not answer.done():
            answer.set_result(Reply(header(record.headers, "ce_status") or "", record.value or b""))


def tensors_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    """One tensor per feature; a feature that a row lacks is null there. Raises `RefusedError` for what has no datatype."""
    names = dict.fromkeys(name for row in rows for name in row)
    return tuple(_tensor(name, [row.get(name) for row in rows]) for name in names)


def _tensor(name: str, values: list[Any]) -> Tensor:
    kinds = {type(value) for value in values if value is not None}
    datatypes: list[tuple[set[type], Datatype]] = [
        (set(), "BYTES"),
        ({bool}, "BOOL"),
        ({int}, "INT64"),
        ({float, int}, "FP64"),
        ({str}, "BYTES"),
    ]
    found = next((datatype for accepted, datatype in datatypes if kinds <= accepted), None)
    if found is None:
        named = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise RefusedError(f"feature {name} holds {named}; a tensor holds booleans, integers, floats or text.")
    return Tensor(name=name, shape=(len(values),), datatype=found, data=tuple(values))


def _checked(answer: InferenceResponse, status: str) -> InferenceResponse:
    text = f"{answer.model_name}: {answer.error}"
    if status == "expired":
        raise UnansweredError(text)
    if status == "refused":
        raise RefusedError(text)
    if status != "ok":
        raise PermanentError(text)
    return answer
