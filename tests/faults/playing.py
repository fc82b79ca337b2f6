"""One run: the platform, producers, faults, then peace, and what the oracle says."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from cli.draining import until_drained
from shared.errors import TransientError
from tests.faults import ledger as ledgers
from tests.faults.broker import Ground
from tests.faults.crowd import Crowd
from tests.faults.faults import BROKER_KILLS, SERVICE_KILLS
from tests.faults.injector import Injected, Injector
from tests.faults.ledger import Ledger
from tests.faults.oracle import notices, outcomes, predictions, registry, windows
from tests.faults.oracle.findings import Findings
from tests.faults.plant import Plant, plant
from tests.faults.profiles import Profile
from tests.faults.watch import Watch, seconds_until

QUIET: Final = 1.5  # load a core
SERVICE_RECOVERY: Final = 30.0
BROKER_RECOVERY: Final = 60.0
DRAIN: Final = 180.0
FINISH: Final = 120.0
PROJECTION: Final = 60.0
AFTER_LABELS: Final = (timedelta(hours=4), timedelta(hours=5))

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What happened and what is said of it."""

    profile: Profile
    seed: int
    injected: tuple[Injected, ...]
    findings: tuple[Findings, ...]
    events: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return all(finding.passed for finding in self.findings)

    @property
    def faults(self) -> tuple[Injected, ...]:
        """Those that took place."""
        return tuple(each for each in self.injected if not each.skipped)


def play(profile: Profile, seed: int, ground: Ground, home: Path, report: Report, machine: str) -> Run:
    """Run ``profile``; ledger, fault log and service logs stay in ``home``. ``machine``: what `busy` said beforehand."""
    begun = time.monotonic()
    with ExitStack() as life:
        report("starting the services")
        running = life.enter_context(
            plant(ground, home, services=profile.services, partitions=profile.partitions, timeouts=profile.timeouts)
        )
        ledger = life.enter_context(Ledger(home / "ledger.jsonl"))
        crowd = life.enter_context(
            Crowd(profile.load(seed), running.settings, running.members["ingestion"].url, ledger)
        )
        watch = life.enter_context(Watch(running, crowd))
        report("waiting for the first predictions")
        warm = time.monotonic()
        assert seconds_until(lambda: watch.fresh_since(warm), limit=120, since=warm) is not None, "nothing is predicted"
        warm_up = frozenset(name for lane in crowd.lanes for name in tuple(lane.progress.sent_at))
        report(f"injecting faults, {time.monotonic() - begun:.0f} s after the start")
        injector = Injector(running, crowd, watch, home / "faults.jsonl", profile.calm)
        injector.run(profile.schedule(seed), time.monotonic() + profile.limit)
        _until_enough(crowd, profile)
        report("healing and draining")
        peace = _peace(running, crowd)
        report("comparing")
        findings = (
            peace,
            *judge(running, home, injector.done, warm_up, crowd.commands),
            recovery(injector.done, machine),
            hardness(profile, crowd.events, injector.done),
        )
        return Run(profile, seed, tuple(injector.done), findings, crowd.events, time.monotonic() - begun)


def _until_enough(crowd: Crowd, profile: Profile) -> None:
    missing = max(0, profile.events - crowd.events)
    deadline = time.monotonic() + 2 * missing / profile.rate + 30
    while crowd.events < profile.events and time.monotonic() < deadline:
        crowd.check()
        time.sleep(0.2)


def _peace(running: Plant, crowd: Crowd) -> Findings:
    """Everything healed, sent, and processed to lag 0; what stands in the way of that is a finding, the rest is judged all the same."""
    findings = Findings("drained")
    try:
        _heal(running)
        crowd.finish(FINISH)
        findings.saw("events", crowd.events)
        for extra in AFTER_LABELS:
            _drain(running)
            crowd.tick_beyond(extra)
        _drain(running)
    except AssertionError as error:
        findings.found("the platform did not come to rest", error)
    return findings


def _heal(running: Plant) -> None:
    for link in running.ground.network.links.values():
        link.heal()
    for member in tuple(running.members.values()):
        member.disarm()
        if member.name != member.service:
            running.remove(member)
    running.until_ready(120)


def _drain(running: Plant) -> None:
    try:
        asyncio.run(until_drained(running.settings, seconds=DRAIN))
    except TransientError as error:
        raise AssertionError(str(error)) from None


def judge(
    running: Plant, home: Path, injected: list[Injected], warm_up: frozenset[str], commands: Sequence[str]
) -> tuple[Findings, ...]:
    """All checks."""
    reader = running.reader
    decided, log = registry.check(reader.all(*registry.TOPICS), commands)
    terminated = sum(each.step.kind == "SIGTERM" and each.step.target == "notifier" for each in injected)
    return (
        outcomes.check(ledgers.read(home / "ledger.jsonl"), reader.all(*outcomes.TOPICS)),
        predictions.check(reader.all(*predictions.TOPICS), warm_up=warm_up),
        windows.check(reader.all(*windows.TOPICS)),
        decided,
        _projection(running, log),
        notices.check(
            reader.all(*notices.TOPICS),
            tuple(running.slack.messages),
            crashes=running.restarts("notifier") - terminated,
        ),
        _no_dead_letters(running),
    )


def _projection(running: Plant, log: Any) -> Findings:
    """The projection follows the log at its own pace; it has a minute."""
    settings = running.settings
    deadline = time.monotonic() + PROJECTION
    while True:
        found = registry.projection(log, settings.mongo.uri.get_secret_value(), f"{settings.mongo.database}_registry")
        if found.passed or time.monotonic() > deadline:
            return found
        time.sleep(1.0)


def _no_dead_letters(running: Plant) -> Findings:
    """What validation lets through, nobody downstream fails on."""
    findings = Findings("dead letters downstream")
    for service in ("inference", "training", "ingestion"):
        findings.saw("topics")
        for record in running.reader.all(f"{service}.dead-letters"):
            text = json.loads(record.value or b"{}")
            findings.found(f"{service} wrote a dead letter", f"{text.get('code')} {text.get('message')}")
    return findings


def hardness(profile: Profile, events: int, injected: Sequence[Injected]) -> Findings:
    """Check 9: the run was what its profile promises; one that could do less says nothing."""
    findings = Findings("hardness")
    happened = [each.step.kind for each in injected if not each.skipped]
    for what, found, least in (
        ("events", events, profile.events),
        ("faults", len(happened), profile.least_faults),
        ("kinds", len(set(happened)), profile.least_kinds),
    ):
        findings.saw(what, found)
        if found < least:
            findings.found(f"too few {what}", f"{found} of at least {least}")
    return findings


def busy() -> str:
    """What keeps this machine from telling anything about times, before the run adds its own load; empty if it is quiet."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"load {load:.1f} on {cores} cores when the run began" if load > QUIET * cores else ""


def recovery(injected: list[Injected], machine: str) -> Findings:
    """Check 6: everything recovered, and kills fast enough, unless the ``machine`` was busy with something else."""
    findings = Findings("recovery")
    if machine:
        findings.saw(f"times not judged ({machine})", 0)
    for each in injected:
        kind = each.step.kind
        if each.skipped:
            continue
        findings.saw("faults")
        told = f"{each.number} {kind} {each.step.target} {dict(each.step.detail)}: {each.recovered} s"
        if each.recovered is None:
            findings.found("no recovery", told)
        elif (kind in SERVICE_KILLS and each.recovered > SERVICE_RECOVERY) or (
            kind in BROKER_KILLS and each.recovered > BROKER_RECOVERY
        ):
            if machine:
                findings.saw("slow recoveries")
            else:
                findings.found("slow recovery from a kill", told)
    return findings
