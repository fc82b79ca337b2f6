"""Replayed dead letters. Both stages' letters come back on one topic of the first stage, which passes on what is the second's."""

from collections.abc import Mapping
from typing import Final

from schemas.envelope import header
from schemas.events.inference import Prediction
from schemas.events.monitoring import AlertCommand, Profile, Progress
from schemas.events.validation import Rejection, ValidatedLabel
from schemas.reasons import RefusedRecordError, Rule, reason
from schemas.topics import (
    ALERTS_COMMANDS,
    EVENTS_REJECTED,
    LABELS_VALIDATED,
    MONITORING_PROFILES,
    PREDICTIONS,
    Topic,
    retry,
)
from shared.dead_letters import replay_origin
from shared.noted_positions import without_notes
from shared.records import Outgoing, Record

RETRY: Final = retry("monitoring")
_FIRST_STAGE: Final[Mapping[str, Topic]] = {
    Prediction.ce_type: PREDICTIONS,
    ValidatedLabel.ce_type: LABELS_VALIDATED,
    Rejection.ce_type: EVENTS_REJECTED,
}
_SECOND_STAGE: Final[Mapping[str, Topic]] = {
    Profile.ce_type: MONITORING_PROFILES,
    Progress.ce_type: MONITORING_PROFILES,
    AlertCommand.ce_type: ALERTS_COMMANDS,
}


def replayed_from(record: Record, topics: Mapping[str, Topic]) -> Topic | None:
    """The topic of the first stage (``topics`` by physical name) whose record ``record`` replays: by its origin, else by its
    type. None for one of the second stage.
    """
    origin = replay_origin(record)
    known = topics.get(origin[0]) if origin is not None else None
    return known or _FIRST_STAGE.get(header(record.headers, "ce_type") or "")


def passed_on(record: Record) -> Outgoing:
    """``record`` on the second stage's topic. Raises `RefusedRecordError` for what neither stage reads."""
    kind = header(record.headers, "ce_type") or ""
    topic = _SECOND_STAGE.get(kind)
    if topic is None:
        expected = " or ".join((*_FIRST_STAGE, *_SECOND_STAGE))
        raise RefusedRecordError((reason("headers.ce_type", Rule.UNKNOWN_TYPE, expected, kind or "absent"),))
    return without_notes(Outgoing(topic, record.key, record.value, record.headers))
