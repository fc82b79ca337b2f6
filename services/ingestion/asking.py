"""A request of the Open Inference Protocol, put on the stream and answered from it; what goes wrong becomes a problem."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Protocol

from schemas.envelope import Envelope
from schemas.events.contract import decode
from schemas.events.open_inference import InferenceRequest, InferenceResponse
from schemas.reasons import RefusedRecordError, Rule, reason
from services.ingestion import problems
from services.ingestion.attributes import envelope_of
from services.ingestion.definitions import Definitions
from services.ingestion.edge import Origin
from services.ingestion.judging import Refused
from services.ingestion.problems import Problem, ProblemError
from services.ingestion.served import ServedModels
from services.ingestion.settings import IngestionSettings
from services.ingestion.tokens import Permission
from shared import tracing
from shared.clock import Clock
from shared.errors import PermanentError, TransientError, UnansweredError

LONGEST_SECONDS: Final = 60.0  # that a client may wait
KEY_BYTES: Final = 1000  # inference repeats a key, and takes no longer one
COUNTED: Final = "inference"
_KEY: Final = "partitionkey"
_POLL_SECONDS: Final = 0.02


class Reply(Protocol):
    """What inference answered."""

    @property
    def status(self) -> str:
        """ok, refused, expired or failed."""
        ...

    @property
    def body(self) -> bytes:
        """The protocol's response."""
        ...

    def response(self) -> InferenceResponse:
        """The same, decoded."""
        ...


class Ask(Protocol):
    """Asks on the stream. Raises `UnansweredError` past ``seconds``, `TransientError` and `PermanentError` of the broker."""

    async def __call__(
        self, model: str, body: bytes, *, key: str, seconds: float, source: str, traceparent: str
    ) -> Reply:
        """The reply."""
        ...


class Asking:
    """One for the process. ``count(kind, status)`` is told every answer."""

    def __init__(
        self,
        settings: IngestionSettings,
        *,
        served: ServedModels,
        definitions: Definitions,
        ask: Ask,
        clock: Clock,
        count: Callable[[str, int], None],
    ) -> None:
        self._settings = settings
        self._served = served
        self._definitions = definitions
        self._ask = ask
        self._clock = clock
        self._count = count

    async def infer(
        self, model: str, body: bytes, permission: Permission, origin: Origin, timeout_header: str | None
    ) -> bytes:
        """The protocol's response to ``body``, as inference wrote it. Raises `ProblemError`."""
        try:
            found = await self._infer(model, body, permission, origin, timeout_header)
        except ProblemError as error:
            self._count(COUNTED, error.problem.status)
            raise
        self._count(COUNTED, 200)
        return found

    async def metadata(self, model: str) -> dict[str, Any]:
        """The protocol's description of ``model``. Raises `ProblemError`."""
        await self._known(model)
        try:
            feature_set = self._definitions.checked_set(self._served.feature_set(model)).feature_set
        except RefusedRecordError:
            raise ProblemError(problems.busy(f"The FeatureSet of {model} has not arrived yet.")) from None
        found = self._served.metadata(model, feature_set)
        if found is None:
            raise ProblemError(problems.busy(f"The candidate of {model} has not arrived yet."))
        return found.document()

    async def ready(self, model: str) -> None:
        """Returns where ``model`` has a champion and a process of inference says that it is ready. Raises `ProblemError`."""
        await self._known(model)
        self.inference_ready()

    def inference_ready(self) -> None:
        """Returns where a process of inference says that it is ready. Raises `ProblemError`."""
        if not self._served.inference_ready():
            raise ProblemError(problems.busy("No process of inference says that it is ready."))

    async def _infer(
        self, model: str, body: bytes, permission: Permission, origin: Origin, timeout_header: str | None
    ) -> bytes:
        try:
            seconds = self._seconds(timeout_header)
            envelope, key = _envelope(origin, permission.default_source(self._settings.source))
            decode(InferenceRequest, body)  # for inference to read; what is no request needs not travel
        except RefusedRecordError as error:
            raise ProblemError(problems.refused(Refused(error.reasons))) from None
        if not permission.allows(envelope.source):
            raise ProblemError(problems.forbidden(envelope.source))
        await self._known(model)
        trace = envelope.traceparent or tracing.child(None)
        try:
            reply = await self._ask(model, body, key=key, seconds=seconds, source=envelope.source, traceparent=trace)
        except UnansweredError as error:
            raise ProblemError(problems.unanswered(str(error))) from error
        except TransientError as error:
            raise ProblemError(problems.unknown_outcome(str(error))) from error
        except PermanentError as error:
            raise ProblemError(problems.broker_refused(str(error))) from error
        if reply.status != "ok":
            raise ProblemError(_problem(reply))
        return reply.body

    def _seconds(self, text: str | None) -> float:
        if text is None:
            return self._settings.v2_seconds
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= LONGEST_SECONDS:
            _bad_header("request-timeout", f"seconds above 0, at most {LONGEST_SECONDS:g}", text)
        return seconds

    async def _known(self, model: str) -> None:
        """Right after a promotion its deployment may still be on its way to this process."""
        deadline = self._clock.monotonic() + self._settings.definition_seconds
        while not self._served.deployed(model):
            if self._clock.monotonic() >= deadline:
                raise ProblemError(problems.unknown_model(f"No model {model} is deployed.", ()))
            await asyncio.sleep(_POLL_SECONDS)


def _envelope(origin: Origin, source: str) -> tuple[Envelope, str]:
    """Who asks, and the record's key. The id is the stream's own: the protocol's id stands in the body."""
    attributes: Mapping[str, Any] = {name: value for name, value in origin.attributes.items() if name != "id"}
    trace = tracing.child(origin.traceparent)
    envelope = envelope_of(attributes, kind=InferenceRequest.ce_type, source=source, trace=trace)
    for name, value in envelope.extensions.items():
        if name != _KEY:
            _bad_header(f"ce_{name}", f"ce-{_KEY} alone: no other extension travels with a request", value)
    key = envelope.extensions.get(_KEY, envelope.id)
    if not 0 < len(key.encode()) <= KEY_BYTES:
        _bad_header(f"ce_{_KEY}", f"1 to {KEY_BYTES} bytes", f"{len(key.encode())} bytes")
    return envelope, key


def _bad_header(name: str, expected: str, observed: str) -> NoReturn:
    raise RefusedRecordError((reason(f"headers.{name}", Rule.BAD_HEADER, expected, observed),))


def _problem(reply: Reply) -> Problem:
    response = reply.response()
    detail = response.error or f"Inference answered {reply.status}."
    if reply.status == "expired":
        return problems.unanswered(detail)
    if reply.status != "refused":
        return problems.model_failed(detail)
    if response.reasons and response.reasons[0].rule == Rule.UNKNOWN_MODEL:
        return problems.unknown_model(detail, response.reasons)
    return problems.request_refused(detail, response.reasons)
