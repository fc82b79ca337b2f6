"""What validation says of each record: validated, rejected or duplicate; and the dead letter that any service may write."""

from typing import ClassVar

from schemas.events.contract import Contract, Identifier, Time
from schemas.events.ingestion import Features, LabelValue
from schemas.reasons import Reason


class Origin(Contract):
    """Where a record stood: physical topic, partition, offset; ``timestamp_ms`` is the broker's append time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class ValidatedEvent(Contract):
    """An event that keeps its FeatureSet. ``features`` holds every feature of the definition, derived ones too, null where missing.

    Header extension ``ce_payloadhash`` is the hash of the raw record's body, from which duplicates are recognised.
    """

    ce_type: ClassVar[str] = "headrace.validated-event.v1"

    feature_set: str  # name@major, always
    definition_version: str
    entity_id: Identifier
    occurred_at: Time
    features: Features


class ValidatedLabel(Contract):
    """A label whose value fits its model's target."""

    ce_type: ClassVar[str] = "headrace.validated-label.v1"

    model: str
    event_id: Identifier
    event_source: Identifier
    entity_id: Identifier
    observed_at: Time
    value: LabelValue
    label_version: int = 1


class Rejection(Contract):
    """A quarantined record: every reason, and the original body."""

    ce_type: ClassVar[str] = "headrace.rejection.v1"

    event_id: str
    event_source: str
    reasons: tuple[Reason, ...]
    origin: Origin
    payload_base64: str


class Duplicate(Contract):
    """A record that was sent again under the same source and id with the same body."""

    ce_type: ClassVar[str] = "headrace.duplicate.v1"

    event_id: str
    event_source: str
    payload_hash: str
    origin: Origin


class DeadLetter(Contract):
    """A record that a service could not process, complete with key and headers, so that it can be replayed."""

    ce_type: ClassVar[str] = "headrace.dead-letter.v1"

    service: str
    code: str
    message: str
    attempts: int
    failed_at: Time
    origin: Origin
    key_base64: str | None
    payload_base64: str | None
    headers: tuple[tuple[str, str | None], ...]  # name, value in base64
    headers_truncated: bool = False  # beyond 64 KiB they are left out: a thousand headers must not defeat the letter
