"""Inference: predictions, and what it has loaded."""

from typing import Any, ClassVar, Literal

from schemas.events.contract import Contract, Digest, ModelName, Time, VersionNumber
from schemas.events.ingestion import Features

Route = Literal["champion", "canary", "shadow"]


class Timing(Contract):
    """Milliseconds: ``queue_ms`` from the broker's append of the event to the start of scoring; ``inference_ms`` the batch's share."""

    queue_ms: float
    inference_ms: float


class Prediction(Contract):
    """One prediction. ``outputs`` by target type: label, score (probability of the positive class), probabilities; or value.

    A failed one has ``status`` failed, ``error`` with the reason, and no outputs. Headers ``ce_model``, ``ce_version`` and
    ``ce_route`` repeat those fields (and plain ``model``, ``version``, ``route``), so that consumers filter without parsing.
    """

    ce_type: ClassVar[str] = "headrace.prediction.v1"

    prediction_id: str
    event_id: str
    event_source: str
    entity_id: str
    feature_set: str
    model: ModelName
    version: VersionNumber
    route: Route
    status: Literal["ok", "failed"]
    error: str | None = None
    outputs: dict[str, Any] | None = None
    features: Features
    occurred_at: Time
    predicted_at: Time
    timing: Timing


class ServingStarted(Contract):
    """From ``offset`` of ``partition`` of events.validated on, every event of the feature set gets a serving prediction of ``model``.

    Published in the transaction of the first batch that the model serves in that partition; key ``model/serving/partition``.
    """

    ce_type: ClassVar[str] = "headrace.serving-started.v1"

    model: ModelName
    partition: int
    offset: int
    at: Time


class ModelStatus(Contract):
    """What one inference process did with a deployed version; key ``model/instance``. ``message``: why it was refused, or the
    session options that it was loaded with.
    """

    ce_type: ClassVar[str] = "headrace.model-status.v1"

    model: ModelName
    instance: str
    version: VersionNumber
    digest: Digest
    route: Route
    state: Literal["loaded", "refused", "released"]
    code: str | None = None
    message: str = ""
    deployment_revision: int
    at: Time
