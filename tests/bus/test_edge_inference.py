"""HTTP → inference.requests → the real scoring of inference → inference.responses → HTTP, without a broker in between."""

import json
from collections.abc import Sequence
from typing import Any

import inference_models as models
import pytest
from inference_models import AT, REF, candidate, parcels, stored
from v2_scene import V2Scene

from schemas.events.registry import DeployedVersion, Deployment
from schemas.topics import MODELS_CANDIDATES
from services.inference.adapters.onnxruntime import SessionOptions, open_session
from services.inference.partition_scoring import PartitionScoring
from services.inference.scoring import Scorer, ScoringLimits
from services.inference.serving_plan import CurrentPlan, LoadedVersion, ServedModel, Slot, build_plan
from services.ingestion.settings import IngestionSettings
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, message

ARTIFACT = models.binary(0.25)
FEATURES: dict[str, tuple[str, Any]] = {
    "weight": ("FP32", 2.5),
    "value": ("FP64", 10.0),
    "hour": ("INT64", 9),
    "express": ("BOOL", True),
    "zone": ("BYTES", "a"),
    "note": ("BYTES", "x"),
    "class": ("INT64", None),
}


class _Unobserved:
    def scored(self, scored: object) -> None:
        """Not counted."""


def scene() -> V2Scene:
    """An edge and, behind its stream, a partition of inference that serves ``late``."""
    current = CurrentPlan()
    one = LoadedVersion.of(candidate(ARTIFACT), open_session(ARTIFACT, SessionOptions()))
    current.swap(build_plan([ServedModel("late", REF, Slot("late", 1, "champion", one))], {REF: parcels()}))
    clock = FixedClock(AT)
    scoring = PartitionScoring(
        0, {"late"}, plan=current, scorer=Scorer(ScoringLimits(), clock.monotonic), observer=_Unobserved(), clock=clock
    )

    def inference(request: StoredRecord) -> Sequence[Outgoing]:
        return scoring.process([request])

    found = V2Scene(inference, settings=IngestionSettings(definition_seconds=0, v2_seconds=5))
    found.definitions.apply(stored([models.definition_message()])[0])
    champion = DeployedVersion(version=1, digest=candidate(ARTIFACT).digest)
    found.deploy(Deployment(model="late", feature_set=REF, champion=champion, revision=1, at=AT))
    found.deploy(Deployment(model="early", feature_set=REF, champion=champion, revision=1, at=AT))
    described = message(MODELS_CANDIDATES, candidate(ARTIFACT), key="late", source="tests")
    found.served.apply(stored([described])[0])
    return found


def body(**changes: Any) -> bytes:
    """A request of one row."""
    inputs = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [changes.get(name, value)]}
        for name, (datatype, value) in FEATURES.items()
    ]
    return json.dumps({"id": "mine", "inputs": inputs}).encode()


async def test_a_request_over_http_is_scored_and_its_outputs_are_those_of_the_description() -> None:
    edge = scene()
    answer = await edge.post(body(), "/v2/models/late/infer", {"ce-partitionkey": "parcel-1"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["id"], found["model_name"], found["model_version"]) == ("mine", "late", "1")
    outputs = {each["name"]: each for each in found["outputs"]}
    assert outputs["score"]["data"] == [0.25]
    _, described = await edge.get("/v2/models/late")
    assert [(each["name"], each["datatype"], len(each["shape"])) for each in described["outputs"]] == [
        (each["name"], each["datatype"], len(each["shape"])) for each in found["outputs"]
    ]
    sent = {each["name"]: each["datatype"] for each in described["inputs"]}
    assert sent == {name: datatype for name, (datatype, _) in FEATURES.items()}


@pytest.mark.parametrize(
    ("content", "path", "status", "field", "rule"),
    [
        (body(hour=None), "/v2/models/late/infer", 422, "rows.0.features.hour", "null"),
        (body(hour=0.5), "/v2/models/late/infer", 422, "rows.0.features.hour", "type"),
        (body().replace(b'"hour"', b'"hours"'), "/v2/models/late/infer", 422, "inputs.hours", "extra_field"),
        (body().replace(b'"INT64"', b'"FP32"', 1), "/v2/models/late/infer", 422, "inputs.hour.datatype", "type"),
        (body().replace(b"[1]", b"[2]", 1), "/v2/models/late/infer", 422, "inputs.weight.data", "type"),
        (body(), "/v2/models/early/infer", 404, "headers.ce_model", "unknown_model"),
    ],
)
async def test_what_inference_refuses_is_told_with_its_reasons(
    content: bytes, path: str, status: int, field: str, rule: str
) -> None:
    answer = await scene().post(content, path)
    found = answer.json()
    assert answer.status_code == status, found
    assert (found["reasons"][0]["field"], found["reasons"][0]["rule"]) == (field, rule)


async def test_a_model_that_fails_on_a_row_is_a_failure_of_the_server() -> None:
    answer = await scene().post(body(weight=None), "/v2/models/late/infer")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:headrace:problem:model-failed")
