"""Small ONNX models, definitions and records for the tests of inference."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from schemas.definitions import FeatureSet, TargetType
from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import encode
from schemas.events.ingestion import Tick
from schemas.events.registry import Canary, DefinitionRecord, DeployedVersion, Deployment
from schemas.events.training import CHUNK_BYTES, ArtifactManifest, Candidate, Lineage, ModelInput, ModelOutputs
from schemas.events.validation import ValidatedEvent
from schemas.identities import artifact_digest
from schemas.topics import DEFINITIONS, DEPLOYMENTS, EVENTS_VALIDATED, MODELS_ARTIFACTS, MODELS_CANDIDATES
from shared.records import Outgoing, StoredRecord, message

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
REF = "parcels@1"
SOURCE = "shop"

NUMERIC = ModelInput(name="numeric", kind="numeric", features=("weight", "hour", "express"))
CATEGORICAL = ModelInput(name="categorical", kind="categorical", features=("zone",))
TEXT = ModelInput(name="text", kind="string", features=("note",))


def parcels(**changes: Any) -> FeatureSet:
    """A feature set with one feature of each dtype."""
    features = [
        {"name": "weight", "dtype": "float32", "nullable": True},
        {"name": "value", "dtype": "float64", "nullable": True},
        {"name": "hour", "dtype": "int64"},
        {"name": "express", "dtype": "bool"},
        {
            "name": "zone",
            "dtype": "category",
            "categories": ["a", "b", "c", "poison"],
            "unseen": "allow",
            "nullable": True,
        },
        {"name": "note", "dtype": "string", "nullable": True},
        {"name": "class", "dtype": "int64", "nullable": True},
    ]
    return FeatureSet.model_validate(
        {
            "apiVersion": "headrace/v1",
            "kind": "FeatureSet",
            "metadata": {"name": "parcels", "owner": "tests", "description": "Parcels."},
            "spec": {"version": "1.0.0", "entity": "parcel", "features": features, **changes},
        }
    )


def features(**changes: Any) -> dict[str, Any]:
    """Canonical features of one parcel."""
    given = {"weight": 2.5, "value": 10.0, "hour": 9, "express": True, "zone": "a", "note": "x", "class": None}
    return {**given, **changes}


# ---- graphs


def _model(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], weights: Sequence[Any] = ()) -> bytes:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def _value(name: str, kind: int, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _weights(**arrays: np.ndarray[Any, Any]) -> list[Any]:
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def binary(score: float = 0.75, columns: int = 3) -> bytes:
    """P(positive) = ``score`` for a row without missing values; NaN for a row with a missing number."""
    nodes = [
        helper.make_node("Mul", ["numeric", "zero"], ["nothing"]),
        helper.make_node("ReduceSum", ["nothing", "axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "score"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    weights = _weights(
        zero=np.zeros(1, np.float32),
        score=np.array([score], np.float32),
        one=np.ones(1, np.float32),
        axis=np.array([1], np.int64),
    )
    outputs = [_value("label", TensorProto.INT64, "N"), _value("probabilities", TensorProto.FLOAT, "N", 2)]
    return _model(nodes, [_value("numeric", TensorProto.FLOAT, "N", columns)], outputs, weights)


def regression() -> bytes:
    """value = the sum of the numeric columns."""
    nodes = [helper.make_node("ReduceSum", ["numeric", "axis"], ["value"], keepdims=1)]
    weights = _weights(axis=np.array([1], np.int64))
    return _model(
        nodes, [_value("numeric", TensorProto.FLOAT, "N", 3)], [_value("value", TensorProto.FLOAT, "N", 1)], weights
    )


def picky() -> bytes:
    """value = a number per zone; a batch with the zone ``poison`` fails as a whole."""
    nodes = [
        helper.make_node("Add", ["categorical", "two"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["value"], axis=0),
    ]
    weights = _weights(two=np.array([2], np.int64), table=np.arange(5, dtype=np.float32))
    return _model(
        nodes, [_value("categorical", TensorProto.INT64, "N", 1)], [_value("value", TensorProto.FLOAT, "N", 1)], weights
    )


def spelling() -> bytes:
    """Three classes by text: yes, no, and maybe for everything else."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["text"],
            ["code"],
            domain="ai.onnx.ml",
            keys_strings=["yes", "no"],
            values_int64s=[0, 1],
            default_int64=2,
        ),
        helper.make_node("OneHot", ["code", "depth", "values"], ["hot"], axis=-1),
        helper.make_node("Squeeze", ["hot", "axis"], ["probabilities"]),
    ]
    weights = _weights(
        depth=np.array(3, np.int64), values=np.array([0.1, 0.8], np.float32), axis=np.array([1], np.int64)
    )
    return _model(
        nodes,
        [_value("text", TensorProto.STRING, "N", 1)],
        [_value("probabilities", TensorProto.FLOAT, "N", 3)],
        weights,
    )


def endless() -> bytes:
    """A loop of 2^62 steps."""
    step = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Add", ["state", "state"], ["next"])],
        "step",
        [_value("i", TensorProto.INT64), _value("go", TensorProto.BOOL), _value("state", TensorProto.FLOAT, "N", 3)],
        [_value("still", TensorProto.BOOL), _value("next", TensorProto.FLOAT, "N", 3)],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "yes", "numeric"], ["last"], body=step),
        helper.make_node("ReduceSum", ["last", "axis"], ["value"], keepdims=1),
    ]
    weights = _weights(trips=np.array(2**62, np.int64), yes=np.array(True), axis=np.array([1], np.int64))
    return _model(
        nodes, [_value("numeric", TensorProto.FLOAT, "N", 3)], [_value("value", TensorProto.FLOAT, "N", 1)], weights
    )


def with_external_data() -> bytes:
    """A model that refers to another file."""
    model = onnx.load_from_string(binary())
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    return bytes(model.SerializeToString())


# ---- what is said about them


def candidate(
    artifact: bytes,
    *,
    model: str = "late",
    target: TargetType = TargetType.BINARY,
    inputs: Sequence[ModelInput] = (NUMERIC,),
    outputs: ModelOutputs | None = None,
    classes: Sequence[Any] = (False, True),
    golden: Sequence[Mapping[str, Any]] = (),
    digest: str | None = None,
) -> Candidate:
    """A candidate for ``artifact``; outputs default to those of `binary` or, for regression, ``value``."""
    default = ModelOutputs(value="value") if target is TargetType.REGRESSION else None
    return Candidate(
        candidate_id="c1",
        model=model,
        digest=digest or artifact_digest(artifact),
        size=len(artifact),
        feature_set=REF,
        definition_version="1.0.0",
        target_type=target,
        inputs=tuple(inputs),
        outputs=outputs or default or ModelOutputs(label="label", probabilities="probabilities"),
        classes=() if target is TargetType.REGRESSION else tuple(classes),
        golden=tuple(map(dict, golden)) or (features(),),
        lineage=Lineage(source="imported", imported_by="tests"),
        created_at=AT,
    )


def deployment(
    champion: tuple[int, str] | None,
    *,
    model: str = "late",
    canary: tuple[int, str, float] | None = None,
    shadows: Sequence[tuple[int, str]] = (),
    revision: int = 1,
) -> Deployment:
    """A deployment of ``(version, digest)`` pairs."""
    return Deployment(
        model=model,
        feature_set=REF,
        champion=DeployedVersion(version=champion[0], digest=champion[1]) if champion else None,
        canary=Canary(version=canary[0], digest=canary[1], share=canary[2]) if canary else None,
        shadows=tuple(DeployedVersion(version=version, digest=digest) for version, digest in shadows),
        revision=revision,
        at=AT,
    )


# ---- records


def definition_message(feature_set: FeatureSet | None = None) -> Outgoing:
    """The feature set as the registry publishes it."""
    given = feature_set or parcels()
    body = DefinitionRecord(
        kind="FeatureSet", name="parcels", major=1, revision=1, definition=given.model_dump(mode="json", by_alias=True)
    )
    return message(DEFINITIONS, body, key=given.topic_key, source="tests")


def candidate_messages(artifact: bytes, made: Candidate, *, damaged: bool = False) -> list[Outgoing]:
    """Chunks, manifest and candidate, in the order in which training publishes them."""
    digest = made.digest
    chunks = [artifact[at : at + CHUNK_BYTES] for at in range(0, len(artifact), CHUNK_BYTES)]
    found = []
    for index, chunk in enumerate(chunks):
        content = bytes([chunk[0] ^ 1]) + chunk[1:] if damaged else chunk
        envelope = Envelope(
            f"{digest}/{index}", "tests", "headrace.artifact-chunk.v1", content_type="application/octet-stream"
        )
        found.append(Outgoing(MODELS_ARTIFACTS, f"{digest}/{index}".encode(), content, encode_headers(envelope)))
    manifest = ArtifactManifest(digest=digest, size=len(artifact), chunks=len(chunks))
    found.append(message(MODELS_ARTIFACTS, manifest, key=f"{digest}/manifest", source="tests"))
    found.append(message(MODELS_CANDIDATES, made, key=made.model, source="tests"))
    return found


def deployment_message(made: Deployment) -> Outgoing:
    """The deployment as the registry publishes it."""
    return message(DEPLOYMENTS, made, key=made.model, source="tests")


def event_message(number: int, *, entity: str | None = None, feature_set: str = REF, **changes: Any) -> Outgoing:
    """The validated event ``e<number>`` of ``entity`` (its own by default)."""
    entity = entity or f"parcel-{number}"
    body = ValidatedEvent(
        feature_set=feature_set,
        definition_version="1.0.0",
        entity_id=entity,
        occurred_at=AT,
        features=features(**changes),
    )
    return message(
        EVENTS_VALIDATED,
        body,
        key=entity,
        source=SOURCE,
        id=f"e{number}",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def tick_message(partition: int | None = None) -> Outgoing:
    """A tick of the feature set."""
    return message(EVENTS_VALIDATED, Tick(feature_set=REF, time=AT), key="tick", source="tests", partition=partition)


def stored(
    outgoing: Sequence[Outgoing], *, partition: int = 0, first: int = 0, timestamp: int = 0
) -> list[StoredRecord]:
    """``outgoing`` as records of one partition, at offsets from ``first``."""
    return [
        StoredRecord(item.topic.name, partition, first + place, timestamp, item.key, item.value, tuple(item.headers))
        for place, item in enumerate(outgoing)
    ]


def encoded(body: Any) -> bytes:
    """A contract's bytes."""
    return encode(body)
