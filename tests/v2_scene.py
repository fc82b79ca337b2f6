"""An edge that speaks the Open Inference Protocol; its stream is a list, and whoever stands in for inference answers what it carries."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from ingestion_scene import EdgeScene, Place
from rides import NOW, stored

from schemas.definitions import TargetType
from schemas.envelope import Envelope, decode_headers, encode_headers
from schemas.events.open_inference import InferenceResponse
from schemas.events.platform import Heartbeat
from schemas.events.registry import Canary, DeployedVersion, Deployment
from schemas.events.training import Candidate, Lineage, ModelInput, ModelOutputs
from schemas.topics import DEPLOYMENTS, INFERENCE_REQUESTS, INFERENCE_RESPONSES, MODELS_CANDIDATES, PLATFORM_HEARTBEATS
from services.ingestion.admission import Admission
from services.ingestion.asking import Asking
from services.ingestion.in_flight import InFlight
from services.ingestion.routes import routes
from services.ingestion.served import ServedModels
from services.ingestion.settings import IngestionSettings
from services.ingestion.v2_routes import v2_routes
from shared.inference_client import InferenceClient
from shared.records import Outgoing, StoredRecord, message
from shared.settings import PlatformSettings

DIGEST = "a" * 64
Inference = Callable[[StoredRecord], Sequence[Outgoing]]


def silent(request: StoredRecord) -> Sequence[Outgoing]:
    """No process of inference runs."""
    del request
    return ()


def answering(status: str, **body: Any) -> Inference:
    """Inference that answers everything alike."""

    def answer(request: StoredRecord) -> Sequence[Outgoing]:
        asked = decode_headers(request.headers)
        extensions = {"correlationid": asked.id, "requestsource": asked.source, "status": status}
        headers = encode_headers(Envelope("r", "inference", InferenceResponse.ce_type, NOW, extensions=extensions))
        content = msgspec.json.encode({"model_name": asked.extensions["model"], **body})
        return (Outgoing(INFERENCE_RESPONSES, request.key, content, headers),)

    return answer


def candidate(**changes: Any) -> Candidate:
    """A binary classifier of rides."""
    given = {
        "candidate_id": "c1",
        "model": "ride-late",
        "digest": DIGEST,
        "size": 1,
        "feature_set": "rides@1",
        "definition_version": "1.2.0",
        "target_type": TargetType.BINARY,
        "inputs": (ModelInput(name="numeric", kind="numeric", features=("distance",)),),
        "outputs": ModelOutputs(label="label", probabilities="probabilities"),
        "classes": (False, True),
        "lineage": Lineage(source="imported", imported_by="tests"),
        "created_at": NOW,
    }
    return Candidate(**{**given, **changes})


def deployment(champion: int | None = 3, canary: int | None = None, model: str = "ride-late") -> Deployment:
    """``model`` on rides."""
    return Deployment(
        model=model,
        feature_set="rides@1",
        champion=None if champion is None else DeployedVersion(version=champion, digest=DIGEST),
        canary=None if canary is None else Canary(version=canary, digest="b" * 64, share=0.5),
        revision=1,
        at=NOW,
    )


def heartbeat(*, ready: bool = True, service: str = "inference") -> StoredRecord:
    """A heartbeat as it stands on its topic."""
    beat = Heartbeat(
        service=service, instance="host-1", version="1", at=NOW, started_at=NOW, ready=ready, lag=0, processed=0,
        cpu=0.0, memory_bytes=0,
    )  # fmt: skip
    return stored(message(PLATFORM_HEARTBEATS, beat, key="k", source="tests"))


class V2Scene(EdgeScene):
    """``ride-late`` is deployed, inference says that it is ready."""

    def __init__(self, inference: Inference = silent, *, settings: IngestionSettings | None = None) -> None:
        super().__init__(settings=settings or IngestionSettings(definition_seconds=0, v2_seconds=0.05))
        self.inference = inference
        self.client_of_inference = InferenceClient(
            PlatformSettings(), source="headrace/http", clock=self.clock, publish=self._put_on_the_stream
        )
        self.served = ServedModels(self.clock)
        self.deploy(deployment())
        self.served.apply(stored(message(MODELS_CANDIDATES, candidate(), key="ride-late", source="tests")))
        self.served.heard(heartbeat())
        self.v2_in_flight = InFlight(
            limit_bytes=self.settings.in_flight_bytes, limit_requests=self.settings.v2_requests
        )
        asking = Asking(
            self.settings, served=self.served, definitions=self.definitions, ask=self.client_of_inference.ask,
            clock=self.clock, count=self.count,
        )  # fmt: skip
        admission = Admission(self.settings, in_flight=self.v2_in_flight, health=self.health)
        v2 = v2_routes(asking, admission=admission, health=self.health)
        self.application = routes(edge=self.edge, admission=self.admission, v2=v2)

    def deploy(self, what: Deployment) -> None:
        """Let the registry deploy ``what``."""
        self.served.apply(stored(message(DEPLOYMENTS, what, key=what.model, source="tests")))

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        async with self.client() as client:
            answer = await client.get(path, headers=headers)
            return answer.status_code, answer.json()

    async def _put_on_the_stream(self, *outgoing: Outgoing) -> list[Place]:
        places = await self.publish(*outgoing)
        for each in outgoing:
            if each.topic is INFERENCE_REQUESTS:
                for response in self.inference(stored(each)):
                    self.client_of_inference.take(stored(response))
        return places
