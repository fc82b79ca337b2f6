"""What producers send: events, labels and ticks."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from schemas.events.contract import Contract, Identifier, Time

LabelValue = bool | int | float | str
Features = dict[str, Any]


class Event(Contract):
    """One event of an entity. ``feature_set`` is ``name@major``, or the bare name while one major is live."""

    ce_type: ClassVar[str] = "headrace.event.v1"

    feature_set: str
    entity_id: Identifier
    occurred_at: Time
    features: Features


class Label(Contract):
    """What really happened after an event. A higher ``label_version`` revises a lower one."""

    ce_type: ClassVar[str] = "headrace.label.v1"

    model: str
    event_id: Identifier
    event_source: Identifier
    entity_id: Identifier
    observed_at: Time
    value: LabelValue
    label_version: Annotated[int, Field(ge=1, lt=2**31)] = 1


class Tick(Contract):
    """Event time has reached ``time`` in this partition for this feature set; only ticks advance watermarks."""

    ce_type: ClassVar[str] = "headrace.tick.v1"

    feature_set: str
    time: Time
