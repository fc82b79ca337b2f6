"""How every service process lives: settings → logs → HTTP → Kafka → topics → components → broker → drain.

Exit codes: 0 asked to stop, 1 settings refused, 70 cannot go on (the supervisor restarts it).
"""

import asyncio
import contextlib
import inspect
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar

import uvicorn
from faststream.kafka import KafkaBroker

from schemas.topics import CATALOGUE, Topic
from shared import broker as brokers
from shared import logs
from shared.errors import EXIT_CONFIGURATION, EXIT_RESTART, ConfigurationError, HeadraceError
from shared.health import PATHS, Health
from shared.kafka_clients import wait_for_kafka
from shared.settings import PlatformSettings, load
from shared.topic_admin import wait_for_topics

STOP_SECONDS: Final = 25.0
STARTING_STOP_SECONDS: Final = 2.0  # a service that is not started yet has nothing to drain

S = TypeVar("S", bound=PlatformSettings)
Asgi = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class App:
    """A service, put together by its ``app.py``.

    ``components`` (tables, publishers, stores, heartbeats …) are entered in order before the broker starts and left in
    reverse after it stopped. ``routes`` answers every path but health and metrics. ``topics`` None: those of the
    catalogue that name the service as reader or writer must exist.
    """

    health: Health
    broker: KafkaBroker | None = None
    components: Sequence[AbstractAsyncContextManager[Any]] = ()
    routes: Asgi | None = None
    topics: Sequence[Topic] | None = None
    after_start: Callable[[], Awaitable[None]] | None = field(default=None)


def main(service: str, settings_cls: type[S], build: Callable[[S], App | Awaitable[App]]) -> NoReturn:
    """Run a service until SIGTERM or SIGINT; does not return."""
    try:
        settings = load(settings_cls)
    except ConfigurationError as error:
        print(f"{service}: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured yet
        sys.exit(EXIT_CONFIGURATION)
    logs.configure(settings, service)
    code = asyncio.run(_run(service, settings, build))
    logs_flushed()
    os._exit(code)  # a client that hangs in its own clean-up must not keep a drained process alive


def logs_flushed() -> None:
    """Write out what is buffered."""
    sys.stderr.flush()
    sys.stdout.flush()


def topics_of(service: str) -> list[Topic]:
    """The topics of the catalogue that ``service`` reads or writes."""
    return [topic for topic in CATALOGUE if service in topic.readers or service in topic.writers]


async def _run(service: str, settings: S, build: Callable[[S], App | Awaitable[App]]) -> int:
    stopping = _on_signals()
    try:
        built = build(settings)
        app = await built if inspect.isawaitable(built) else built
    except ConfigurationError as error:
        log.error(str(error))
        return EXIT_CONFIGURATION
    app.health.starting("startup")
    try:
        listener = _listen(settings)
    except HeadraceError as error:
        log.error("this process cannot start", why=str(error))
        return EXIT_RESTART
    server = _Server(_config(app))
    serving = asyncio.create_task(server.serve([listener]), name="http")
    log.info("serving health and metrics", url=f"http://{settings.http.host}:{listener.getsockname()[1]}")
    life = asyncio.create_task(_live(service, settings, app, stopping), name="life")
    failure = asyncio.create_task(app.health.failed(), name="failure")
    cut_short = asyncio.create_task(_cut_short(stopping, app.health), name="cut short")
    await asyncio.wait({life, failure, cut_short}, return_when=asyncio.FIRST_COMPLETED)
    if cut_short.done() and not life.done() and app.health.failure is None:
        log.info("stopped while starting")
        logs_flushed()
        os._exit(0)  # what hangs in its own start or clean-up holds nothing that must be kept
    code = _code(life, app)
    if code:
        logs_flushed()
        os._exit(code)  # nothing is drained: what was not committed is read again by the next process
    server.should_exit = True
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving, 5)
    return 0


def _code(life: "asyncio.Task[None]", app: App) -> int:
    if app.health.failure is not None:
        log.error("this process cannot go on", why=app.health.failure)
        return EXIT_RESTART
    error = life.exception()
    if error is None:
        return 0
    if isinstance(error, ConfigurationError):
        log.error(str(error))
        return EXIT_CONFIGURATION
    log.error("this process cannot go on", why=str(error), exc_info=None if isinstance(error, HeadraceError) else error)
    return EXIT_RESTART


async def _live(service: str, settings: PlatformSettings, app: App, stopping: asyncio.Event) -> None:
    health = app.health
    for component in app.components:
        health.starting(_name(component))
    if not await _unless(stopping, _platform(service, settings, app)):
        return
    async with AsyncExitStack() as stack:
        for component in app.components:
            if not await _unless(stopping, stack.enter_async_context(component)):
                return
            health.ready(_name(component))
        if app.broker is not None:
            stack.push_async_callback(brokers.stop, app.broker)
            await app.broker.start()
        if app.after_start is not None:
            await app.after_start()
        health.ready("startup")
        log.info("started", **({"waiting_for": health.missing} if health.missing else {}))
        watchdog = asyncio.create_task(_watch(health), name="watchdog")
        await stopping.wait()
        watchdog.cancel()
        health.starting("stopping")
        log.info("stopping: draining what is in flight")
        asyncio.get_running_loop().call_later(STOP_SECONDS, health.fail, f"it did not drain within {STOP_SECONDS:g} s")
    log.info("stopped")


async def _platform(service: str, settings: PlatformSettings, app: App) -> None:
    needed = topics_of(service) if app.topics is None else app.topics
    if app.broker is None and not needed:
        return
    await wait_for_kafka(settings.kafka)
    if needed:
        await wait_for_topics(settings, needed, seconds=settings.kafka.startup_timeout)


async def _unless(stopping: asyncio.Event, work: Awaitable[Any]) -> bool:
    """Do ``work`` unless the process is asked to stop meanwhile; whether it was done."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


async def _cut_short(stopping: asyncio.Event, health: Health) -> None:
    """Return when a process that was asked to stop while it started has had its time; never once it has started."""
    await stopping.wait()
    if "startup" in health.missing:
        await asyncio.sleep(STARTING_STOP_SECONDS)
    if "startup" not in health.missing:
        await asyncio.get_running_loop().create_future()


async def _watch(health: Health) -> None:
    while True:
        await asyncio.sleep(5)
        stalled = health.stalled()
        if stalled:
            health.fail(f"no progress with records waiting on {', '.join(stalled)}")


def _name(component: object) -> str:
    return str(getattr(component, "name", type(component).__name__))


def _on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _listen(settings: PlatformSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.http.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.http.host, settings.http.port))
    except OSError as error:
        listener.close()
        message = f"The address {settings.http.host}:{settings.http.port} cannot be served: {error.strerror}."
        raise HeadraceError(message) from error
    return listener


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service drains before it stops serving."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: App) -> uvicorn.Config:
    async def dispatch(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        target: Asgi = app.health if app.routes is None or scope.get("path") in PATHS else app.routes
        await target(scope, receive, send)

    return uvicorn.Config(
        dispatch,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
