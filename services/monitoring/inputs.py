"""What monitoring reads of predictions, labels, rejections and ticks: only the fields it needs, decoded fast.

Structs instead of the contract models, because stage 1 decodes every prediction; unknown keys are skipped.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

Aware = Annotated[datetime, msgspec.Meta(tz=True)]
Version = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Scalar = bool | Integer | float | str


class Timing(msgspec.Struct):
    """Milliseconds, as in `schemas.events.inference.Timing`."""

    queue_ms: float
    inference_ms: float


class Outputs(msgspec.Struct):
    """Outputs by target type; what a type does not have is None."""

    label: bool | Integer | str | None = None
    score: float | None = None
    probabilities: list[float] | None = None
    value: float | None = None


class Prediction(msgspec.Struct):
    """One prediction, as in `schemas.events.inference.Prediction`."""

    event_id: str
    event_source: str
    feature_set: str
    model: str
    version: Version
    route: Literal["champion", "canary", "shadow"]
    status: Literal["ok", "failed"]
    features: dict[str, Scalar | None]
    occurred_at: Aware
    predicted_at: Aware
    timing: Timing
    outputs: Outputs | None = None


class Label(msgspec.Struct):
    """One validated label."""

    model: str
    event_id: str
    event_source: str
    observed_at: Aware
    value: Scalar
    label_version: Version = 1


class Tick(msgspec.Struct):
    """Event time has reached ``time`` for ``feature_set``."""

    feature_set: str
    time: Aware


class BrokenRule(msgspec.Struct):
    """The code of one reason of a rejection."""

    rule: str


class RejectionOrigin(msgspec.Struct):
    """When the broker appended what was rejected, epoch milliseconds."""

    timestamp_ms: Integer


class Rejection(msgspec.Struct):
    """A quarantined event or label, as in `schemas.events.validation.Rejection`."""

    reasons: list[BrokenRule]
    origin: RejectionOrigin
    payload_base64: str


class RejectedEvent(msgspec.Struct):
    """What is read of a rejected event's own body, where it can be read at all."""

    subject: str = msgspec.field(name="feature_set")
    occurred: Aware = msgspec.field(name="occurred_at")


class RejectedLabel(msgspec.Struct):
    """The same of a rejected label's."""

    subject: str = msgspec.field(name="model")
    occurred: Aware = msgspec.field(name="observed_at")


PREDICTION: Final = msgspec.json.Decoder(Prediction)
LABEL: Final = msgspec.json.Decoder(Label)
TICK: Final = msgspec.json.Decoder(Tick)
REJECTION: Final = msgspec.json.Decoder(Rejection)
REJECTED_EVENT: Final = msgspec.json.Decoder(RejectedEvent)
REJECTED_LABEL: Final = msgspec.json.Decoder(RejectedLabel)
