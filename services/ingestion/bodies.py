"""Request bodies, read up to a cap and within a time, and only in the forms that are taken."""

import asyncio
from typing import Final

from starlette.requests import Request

from services.ingestion import problems
from services.ingestion.in_flight import OverloadedError, Reservation
from services.ingestion.problems import ProblemError

JSON: Final = "application/json"
STRUCTURED: Final = "application/cloudevents+json"
NDJSON: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")


def content_type(request: Request, *accepted: str) -> str:
    """The media type, one of ``accepted``. Raises `ProblemError` 415 for another, another charset, or any compression."""
    coding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding not in ("", "identity"):
        raise ProblemError(problems.unsupported("content-encoding", "identity", coding))
    full = ", ".join(request.headers.getlist("content-type"))
    media, *parameters = [part.strip().lower() for part in full.split(";")]
    charsets = [part.partition("=")[2].strip('" ') for part in parameters if part.startswith("charset")]
    if media not in accepted or any(charset != "utf-8" for charset in charsets):
        raise ProblemError(problems.unsupported("content-type", " or ".join(accepted) + " in UTF-8", full))
    return media


async def read_body(request: Request, reservation: Reservation, *, limit: int, seconds: float) -> bytes:
    """The body. Raises `ProblemError`: 413 at the cap, at once where the length is announced; 503 without room; 408."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise ProblemError(problems.too_large(limit))
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise ProblemError(problems.too_large(limit))
                reservation.grow(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise ProblemError(problems.slow_body(seconds)) from None
    except OverloadedError as error:
        raise ProblemError(problems.busy(f"{error} Try again in a second.")) from None
    return b"".join(chunks)
