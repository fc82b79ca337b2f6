"""A network link with faults: a TCP proxy on loopback between one service and the broker.

The broker has one listener a link and advertises the proxy's port on it, so that a client which bootstraps through the
proxy stays behind it: what Kafka's metadata names is the proxy again.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Final, Self

from deploy.local.ports import HOST

CHUNK: Final = 256 * 1024
ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class Link:
    """One proxied address. All methods may be called from any thread; they return when they are in force."""

    def __init__(self, name: str, port: int, target: int, loop: asyncio.AbstractEventLoop) -> None:
        """Clients connect to ``port``, the broker listens on ``target``."""
        self.name = name
        self.port = port
        self.target = target
        self._loop = loop
        self._writers: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self._requests = asyncio.Event()
        self._answers = asyncio.Event()
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self.passed = 0  # bytes

    def cut(self) -> None:
        """Reset every connection; new ones are let through."""
        self._do(self._reset)

    def refuse(self) -> None:
        """Reset every connection, and every new one, until `heal`."""
        self._do(self._refuse)

    def delay(self, seconds: float) -> None:
        """Hold every chunk back for so long."""
        self._do(lambda: setattr(self, "_delay", seconds))

    def blackhole(self) -> None:
        """Nothing arrives any more, in either direction; `heal` delivers what is held, as TCP would."""
        self._do(lambda: (self._requests.clear(), self._answers.clear()))

    def deafen(self) -> None:
        """Requests arrive and answers do not. A `cut` after it loses them for good: done, and never acknowledged."""
        self._do(self._answers.clear)

    def heal(self) -> None:
        """All is well from now on."""
        self._do(self._healed)

    # ---- in the loop's thread

    async def open(self) -> None:
        self._requests.set()
        self._answers.set()
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=CHUNK)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._healed()
        self._reset()

    def _do(self, action: object) -> None:
        async def run() -> None:
            action()  # type: ignore[operator]

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _refuse(self) -> None:
        self._refusing = True
        self._reset()

    def _healed(self) -> None:
        self._refusing = False
        self._delay = 0.0
        self._requests.set()
        self._answers.set()

    def _reset(self) -> None:
        for writer in tuple(self._writers):
            _abort(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _abort(writer)
            return
        try:
            upstream, downstream = await asyncio.open_connection(HOST, self.target, limit=CHUNK)
        except OSError:
            _abort(writer)
            return
        ends = {writer, downstream}
        self._writers |= ends
        pumps = [
            asyncio.create_task(self._pump(reader, downstream, self._requests)),
            asyncio.create_task(self._pump(upstream, writer, self._answers)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers -= ends
            for end in ends:
                with contextlib.suppress(Exception):
                    end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                if not gate.is_set():
                    await gate.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                sink.write(data)
                self.passed += len(data)
                await sink.drain()


class Network:
    """The links, in a thread with a loop of their own; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self.links: dict[str, Link] = {}

    def link(self, name: str, port: int, target: int) -> Link:
        """Open a link; see `Link`."""
        found = self.links[name] = Link(name, port, target, self._loop)
        asyncio.run_coroutine_threadsafe(found.open(), self._loop).result(10)
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async def close() -> None:
            for link in self.links.values():
                await link.close()
            await asyncio.sleep(0)  # the pumps end
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset: what was on its way is lost."""
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()
