"""What the service tells its worker process, and what the worker says back, one JSON line at a time."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.definitions import FeatureSet, Model

DISK: Final = "disk"  # the code of a run whose files could not be written: it is repeated, not failed


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run. Paths are absolute; ``events`` and ``labels`` are segment files; ``as_of`` is event time."""

    run_id: str
    request_id: str
    model: dict[str, Any]
    feature_set: dict[str, Any]
    as_of: datetime
    overrides: dict[str, Any]
    events: list[str]
    labels: list[str]
    data_dir: str
    output_dir: str

    @property
    def model_definition(self) -> Model:
        """The Model definition in force when the run began."""
        return Model.model_validate(self.model)

    @property
    def feature_set_definition(self) -> FeatureSet:
        """The FeatureSet definition in force when the run began."""
        return FeatureSet.model_validate(self.feature_set)

    @property
    def artifact_path(self) -> Path:
        """Where the worker leaves the ONNX bytes."""
        return Path(self.output_dir) / "model.onnx"

    @property
    def candidate_path(self) -> Path:
        """Where the worker leaves the candidate's record."""
        return Path(self.output_dir) / "candidate.json"


class Progressed(msgspec.Struct, frozen=True, tag="progress"):
    """How far the run is, in [0, 1], and the metrics so far."""

    stage: str
    share: float
    metrics: dict[str, float] = {}


class Materialised(msgspec.Struct, frozen=True, tag="dataset"):
    """The data set is on disk; ``version`` is a `DatasetVersion` record."""

    version: dict[str, Any]


class Completed(msgspec.Struct, frozen=True, tag="completed"):
    """Artifact and candidate are on disk."""

    digest: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The run cannot succeed."""

    code: str
    message: str


Report = Progressed | Materialised | Completed | Failed
_REPORTS: Final[msgspec.json.Decoder[Report]] = msgspec.json.Decoder(Report)


def encode_report(report: Report) -> bytes:
    """One line."""
    return msgspec.json.encode(report) + b"\n"


def decode_report(line: bytes) -> Report:
    """The report on a line. Raises msgspec.MsgspecError."""
    report: Report = _REPORTS.decode(line)
    return report
