"""``headrace topics``, ``lag``, ``doctor`` and ``audit``: running it."""

import asyncio
import http.client
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import typer

from cli import output
from cli.connection import Connection, connect
from cli.failures import DetailedError
from cli.output import AsJson
from cli.registry import history
from schemas.envelope import format_time
from schemas.events.platform import Heartbeat
from schemas.topics import CATALOGUE, PLATFORM_HEARTBEATS, Topic, dead_letters
from shared.clock import SystemClock
from shared.errors import HeadraceError
from shared.kafka_clients import wait_for_kafka
from shared.records import read, topic_name
from shared.settings import PlatformSettings
from shared.tables import read_to_end, scan
from shared.topic_admin import apply_topics, list_topics, partition_count

topics = typer.Typer(no_args_is_help=True, help="The topics of the catalogue.")
audit = typer.Typer(no_args_is_help=True, help="The registry's hash-chained log.")
STALE_SECONDS = 60
MIB = 1024 * 1024


@topics.command("list")
def list_all(*, json: AsJson = False) -> None:
    """Every topic: what it is for, and whether it exists."""
    settings = connect().settings
    present = asyncio.run(list_topics(settings))
    rows = [
        {
            "topic": topic_name(settings, topic),
            "partitions": partition_count(settings, topic),
            "keeps": topic.cleanup.value
            if topic.retention is None
            else f"{topic.cleanup.value} {topic.retention.days} d",
            "exists": topic_name(settings, topic) in present,
            "content": topic.summary,
        }
        for topic in CATALOGUE
    ]
    output.show(rows, as_json=json, empty="The catalogue is empty.")


@topics.command("apply")
def apply(*, json: AsJson = False) -> None:
    """Create what is missing and set every topic's configuration."""
    changes = asyncio.run(apply_topics(connect().settings))
    if json:
        output.document(changes)
        return
    for change in changes:
        output.say(change)
    output.say(f"{len(changes)} changes; {len(CATALOGUE)} topics are in place.")


def lag(*, json: AsJson = False) -> None:
    """How far each service is behind and what it uses, from its last heartbeat.

    A silent process is shown until another of its service beats.
    """
    now = SystemClock().now()
    beats = present(asyncio.run(heartbeats(connect().settings)), now)
    rows = [process_row(beat, now, as_json=json) for beat in beats]
    output.show(rows, as_json=json, empty="No service has sent a heartbeat yet.")


def process_row(beat: Heartbeat, now: datetime, *, as_json: bool) -> dict[str, Any]:
    """What is shown of a process. Older ones do not tell their limits: None."""
    most = beat.memory_limit_bytes
    return {
        "service": beat.service,
        "instance": beat.instance,
        "ready": beat.ready if alive(beat, now) else False,
        "lag": beat.lag,
        "processed": beat.processed,
        "cpu_cores": round(beat.cpu, 2),
        "of_cores": beat.cores,
        "memory_mib": beat.memory_bytes // MIB,
        "of_mib": None if most is None else most // MIB,
        "gpus": [gpu.model_dump(mode="json") for gpu in beat.gpus] if as_json else _gpus(beat),
        "seconds_ago": int((now - beat.at).total_seconds()),
        "state": "alive" if alive(beat, now) else f"silent since {format_time(beat.at)}",
    }


def _gpus(beat: Heartbeat) -> str | None:
    told = [
        f"{gpu.index}: {'' if gpu.utilisation is None else f'{gpu.utilisation:.0%}, '}"
        f"{gpu.memory_bytes // MIB} of {gpu.memory_total_bytes // MIB} MiB"
        for gpu in beat.gpus
    ]
    return "; ".join(told) or None


def alive(beat: Heartbeat, now: datetime) -> bool:
    """Whether the process has beaten lately."""
    return (now - beat.at).total_seconds() <= STALE_SECONDS


def present(beats: Sequence[Heartbeat], now: datetime) -> list[Heartbeat]:
    """``beats`` without those of silent processes in whose place a later one has beaten."""
    latest = {
        service: max(beat.at for beat in beats if beat.service == service) for service in {b.service for b in beats}
    }
    return [beat for beat in beats if alive(beat, now) or beat.at == latest[beat.service]]


async def heartbeats(settings: PlatformSettings) -> list[Heartbeat]:
    """The last heartbeat of each process."""
    latest: dict[tuple[str, str], Heartbeat] = {}
    for record in await read_to_end(settings, PLATFORM_HEARTBEATS):
        beat = read(Heartbeat, record)[1]
        latest[beat.service, beat.instance] = beat
    return sorted(latest.values(), key=lambda beat: (beat.service, beat.instance))


def doctor(*, json: AsJson = False) -> None:
    """Say in words what is wrong and what to do; exit 1 if anything is."""
    findings = asyncio.run(_diagnose(connect()))
    if json:
        output.document(findings)
    else:
        for finding in findings:
            output.say(finding)
        if not findings:
            output.say("Everything looks well: Kafka answers, all topics exist, every service is alive and keeps up.")
    if findings:
        raise typer.Exit(1)


async def _diagnose(connection: Connection) -> list[str]:
    settings = connection.settings
    try:
        await wait_for_kafka(settings.kafka.model_copy(update={"startup_timeout": 5.0}))
    except HeadraceError as error:
        return [str(error)]
    present = await list_topics(settings)
    missing = [topic_name(settings, topic) for topic in CATALOGUE if topic_name(settings, topic) not in present]
    if missing:
        return [
            f"{len(missing)} topics are missing ({', '.join(missing[:3])} …): create them with `headrace topics apply`."
        ]
    findings = await _services(settings)
    findings += await _dead_letters(settings)
    if connection.ingestion_url is not None and not _answers(connection.ingestion_url):
        findings.append(f"Ingestion at {connection.ingestion_url} is not ready: look at its /health/ready and its log.")
    return findings


async def _services(settings: PlatformSettings) -> list[str]:
    newest: dict[str, Heartbeat] = {}
    for beat in await heartbeats(settings):
        if beat.service not in newest or beat.at > newest[beat.service].at:
            newest[beat.service] = beat
    findings = []
    for name, beat in newest.items():
        now = SystemClock().now()
        age = (now - beat.at).total_seconds()
        if not alive(beat, now):
            findings.append(f"{name} has been silent for {age:.0f} s: is its process running?")
        elif not beat.ready:
            findings.append(f"{name} runs but is not ready: its /health/ready says what it waits for.")
    return findings


async def _dead_letters(settings: PlatformSettings) -> list[str]:
    """Who has some; offsets alone do not say it, because markers of transactions take some too."""
    services = [
        name.removesuffix(".dead-letters") for topic in CATALOGUE if (name := topic.name).endswith(".dead-letters")
    ]
    found = await asyncio.gather(*(_any_record(settings, dead_letters(service)) for service in services))
    return [
        f"{service} has dead letters: `headrace dlq list {service}` shows them."
        for service, some in zip(services, found, strict=True)
        if some
    ]


async def _any_record(settings: PlatformSettings, topic: Topic) -> bool:
    async with aclosing(scan(settings, topic)) as batches:
        async for records in batches:
            if records:
                return True
    return False


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=3)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


@audit.command("verify")
def verify(*, json: AsJson = False) -> None:
    """Check the hash chain of the whole log; exit 1 where it breaks."""
    from services.registry.audit import verify as verify_chain  # noqa: PLC0415 - without that service the rest still works

    events = asyncio.run(history(connect().settings, lambda _: True))
    broken = verify_chain(events)
    content = {"events": len(events), "broken_at": broken}
    if broken is not None:
        message = f"The audit log is broken at sequence {broken}: an entry was changed, removed or reordered there."
        raise DetailedError(message, **content)
    output.result(
        content, f"The audit log holds: {len(events)} entries, each follows from the one before.", as_json=json
    )


@audit.command("export")
def export(*, json: AsJson = False) -> None:
    """The whole log as a JSON array, with or without --json."""
    del json
    events: list[Any] = asyncio.run(history(connect().settings, lambda _: True))
    output.document([event.model_dump(mode="json") for event in events])
