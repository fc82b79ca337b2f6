"""``train --wait`` and ``models import`` end with the registry's answer to their own candidate, whatever it is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.training import _outcome
from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import Contract, encode
from schemas.events.registry import CandidateRefused, CandidateRegistered, Fact, RegistryEvent
from schemas.events.training import RunCompleted, RunFailed, TrainingRequest
from schemas.identities import candidate_id, run_id
from shared.errors import RefusedError
from shared.records import Record, StoredRecord

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DIGEST = "ab" * 32
REQUEST = TrainingRequest(
    request_id="r-1", model="shade", reason="manual", requested_by="ann", requested_at=NOW, as_of=None
)
RUN = run_id("r-1")
MINE = candidate_id(RUN)


def record(body: Contract) -> StoredRecord:
    headers = encode_headers(Envelope(id="1", source="tests", type=body.ce_type))
    return StoredRecord("t", 0, 0, 0, b"shade", encode(body), headers)


def logged(fact: Fact) -> StoredRecord:
    event = RegistryEvent(
        sequence=1, model="shade", revision=1, fact=fact, actor="a", at=NOW, previous_hash="", hash=""
    )
    return record(event)


def completed() -> StoredRecord:
    body = RunCompleted(
        run_id=RUN, request_id="r-1", model="shade", at=NOW, digest=DIGEST, metrics={"roc_auc": 0.8}, seconds=1.0
    )
    return record(body)


def registered(candidate: str, version: int = 3) -> StoredRecord:
    return logged(CandidateRegistered(version=version, candidate_id=candidate, digest=DIGEST, source="trained"))


def refused(candidate: str, code: str = "known", version: int | None = 3) -> StoredRecord:
    message = f"version {version} of shade, which is champion, has the same bytes; no new version was made."
    return logged(CandidateRefused(candidate_id=candidate, digest=DIGEST, code=code, message=message, version=version))


def waited(*records: Record) -> dict[str, Any]:
    async def following() -> AsyncIterator[Record]:
        for each in records:
            yield each
        await asyncio.sleep(60)  # nothing more comes

    async def bounded() -> dict[str, Any]:
        async with asyncio.timeout(2):
            return await _outcome(following(), REQUEST, lambda *_: None)

    return asyncio.run(bounded())


def test_a_run_that_gives_a_known_model_ends_with_the_version_that_has_it() -> None:
    found = waited(completed(), refused(MINE))
    assert found["version"] == 3
    assert found["message"].startswith("Nothing new: version 3 of shade, which is champion")


def test_the_registry_may_be_read_before_the_run() -> None:
    assert waited(registered(MINE), completed())["version"] == 3


def test_another_candidate_with_the_same_bytes_is_not_the_answer() -> None:
    assert waited(registered("import-1", 2), completed(), registered(MINE, 3))["version"] == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refused(MINE, "feature_set", None), r"refused the candidate \(feature_set\)"),
        (refused(MINE, "known", None), r"refused the candidate \(known\)"),
        (
            record(RunFailed(run_id=RUN, request_id="r-1", model="shade", at=NOW, code="rows", message="too few")),
            r"failed \(rows\): too few",
        ),
    ],
)
def test_what_leads_to_no_version_is_an_error_that_says_why(answer: Record, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        waited(answer)
