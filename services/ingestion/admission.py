"""What every request passes before its body is looked at: its token, readiness, room, and the cap."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from services.ingestion import problems
from services.ingestion.bodies import read_body
from services.ingestion.in_flight import InFlight, OverloadedError
from services.ingestion.problems import ProblemError
from services.ingestion.settings import IngestionSettings
from services.ingestion.tokens import Permission, permission
from shared.health import Health


class Admission:
    """For the requests that share the bounds of ``in_flight``."""

    def __init__(self, settings: IngestionSettings, *, in_flight: InFlight, health: Health) -> None:
        self._settings = settings
        self._in_flight = in_flight
        self._health = health

    def permitted(self, request: Request) -> Permission:
        """What the request may do. Raises `ProblemError`: 401, and 503 until all gates are open."""
        permitted = permission(self._settings.tokens, request.headers.get("authorization"))
        if permitted is None:
            raise ProblemError(problems.unauthorised())
        if self._health.missing:
            raise ProblemError(problems.busy(f"Not ready: waiting for {', '.join(self._health.missing)}."))
        return permitted

    @asynccontextmanager
    async def body(self, request: Request, *, limit: int) -> AsyncIterator[bytes]:
        """The body; its room is held for the length of the block. Raises `ProblemError`."""
        try:
            reservation = self._in_flight.open()
        except OverloadedError as error:
            raise ProblemError(problems.busy(f"{error} Try again in a second.")) from None
        with reservation:
            yield await read_body(request, reservation, limit=limit, seconds=self._settings.body_seconds)
