"""Errors as RFC 9457 problem documents, and which rule answers with which status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from schemas.reasons import Reason, RefusedRecordError, Rule, reason
from services.ingestion.judging import Refused

MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final = {
    Rule.EMPTY: HTTPStatus.BAD_REQUEST,
    Rule.ENCODING: HTTPStatus.BAD_REQUEST,
    Rule.JSON_SYNTAX: HTTPStatus.BAD_REQUEST,
    Rule.TRAILING_DATA: HTTPStatus.BAD_REQUEST,
    Rule.BAD_HEADER: HTTPStatus.BAD_REQUEST,
    Rule.TOO_MANY_HEADERS: HTTPStatus.BAD_REQUEST,
    Rule.MISSING_HEADER: HTTPStatus.BAD_REQUEST,
    Rule.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Rule.CONTENT_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is told to a client. ``slug`` is for programs, ``title`` and ``detail`` for people."""

    status: int
    slug: str
    title: str
    detail: str
    reasons: Sequence[Reason] = ()
    id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The body; members without a value are left out."""
        found: dict[str, Any] = {
            "type": f"urn:headrace:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.id is not None:
            found["id"] = self.id
        if self.reasons:
            found["reasons"] = [each.model_dump() for each in self.reasons]
        return found


class ProblemError(Exception):
    """A request that ends in a problem document."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


def status_of(reasons: Sequence[Reason]) -> int:
    """The status that answers these reasons: that of the first, which is what the reader met first. 422 if none is special."""
    return int(_STATUS.get(Rule(reasons[0].rule), HTTPStatus.UNPROCESSABLE_ENTITY))


def refused(verdict: Refused) -> Problem:
    """A record that breaks rules."""
    detail = str(RefusedRecordError(verdict.reasons))
    status = status_of(verdict.reasons)
    return Problem(status, "refused", "The record was refused", detail, verdict.reasons, verdict.id)


def too_large(limit: int) -> Problem:
    """More bytes than are taken; nothing was parsed."""
    found = reason("(record)", Rule.TOO_LARGE, f"at most {limit} bytes", "more")
    detail = f"The body has more than {limit} bytes."
    closing = {"connection": "close"}  # the rest of the body is not read
    return Problem(413, "too-large", "The body is too large", detail, (found,), headers=closing)


def unsupported(field_name: str, expected: str, observed: str) -> Problem:
    """A content type or encoding that is not taken."""
    found = reason(f"headers.{field_name}", Rule.CONTENT_TYPE, expected, observed)
    detail = f"{field_name} must be {expected}, not {observed or 'absent'}."
    return Problem(415, "unsupported", "The content is not supported", detail, (found,))


def empty() -> Problem:
    """A body without a record."""
    found = reason("(record)", Rule.EMPTY, "at least one record", "nothing")
    return Problem(400, "refused", "The body is empty", "The body holds no record.", (found,))


def unknown_outcome(detail: str, identity: str | None = None) -> Problem:
    """The broker did not answer in time: it may have the records or not."""
    return Problem(503, "outcome-unknown", "Outcome unknown", detail, id=identity, headers={"retry-after": "1"})


def busy(detail: str) -> Problem:
    """Back-pressure: nothing was written."""
    return Problem(503, "busy", "Too busy", detail, headers={"retry-after": "1", "connection": "close"})


def slow_body(seconds: float) -> Problem:
    """The client did not finish its body."""
    detail = f"The body did not arrive within {seconds:g} s."
    return Problem(408, "slow-body", "The body took too long", detail, headers={"connection": "close"})


def unauthorised() -> Problem:
    """No token, or one that nobody knows."""
    detail = "A known bearer token is needed in the Authorization header."
    return Problem(401, "unauthorised", "Who are you?", detail, headers={"www-authenticate": "Bearer"})


def forbidden(source: str, identity: str | None = None) -> Problem:
    """A source that the token may not speak for."""
    return Problem(403, "forbidden-source", "Not your source", f"This token may not send as {source}.", id=identity)


def broker_refused(detail: str) -> Problem:
    """Kafka said no for good: a matter for whoever runs the platform."""
    return Problem(502, "broker-refused", "Kafka refused the record", detail)


def request_refused(detail: str, reasons: Sequence[Reason]) -> Problem:
    """A request that breaks rules of the model's FeatureSet; an older inference gives a sentence alone."""
    status = status_of(reasons) if reasons else int(HTTPStatus.UNPROCESSABLE_ENTITY)
    return Problem(status, "refused", "The request was refused", detail, reasons)


def unknown_model(detail: str, reasons: Sequence[Reason]) -> Problem:
    """Nothing is served under that name."""
    return Problem(404, "unknown-model", "Unknown model", detail, reasons)


def model_failed(detail: str) -> Problem:
    """The model broke on what it was asked."""
    return Problem(500, "model-failed", "The model failed", detail)


def unanswered(detail: str) -> Problem:
    """The deadline passed; an answer that comes later goes nowhere."""
    return Problem(504, "unanswered", "No answer in time", detail)


def plain(status: int, detail: str) -> Problem:
    """A problem of HTTP itself: unknown path, wrong method, or an error of ours."""
    return Problem(status, f"http-{status}", HTTPStatus(status).phrase, detail or HTTPStatus(status).phrase)
