"""What can be asked over HTTP: models with a champion, what they take and give, and whether inference is there. Folds of topics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from schemas.definitions import Dtype, FeatureSet, TargetType
from schemas.envelope import header
from schemas.events.open_inference import Datatype
from schemas.events.platform import Heartbeat
from schemas.events.registry import Deployment
from schemas.events.training import Candidate
from shared.clock import Clock
from shared.records import Record, read

PLATFORM: Final = "onnxruntime_onnx"
SILENCE_SECONDS: Final = 30.0  # three heartbeats
_INFERENCE: Final = "inference"
_DATATYPES: Final[Mapping[Dtype, Datatype]] = {
    Dtype.FLOAT32: "FP32",
    Dtype.FLOAT64: "FP64",
    Dtype.INT64: "INT64",
    Dtype.BOOL: "BOOL",
    Dtype.CATEGORY: "BYTES",
    Dtype.STRING: "BYTES",
}


class _Gives(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a candidate: enough to name its outputs."""

    target: TargetType
    probabilities: bool
    classes: tuple[bool | int | str, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """A model as the protocol describes it."""

    name: str
    versions: Sequence[str]
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """The protocol's JSON."""
        return {
            "name": self.name,
            "versions": list(self.versions),
            "platform": PLATFORM,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
        }


class ServedModels:
    """Deployments, what their candidates say of their outputs, and who of inference was heard of lately."""

    def __init__(self, clock: Clock) -> None:
        """``clock``: its monotonic side measures silence."""
        self._clock = clock
        self._deployments: dict[str, Deployment] = {}
        self._gives: dict[str, _Gives] = {}  # by digest
        self._heard: dict[
            str, float
        ] = {}  # ready processes of inference by instance, monotonic time of the last heartbeat

    def apply(self, record: Record) -> None:
        """Take a record of deployments or models.candidates. Raises `RefusedRecordError` for one that cannot be read."""
        if record.value is None:
            self._deployments.pop((record.key or b"").decode(errors="replace"), None)
        elif header(record.headers, "ce_type") == Candidate.ce_type:
            _, candidate = read(Candidate, record)
            probabilities = candidate.outputs.probabilities is not None
            self._gives[candidate.digest] = _Gives(candidate.target_type, probabilities, candidate.classes)
        else:
            _, deployment = read(Deployment, record)
            self._deployments[deployment.model] = deployment

    def heard(self, record: Record) -> None:
        """Take a heartbeat as it arrives. Raises `RefusedRecordError` for one that cannot be read."""
        _, beat = read(Heartbeat, record)
        if beat.service == _INFERENCE:
            limit = self._clock.monotonic() - SILENCE_SECONDS
            self._heard = {instance: at for instance, at in self._heard.items() if at >= limit}
            self._heard.pop(beat.instance, None)
            if beat.ready:
                self._heard[beat.instance] = self._clock.monotonic()

    def deployed(self, name: str) -> bool:
        """Whether ``name`` has a champion."""
        found = self._deployments.get(name)
        return found is not None and found.champion is not None

    def inference_ready(self) -> bool:
        """Whether a process of inference said lately that it is ready."""
        limit = self._clock.monotonic() - SILENCE_SECONDS
        return any(at >= limit for at in self._heard.values())

    def feature_set(self, name: str) -> str:
        """``name@major`` of the FeatureSet of a deployed model."""
        return self._deployments[name].feature_set

    def metadata(self, name: str, feature_set: FeatureSet) -> Metadata | None:
        """A deployed model on ``feature_set``; None while its candidate has not arrived."""
        deployment = self._deployments[name]
        gives = None if deployment.champion is None else self._gives.get(deployment.champion.digest)
        if gives is None:
            return None
        served = [each for each in (deployment.champion, deployment.canary) if each is not None]
        inputs = [
            _tensor(feature.name, _DATATYPES[feature.dtype])
            for feature in feature_set.spec.features
            if not feature.derived
        ]
        return Metadata(name, [str(each.version) for each in served], inputs, _outputs(gives))


def _outputs(gives: _Gives) -> list[dict[str, Any]]:
    """As inference names them on inference.responses."""
    if gives.target is TargetType.REGRESSION:
        return [_tensor("value", "FP64")]
    first = gives.classes[0] if gives.classes else 0  # labels of a model that names no classes are its own numbers
    label: Datatype = "BOOL" if isinstance(first, bool) else "INT64" if isinstance(first, int) else "BYTES"
    found = [_tensor("label", label)]
    if gives.probabilities:
        found += [_tensor("score", "FP64"), _tensor("probabilities", "FP64", len(gives.classes))]
    return found


def _tensor(name: str, datatype: Datatype, *columns: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *columns]}
