"""What a run says on the bus, as records: identities follow from the run, so a repetition is recognised as one."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from schemas.envelope import BINARY, Envelope, encode_headers
from schemas.events.contract import Contract
from schemas.events.training import CHUNK_BYTES, ArtifactManifest, Candidate, RunCompleted
from schemas.identities import artifact_digest, derived_id
from schemas.topics import MODELS_ARTIFACTS, MODELS_CANDIDATES, TRAINING_EVENTS
from services.training.errors import RunError
from shared.records import Outgoing, message

LARGEST_ARTIFACT: Final = 128 * 1024 * 1024
LARGEST_CANDIDATE: Final = MODELS_CANDIDATES.max_body_bytes
SOURCE: Final = "headrace/training"
CHUNK_TYPE: Final = "headrace.artifact-chunk.v1"


def run_message(body: Contract, *, model: str, identity: str, at: datetime) -> Outgoing:
    """A record on training.events."""
    return message(TRAINING_EVENTS, body, key=model, source=SOURCE, id=identity, time=at)


def artifact_messages(artifact: bytes, at: datetime) -> list[Outgoing]:
    """The chunks of ``artifact`` in order, the manifest last."""
    digest = artifact_digest(artifact)
    starts = range(0, len(artifact), CHUNK_BYTES)
    chunks = [_chunk(digest, number, artifact[start : start + CHUNK_BYTES], at) for number, start in enumerate(starts)]
    manifest = ArtifactManifest(digest=digest, size=len(artifact), chunks=len(chunks))
    key = f"{digest}/manifest"
    return [*chunks, message(MODELS_ARTIFACTS, manifest, key=key, source=SOURCE, id=key, time=at)]


def _chunk(digest: str, number: int, body: bytes, at: datetime) -> Outgoing:
    key = f"{digest}/{number}"
    envelope = Envelope(id=key, source=SOURCE, type=CHUNK_TYPE, time=at, content_type=BINARY)
    return Outgoing(MODELS_ARTIFACTS, key.encode(), body, encode_headers(envelope))


def completion(
    candidate: Candidate,
    artifact: bytes,
    *,
    request_id: str,
    seconds: float,
    at: datetime,
    sign: Callable[[Outgoing], Outgoing],
) -> list[Outgoing]:
    """Everything that a successful run publishes, to be committed together; the candidate is put through ``sign``.

    Raises `RunError`: ``artifact_altered`` when ``artifact`` is not what the candidate names, ``artifact_too_large``,
    ``candidate_too_large``: a transaction that can never be committed must not be tried again and again.
    """
    run = candidate.lineage.run_id or ""
    if len(artifact) > LARGEST_ARTIFACT:
        sentence = (
            f"The model takes {len(artifact)} bytes; at most {LARGEST_ARTIFACT} travel. Give the recipe fewer or shallower trees, "
            "or fewer units."
        )
        raise RunError("artifact_too_large", sentence)
    if artifact_digest(artifact) != candidate.digest:
        raise RunError("artifact_altered", "The worker's artifact was changed before it was published; train again.")
    completed = RunCompleted(
        run_id=run,
        request_id=request_id,
        model=candidate.model,
        at=at,
        digest=candidate.digest,
        metrics=candidate.metrics,
        seconds=round(seconds, 3),
    )
    offered = sign(
        message(MODELS_CANDIDATES, candidate, key=candidate.model, source=SOURCE, id=candidate.candidate_id, time=at)
    )
    if len(offered.value or b"") > LARGEST_CANDIDATE:
        sentence = (
            f"The candidate's record takes {len(offered.value or b'')} bytes; at most {LARGEST_CANDIDATE} fit its topic. "
            "Name fewer features in spec.features, or group by fewer."
        )
        raise RunError("candidate_too_large", sentence)
    return [
        *artifact_messages(artifact, at),
        offered,
        run_message(completed, model=candidate.model, identity=derived_id("completed", run), at=at),
    ]
