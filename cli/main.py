"""The command ``headrace``: exit 0 done, 1 refused or failed with a sentence, 2 wrong usage (``diff``: see its help)."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from cli import failures, output
from cli.loading import Entry, OnDemand

COMMANDS: Final = {
    "demo": Entry("cli.demo", "demo", "Run the whole loop on a real year of flights, from events to retraining."),
    "up": Entry("cli.running", "up", "Run the embedded Kafka, the Mongo-wire server and the services until Ctrl-C."),
    "run": Entry("cli.running", "run", "Run one service against the configured cluster until SIGTERM."),
    "apply": Entry("cli.definitions", "apply", "Put definitions in force: all of them, or none if one is wrong."),
    "get": Entry("cli.definitions", "get", "List the definitions in force."),
    "diff": Entry("cli.differences", "diff", "Show what `apply` would change."),
    "train": Entry("cli.training", "train", "Ask for a training run; with --wait, exit 1 if it fails."),
    "replay": Entry("cli.replaying", "replay", "Send a file of events in order of time, with ticks for event time."),
    "lag": Entry("cli.operation", "lag", "How far each service is behind and what it uses, from its last heartbeat."),
    "doctor": Entry("cli.operation", "doctor", "Say in words what is wrong and what to do; exit 1 if anything is."),
    "models": Entry("cli.models", "app", "Versions of models, and the decisions about them."),
    "datasets": Entry("cli.datasets", "app", "Data-set versions."),
    "alerts": Entry("cli.alerts", "app", "Alerts, and what people do about them."),
    "windows": Entry(
        "cli.windows",
        "windows",
        "A model's latest windows: measured where labels are in, estimated with an interval where not.",
    ),
    "rejected": Entry("cli.quarantine", "rejected", "Quarantined events and labels, with every reason."),
    "dlq": Entry("cli.dead_letters", "dlq", "Dead letters: what a service could not process."),
    "topics": Entry("cli.operation", "topics", "The topics of the catalogue."),
    "keys": Entry("cli.keys", "app", "Keys: whose signatures on commands and candidates count."),
    "audit": Entry("cli.operation", "audit", "The registry's hash-chained log."),
    "events": Entry("cli.producing", "events", "Send events."),
    "labels": Entry("cli.producing", "labels", "Send labels."),
}


class Headrace(OnDemand):
    """All commands."""

    entries = COMMANDS


app = typer.Typer(
    name="headrace",
    cls=Headrace,
    help="Event-driven MLOps: from raw events on Kafka to governed, monitored ONNX predictions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        from importlib import metadata  # noqa: PLC0415 - only this option needs it

        output.say(f"headrace {metadata.version('headrace')}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option(help="YAML file with settings, instead of HEADRACE_… variables.")
    ] = None,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""
    del version
    _hush()
    if config is not None:
        os.environ["HEADRACE_CONFIG"] = str(config)


def run() -> None:
    """The entry point."""
    sys.exit(call(app))


def _hush() -> None:
    """What libraries log is for services; here it would stand before the sentence that explains it."""
    import logging  # noqa: PLC0415 - only where a command runs

    import structlog  # noqa: PLC0415 - only where a command runs

    logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def call(command: Callable[[], object]) -> int:
    """Run ``command``; an error that a person can act on becomes a sentence on stderr, never a traceback."""
    output.for_programs(wanted=False)
    try:
        with failures.told(exit_code=1):
            command()
    except (
        SystemExit
    ) as end:  # how typer ends a command: 0, 1, 2 for wrong usage (which it has explained), 130 for Ctrl-C
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0
