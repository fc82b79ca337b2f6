"""Our own contestant: the service as a process, with everything on its topics that it needs to serve one model."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bench.inference_path.scene import Stream
from schemas.definitions import TargetType
from schemas.envelope import Envelope, encode_headers
from schemas.events.registry import DefinitionRecord, DeployedVersion, Deployment
from schemas.events.training import CHUNK_BYTES, ArtifactManifest, Candidate, Lineage, ModelOutputs
from schemas.identities import artifact_digest
from schemas.topics import DEFINITIONS, DEPLOYMENTS, MODELS_ARTIFACTS, MODELS_CANDIDATES
from services.inference.adapters.artifact_feed import CHUNK_TYPE
from shared.publishing import Publisher
from shared.records import Outgoing, message
from shared.settings import PlatformSettings

SOURCE = "bench"


async def deploy(settings: PlatformSettings, stream: Stream, artifact: bytes) -> None:
    """Publish definition, artifact, candidate and deployment of the model ``delay``."""
    async with Publisher(settings) as publisher:
        await publisher.publish(*_definition(stream), *_artifact(artifact))
        await publisher.publish(*_deployment(stream, artifact))


def _definition(stream: Stream) -> Sequence[Outgoing]:
    defined = stream.feature_set
    body = DefinitionRecord(
        kind="FeatureSet", name="departures", major=1, revision=1, definition=defined.model_dump(mode="json", by_alias=True)
    )  # fmt: skip
    return [message(DEFINITIONS, body, key=defined.topic_key, source=SOURCE)]


def _artifact(artifact: bytes) -> list[Outgoing]:
    digest = artifact_digest(artifact)
    chunks = [artifact[at : at + CHUNK_BYTES] for at in range(0, len(artifact), CHUNK_BYTES)]
    found = []
    for index, chunk in enumerate(chunks):
        key = f"{digest}/{index}"
        envelope = Envelope(key, SOURCE, CHUNK_TYPE, content_type="application/octet-stream")
        found.append(Outgoing(MODELS_ARTIFACTS, key.encode(), chunk, encode_headers(envelope)))
    manifest = ArtifactManifest(digest=digest, size=len(artifact), chunks=len(chunks))
    return [*found, message(MODELS_ARTIFACTS, manifest, key=f"{digest}/manifest", source=SOURCE)]


def _deployment(stream: Stream, artifact: bytes) -> list[Outgoing]:
    now, digest = datetime.now(UTC), artifact_digest(artifact)
    candidate = Candidate(
        candidate_id="bench", model="delay", digest=digest, size=len(artifact), feature_set="departures@1",
        definition_version="1.0.0", target_type=TargetType.BINARY, inputs=stream.inputs,
        outputs=ModelOutputs(probabilities="probabilities"), classes=(False, True), golden=tuple(stream.rows()[:5]),
        lineage=Lineage(source="imported", imported_by=SOURCE), created_at=now,
    )  # fmt: skip
    deployment = Deployment(
        model="delay",
        feature_set="departures@1",
        champion=DeployedVersion(version=1, digest=digest),
        revision=1,
        at=now,
    )
    return [
        message(MODELS_CANDIDATES, candidate, key="delay", source=SOURCE),
        message(DEPLOYMENTS, deployment, key="delay", source=SOURCE),
    ]
