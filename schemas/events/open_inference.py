"""Requests and responses on the stream: bodies of the Open Inference Protocol V2, attributes in the envelope.

Source: Open Inference Protocol V2, REST, “Inference Request/Response JSON Object”. What the protocol puts into the address
stands in headers: a request's ``ce_model``, and optionally ``ce_deadline`` (RFC 3339), after which nobody wants the answer. A
response's ``ce_correlationid`` is the request's ``ce_id``; ``ce_status`` is ok, refused, expired or failed.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schemas.events.contract import Contract
from schemas.reasons import Reason

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
Parameters = dict[str, Any] | None
ResponseStatus = Literal["ok", "refused", "expired", "failed"]


class Tensor(Contract):
    """``data`` in row-major order, flat or nested like ``shape``; BYTES are strings. In a request null is a missing value."""

    name: str
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    datatype: Datatype
    data: tuple[Any, ...]
    parameters: Parameters = None


class RequestedOutput(Contract):
    """An output that is wanted; without any, all are."""

    name: str
    parameters: Parameters = None


class InferenceRequest(Contract):
    """One input per feature that producers send, named like it, of shape [rows] or [rows, 1]; derived features are computed.

    Header ``ce_model`` names the model; the record's key is the entity that decides between champion and canary.
    """

    ce_type: ClassVar[str] = "headrace.inference-request.v1"

    id: str | None = None
    parameters: Parameters = None
    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()


class InferenceResponse(Contract):
    """Outputs ``label``, ``score`` and ``probabilities``, or ``value``; or ``error``, a sentence that says what to do.

    A refusal has ``reasons`` besides, the first 50: the same, for programs. Key and partition are the request's.
    """

    ce_type: ClassVar[str] = "headrace.inference-response.v1"

    id: str | None = None
    model_name: str
    model_version: str | None = None
    parameters: Parameters = None
    outputs: tuple[Tensor, ...] = ()
    error: str | None = None
    reasons: tuple[Reason, ...] = ()
