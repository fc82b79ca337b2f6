"""Checks 3b and 5: each command was decided once, the hash chain holds, and Mongo is the fold of registry.events."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec
from pymongo import MongoClient

from schemas.events.registry import RegistryCommand, RegistryEvent
from services.registry import audit
from services.registry.evolution import evolve
from services.registry.projection import documents
from services.registry.state import State
from tests.faults.oracle.findings import Findings
from tests.faults.reading import Seen

TOPICS: Final = ("registry.events", "registry.replies", "registry.commands", "registry.dead-letters")


def check(records: Iterable[Seen], commands: Collection[str]) -> tuple[Findings, list[RegistryEvent]]:
    """``commands``: ids of acknowledged commands. The log too, for the projection."""
    findings = Findings("registry")
    log: list[RegistryEvent] = []
    replies: dict[str, set[str]] = defaultdict(set)
    asked: set[str] = set(commands)
    for record in records:
        if record.topic == "registry.events":
            log.append(RegistryEvent.model_validate_json(record.value or b""))
        elif record.topic == "registry.replies":
            reply = json.loads(record.value or b"{}")
            replies[reply["command_id"]].add(f"{reply['status']} {reply['revision']}")
        elif record.topic == "registry.dead-letters":
            findings.found("the registry wrote a dead letter", record.value)
        elif record.kind == RegistryCommand.ce_type:
            asked.add(json.loads(record.value or b"{}")["command_id"])
    findings.saw("events", len(log))
    findings.saw("commands", len(asked))
    broken = audit.verify(log)
    if broken is not None:
        findings.found("the audit chain is broken", f"at sequence {broken}")
    _answered(asked, replies, findings)
    _decided(asked, log, findings)
    return findings, log


def _answered(asked: Collection[str], replies: Mapping[str, set[str]], findings: Findings) -> None:
    for command in asked:
        if command not in replies:
            findings.found("a command without a reply", command)
        elif len(replies[command]) != 1:
            findings.found("a command with different answers", f"{command}: {replies[command]}")
        elif command.startswith("scratch-") and not next(iter(replies[command])).startswith("accepted"):
            findings.found("a good command was not accepted", f"{command}: {replies[command]}")


def _decided(asked: Collection[str], log: Iterable[RegistryEvent], findings: Findings) -> None:
    applied = Counter(event.command_id for event in log if event.command_id is not None)
    for command, count in applied.items():
        if count > 1 and command.startswith("scratch-"):
            findings.found("a command was decided more than once", command)
        if command not in asked:
            findings.found("phantom: a decision without a command", command)


def projection(log: Iterable[RegistryEvent], uri: str, database: str) -> Findings:
    """Compare the registry's database with the fold of its log."""
    findings = Findings("projection")
    wanted: dict[tuple[str, str], dict[str, Any]] = {}
    state = State()
    for event in log:
        state = evolve(state, event)
        for document in documents(state, event):
            wanted[document.collection, document.key] = document.content
    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=10_000)
    try:
        stored = client[database]
        found = {
            (collection, each.pop("_id")): each
            for collection in {name for name, _ in wanted}
            for each in stored[collection].find()
        }
    finally:
        client.close()
    for place, content in wanted.items():
        findings.saw("documents")
        held = found.get(place)
        if held is None:
            findings.found("a document is missing", place)
        elif _plain(held) != _plain(content):
            findings.found("a document differs from the fold", place)
    for place in found.keys() - wanted.keys():
        findings.found("phantom: a document that no event explains", place)
    return findings


def _plain(document: dict[str, Any]) -> Any:
    kept = {name: value for name, value in document.items() if name != "applied_offset"}
    return msgspec.json.decode(msgspec.json.encode(kept))
