"""How much the edge holds that the broker has not acknowledged yet; beyond the bounds, clients are asked to come back."""

from types import TracebackType
from typing import Self


class OverloadedError(Exception):
    """There is no room for more now."""


class InFlight:
    """The bounds, and what counts against them."""

    def __init__(self, *, limit_bytes: int, limit_requests: int) -> None:
        self._limit_bytes = limit_bytes
        self._limit_requests = limit_requests
        self.bytes = 0
        self.requests = 0

    def open(self) -> "Reservation":
        """Room for one request; raises `OverloadedError`."""
        if self.requests >= self._limit_requests:
            message = f"{self.requests} requests are in flight."
            raise OverloadedError(message)
        self.requests += 1
        return Reservation(self)

    def take(self, size: int) -> None:
        """Room for ``size`` more bytes; raises `OverloadedError`."""
        if self.bytes + size > self._limit_bytes:
            message = f"{self.bytes} bytes are in flight."
            raise OverloadedError(message)
        self.bytes += size


class Reservation:
    """What one request holds; given back when it is left."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._size = 0

    def grow(self, size: int) -> None:
        """Take room for ``size`` more bytes; raises `OverloadedError`."""
        self._in_flight.take(size)
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_flight.bytes -= self._size
        self._in_flight.requests -= 1
