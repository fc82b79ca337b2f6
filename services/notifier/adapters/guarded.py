"""HTTP for vendors' SDKs that speak urllib: only to checked addresses, no redirect, no proxy, bounded time and answer.

slack-sdk resolves names by itself, follows redirects and reads whatever comes; its clients here send through this instead.
"""

import contextlib
import http.client
import io
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from dataclasses import dataclass
from email.message import Message
from types import TracebackType
from typing import Any, Final, Self

from services.notifier.adapters.addresses import resolve

ANSWER_LIMIT: Final = 64 * 1024  # bytes of an answer that are read
_PIECE: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: at most `ANSWER_LIMIT` bytes of it."""

    status: int
    headers: Message
    body: str


class GuardedHttp:
    """Sends urllib requests; for a thread, since it blocks."""

    def __init__(self, *, allowed: Collection[str], timeout: float) -> None:
        """``allowed``: hosts that may be private. ``timeout``: seconds for all of one call."""
        self._allowed = allowed
        self._timeout = timeout

    def send(self, request: urllib.request.Request) -> Answer:
        """The answer, whatever its status. Raises what `resolve` raises, or OSError."""
        with _CutOff(self._timeout) as cut_off:
            try:
                answer = self._exchange(request, cut_off)
            except http.client.HTTPException as error:
                message = f"the answer is not HTTP: {type(error).__name__}"
                raise OSError(message) from error
            finally:
                cut_off.check()
        return answer

    def _exchange(self, request: urllib.request.Request, cut_off: "_CutOff") -> Answer:
        connect = _connector(self._allowed, cut_off)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirects(), _Http(connect), _Https(connect)
        )
        try:
            response = opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            body = _read(response)
        return Answer(int(response.status or 0), response.headers, body.decode(errors="replace"))

    def send_raising(self, request: urllib.request.Request) -> Answer:
        """Like `send`, but an error status is urllib's HTTPError, as SDKs expect it."""
        answer = self.send(request)
        if answer.status >= http.client.MULTIPLE_CHOICES:
            body = io.BytesIO(answer.body.encode())
            raise urllib.error.HTTPError(request.full_url, answer.status, "refused", answer.headers, body)
        return answer


def _read(response: Any) -> bytes:
    """The beginning of the answer; the rest of a huge one is left."""
    read = b""
    while len(read) < ANSWER_LIMIT:
        piece = response.read1(_PIECE)
        if not piece:
            break
        read += piece
    return read[:ANSWER_LIMIT]


class _CutOff:
    """Shuts a connection once its time is up. A socket's own time-out starts anew with each byte that trickles in."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._line: socket.socket | None = None
        self._over = False

    def attach(self, connection: socket.socket) -> None:
        self._line = connection.dup()  # the original may be taken over by TLS

    def check(self) -> None:
        """Raises TimeoutError if the time was up."""
        if self._over:
            message = "the answer did not end in time"
            raise TimeoutError(message) from None

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._line is not None:
            self._line.close()

    def _cut(self) -> None:
        self._over = True
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: where it leads to, nobody has allowed."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs


Connect = Callable[..., socket.socket]


class _Http(urllib.request.HTTPHandler):
    def __init__(self, connect: Connect) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_through(http.client.HTTPConnection, self._connect), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, connect: Connect) -> None:
        super().__init__()
        self._connect = connect

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_through(http.client.HTTPSConnection, self._connect), req)


def _connector(allowed: Collection[str], cut_off: _CutOff) -> Connect:
    """Connects to the very address that was checked."""

    def connect(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        host, port = address
        connection = socket.create_connection((resolve(host, port, allowed), port), *args, **kwargs)
        cut_off.attach(connection)
        return connection

    return connect


def _through(kind: type[http.client.HTTPConnection], connect: Connect) -> Any:
    """Makes connections of ``kind`` over ``connect``; TLS still asks for the name."""

    def connection(host: str, **options: Any) -> http.client.HTTPConnection:
        made = kind(host, **options)
        made._create_connection = connect  # type: ignore[attr-defined]  # noqa: SLF001 - http.client's own seam
        return made

    return connection
