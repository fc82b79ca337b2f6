"""Answers of the HTTP side, and what becomes of what is raised."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from services.ingestion import problems
from services.ingestion.bodies import JSON
from services.ingestion.problems import MEDIA_TYPE, Problem, ProblemError

V2: Final = "/v2"


def json_answer(status: int, body: Mapping[str, Any]) -> Response:
    """``body`` as JSON."""
    return Response(msgspec.json.encode(body), status, media_type=JSON)


def problem_answer(problem: Problem, path: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem document. Clients of the Open Inference Protocol look for ``error``, so below /v2 it stands there too."""
    document = problem.document()
    if path == V2 or path.startswith(f"{V2}/"):
        document["error"] = problem.detail
    content = msgspec.json.encode(document)
    return Response(content, problem.status, headers={**problem.headers, **(headers or {})}, media_type=MEDIA_TYPE)


async def _on_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return problem_answer(error.problem, request.url.path)


async def _on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return problem_answer(problems.plain(error.status_code, error.detail), request.url.path, error.headers)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    del request, error
    return Response(status_code=400)  # nobody reads it


async def _on_error(request: Request, error: Exception) -> Response:
    del error  # Starlette raises it again, so that it is logged
    found = problems.plain(500, "An error on our side; nothing is known of the record. Retry with the same id.")
    return problem_answer(found, request.url.path)


EXCEPTION_HANDLERS: Final[Mapping[Any, ExceptionHandler]] = {
    ProblemError: _on_problem,
    HTTPException: _on_http,
    ClientDisconnect: _on_disconnect,
    Exception: _on_error,
}
