"""``headrace up``: everything on this machine until Ctrl-C; ``headrace run``: one service, as a container does."""

import json as json_module
import logging
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from cli import output
from cli.connection import current_file, state_dir
from cli.output import AsJson
from deploy.local.errors import PlatformError
from deploy.local.keeping import LOOK_SECONDS, Keeper, kept
from deploy.local.service_logs import Sink, console, wants_colour
from deploy.local.stack import Stack, running_stack, write_whole
from schemas.topics import SERVICES
from shared.errors import ConfigurationError

INTERRUPTED: Final = 130
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")]


def up(  # noqa: PLR0913 - its options
    services: Annotated[
        list[str] | None, typer.Argument(help="Only these services; all of them if none is named.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept; the user's state directory if not given.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="JSON with all addresses, written once everything is ready.")
    ] = None,
    kafka_port: Port = 0,
    ingestion_port: Port = 0,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Of entity topics; fixed when they are created.")] = 4,
    prefix: Annotated[str, typer.Option(help="Put before every topic's name.")] = "headrace.",
    *,
    quiet: Annotated[bool, typer.Option(help="Show warnings and errors of services only.")] = False,
    json: AsJson = False,
) -> None:
    """Run the embedded Kafka, the Mongo-wire server and the services until Ctrl-C.

    With --json stdout gets one document with all addresses once everything is ready; all else goes to stderr.
    """
    chosen = tuple(services or SERVICES)
    for name in chosen:
        _known(name)
    directory = data_dir or state_dir() / "data"
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    say, stream = (output.hint, sys.stderr) if json else (output.say, sys.stdout)
    with (
        suppress(_StoppedError),
        _stopped_while_starting() as started,
        running_stack(
            directory,
            services=chosen,
            partitions=partitions,
            prefix=prefix,
            kafka_port=kafka_port,
            ingestion_port=ingestion_port,
            report=say,
            sink=_printer(stream, chosen, logging.WARNING if quiet else logging.INFO),
        ) as stack,
        kept(stack.platform, say) as keeper,
    ):
        started.set()
        content = _write_addresses(stack, partitions, ready_file)
        output.document(content) if json else _announce(stack)
        try:
            _wait(keeper)
        finally:
            _forget(ready_file)
    say("Stopped; nothing is left running.")
    if not started.is_set():
        raise typer.Exit(INTERRUPTED)


def run(
    service: Annotated[str, typer.Argument(help="Which service.")],
) -> None:
    """Run one service against the configured cluster until SIGTERM."""
    _known(service)
    sys.argv = [f"services.{service}"]
    runpy.run_module(f"services.{service}", run_name="__main__")


def _known(name: str) -> None:
    if name not in SERVICES:
        message = f"There is no service {name!r}; the services are {', '.join(SERVICES)}."
        raise ConfigurationError(message)


class _StoppedError(KeyboardInterrupt):
    """Somebody asked to stop before everything was ready."""


@contextmanager
def _stopped_while_starting() -> Iterator[threading.Event]:
    """While the event is not set, SIGINT and SIGTERM end the block with `_StoppedError`; a second one is Ctrl-C."""
    started = threading.Event()

    def ask(*_: object) -> None:
        _say_stopping()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        raise _StoppedError

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    yield started


def _say_stopping() -> None:
    os.write(
        sys.stderr.fileno(), b"\nStopping ...\n"
    )  # not by way of a buffer that the interrupted code may be writing to


def _wait(keeper: Keeper) -> None:
    """Return on SIGINT or SIGTERM. Raises `PlatformError` once Kafka or Mongo cannot be kept running."""
    stop = threading.Event()

    def ask(*_: object) -> None:
        if stop.is_set():  # asked twice: somebody is in a hurry
            raise KeyboardInterrupt
        _say_stopping()
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    while not stop.wait(LOOK_SECONDS):
        if keeper.failure is not None:
            raise PlatformError(keeper.failure)


def _write_addresses(stack: Stack, partitions: int, ready_file: Path | None) -> dict[str, object]:
    content = {**stack.addresses(), "partitions": partitions, "pid": os.getpid()}
    for file in filter(None, (current_file(), ready_file)):
        write_whole(file, json_module.dumps(content, indent=2) + "\n")
    return content


def _announce(stack: Stack) -> None:
    output.say(
        f"\nEverything is ready.\n  Kafka      {stack.endpoints.bootstrap_servers}\n  Mongo      {stack.endpoints.mongo_uri}"
    )
    for name, url in stack.urls.items():
        output.say(f"  {name:<10} {url}")
    output.say(f"  logs       {stack.data_dir / 'logs'}\nCtrl-C stops everything.\n")


def _forget(ready_file: Path | None) -> None:
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    with suppress(OSError, ValueError):  # a second `up` may have replaced the current one
        if json_module.loads(current_file().read_text())["pid"] == os.getpid():
            current_file().unlink()


def _printer(stream: TextIO, services: tuple[str, ...], level: int) -> Sink:
    width = max(map(len, services))
    return console(stream, colour=wants_colour(stream, dict(os.environ)), width=width, at_least=level)
