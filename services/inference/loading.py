"""Making a version ready to score: verify, open, compare with its metadata, probe on its golden rows, warm up, tune.

Runs in a thread of its own, off the path of events.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from schemas.definitions import FeatureSet
from schemas.events.training import Candidate, ModelInput
from schemas.model_inputs import assemble, problems
from services.inference.errors import Refusal, ScoringError, VersionRefusedError
from services.inference.external_data import refuse_external_data
from services.inference.outputs import OutputReader
from services.inference.roster import Wanted
from services.inference.serving_plan import LoadedVersion
from services.inference.tuning import Tuner

WARM_UP_ROWS: Final = (1, 64, 1024)
_TENSORS: Final[Mapping[str, str]] = {
    "numeric": "tensor(float)",
    "categorical": "tensor(int64)",
    "string": "tensor(string)",
    "float64": "tensor(double)",
    "int64": "tensor(int64)",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input as the model declares it; dimensions that are not integers are free."""

    type: str
    shape: tuple[Any, ...]


class Session(Protocol):
    """An opened model."""

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """What it takes, by name."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """The names of what it gives."""
        ...

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], deadline: float) -> Mapping[str, Any]:
        """See `services.inference.serving_plan.Runnable`."""
        ...


class Loader:
    """Loads versions, one at a time."""

    def __init__(
        self,
        read_artifact: Callable[[str], bytes],
        open_session: Callable[[bytes], Session],
        *,
        deadline: float,
        tuner: Tuner | None = None,
    ) -> None:
        """``read_artifact`` gives verified bytes by digest; both raise `VersionRefusedError`. ``deadline`` of a run.

        ``tuner`` None: the session serves as it was opened.
        """
        self._read_artifact = read_artifact
        self._open_session = open_session
        self._deadline = deadline
        self._tuner = tuner

    def load(self, wanted: Wanted, candidate: Candidate | None, feature_set: FeatureSet | None) -> LoadedVersion:
        """A version that is ready. Raises `VersionRefusedError`; blocks."""
        if candidate is None:
            message = f"No candidate of {wanted.model} with the digest {wanted.digest[:12]}… was published."
            raise VersionRefusedError(Refusal.CANDIDATE_MISSING, message)
        if feature_set is None:
            message = f"The feature set {wanted.feature_set} is not defined; apply its definition."
            raise VersionRefusedError(Refusal.DEFINITION_MISSING, message)
        content = self._read_artifact(wanted.digest)
        refuse_external_data(content)
        session = self._open_session(content)
        found = [*_candidate_problems(wanted, candidate, feature_set), *_signature_problems(session, candidate)]
        if found:
            raise VersionRefusedError(Refusal.SIGNATURE, f"The model is not what its metadata say: {'; '.join(found)}.")
        loaded = LoadedVersion.of(candidate, session)
        self._probe(loaded, candidate, feature_set)
        return self._tuned(loaded, candidate, feature_set, content)

    def _tuned(
        self, loaded: LoadedVersion, candidate: Candidate, feature_set: FeatureSet, content: bytes
    ) -> LoadedVersion:
        """Golden rows alone say whether other options answer the same."""
        if self._tuner is None or not candidate.golden:
            return loaded
        batches = [assemble(loaded.inputs, feature_set, _repeated(candidate.golden, count)) for count in WARM_UP_ROWS]
        tuned = self._tuner.tune(content, loaded.session, batches, loaded.reader.names)
        return replace(loaded, session=tuned.session, about=tuned.about)

    def _probe(self, loaded: LoadedVersion, candidate: Candidate, feature_set: FeatureSet) -> None:
        """Score the golden rows; without any, run on rows where everything is missing, just to warm up."""
        rows = candidate.golden or ({},) * (not any(i.kind == "int64" for i in loaded.inputs))
        if not rows:
            return
        try:
            self._run(loaded.reader, loaded, feature_set, rows, strict=bool(candidate.golden))
            for count in WARM_UP_ROWS:
                self._run(loaded.reader, loaded, feature_set, _repeated(rows, count), strict=False)
        except (ScoringError, ValueError) as error:
            if candidate.golden:
                message = f"The model fails on its golden rows: {error}."
                raise VersionRefusedError(Refusal.PROBE_FAILED, message) from error

    def _run(
        self,
        reader: OutputReader,
        loaded: LoadedVersion,
        feature_set: FeatureSet,
        rows: Sequence[Mapping[str, Any]],
        *,
        strict: bool,
    ) -> None:
        outputs = loaded.session.run(assemble(loaded.inputs, feature_set, rows), reader.names, self._deadline)
        for answer in reader.read(outputs, len(rows)):
            if strict and isinstance(answer, ScoringError):
                raise answer


def _repeated(rows: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    return [rows[place % len(rows)] for place in range(count)]


def _candidate_problems(wanted: Wanted, candidate: Candidate, feature_set: FeatureSet) -> list[str]:
    found = problems(candidate.inputs, feature_set)
    if candidate.feature_set != wanted.feature_set:
        found.append(f"it takes {candidate.feature_set}, but is deployed on {wanted.feature_set}")
    return found


def _signature_problems(session: Session, candidate: Candidate) -> list[str]:
    """Where the model's inputs and outputs differ from what the candidate says of them."""
    mapped = {model_input.name: model_input for model_input in candidate.inputs}
    found = [f"input {name} is mapped to no feature" for name in session.inputs if name not in mapped]
    for name, model_input in mapped.items():
        tensor = session.inputs.get(name)
        found.extend([f"there is no input {name}"] if tensor is None else _tensor_problems(model_input, tensor))
    names = OutputReader(candidate.target_type, candidate.outputs, candidate.classes).names
    if not names:
        found.append(f"no output is named for a {candidate.target_type.value} target")
    found.extend(f"there is no output {name}" for name in names if name not in session.outputs)
    return found


def _tensor_problems(model_input: ModelInput, tensor: Tensor) -> list[str]:
    found = []
    if tensor.type != _TENSORS[model_input.kind]:
        found.append(
            f"input {model_input.name} is a {tensor.type}, and {model_input.kind} needs {_TENSORS[model_input.kind]}"
        )
    if len(tensor.shape) != model_input.rank:
        found.append(f"input {model_input.name} has rank {len(tensor.shape)}, not {model_input.rank}")
    elif model_input.rank > 1 and isinstance(tensor.shape[1], int) and tensor.shape[1] != len(model_input.features):
        found.append(f"input {model_input.name} takes {tensor.shape[1]} columns, not {len(model_input.features)}")
    return found
