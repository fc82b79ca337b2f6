"""``headrace demo``: a year's first months of flights through the whole loop, on this machine, from nothing.

January and February are history that the first version learns from. Then the following weeks are streamed: predictions,
windows, alerts, a retraining, a challenger, a promotion. At the end the accounts are drawn up from the topics.
"""

import asyncio
import json
import logging
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from cli.accounts import Accounts, accounts
from cli.definitions import apply_declared, read_declared
from cli.draining import until_drained
from cli.keys import admit
from cli.training import request_training
from deploy.local.keeping import kept
from deploy.local.service_logs import LogLine
from deploy.local.stack import Stack, running_stack
from examples.flights.fake_slack import fake_slack
from examples.flights.governor import APPROVER, Governor, until
from examples.flights.narration import Bar, Narrator
from examples.flights.replay import MODEL, Producer, Step, steps
from examples.flights.sabotage import sabotage
from examples.flights.source import season
from examples.flights.summary import print_summary
from schemas.definitions import Role
from shared.errors import HeadraceError
from shared.publishing import Publisher
from shared.signing import key_file

NEW_YEAR: Final = date(2013, 1, 1)
HISTORY_DAYS: Final = 59  # January and February
TAIL_DAYS: Final = 4  # after the last flight: the label time-out, then nothing more can come
HISTORY_STEP: Final = timedelta(hours=12)
STREAM_STEP: Final = timedelta(hours=3)
SECONDS_A_DAY: Final = 1.0  # of streaming; faster would only hide what happens
DRAIN_SECONDS: Final = 120.0
SERVING_SECONDS: Final = 60.0
ROLL_OUT_SECONDS: Final = 180.0  # from a request for training to the challenger's start


@dataclass(frozen=True, slots=True)
class Result:
    """What a run ends with."""

    accounts: Accounts
    counts: dict[str, int]
    champion: int | None
    restarts: dict[str, int]
    slack_messages: int
    seconds: float

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            **self.accounts.document(),
            "counts": self.counts,
            "champion": self.champion,
            "restarts": self.restarts,
            "slack_messages": self.slack_messages,
            "seconds": round(self.seconds, 1),
        }


def run_demo(*, days: int, json_file: Path | None, data_dir: Path | None, keep: bool) -> int:
    """The whole demo; exit code 0 if the accounts balance."""
    narrator = Narrator(Console())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    slack: list[dict[str, object]] = []

    def received(content: dict[str, object]) -> None:
        slack.append(content)
        narrator.say(f"Slack │ {_slack_text(content)}", "magenta")

    narrator.stage("Starting Kafka, the Mongo-wire server and seven services")
    with _directory(data_dir) as directory, fake_slack(received) as slack_url:
        environment = {
            "HEADRACE_NOTIFIER__SLACK__WEBHOOK_URL": slack_url,
            "HEADRACE_NOTIFIER__ALLOWED_HOSTS": json.dumps(["127.0.0.1"]),  # the stand-in lives on loopback
        }
        with (
            running_stack(directory, environment=environment, report=narrator.say, sink=_warnings(narrator)) as stack,
            kept(stack.platform, narrator.say),
        ):
            result = asyncio.run(_loop(stack, narrator, days, slack))
            print_summary(narrator.console, result)
            if json_file is not None:
                json_file.write_text(json.dumps(result.document(), indent=2) + "\n")
            if keep:
                _stay(stack, narrator)
    return 0 if result.accounts.balanced else 1


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="headrace-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _warnings(narrator: Narrator) -> Any:
    def show(line: LogLine) -> None:
        if line.level >= logging.WARNING:
            narrator.say(f"{line.service} │ {line.text}", "dim")

    return show


def _slack_text(content: dict[str, object]) -> str:
    return str(content.get("text", content)).replace("\n", " ")


async def _loop(stack: Stack, narrator: Narrator, days: int, slack: list[dict[str, object]]) -> Result:
    governor = Governor(stack.settings, MODEL, narrator.say)
    watching = asyncio.create_task(governor.run())
    watching.add_done_callback(lambda _: governor.may_stream.set())  # if it failed, its error ends the demo below
    try:
        await asyncio.wait_for(governor.following.wait(), 30)
        async with (
            Publisher(stack.settings, linger_ms=5) as publisher,
            httpx.AsyncClient(base_url=stack.urls["ingestion"], timeout=30) as http,
        ):
            producer = Producer(http, publisher, stack.settings.topics.partitions, asyncio.sleep)
            await _define(stack, narrator)
            await _history(producer, narrator)
            await _first_version(stack, governor, narrator)
            await _stream(producer, publisher, governor, narrator, stack.settings.topics.partitions, days)
        narrator.stage("Draining, then drawing up the accounts")
        await until_drained(stack.settings, seconds=DRAIN_SECONDS)
        balance = await accounts(stack.settings)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    return Result(
        balance, dict(governor.counts), governor.champion, stack.supervisor.restarts(), len(slack), narrator.elapsed
    )


async def _define(stack: Stack, narrator: Narrator) -> None:
    narrator.stage("Applying the definitions: a FeatureSet and a Model in YAML")
    reply = await apply_declared(stack.settings, read_declared(str(Path(__file__).parent / "definitions.yaml")))
    narrator.say(reply.message)
    keys = stack.settings.signing.keys
    if keys is not None and not key_file(keys, APPROVER).exists():
        key = await admit(stack.settings, keys, APPROVER, (Role.APPROVER,))
        narrator.say(
            f"{APPROVER} may approve: commands and models count only when they are signed (key {key.spec.key_id})"
        )


def _midnight(days: int) -> datetime:
    """Midnight in New York's winter, ``days`` days into the year, as UTC."""
    return datetime(2013, 1, 1, 5, tzinfo=UTC) + timedelta(days=days)


async def _history(producer: Producer, narrator: Narrator) -> None:
    narrator.stage("Replaying January and February: what the first version learns from")
    history = season(NEW_YEAR, HISTORY_DAYS)
    started = narrator.elapsed
    with narrator.progress("events", history.events.height) as bar:
        for step in steps(history, _midnight(0), _midnight(HISTORY_DAYS), HISTORY_STEP):
            await producer.send(step)
            bar.advance(len(step.events))
    seconds = narrator.elapsed - started
    narrator.say(f"{history.events.height} events and {history.labels.height} labels over HTTP in {seconds:.0f} s")


async def _first_version(stack: Stack, governor: Governor, narrator: Narrator) -> None:
    narrator.stage("Training the first version on what was known on 1 March")
    with narrator.progress("asked", 1.0) as bar:
        await request_training(
            stack.settings, MODEL, _midnight(HISTORY_DAYS), wait=True, by="demo",
            shown=bar.tell,
        )  # fmt: skip
    await until(governor.serving.is_set, seconds=SERVING_SECONDS, what="Serving the first version")


async def _stream(
    producer: Producer, publisher: Publisher, governor: Governor, narrator: Narrator, partitions: int, days: int
) -> None:
    narrator.stage(f"Streaming {days} days from 1 March: predictions, windows, alerts, retraining")
    flights = season(NEW_YEAR + timedelta(days=HISTORY_DAYS), days)
    late = season(NEW_YEAR, HISTORY_DAYS)  # flights of the last evening in February land in March
    flights = type(flights)(flights.events, late.labels.vstack(flights.labels).sort("observed_at", "event_id"))
    start, end = _midnight(HISTORY_DAYS), _midnight(HISTORY_DAYS + days + TAIL_DAYS)
    seen = 0
    loop = asyncio.get_running_loop()
    with narrator.progress("days", days) as bar:
        day_began = loop.time()
        for step in steps(flights, start, end, STREAM_STEP):
            await governor.clear_to_stream(seconds=ROLL_OUT_SECONDS)
            await _send(producer, publisher, step, partitions, seen)
            seen += len(step.events)
            _show(bar, step, start, governor)
            if (step.until - start) % timedelta(days=1) == timedelta():
                await asyncio.sleep(max(0.0, day_began + SECONDS_A_DAY - loop.time()))
                day_began = loop.time()
    narrator.say(f"{seen} events streamed")


async def _send(producer: Producer, publisher: Publisher, step: Step, partitions: int, seen: int) -> None:
    await producer.post("/v1/events:batch", step.events)
    await publisher.publish(*sabotage(step, partitions, seen))
    await producer.post("/v1/labels:batch", step.labels)
    await producer.tick(step.until)


def _show(bar: Bar, step: Step, start: datetime, governor: Governor) -> None:
    days = (step.until - start) / timedelta(days=1)
    champion = f"champion v{governor.champion}" if governor.champion else "no champion"
    bar.tell(f"{step.until:%d %b}  {champion}  {governor.counts['performance windows']} windows", days)


def _stay(stack: Stack, narrator: Narrator) -> None:
    narrator.stage("Staying up until Ctrl-C")
    narrator.say(f"Kafka {stack.endpoints.bootstrap_servers}")
    for name, url in stack.urls.items():
        narrator.say(f"{name} {url}")
    with suppress(KeyboardInterrupt):
        signal.pause()


__all__ = ["HeadraceError", "Result", "run_demo"]
