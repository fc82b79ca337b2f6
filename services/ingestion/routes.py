"""The HTTP side: which address takes what, and how answers look. See `openapi` for the description that clients get."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.topics import EDGE_RECORD_BYTES
from services.ingestion import problems
from services.ingestion.admission import Admission
from services.ingestion.answers import EXCEPTION_HANDLERS, json_answer, problem_answer
from services.ingestion.bodies import JSON, NDJSON, STRUCTURED, content_type
from services.ingestion.edge import Answer, Edge
from services.ingestion.judging import EVENTS, LABELS, Kind, Submission
from services.ingestion.openapi import BATCH_BYTES, document
from services.ingestion.origins import origin_of
from services.ingestion.problems import Problem, ProblemError
from services.ingestion.tokens import Permission

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(*, edge: Edge, admission: Admission, v2: Sequence[Route] = ()) -> Starlette:
    """The ASGI application. Until all gates are open, records are answered 503. ``v2``: the Open Inference Protocol's."""

    def records(
        kind: Kind, take: Callable[[Request, Kind, bytes, Permission], Awaitable[Response]], limit: int
    ) -> Endpoint:
        accepted = NDJSON if limit == BATCH_BYTES else (JSON, STRUCTURED)

        async def endpoint(request: Request) -> Response:
            permitted = admission.permitted(request)
            content_type(request, *accepted)
            async with admission.body(request, limit=limit) as body:
                return await take(request, kind, body, permitted)

        return endpoint

    async def one(request: Request, kind: Kind, body: bytes, permitted: Permission) -> Response:
        structured = content_type(request, JSON, STRUCTURED) == STRUCTURED
        [answer] = await edge.submit([Submission(body, structured)], kind, permitted, origin_of(request))
        if isinstance(answer, Problem):
            return problem_answer(answer, request.url.path)
        return json_answer(202, answer.document())

    async def batch(request: Request, kind: Kind, body: bytes, permitted: Permission) -> Response:
        lines = [line for each in body.split(b"\n") if (line := each.strip(b" \t\r"))]
        if not lines:
            raise ProblemError(problems.empty())
        origin = origin_of(request, without=("id",))  # one id cannot stand for many records
        answers = await edge.submit([Submission(line) for line in lines], kind, permitted, origin)
        refused = any(isinstance(answer, Problem) for answer in answers)
        content = b"".join(_line(number, answer) for number, answer in enumerate(answers, start=1))
        return Response(content, 207 if refused else 202, media_type=NDJSON[0])

    described = msgspec.json.encode(document(v2=bool(v2)))

    async def description(request: Request) -> Response:
        del request
        return Response(described, media_type=JSON)

    return Starlette(
        routes=[
            Route("/v1/events", records(EVENTS, one, EDGE_RECORD_BYTES), methods=["POST"]),
            Route("/v1/labels", records(LABELS, one, EDGE_RECORD_BYTES), methods=["POST"]),
            Route("/v1/events:batch", records(EVENTS, batch, BATCH_BYTES), methods=["POST"]),
            Route("/v1/labels:batch", records(LABELS, batch, BATCH_BYTES), methods=["POST"]),
            *v2,
            Route("/openapi.json", description, methods=["GET"]),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )


def _line(number: int, answer: Answer) -> bytes:
    status = answer.status if isinstance(answer, Problem) else 202
    return msgspec.json.encode({"line": number, "status": status, **answer.document()}) + b"\n"
