"""The addresses of the Open Inference Protocol V2. Source: its REST API; what belongs to repositories and binary data is left out."""

import asyncio
from collections.abc import Coroutine
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.topics import INFERENCE_REQUESTS
from services.ingestion import problems
from services.ingestion.admission import Admission
from services.ingestion.answers import json_answer
from services.ingestion.asking import Asking
from services.ingestion.bodies import JSON, content_type
from services.ingestion.origins import origin_of
from services.ingestion.problems import ProblemError
from shared.health import Health

BODY_BYTES: Final = INFERENCE_REQUESTS.max_body_bytes
_BINARY: Final = "inference-header-content-length"


def v2_routes(asking: Asking, *, admission: Admission, health: Health) -> list[Route]:
    """Inference, metadata and health. Health needs no token: it tells nothing."""

    async def infer(request: Request) -> Response:
        permitted = admission.permitted(request)
        content_type(request, JSON)
        if _BINARY in request.headers:
            raise ProblemError(problems.unsupported(_BINARY, "absent: tensors are JSON", request.headers[_BINARY]))
        origin = origin_of(request)
        async with admission.body(request, limit=BODY_BYTES) as body:
            asked = asking.infer(_model(request), body, permitted, origin, request.headers.get("request-timeout"))
            return Response(await _unless_gone(request, asked), media_type=JSON)

    async def metadata(request: Request) -> Response:
        admission.permitted(request)
        return json_answer(200, await asking.metadata(_model(request)))

    async def model_ready(request: Request) -> Response:
        admission.permitted(request)
        await asking.ready(_model(request))
        return json_answer(200, {"name": _model(request), "ready": True})

    async def server(request: Request) -> Response:
        del request
        return json_answer(200, {"name": "headrace", "version": _version(), "extensions": []})

    async def live(request: Request) -> Response:
        del request
        if not health.live():
            raise ProblemError(problems.busy("This process cannot go on."))
        return json_answer(200, {"live": True})

    async def ready(request: Request) -> Response:
        del request
        if health.missing:
            raise ProblemError(problems.busy("Not ready."))
        asking.inference_ready()
        return json_answer(200, {"ready": True})

    return [
        Route("/v2", server, methods=["GET"]),
        Route("/v2/health/live", live, methods=["GET"]),
        Route("/v2/health/ready", ready, methods=["GET"]),
        Route("/v2/models/{model}", metadata, methods=["GET"]),
        Route("/v2/models/{model}/ready", model_ready, methods=["GET"]),
        Route("/v2/models/{model}/infer", infer, methods=["POST"]),
    ]


def _model(request: Request) -> str:
    return str(request.path_params["model"])


async def _unless_gone(request: Request, work: Coroutine[Any, Any, bytes]) -> bytes:
    """What ``work`` gives. Raises `ClientDisconnect` where the client has left, and that when the work has ended: it goes on,
    so its place is not free for somebody else's.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await asyncio.wait((working,))
            raise ClientDisconnect
        return working.result()
    finally:
        for each in (working, leaving):
            each.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "unknown"
