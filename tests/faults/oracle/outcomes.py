"""Check 1: ok ⊆ outcomes ⊆ ok ∪ unknown, each attempt in exactly one terminal outcome, each id validated once.

An outcome is matched to the attempts of the same kind, id and body. Copies that were re-routed within a raw topic are not
outcomes, so they count once by themselves.
"""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.topics import TICK
from tests.faults.digests import poison_digest
from tests.faults.ledger import Entry
from tests.faults.oracle.findings import Findings
from tests.faults.reading import Seen
from tests.faults.world import SOURCE

TOPICS: Final = (
    "events.validated",
    "labels.validated",
    "events.rejected",
    "labels.rejected",
    "events.duplicates",
    "validation.dead-letters",
)
_ENDS: Final = {
    "events.validated": ("event", "validated"),
    "labels.validated": ("label", "validated"),
    "events.rejected": ("event", "rejected"),
    "labels.rejected": ("label", "rejected"),
}

Identity = tuple[str, str]  # kind, id
Body = tuple[str, str, str]  # kind, id, digest


@dataclass(slots=True)
class Sent:
    """The attempts of one body."""

    ok: int = 0
    unknown: int = 0
    expectation: str = "valid"
    ends: Counter[str] = field(default_factory=Counter)


def check(entries: Iterable[Entry], records: Iterable[Seen]) -> Findings:
    """Compare the ledger with what stands on the outcome topics."""
    findings = Findings("outcomes")
    sent = _sent(entries, findings)
    for record in records:
        if record.kind == TICK:
            continue
        body, end = outcome(record)
        if body is None:
            findings.found(
                "phantom: an outcome of nothing that was sent", f"{record.topic}/{record.partition}@{record.offset}"
            )
            continue
        findings.saw(end)
        if body not in sent:
            findings.found(f"phantom: {end} without an attempt", body)
            continue
        sent[body].ends[end] += 1
    _compare(sent, findings)
    return findings


def outcome(record: Seen) -> tuple[Body | None, str]:
    """Which body ended how; None for a record of somebody else."""
    if record.topic == "validation.dead-letters":
        letter = json.loads(record.value or b"{}")
        key, value = _bytes(letter["key_base64"]), _bytes(letter["payload_base64"])
        return ("poison", "", poison_digest(key, value)), "dead letter"
    if record.header("ce_source") != SOURCE:
        return None, ""
    if record.topic == "events.duplicates":
        origin = json.loads(record.value or b"{}")["origin"]["topic"]
        kind, end = ("label" if origin.endswith("labels.raw") else "event"), "duplicate"
    else:
        kind, end = _ENDS[record.topic]
    return (kind, record.header("ce_id"), record.header("ce_payloadhash")), end


def _sent(entries: Iterable[Entry], findings: Findings) -> dict[Body, Sent]:
    found: dict[Body, Sent] = defaultdict(Sent)
    for entry in entries:
        sending = entry.sending
        findings.saw(f"sent {entry.outcome}")
        body = found[sending.kind, sending.id, sending.digest]
        body.expectation = sending.expectation
        body.ok += entry.outcome == "ok"
        body.unknown += entry.outcome == "unknown"
    return found


def _compare(sent: dict[Body, Sent], findings: Findings) -> None:
    validated: dict[Identity, list[str]] = defaultdict(list)
    for (kind, identity, digest), each in sent.items():
        total = each.ends.total()
        if total < each.ok:
            findings.found("lost: fewer outcomes than acknowledged attempts", _told(kind, identity, digest, each))
        if total > each.ok + each.unknown:
            findings.found("repeated: more outcomes than attempts", _told(kind, identity, digest, each))
        validated[kind, identity] += [digest] * each.ends["validated"]
    for (kind, identity, digest), each in sent.items():
        _judge(kind, identity, digest, each, validated[kind, identity], findings)


def _judge(kind: str, identity: str, digest: str, each: Sent, validated: list[str], findings: Findings) -> None:
    told = _told(kind, identity, digest, each)
    if each.expectation == "valid" and len(validated) > 1:
        findings.found("an id was validated more than once", told)
    elif each.expectation == "valid" and not validated and (each.ok or each.ends):
        findings.found("a valid record was never validated", told)
    elif each.ends.keys() - (allowed := _allowed(digest, each, validated)):
        findings.found(f"ended otherwise than in {' or '.join(sorted(allowed))}", told)


def _allowed(digest: str, each: Sent, validated: list[str]) -> frozenset[str]:
    """How an attempt may end: poison as a dead letter; another body under a validated id is rejected, as what is invalid."""
    if each.expectation == "dead":
        return frozenset({"dead letter"})
    if each.expectation == "invalid" or digest not in validated:
        return frozenset({"rejected"})
    return frozenset({"validated", "duplicate"})


def _told(kind: str, identity: str, digest: str, each: Sent) -> str:
    return f"{kind} {identity or digest}: ok {each.ok}, unknown {each.unknown}, ended {dict(each.ends)}"


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
