"""Check 2: exactly one serving prediction per validated event, from the first served offset on; right values, kept order."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas.topics import TICK
from tests.faults import world
from tests.faults.oracle.findings import Findings
from tests.faults.reading import Seen

TOPICS: Final = ("events.raw", "events.validated", "predictions", "inference.status")
TOLERANCE: Final = 1e-2

Place = tuple[int, int]  # partition, offset


def check(records: Iterable[Seen], *, warm_up: frozenset[str]) -> Findings:
    """``warm_up``: the events that were sent before every partition was served; all others are owed a prediction."""
    findings = Findings("predictions")
    by_topic: dict[str, list[Seen]] = defaultdict(list)
    raw: dict[int, list[str]] = defaultdict(list)
    for record in records:
        if record.topic == "events.raw":
            raw[record.partition].append(record.header("ce_id"))  # its bodies would fill the memory
        elif record.kind != TICK:
            by_topic[record.topic].append(record)
    validated = by_topic["events.validated"]
    served = [record for record in by_topic["predictions"] if record.header("route") != "shadow"]
    starts = first_served(by_topic["inference.status"])
    findings.saw("validated", len(validated))
    findings.saw("predictions", len(by_topic["predictions"]))
    _starts_honest(validated, starts, warm_up, findings)
    owed = [record for record in validated if record.offset >= starts.get(record.partition, 2**63)]
    _each_once(owed, served, findings)
    _ids_unique(by_topic["predictions"], findings)
    _order(owed, served, findings)
    _as_raw(raw, validated, findings)
    return findings


def first_served(statuses: Sequence[Seen]) -> Mapping[int, int]:
    """Partition → offset of the first served event; a second statement is a fault of its own, so the first counts."""
    starts: dict[int, int] = {}
    for record in statuses:
        if record.kind == "headrace.serving-started.v1" and record.value:
            body = json.loads(record.value)
            if body["model"] == world.MODEL:
                starts.setdefault(body["partition"], body["offset"])
    return starts


def _starts_honest(
    validated: Sequence[Seen], starts: Mapping[int, int], warm_up: frozenset[str], findings: Findings
) -> None:
    for record in validated:
        if record.header("ce_id") not in warm_up and record.offset < starts.get(record.partition, 2**63):
            findings.found("an event after the warm-up is said not to be owed a prediction", _place(record))


def _each_once(owed: Sequence[Seen], served: Sequence[Seen], findings: Findings) -> None:
    bodies = {_event(record): json.loads(record.value or b"{}") for record in owed}
    answers: dict[tuple[str, str], int] = defaultdict(int)
    for record in served:
        body = json.loads(record.value or b"{}")
        event = (body["event_source"], body["event_id"])
        answers[event] += 1
        if event not in bodies:
            findings.found("phantom: a prediction of an event that is owed none", event)
        elif not _right(body, bodies[event]):
            findings.found("a prediction is wrong", f"{event}: {body['status']} {body['outputs']} {body['error']}")
    for event in bodies:
        if answers[event] != 1:
            fault = "lost: an event without a prediction" if not answers[event] else "repeated: several predictions"
            findings.found(fault, event)


def _right(prediction: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    given = {name: float(np.float32(value)) for name, value in event["features"].items()}
    outputs = prediction["outputs"] or {}
    return bool(
        prediction["status"] == "ok"
        and prediction["entity_id"] == event["entity_id"]
        and abs(outputs.get("value", 1e9) - world.level(given["inflow"], given["outflow"])) < TOLERANCE
    )


def _ids_unique(predictions: Sequence[Seen], findings: Findings) -> None:
    seen: set[str] = set()
    for record in predictions:
        identity = record.header("ce_id")
        if identity in seen:
            findings.found("a prediction id stands twice", _place(record))
        seen.add(identity)


def _order(owed: Sequence[Seen], served: Sequence[Seen], findings: Findings) -> None:
    """Per key, predictions come in the order of the events."""
    wanted, found = _by_key(owed), _by_key(served)
    for key, events in wanted.items():
        answers = [json.loads(record.value or b"{}")["event_id"] for record in found.get(key, ())]
        if answers != [record.header("ce_id") for record in events]:
            findings.found("order of a key changed between events.validated and predictions", key)
    findings.saw("keys", len(wanted))


def _as_raw(raw: Mapping[int, Sequence[str]], validated: Sequence[Seen], findings: Findings) -> None:
    """Per partition, validated events come in the order in which they stand on the raw topic."""
    walks = {partition: iter(ids) for partition, ids in raw.items()}
    for record in validated:
        wanted = record.header("ce_id")
        if not any(identity == wanted for identity in walks.get(record.partition, iter(()))):
            findings.found("order changed between events.raw and events.validated", _place(record))
            return


def _by_key(records: Sequence[Seen]) -> dict[bytes | None, list[Seen]]:
    found: dict[bytes | None, list[Seen]] = defaultdict(list)
    for record in records:
        found[record.key].append(record)
    return found


def _event(record: Seen) -> tuple[str, str]:
    return record.header("ce_source"), record.header("ce_id")


def _place(record: Seen) -> str:
    return f"{record.topic}/{record.partition}@{record.offset} {record.header('ce_id')}"
