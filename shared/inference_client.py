"""Asks models over the stream, and waits for their answers.

>>> async with InferenceClient(source="shop") as client:                       # doctest: +SKIP
...     answer = await client.infer("churn", [{"visits": 3, "plan": "basic"}], key="customer-7", seconds=0.5)
...     print(answer.outputs)
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from schemas.envelope import format_time, header
from schemas.events.contract import decode
from schemas.events.open_inference import Datatype, InferenceRequest, InferenceResponse, RequestedOutput, Tensor
from schemas.topics import INFERENCE_REQUESTS, INFERENCE_RESPONSES
from shared.clock import Clock, SystemClock
from shared.errors import PermanentError, RefusedError, TransientError
from shared.publishing import Publisher
from shared.records import Record, message
from shared.settings import PlatformSettings, load
from shared.tables import follow

GRACE_SECONDS = 0.5  # beyond the deadline, for the word that it was missed


class UnansweredError(TransientError):
    """The deadline passed: the request was not scored in time, or its answer did not come."""


class InferenceClient:
    """A component; any number of requests may wait at once. It reads all responses and keeps its own."""

    def __init__(
        self, settings: PlatformSettings | None = None, *, source: str = "headrace/client", clock: Clock | None = None
    ) -> None:
        """Nothing is opened before it is entered. Raises `ConfigurationError`."""
        self._settings = settings or load(PlatformSettings)
        self._source = source
        self._clock = clock or SystemClock()
        self._publisher = Publisher(self._settings)
        self._waiting: dict[str, asyncio.Future[InferenceResponse]] = {}
        self._statuses: dict[str, str] = {}
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._publisher.start()
        in_position = asyncio.Event()
        self._reading = asyncio.create_task(self._read(in_position), name="inference responses")
        positioned = asyncio.create_task(in_position.wait())
        await asyncio.wait([positioned, self._reading], return_when=asyncio.FIRST_COMPLETED)
        if not in_position.is_set():
            positioned.cancel()
            await self._publisher.stop()
            await self._reading  # raises why it ended
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        await self._publisher.stop()

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
        identity = str(uuid4())
        body = InferenceRequest(
            id=identity, inputs=tensors_of(rows), outputs=tuple(RequestedOutput(name=name) for name in outputs)
        )
        now = self._clock.now()
        extensions = {"model": model, "deadline": format_time(now + timedelta(seconds=seconds))}
        asked = message(
            INFERENCE_REQUESTS, body, key=key, source=self._source, id=identity, time=now, extensions=extensions
        )
        answer = self._waiting[identity] = asyncio.get_running_loop().create_future()
        try:
            await self._publisher.publish(asked)
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                return _checked(await answer, self._statuses.pop(identity))
        except TimeoutError:
            text = f"{model} did not answer within {seconds:g} s: is inference running, and is {model} deployed?"
            raise UnansweredError(text) from None
        finally:
            del self._waiting[identity]
            self._statuses.pop(identity, None)

    async def _read(self, in_position: asyncio.Event) -> None:
        async with contextlib.aclosing(follow(self._settings, INFERENCE_RESPONSES, from_beginning=False)) as batches:
            async for records in batches:
                in_position.set()
                for record in records:
                    self._take(record)

    def _take(self, record: Record) -> None:
        identity = header(record.headers, "ce_correlationid") or ""
        answer = self._waiting.get(identity)
        if answer is not None and not answer.done() and header(record.headers, "ce_requestsource") == self._source:
            self._statuses[identity] = header(record.headers, "ce_status") or ""
            answer.set_result(decode(InferenceResponse, record.value or b""))


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
