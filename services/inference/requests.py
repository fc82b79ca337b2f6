"""What stands on inference.requests: who asks, for which model, until when, and the body of the Open Inference Protocol."""

from datetime import datetime
from typing import Final

import msgspec

from schemas.envelope import Envelope, decode_headers, parse_time
from schemas.events.contract import decode
from schemas.events.open_inference import InferenceRequest
from schemas.reasons import RefusedRecordError, Rule, reason
from services.inference.request_rows import RequestError
from shared.records import Record

ECHO_LIMIT: Final = 1000  # bytes of the key, characters of the id: a response repeats them, and must fit its topic
MODEL: Final = "model"
DEADLINE: Final = "deadline"


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request whose sender can be answered. ``fault`` says why it cannot be read; then it has no body."""

    position: int  # in the batch
    record: Record
    envelope: Envelope
    model: str
    deadline: datetime | None = None
    body: InferenceRequest | None = None
    fault: RequestError | None = None


def read_request(record: Record, position: int) -> Request:
    """The request that ``record`` is. Raises `RefusedRecordError` where nobody could be answered: no envelope, no key or
    an endless one; and for any other type: what clients write on inference.requests must not pass for a validated event.
    """
    envelope = decode_headers(record.headers)
    if envelope.type != InferenceRequest.ce_type:
        raise RefusedRecordError(
            (reason("headers.ce_type", Rule.UNKNOWN_TYPE, InferenceRequest.ce_type, envelope.type),)
        )
    if not record.key:
        raise RefusedRecordError((reason("key", Rule.MISSING_KEY, "the request key", "absent"),))
    if len(record.key) > ECHO_LIMIT:
        raise RefusedRecordError(
            (reason("key", Rule.TOO_LARGE, f"at most {ECHO_LIMIT} bytes", f"{len(record.key)} bytes"),)
        )
    model = envelope.extensions.get(MODEL, "")
    try:
        deadline, body = _deadline(envelope), _body(record)
    except RequestError as error:
        return Request(position, record, envelope, model, fault=error)
    return Request(position, record, envelope, model, deadline, body)


def _deadline(envelope: Envelope) -> datetime | None:
    text = envelope.extensions.get(DEADLINE)
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise RequestError(
            f"ce_{DEADLINE}: {error}; send RFC 3339 with an offset.",
            reason(f"headers.ce_{DEADLINE}", Rule.TIME_FORMAT, "RFC 3339 with offset", text),
        ) from None


def _body(record: Record) -> InferenceRequest:
    if record.value is None:
        raise RequestError(
            "the record has no body; send an inference request.", reason("(record)", Rule.EMPTY, "a body", "nothing")
        )
    try:
        body = decode(InferenceRequest, record.value)
    except RefusedRecordError as error:
        faults = "; ".join(f"{each.field}: {each.expected}, observed {each.observed}" for each in error.reasons)
        raise RequestError(f"the body is no inference request: {faults}.", *error.reasons) from None
    if body.id is not None and len(body.id) > ECHO_LIMIT:
        raise RequestError(
            f"the id has {len(body.id)} characters; send at most {ECHO_LIMIT}.",
            reason("id", Rule.TOO_LARGE, f"at most {ECHO_LIMIT} characters", f"{len(body.id)} characters"),
        )
    return body
