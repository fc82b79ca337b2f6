"""Training: the request, what a run did, the candidate model that it offers, and the artifact's manifest."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schemas.definitions import TargetType
from schemas.events.contract import Contract, Digest, Identifier, ModelName, Time

CHUNK_BYTES = 512 * 1024


class TrainingRequest(Contract):
    """Train ``model`` on what was known at ``as_of`` (event time; None = the latest tick seen). One request, one run."""

    ce_type: ClassVar[str] = "headrace.training-request.v1"

    request_id: Identifier
    model: ModelName
    reason: Literal["manual", "schedule", "quality", "drift", "kpi"]
    detail: str = ""
    requested_by: str
    requested_at: Time
    as_of: Time | None = None
    alert_fingerprint: str | None = None
    episode: str | None = None
    overrides: dict[str, Any] = {}  # recipe parameters


class RunStarted(Contract):
    """A run has begun."""

    ce_type: ClassVar[str] = "headrace.training.run-started.v1"

    run_id: Identifier
    request_id: Identifier
    model: ModelName
    at: Time


class DatasetMaterialized(Contract):
    """A data-set version exists: immutable, reproducible Parquet, read by digest."""

    ce_type: ClassVar[str] = "headrace.training.dataset-materialized.v1"

    run_id: Identifier
    model: ModelName
    at: Time
    dataset: "DatasetVersion"


class DatasetVersion(Contract):
    """Content hash, bounds and provenance of a data set. ``offsets`` maps topic to partition to [first, last]."""

    version: Digest
    feature_set: str
    definition_version: str
    rows: int
    labelled: int
    train_rows: int
    validation_rows: int
    test_rows: int
    start: Time
    end: Time
    label_cutoff: Time
    offsets: dict[str, dict[str, tuple[int, int]]]
    seed: int


class TrainingProgress(Contract):
    """How far a run is; ``share`` in [0, 1]; ``metrics`` as of now."""

    ce_type: ClassVar[str] = "headrace.training.progress.v1"

    run_id: Identifier
    model: ModelName
    at: Time
    stage: str
    share: Annotated[float, Field(ge=0, le=1)]
    metrics: dict[str, float] = {}


class RunCompleted(Contract):
    """A run ended with a candidate."""

    ce_type: ClassVar[str] = "headrace.training.run-completed.v1"

    run_id: Identifier
    request_id: Identifier
    model: ModelName
    at: Time
    digest: Digest
    metrics: dict[str, float | None]
    seconds: float


class RunFailed(Contract):
    """A run ended without a candidate; ``code`` and ``message`` say why and what to do."""

    ce_type: ClassVar[str] = "headrace.training.run-failed.v1"

    run_id: Identifier
    request_id: Identifier
    model: ModelName
    at: Time
    code: str
    message: str


class ModelInput(Contract):
    """One ONNX input and the features that fill it, in order.

    ``numeric``: float32 [N, n], missing = NaN. ``categorical``: int64 [N, k], codes of the FeatureSet's list, -1 missing,
    -2 unseen. ``string``: string [N, k], missing = "". ``float64``, ``int64``: [N, n] of that type (int64 missing = 0 is
    refused: only for non-nullable features). Rank 1 inputs [N] take exactly one feature.
    """

    name: str
    kind: Literal["numeric", "categorical", "string", "float64", "int64"]
    features: Annotated[tuple[str, ...], Field(min_length=1)]
    rank: Literal[1, 2] = 2


class ModelOutputs(Contract):
    """Names of the ONNX outputs: classifiers have ``label`` and/or ``probabilities`` [N, classes]; regressors ``value``."""

    label: str | None = None
    probabilities: str | None = None
    value: str | None = None


class NumericReference(Contract):
    """Reference distribution of a number: ``edges`` (n+1 inner-open bin edges, first -inf and last +inf left out), ``counts`` per bin."""

    kind: Literal["numeric"] = "numeric"
    edges: tuple[float, ...]  # inner edges, ascending; counts has len(edges)+1 entries
    counts: tuple[int, ...]
    missing: int
    mean: float
    sd: float


class CategoricalReference(Contract):
    """Reference distribution of a category, string or bool: counts per known value, missing and unseen."""

    kind: Literal["categorical"] = "categorical"
    counts: dict[str, int]
    missing: int
    unseen: int = 0


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class ReferenceWindow(Contract):
    """What one monitoring window of the training data looked like: how much windows differ while nothing has changed.

    Counts are those of the profile's bins in the layout of `schemas.reference.count`. ``prediction`` and ``quality`` only where
    the whole window lies in the test block, which the model never saw.
    """

    start: Time
    rows: int
    features: dict[str, tuple[int, ...]]
    products: tuple[int, ...] = ()  # `schemas.normal_scores.products` of the first numeric features, in their order
    prediction: tuple[int, ...] = ()
    quality: dict[str, float | None] = {}
    groups: dict[str, tuple[int, ...]] = {}  # rows of each of the profile's groups, in the same layout


class ReferenceProfile(Contract):
    """What monitoring compares with: distributions over the training data, and of the prediction over the test rows."""

    rows: int
    features: dict[str, Annotated[NumericReference | CategoricalReference, Field(discriminator="kind")]]
    prediction: NumericReference | None = None  # score (binary: probability of the positive class), or value
    labels: dict[str, int] = {}  # classes: how often each stood in the test rows
    quality: dict[str, float | None] = {}  # metrics on the test rows
    probabilities: dict[
        str, tuple[int, ...]
    ] = {}  # of classifiers: `schemas.probability_bins.count_cases` of the test rows
    groups: dict[str, CategoricalReference] = {}  # by grouping feature: rows of the training data in each group
    importance: dict[str, Share] = {}  # by feature: its share in the rise of the test rows' loss when it is permuted
    windows: tuple[
        ReferenceWindow, ...
    ] = ()  # of all training data, oldest first; none if the model's windows are of rows


class Lineage(Contract):
    """Where a candidate comes from."""

    source: Literal["trained", "imported"]
    run_id: str | None = None
    request_id: str | None = None
    dataset: DatasetVersion | None = None
    commit: str | None = None
    environment: dict[str, str] = {}  # package → version
    imported_by: str | None = None


class Candidate(Contract):
    """A model that asks to be registered. The registry gives it its version number."""

    ce_type: ClassVar[str] = "headrace.candidate.v1"

    candidate_id: Identifier
    model: ModelName
    digest: Digest
    size: Annotated[int, Field(gt=0)]
    feature_set: str  # name@major
    definition_version: str
    target_type: TargetType
    inputs: Annotated[tuple[ModelInput, ...], Field(min_length=1)]
    outputs: ModelOutputs
    classes: tuple[bool | int | str, ...] = ()  # in the order of the probabilities; the last of two is the positive one
    metrics: dict[str, float | None] = {}
    group_metrics: dict[str, dict[str, float | None]] = {}  # feature → metric → value, for gates with a group
    reference: ReferenceProfile | None = None
    golden: tuple[dict[str, Any], ...] = ()  # feature rows that the probe scores; no prediction may be NaN
    lineage: Lineage
    created_at: Time


class ArtifactManifest(Contract):
    """Says that all ``chunks`` of an artifact stand before it on the topic. Chunk i has key ``digest/i``, the manifest ``digest/manifest``."""

    ce_type: ClassVar[str] = "headrace.artifact-manifest.v1"

    digest: Digest
    size: int
    chunks: int
    media_type: str = "application/onnx"
