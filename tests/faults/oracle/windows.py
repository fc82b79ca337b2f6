"""Check 3a: what monitoring says of each window is what follows from predictions and labels, computed again from the topics.

The last revision of a window counts. The run spans less event time than windows stay open to corrections, so the numbers
must be equal, late and early records included. A window that alarms must have its alert.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from schemas.topics import TICK
from services.monitoring.channels import LEAST_ROWS
from tests.faults import world
from tests.faults.oracle.findings import Findings
from tests.faults.reading import Seen

TOPICS: Final = ("predictions", "labels.validated", "metrics.windows", "alerts", "monitoring.dead-letters")
TOLERANCE: Final = 1e-4

Key = tuple[int, str, datetime]  # version, route, start


@dataclass(slots=True)
class Recount:
    """A window, computed again."""

    rows: int = 0
    failed: int = 0
    labelled: int = 0
    inflow: float = 0.0
    events: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Sight:
    """What stands on the topics."""

    recounts: dict[Key, Recount] = field(default_factory=lambda: defaultdict(Recount))
    labels: set[str] = field(default_factory=set)
    windows: dict[str, dict[Key, dict[str, Any]]] = field(default_factory=lambda: {"performance": {}, "quality": {}})
    alarming: list[str] = field(default_factory=list)  # by start
    told: set[str] = field(default_factory=set)


def check(records: Iterable[Seen]) -> Findings:
    """Compare."""
    findings, sight = Findings("windows"), Sight()
    for record in records:
        if record.kind != TICK and record.value is not None:
            _see(record.topic, json.loads(record.value), sight, findings)
    for recount in sight.recounts.values():
        recount.labelled = sum(event in sight.labels for event in recount.events)
    _compare(sight.recounts, sight.windows, findings)
    findings.saw("alarming windows", len(sight.alarming))
    for start in sight.alarming:
        if start not in sight.told:
            findings.found("a window alarms and no alert says so", start)
    return findings


def _see(topic: str, body: dict[str, Any], sight: Sight, findings: Findings) -> None:
    if topic == "predictions":
        _count(body, sight.recounts)
    elif topic == "labels.validated":
        sight.labels.add(body["event_id"])
    elif topic == "metrics.windows":
        _take(body, sight, findings)
    elif topic == "monitoring.dead-letters":
        findings.found("monitoring wrote a dead letter", body.get("message", ""))
    elif body["kind"] == "kpi" and body["state"] in ("firing", "acknowledged"):
        sight.told.add(body["window"]["start"])


def _count(body: Mapping[str, Any], recounts: dict[Key, Recount]) -> None:
    occurred = datetime.fromisoformat(body["occurred_at"])
    start = occurred - (occurred - world.START) % world.WINDOW
    recount = recounts[body["version"], body["route"], start]
    recount.rows += 1
    recount.failed += body["status"] == "failed"
    recount.inflow += body["features"]["inflow"]
    if body["status"] == "ok":
        recount.events.append(body["event_id"])


def _take(body: dict[str, Any], sight: Sight, findings: Findings) -> None:
    key = (body["version"], body["route"], datetime.fromisoformat(body["window"]["start"]))
    lane = sight.windows[body["lane"]]
    before = lane.get(key)
    if before is not None and before["revision"] + 1 != body["revision"]:
        findings.found(
            "a window's revisions do not count one by one", f"{key}: {before['revision']}, {body['revision']}"
        )
    if before is None and body["revision"] != 1:
        findings.found("a window's first revision is not 1", key)
    lane[key] = body
    if (
        body["revision"] == 1
        and body["rows"] >= LEAST_ROWS
        and any(c["alarming"] and c["channel"].startswith("kpi:") for c in body["channels"])
    ):
        sight.alarming.append(body["window"]["start"])


def _compare(
    recounts: Mapping[Key, Recount], windows: dict[str, dict[Key, dict[str, Any]]], findings: Findings
) -> None:
    for key, recount in recounts.items():
        findings.saw("windows")
        performance, quality = windows["performance"].get(key), windows["quality"].get(key)
        if performance is None:
            findings.found("a window was never closed", f"{key}: {recount.rows} rows")
            continue
        _same("rows", recount.rows, performance["rows"], key, findings)
        _same("failed", recount.failed, performance["failed"], key, findings)
        kpi = next((c["value"] for c in performance["channels"] if c["channel"] == "kpi:mean_inflow"), None)
        if kpi is None or abs(kpi - recount.inflow / recount.rows) > TOLERANCE * abs(kpi):
            findings.found("mean_inflow", f"{key}: {recount.inflow / recount.rows} counted again, {kpi} published")
        if quality is None:
            findings.found("a window's quality was never judged", f"{key}: {recount.labelled} labelled")
            continue
        _same("labelled", recount.labelled, quality["labelled"], key, findings)
        _same("rows of the quality lane", len(recount.events), quality["rows"], key, findings)
    for lane, found in windows.items():
        for key in found.keys() - recounts.keys():
            if found[key]["rows"]:
                findings.found("phantom: a window without predictions", f"{lane} {key}")


def _same(what: str, counted: int, published: int, key: Key, findings: Findings) -> None:
    if counted != published:
        findings.found(what, f"{key}: {counted} counted again, {published} published")
