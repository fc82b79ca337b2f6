"""What a successful run publishes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.definitions import TargetType
from schemas.events.contract import decode
from schemas.events.training import (
    CHUNK_BYTES,
    ArtifactManifest,
    Candidate,
    Lineage,
    ModelInput,
    ModelOutputs,
    RunCompleted,
)
from schemas.identities import artifact_digest
from services.training import results
from services.training.errors import RunError

AT = datetime(2024, 1, 1, tzinfo=UTC)


def candidate(artifact: bytes, **changes: Any) -> Candidate:
    content: dict[str, Any] = {
        "candidate_id": "c",
        "model": "m",
        "digest": artifact_digest(artifact),
        "size": len(artifact),
        "feature_set": "s@1",
        "definition_version": "1.0.0",
        "target_type": TargetType.REGRESSION,
        "inputs": (ModelInput(name="numeric", kind="numeric", features=("x",)),),
        "outputs": ModelOutputs(value="value"),
        "lineage": Lineage(source="trained", run_id="r"),
        "created_at": AT,
    }
    return Candidate(**{**content, **changes})


def test_chunks_come_first_then_manifest_candidate_and_completion() -> None:
    artifact = bytes(range(256)) * 5000
    found = results.completion(
        candidate(artifact), artifact, request_id="q", seconds=1.5, at=AT, sign=lambda offered: offered
    )
    *chunks, manifest, offered, completed = found
    assert b"".join(chunk.value or b"" for chunk in chunks) == artifact
    assert all(len(chunk.value or b"") <= CHUNK_BYTES for chunk in chunks)
    digest = artifact_digest(artifact)
    assert [chunk.key for chunk in chunks] == [f"{digest}/{number}".encode() for number in range(3)]
    assert decode(ArtifactManifest, manifest.value or b"").chunks == 3
    assert decode(Candidate, offered.value or b"").digest == digest
    assert decode(RunCompleted, completed.value or b"").request_id == "q"


def test_the_same_run_publishes_the_same_identities() -> None:
    artifact = b"model"
    first, second = (
        results.completion(
            candidate(artifact), artifact, request_id="q", seconds=seconds, at=AT, sign=lambda offered: offered
        )
        for seconds in (1, 2)
    )
    identities = [[dict(each.headers)["ce_id"] for each in found] for found in (first, second)]
    assert identities[0] == identities[1]


def test_an_artifact_that_was_changed_on_disk_is_not_published() -> None:
    with pytest.raises(RunError, match="was changed before it was published"):
        results.completion(
            candidate(b"model"), b"other", request_id="q", seconds=1, at=AT, sign=lambda offered: offered
        )


def test_a_candidate_that_no_topic_would_take_fails_the_run_instead_of_the_service() -> None:
    wide = candidate(b"model", golden=({"x": "y" * 2**20},))
    with pytest.raises(RunError) as error:
        results.completion(wide, b"model", request_id="q", seconds=1, at=AT, sign=lambda offered: offered)
    assert error.value.code == "candidate_too_large"


def test_a_model_that_is_too_large_to_travel_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "LARGEST_ARTIFACT", 4)
    with pytest.raises(RunError, match="fewer or shallower trees"):
        results.completion(
            candidate(b"model"), b"model", request_id="q", seconds=1, at=AT, sign=lambda offered: offered
        )
