"""``headrace models import``: an ONNX file made elsewhere becomes a candidate; the registry probes and judges it like any other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import onnx
import onnx.shape_inference
from google.protobuf.message import DecodeError

from cli.candidates import answer_to, outcome
from cli.definitions import in_force
from cli.following import follow
from cli.probing import after_probe
from cli.registry import ANSWER_TIMEOUT, SOURCE, actor
from schemas.definitions import Dtype, FeatureSet, Model, TargetType
from schemas.envelope import BINARY, Envelope, encode_headers
from schemas.events.registry import CandidateRegistered
from schemas.events.training import CHUNK_BYTES, ArtifactManifest, Candidate, Lineage, ModelInput, ModelOutputs
from schemas.identities import artifact_digest
from schemas.topics import MODELS_ARTIFACTS, MODELS_CANDIDATES, REGISTRY_EVENTS
from shared.clock import SystemClock
from shared.errors import RefusedError, TransientError
from shared.publishing import Publisher
from shared.records import Outgoing, Record, message
from shared.settings import PlatformSettings
from shared.signing import signed

MAX_BYTES: Final = 512 * 1024 * 1024
_KINDS: Final[dict[int, str]] = {
    onnx.TensorProto.FLOAT: "numeric",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.STRING: "string",
}
INPUT_KINDS: Final = ("numeric", "categorical", "string", "float64", "int64")
_CLASS_ATTRIBUTES: Final = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")


async def import_model(
    settings: PlatformSettings, file: Path, name: str, inputs: str | None, *, by: str | None, wait: bool
) -> dict[str, Any]:
    """Publish ``file`` as a candidate of model ``name``. Raises `RefusedError` with what is wrong and how to say it right."""
    artifact = _artifact(file)
    graph = _graph(artifact, file)
    model, feature_set = await _definitions(settings, name)
    candidate = Candidate(
        candidate_id=f"import-{uuid4()}",
        model=name,
        digest=artifact_digest(artifact),
        size=len(artifact),
        feature_set=feature_set.ref,
        definition_version=feature_set.spec.version,
        target_type=model.spec.target.type,
        inputs=_inputs(graph, model, feature_set, inputs),
        outputs=_outputs(graph, model.spec.target.type),
        classes=_classes(graph, model.spec.target.type),
        lineage=Lineage(source="imported", imported_by=by or actor()),
        created_at=SystemClock().now(),
    )
    record = message(MODELS_CANDIDATES, candidate, key=name, source=SOURCE, id=candidate.candidate_id)
    offered = signed(settings, by or actor(), record)
    async with follow(settings, REGISTRY_EVENTS) as events:
        async with Publisher(settings) as publisher:
            for outgoing in artifact_records(artifact):
                await publisher.publish(outgoing)
            await publisher.publish(offered)
        if not wait:
            text = f"Offered {file.name} as a version of {name} (digest {candidate.digest[:12]}…)."
            return {"candidate_id": candidate.candidate_id, "digest": candidate.digest, "message": text}
        return await _answer(events, candidate)


def artifact_records(artifact: bytes) -> list[Outgoing]:
    """The chunks of an artifact, and last its manifest."""
    digest = artifact_digest(artifact)
    chunks = [artifact[start : start + CHUNK_BYTES] for start in range(0, len(artifact), CHUNK_BYTES)]
    records = [
        Outgoing(
            MODELS_ARTIFACTS,
            f"{digest}/{number}".encode(),
            chunk,
            encode_headers(Envelope(f"{digest}/{number}", SOURCE, "headrace.artifact-chunk.v1", content_type=BINARY)),
            partition=0,
        )
        for number, chunk in enumerate(chunks)
    ]
    manifest = ArtifactManifest(digest=digest, size=len(artifact), chunks=len(chunks))
    key = f"{digest}/manifest"
    return [*records, message(MODELS_ARTIFACTS, manifest, key=key, source=SOURCE, id=key, partition=0)]


def _artifact(file: Path) -> bytes:
    if not file.is_file():
        message_ = f"There is no file {file}."
        raise RefusedError(message_)
    if file.stat().st_size > MAX_BYTES:
        message_ = f"{file} has more than {MAX_BYTES // 1024 // 1024} MB."
        raise RefusedError(message_)
    return file.read_bytes()


def _graph(artifact: bytes, file: Path) -> onnx.GraphProto:
    try:
        graph = onnx.load_model_from_string(artifact).graph
    except (DecodeError, ValueError) as error:
        message_ = f"{file} is not an ONNX model: it cannot be decoded."
        raise RefusedError(message_) from error
    if not graph.node or not graph.output:
        message_ = f"{file} is not an ONNX model: it has no graph."
        raise RefusedError(message_)
    return graph


async def _definitions(settings: PlatformSettings, name: str) -> tuple[Model, FeatureSet]:
    records = await in_force(settings)
    models = {record.name: record for record in records if record.kind == "Model"}
    if name not in models:
        message_ = f"There is no model {name!r}; defined are: {', '.join(models) or 'none'}. `headrace apply -f FILE` defines one."
        raise RefusedError(message_)
    model = Model.model_validate(models[name].definition)
    for record in records:
        if record.kind == "FeatureSet" and f"{record.name}@{record.major}" == model.spec.feature_set:
            return model, FeatureSet.model_validate(record.definition)
    message_ = f"The feature set {model.spec.feature_set} of {name} is not in force."
    raise RefusedError(message_)


def _inputs(graph: onnx.GraphProto, model: Model, feature_set: FeatureSet, wish: str | None) -> tuple[ModelInput, ...]:
    constants = {initializer.name for initializer in graph.initializer}
    tensors = {item.name: item.type.tensor_type for item in graph.input if item.name not in constants}
    features = model.spec.features or tuple(feature.name for feature in feature_set.spec.features)
    wanted = _wishes(wish) if wish is not None else {}
    if not wanted:
        if len(tensors) != 1:
            message_ = f"The model has the inputs {', '.join(tensors)}: say with --inputs which features fill each, like `{next(iter(tensors))}=a,b;…`."
            raise RefusedError(message_)
        wanted = {next(iter(tensors)): (None, features)}
    if set(wanted) != set(tensors):
        message_ = f"--inputs names {', '.join(sorted(wanted))}; the model's inputs are {', '.join(sorted(tensors))}."
        raise RefusedError(message_)
    return tuple(_input(name, tensors[name], kind, names, feature_set) for name, (kind, names) in wanted.items())


def _wishes(text: str) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    wishes = {}
    for part in text.split(";"):
        target, equals, names = part.partition("=")
        name, _, kind = target.strip().partition(":")
        features = tuple(each.strip() for each in names.split(",") if each.strip())
        if not (equals and name and features):
            message_ = f"--inputs: {part!r} is not like `input=feature,feature` or `input:kind=feature,feature`."
            raise RefusedError(message_)
        wishes[name] = (kind or None, features)
    return wishes


def _input(
    name: str, tensor: onnx.TypeProto.Tensor, kind: str | None, names: tuple[str, ...], feature_set: FeatureSet
) -> ModelInput:
    known = {feature.name: feature for feature in feature_set.spec.features}
    unknown = [each for each in names if each not in known]
    if unknown:
        message_ = f"{feature_set.ref} has no feature {', '.join(unknown)}; it has {', '.join(known)}."
        raise RefusedError(message_)
    found = _KINDS.get(int(tensor.elem_type))
    if kind is None and found == "int64" and all(known[each].dtype is Dtype.CATEGORY for each in names):
        kind = "categorical"
    if kind is not None and kind not in INPUT_KINDS:
        message_ = f"--inputs: {kind!r} is no kind of input; the kinds are {', '.join(INPUT_KINDS)}."
        raise RefusedError(message_)
    kind = kind or found
    if kind not in INPUT_KINDS:
        type_name = onnx.TensorProto.DataType.Name(tensor.elem_type)
        message_ = f"The input {name} has the type {type_name}; supported are FLOAT, DOUBLE, INT64 and STRING."
        raise RefusedError(message_)
    rank = len(tensor.shape.dim)
    if rank not in (1, 2):
        message_ = f"The input {name} has {rank} dimensions; supported are [N] and [N, features]."
        raise RefusedError(message_)
    return ModelInput(name=name, kind=kind, features=names, rank=1 if rank == 1 else 2)


def _outputs(graph: onnx.GraphProto, target: TargetType) -> ModelOutputs:
    outputs = {item.name: item.type for item in graph.output}
    if any(not kind.HasField("tensor_type") for kind in outputs.values()):
        message_ = "The model's probabilities are a sequence of maps; export it without ZipMap (skl2onnx: options={'zipmap': False})."
        raise RefusedError(message_)
    floats = [
        name
        for name, kind in outputs.items()
        if kind.tensor_type.elem_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    ]
    if target is TargetType.REGRESSION:
        if not floats:
            message_ = f"A regression needs a float output; the model's are {', '.join(outputs)}."
            raise RefusedError(message_)
        return ModelOutputs(value=floats[0])
    others = [name for name in outputs if name not in floats]
    if not floats:
        message_ = (
            f"A classifier needs an output with probabilities [N, classes]; the model's are {', '.join(outputs)}."
        )
        raise RefusedError(message_)
    return ModelOutputs(label=others[0] if others else None, probabilities=floats[0])


def _classes(graph: onnx.GraphProto, target: TargetType) -> tuple[bool | int | str, ...]:
    if target is TargetType.REGRESSION:
        return ()
    for node in reversed(graph.node):
        for attribute in node.attribute:
            if attribute.name in _CLASS_ATTRIBUTES:
                found: tuple[bool | int | str, ...] = tuple(attribute.ints) or tuple(
                    text.decode() for text in attribute.strings
                )
                if found and target is TargetType.BINARY and found == (0, 1):
                    return (False, True)
                if found:
                    return found
    if target is TargetType.BINARY:
        return (False, True)
    message_ = "The model does not say its classes (no classlabels attribute); a multiclass model must."
    raise RefusedError(message_)


async def _answer(events: AsyncIterator[Record], candidate: Candidate) -> dict[str, Any]:
    """The version and what its probe found; bytes that are known have been probed before."""
    answer = None
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            async for record in events:
                answer = answer_to(record, candidate.candidate_id)
                if answer is not None:
                    break
    except TimeoutError:
        message_ = f"The registry did not answer within {ANSWER_TIMEOUT:g} s; the candidate stays on its topic."
        raise TransientError(message_) from None
    assert answer is not None  # noqa: S101 - the topic is followed without an end
    found = outcome(candidate.model, answer)
    return await after_probe(events, candidate.model, found) if isinstance(answer, CandidateRegistered) else found
