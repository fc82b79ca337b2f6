"""The HTTP side: which address takes what, and how answers look. See `openapi` for the description that clients get."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.reasons import RefusedRecordError
from schemas.topics import EDGE_RECORD_BYTES
from services.ingestion import problems
from services.ingestion.attributes import from_headers
from services.ingestion.bodies import JSON, NDJSON, STRUCTURED, content_type, read_body
from services.ingestion.edge import Answer, Edge, Origin
from services.ingestion.in_flight import InFlight, OverloadedError
from services.ingestion.judging import EVENTS, LABELS, Kind, Refused, Submission
from services.ingestion.openapi import BATCH_BYTES, document
from services.ingestion.problems import MEDIA_TYPE, Problem, ProblemError
from services.ingestion.settings import IngestionSettings
from services.ingestion.tokens import Permission, permission
from shared.health import Health

Endpoint = Callable[[Request], Awaitable[Response]]
_OPENAPI: Final = msgspec.json.encode(document())


def routes(settings: IngestionSettings, *, edge: Edge, in_flight: InFlight, health: Health) -> Starlette:
    """The ASGI application. Until all gates of ``health`` are open, records are answered 503."""

    def records(
        kind: Kind, take: Callable[[Request, Kind, bytes, Permission], Awaitable[Response]], limit: int
    ) -> Endpoint:
        accepted = NDJSON if limit == BATCH_BYTES else (JSON, STRUCTURED)

        async def endpoint(request: Request) -> Response:
            permitted = permission(settings.tokens, request.headers.get("authorization"))
            if permitted is None:
                raise ProblemError(problems.unauthorised())
            if health.missing:
                raise ProblemError(problems.busy(f"Not ready: waiting for {', '.join(health.missing)}."))
            content_type(request, *accepted)
            try:
                reservation = in_flight.open()
            except OverloadedError as error:
                raise ProblemError(problems.busy(f"{error} Try again in a second.")) from None
            with reservation:
                body = await read_body(request, reservation, limit=limit, seconds=settings.body_seconds)
                return await take(request, kind, body, permitted)

        return endpoint

    async def one(request: Request, kind: Kind, body: bytes, permitted: Permission) -> Response:
        structured = content_type(request, JSON, STRUCTURED) == STRUCTURED
        [answer] = await edge.submit([Submission(body, structured)], kind, permitted, _origin(request))
        return _problem(answer) if isinstance(answer, Problem) else _json(202, answer.document())

    async def batch(request: Request, kind: Kind, body: bytes, permitted: Permission) -> Response:
        lines = [line for each in body.split(b"\n") if (line := each.strip(b" \t\r"))]
        if not lines:
            raise ProblemError(problems.empty())
        origin = _origin(request, without=("id",))  # one id cannot stand for many records
        answers = await edge.submit([Submission(line) for line in lines], kind, permitted, origin)
        refused = any(isinstance(answer, Problem) for answer in answers)
        content = b"".join(_line(number, answer) for number, answer in enumerate(answers, start=1))
        return Response(content, 207 if refused else 202, media_type=NDJSON[0])

    async def description(request: Request) -> Response:
        del request
        return Response(_OPENAPI, media_type=JSON)

    return Starlette(
        routes=[
            Route("/v1/events", records(EVENTS, one, EDGE_RECORD_BYTES), methods=["POST"]),
            Route("/v1/labels", records(LABELS, one, EDGE_RECORD_BYTES), methods=["POST"]),
            Route("/v1/events:batch", records(EVENTS, batch, BATCH_BYTES), methods=["POST"]),
            Route("/v1/labels:batch", records(LABELS, batch, BATCH_BYTES), methods=["POST"]),
            Route("/openapi.json", description, methods=["GET"]),
        ],
        exception_handlers={
            ProblemError: _on_problem,
            HTTPException: _on_http,
            ClientDisconnect: _on_disconnect,
            Exception: _on_error,
        },
    )


def _origin(request: Request, without: tuple[str, ...] = ()) -> Origin:
    try:
        attributes = from_headers(request.headers.items())
    except RefusedRecordError as error:
        raise ProblemError(problems.refused(Refused(error.reasons))) from None
    kept = {name: value for name, value in attributes.items() if name not in without}
    return Origin(kept, request.headers.get("traceparent"))


def _line(number: int, answer: Answer) -> bytes:
    status = answer.status if isinstance(answer, Problem) else 202
    return msgspec.json.encode({"line": number, "status": status, **answer.document()}) + b"\n"


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)


def _problem(problem: Problem) -> Response:
    content = msgspec.json.encode(problem.document())
    return Response(content, problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE)


async def _on_problem(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, ProblemError):
        raise error
    return _problem(error.problem)


async def _on_http(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, HTTPException):
        raise error
    found = problems.plain(error.status_code, error.detail)
    return Response(
        msgspec.json.encode(found.document()), found.status, headers=dict(error.headers or {}), media_type=MEDIA_TYPE
    )


async def _on_disconnect(request: Request, error: Exception) -> Response:
    del request, error
    return Response(status_code=400)  # nobody reads it


async def _on_error(request: Request, error: Exception) -> Response:
    del request, error  # Starlette raises it again, so that it is logged
    return _problem(
        problems.plain(500, "An error on our side; nothing is known of the record. Retry with the same id.")
    )
