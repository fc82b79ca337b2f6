"""Lines to ingestion, batch by batch: every line is sent, and every refusal is known at the end."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec

from cli.failures import DetailedError
from cli.rows import Line
from shared.errors import TransientError

LINES: Final = 2000
BYTES: Final = 4 * 1024 * 1024  # half of what ingestion takes
ATTEMPTS: Final = 6
PAUSE_SECONDS: Final = 0.5  # doubled after each attempt: 15 s in all
_SHOWN: Final = 10


@dataclass(slots=True)
class Outcome:
    """What became of the lines so far. ``refused``: place in the file and why."""

    accepted: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"accepted": self.accepted, "refused": [{"place": place, "why": why} for place, why in self.refused]}

    def check(self) -> None:
        """Raise `DetailedError` if anything was refused."""
        if not self.refused:
            return
        told = [f"  {place}: {why}" for place, why in self.refused[:_SHOWN]]
        more = [f"  … and {len(self.refused) - _SHOWN} more"] if len(self.refused) > _SHOWN else []
        summary = f"{self.accepted} accepted, {len(self.refused)} refused:"
        raise DetailedError("\n".join((summary, *told, *more)), **self.document())


def batches(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """``lines`` in order, cut where ingestion would find a body too large."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == LINES or size + len(line.content) > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.content) + 1
    if batch:
        yield batch


async def send(http: httpx.AsyncClient, path: str, batch: Sequence[Line], outcome: Outcome) -> None:
    """Send one batch and add to ``outcome``; what ingestion could not take now is sent again, with the same ids.

    Raises `TransientError` or `DetailedError` where ingestion takes nothing; the sentence says what was accepted before.
    """
    left, why = list(batch), ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        left, why = await _once(http, path, left, outcome)
        if not left:
            return
    problem = f"Ingestion at {http.base_url} took no more: {why}. {_so_far(outcome)}"
    raise TransientError(problem)


async def _once(http: httpx.AsyncClient, path: str, lines: list[Line], outcome: Outcome) -> tuple[list[Line], str]:
    """Those lines that have to be sent again, and why."""
    body = b"\n".join(line.content for line in lines)
    try:
        answer = await http.post(path, content=body, headers={"content-type": "application/x-ndjson"})
    except httpx.ConnectError as error:
        problem = f"Ingestion at {http.base_url} cannot be reached: {error}. {_so_far(outcome)}"
        raise TransientError(problem) from error
    except httpx.TransportError as error:
        return lines, str(error) or type(error).__name__
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return lines, _told(answer)
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        if len(lines) == 1 and answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            outcome.refused.append((lines[0].place, _told(answer)))
            return [], ""
        problem = f"Ingestion answered {answer.status_code}: {_told(answer)} {_so_far(outcome)}"
        raise DetailedError(problem, **outcome.document())
    return _count(lines, answer, outcome)


def _count(lines: list[Line], answer: httpx.Response, outcome: Outcome) -> tuple[list[Line], str]:
    again, why = [], ""
    results = [msgspec.json.decode(text) for text in answer.content.splitlines() if text]
    for line, result in zip(lines, results, strict=True):
        status = int(result["status"])
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            again.append(line)
            why = _why(result)
        elif status >= httpx.codes.BAD_REQUEST:
            outcome.refused.append((line.place, _why(result)))
        else:
            outcome.accepted += 1
    return again, why


def _so_far(outcome: Outcome) -> str:
    return f"{outcome.accepted} records were accepted before." if outcome.accepted else "No record was accepted."


def _told(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]


def _why(result: dict[str, Any]) -> str:
    reasons = [
        f"{each['field']}: {each['rule']}, expected {each['expected']}, observed {each['observed']}"
        for each in result.get("reasons", [])
    ]
    return "; ".join(reasons) or str(result.get("detail", result))
