"""Responses of the Open Inference Protocol: a model's answers as tensors, or a sentence that says why there are none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from schemas.envelope import Envelope, encode_headers
from schemas.events.open_inference import InferenceResponse, ResponseStatus, Tensor
from schemas.identities import derived_id
from schemas.reasons import Reason, Rule, reason, shortened
from schemas.topics import INFERENCE_RESPONSES
from services.inference.outputs import ClassOutputs, ValueOutputs
from services.inference.predictions import SOURCE
from services.inference.request_rows import RequestError
from services.inference.requests import Request
from shared.records import Outgoing
from shared.tracing import child

ERROR_LIMIT: Final = 4000  # characters: an error may name what was sent
REASONS_LIMIT: Final = 50

Row = ClassOutputs | ValueOutputs


def tensors(rows: Sequence[Row], wanted: Sequence[str]) -> tuple[Tensor, ...]:
    """The outputs called ``wanted``, all of them where that is empty. Raises `RequestError` for a name that there is not."""
    found = {tensor.name: tensor for tensor in _all(rows)}
    unknown = [name for name in wanted if name not in found]
    if unknown:
        names = ", ".join(found)
        raise RequestError(
            f"there is no output {', '.join(unknown)}; this model gives {names}.",
            reason("outputs", Rule.EXTRA_FIELD, names, ", ".join(unknown)),
        )
    return tuple(found[name] for name in wanted or found)


def answered(request: Request, version: int, outputs: tuple[Tensor, ...], at: datetime) -> Outgoing:
    """The response with ``outputs``."""
    return _response(request, "ok", at, version=str(version), outputs=outputs)


def unanswered(request: Request, status: ResponseStatus, error: str, at: datetime) -> Outgoing:
    """The response that says why there are no outputs."""
    return _response(request, status, at, error=error)


def refused(request: Request, error: RequestError, at: datetime) -> Outgoing:
    """The response that says which rules the request breaks."""
    return _response(request, "refused", at, error=str(error), reasons=error.reasons)


def _response(
    request: Request, status: ResponseStatus, at: datetime, *, version: str | None = None,
    outputs: tuple[Tensor, ...] = (), error: str | None = None, reasons: tuple[Reason, ...] = (),
) -> Outgoing:  # fmt: skip
    asked, given = request.envelope, request.body.id if request.body is not None else None
    body = InferenceResponse(
        id=given,
        model_name=shortened(request.model),
        model_version=version,
        outputs=outputs,
        error=None if error is None else shortened(error, ERROR_LIMIT),
        reasons=reasons[:REASONS_LIMIT],
    )
    envelope = Envelope(
        derived_id("inference-response", asked.source, asked.id),
        SOURCE,
        InferenceResponse.ce_type,
        at,
        traceparent=None if asked.traceparent is None else child(asked.traceparent),
        extensions={"correlationid": asked.id, "requestsource": asked.source, "status": status},
    )
    left_out = None if reasons else {"reasons"}
    content = msgspec.json.encode(body.model_dump(mode="json", exclude_none=True, exclude=left_out))
    most = INFERENCE_RESPONSES.max_body_bytes
    if len(content) > most:
        text = (
            f"the answer takes {len(content)} bytes, and at most {most} travel; ask for fewer rows or outputs at once."
        )
        fault = reason("(response)", Rule.OUTPUT_TOO_LARGE, f"at most {most} bytes", f"{len(content)} bytes")
        return refused(request, RequestError(text, fault), at)
    return Outgoing(INFERENCE_RESPONSES, request.record.key, content, encode_headers(envelope))


def _all(rows: Sequence[Row]) -> list[Tensor]:
    count = len(rows)
    values = [row.value for row in rows if isinstance(row, ValueOutputs)]
    if values:
        return [Tensor(name="value", shape=(count,), datatype="FP64", data=tuple(values))]
    classes = [row for row in rows if isinstance(row, ClassOutputs)]
    labels = tuple(row.label for row in classes)
    datatype = "BOOL" if isinstance(labels[0], bool) else "INT64" if isinstance(labels[0], int) else "BYTES"
    found = [Tensor(name="label", shape=(count,), datatype=datatype, data=labels)]
    if classes[0].probabilities is not None:
        found.append(Tensor(name="score", shape=(count,), datatype="FP64", data=tuple(row.score for row in classes)))
        flat = tuple(value for row in classes for value in row.probabilities or ())
        shape = (count, len(classes[0].probabilities))
        found.append(Tensor(name="probabilities", shape=shape, datatype="FP64", data=flat))
    return found
