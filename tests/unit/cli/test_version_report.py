"""An importer is told why a version failed: by `models show`, by the history, by a refusal, and by the import itself."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from registry_play import Play, started

from cli import probing, version_report
from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import encode
from schemas.events.registry import Approve, Promote, RegistryEvent
from services.registry import candidates
from services.registry.candidates import ProbeResult
from shared.errors import RefusedError, TransientError
from shared.records import Record, StoredRecord

GATES = [{"metric": "roc_auc", "min": 0.7}, {"metric": "latency_ms", "max": 5}, {"metric": "brier", "max": 0.2}]


@pytest.fixture
def quarantined() -> Play:
    """A version whose file failed the probe."""
    play = started()
    play.offer(b"bad")
    result = ProbeResult("shade", 1, passed=False, code="external_data", message="it keeps its data in another file.")
    play._record(candidates.probed(play.state, result), "registry")
    return play


async def followed(events: list[RegistryEvent]) -> AsyncIterator[Record]:
    for event in events:
        headers = encode_headers(Envelope(id="e", source="registry", type=RegistryEvent.ce_type))
        yield StoredRecord("registry.events", 0, event.sequence, 0, event.model.encode(), encode(event), headers)


def test_a_quarantined_version_shows_the_probes_code_and_message(quarantined: Play) -> None:
    version = quarantined.shade.versions[1]
    assert version_report.evidence(version)["probe"] == {
        "state": "failed",
        "code": "external_data",
        "message": "it keeps its data in another file.",
        "latency_ms": None,
    }
    assert "probe failed (external_data): it keeps its data in another file." in version_report.lines(version)


def test_each_gate_shows_its_value_its_bound_and_its_verdict() -> None:
    play = started(gates=GATES)
    play.train(b"one", metrics={"roc_auc": 0.65})
    version = play.shade.versions[1]
    told = "\n".join(version_report.lines(version))
    assert "gate roc_auc: 0.65, must be >= 0.7: FAILED" in told
    assert "gate latency_ms: 1, must be <= 5: holds" in told
    assert "gate brier: not measured, must be <= 0.2: FAILED" in told
    assert "rejected (gates): roc_auc must be >= 0.7 and is 0.65" in told
    assert [(each["gate"], each["passed"]) for each in version_report.evidence(version)["gates"]] == [
        ("roc_auc", False),
        ("latency_ms", True),
        ("brier", False),
    ]


@pytest.mark.parametrize("action", [Promote(version=1), Approve(version=1)])
def test_a_refused_decision_says_what_the_probe_said(quarantined: Play, action: Any) -> None:
    reply = quarantined.command(action, actor="bob")
    assert reply.status == "refused"
    assert "(external_data): it keeps its data in another file." in reply.message


def test_a_refused_decision_says_which_gates_failed() -> None:
    play = started(gates=GATES)
    play.train(b"one", metrics={"roc_auc": 0.65})
    assert "roc_auc must be >= 0.7 and is 0.65" in play.command(Promote(version=1), actor="bob").message


def test_the_history_tells_code_and_message(quarantined: Play) -> None:
    told = [version_report.because(event) for event in quarantined.events if event.fact.type == "version-probed"]
    assert told == ["external_data: it keeps its data in another file. (because)"]


async def test_an_import_ends_with_the_probes_sentence(quarantined: Play) -> None:
    with pytest.raises(RefusedError, match=r"shade version 1 is in quarantine \(external_data\): it keeps its data"):
        await probing.after_probe(followed(quarantined.events), "shade", {"version": 1})


async def test_an_import_ends_when_its_own_version_has_passed_the_probe() -> None:
    play = started()
    play.train(b"one")
    found = await probing.after_probe(followed(play.events), "shade", {"version": 1})
    assert found["probe"] == {"state": "passed", "latency_ms": 1.0}
    assert "has passed its probe" in found["message"]


async def test_an_import_does_not_wait_for_ever() -> None:
    async def silent() -> AsyncIterator[Record]:
        import asyncio

        await asyncio.sleep(60)
        yield StoredRecord("registry.events", 0, 0, 0, b"", b"", ())

    with pytest.raises(TransientError, match=r"was not probed within 0\.05 s"):
        await probing.after_probe(silent(), "shade", {"version": 1}, seconds=0.05)
