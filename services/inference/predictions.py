"""Predictions as bytes: msgspec writes on the hot path what `schemas.events.inference.Prediction` declares.

A contract test decodes every kind with the contract. The body of the event's features is passed through as it stands.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec.structs import replace

from schemas.envelope import JSON, SPECVERSION, format_time
from schemas.events.inference import Prediction
from schemas.topics import PREDICTIONS
from services.inference.decoding import EventToScore
from services.inference.errors import ScoringError
from services.inference.outputs import Answer, ClassOutputs, ValueOutputs
from services.inference.serving_plan import Slot
from shared.records import Outgoing

SOURCE: Final = "headrace/inference"
_ERROR_CHARACTERS: Final = 500
_TRACEPARENT_BYTES: Final = 55
_encode: Final = msgspec.json.Encoder().encode


class TimingBody(msgspec.Struct, frozen=True, gc=False):
    """`schemas.events.inference.Timing`."""

    queue_ms: float
    inference_ms: float


class PredictionBody(msgspec.Struct, frozen=True, gc=False):
    """`schemas.events.inference.Prediction`, field by field in its order."""

    prediction_id: str
    event_id: str
    event_source: str
    entity_id: str
    feature_set: str
    model: str
    version: int
    route: str
    status: str
    error: str | None
    outputs: ClassOutputs | ValueOutputs | None
    features: msgspec.Raw
    occurred_at: datetime
    predicted_at: datetime
    timing: TimingBody


class PredictionIds:
    """`schemas.identities.prediction_id` for one model and slot, with the constant parts hashed in one go."""

    def __init__(self, model: str, slot: str) -> None:
        self._before: dict[str, bytes] = {}  # by source
        self._after = _prefixed(model) + _prefixed(slot)

    def __call__(self, source: str, event_id: str) -> str:
        """The identity of this slot's prediction of that event."""
        before = self._before.get(source)
        if before is None:
            if len(self._before) > 1000:  # noqa: PLR2004 - sources are few; a producer that invents them must not fill memory
                self._before.clear()
            before = self._before[source] = _prefixed("prediction") + _prefixed(source)
        encoded = event_id.encode()
        return sha256(before + len(encoded).to_bytes(4, "big") + encoded + self._after).hexdigest()[:32]


class PredictionWriter:
    """Writes the predictions of one slot. It does not hold the slot: its session must end when the plan lets it go."""

    def __init__(self, slot: Slot) -> None:
        self._model, self._version, self._route = slot.model, slot.version, slot.route
        self._id = PredictionIds(slot.model, slot.name)
        version = str(slot.version).encode()
        model, route = slot.model.encode(), slot.route.encode()
        self._headers = [
            ("ce_specversion", SPECVERSION.encode()),
            ("ce_source", SOURCE.encode()),
            ("ce_type", Prediction.ce_type.encode()),
            ("content-type", JSON.encode()),
            ("ce_model", model),
            ("ce_route", route),
            ("ce_version", version),
            ("model", model),
            ("version", version),
            ("route", route),
        ]

    def write(
        self, events: Sequence[EventToScore], answers: Sequence[Answer], at: datetime, started_ms: int, row_ms: float
    ) -> list[Outgoing]:
        """One record per event, keyed like it. ``started_ms``: when scoring began, epoch; ``row_ms``: a row's share of it."""
        identify, model, version, route = self._id, self._model, self._version, self._route
        headers = [*self._headers, ("ce_time", format_time(at).encode())]
        written = []
        error: str | None
        outputs: ClassOutputs | ValueOutputs | None
        for event, answer in zip(events, answers, strict=True):
            body, record, trace = event.body, event.record, event.traceparent
            if isinstance(answer, ScoringError):
                status, error, outputs = "failed", str(answer)[:_ERROR_CHARACTERS], None
            else:
                status, error, outputs = "ok", None, answer
            waited_ms = started_ms - record.timestamp
            prediction_id = identify(event.source, event.id)
            identity = prediction_id.encode()
            prediction = PredictionBody(
                prediction_id,
                event.id,
                event.source,
                body.entity_id,
                body.feature_set,
                model,
                version,
                route,
                status,
                error,
                outputs,
                body.features,
                body.occurred_at,
                at,
                TimingBody(waited_ms if waited_ms > 0 else 0.0, row_ms),
            )
            content = _encode(prediction)
            if len(content) > PREDICTIONS.max_body_bytes:  # written as it is, it would end every process that meets it
                content = _encode(replace(prediction, status="failed", error=_too_long(content), outputs=None))
            own = [("ce_id", identity), *headers]
            if trace is not None:
                own.append(("traceparent", continued(trace, identity)))
            written.append(Outgoing(PREDICTIONS, record.key, content, own))
        return written


def _too_long(content: bytes) -> str:
    most = PREDICTIONS.max_body_bytes
    return f"with its outputs the prediction takes {len(content)} bytes and its topic takes {most}: fewer classes are needed"


def continued(traceparent: bytes, prediction_id: bytes) -> bytes:
    """The trace's next step. Its span id comes from the prediction's identity, so a repeated batch repeats the span.

    A malformed trace is passed on as it is: it never refuses a record.
    """
    if len(traceparent) != _TRACEPARENT_BYTES:
        return traceparent
    return traceparent[:36] + prediction_id[:16] + traceparent[52:]


def _prefixed(part: str) -> bytes:
    encoded = part.encode()
    return len(encoded).to_bytes(4, "big") + encoded
