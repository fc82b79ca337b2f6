"""From an admitted record to what is wrong with it: body, features of a whole batch at once, label value."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, Final

import msgspec

from schemas.decoding import SentEvent, decode_event, decode_label
from schemas.events.ingestion import Label
from schemas.identities import payload_hash
from schemas.labels import check_label_value
from schemas.reasons import Reason, RefusedRecordError
from schemas.topics import EVENTS_REJECTED, LABELS_REJECTED, Topic
from services.validation.admission import Admitted, Undeliverable, check_key
from services.validation.definitions import CheckedSet, Definitions

_SECOND: Final = 1000  # milliseconds


class EventCase(msgspec.Struct, gc=False):
    """An event under judgement. ``event`` is None where the body is faulty; `check_features` sets ``features``."""

    kind: ClassVar[str] = "event"
    quarantine: ClassVar[Topic] = EVENTS_REJECTED

    admitted: Admitted
    payload_hash: str
    event: SentEvent | None = None
    checked_set: CheckedSet | None = None
    features: Mapping[str, Any] | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether the body is one of an event at all."""
        return self.event is not None


class LabelCase(msgspec.Struct, gc=False):
    """A label under judgement. ``label`` is None where the body is faulty."""

    kind: ClassVar[str] = "label"
    quarantine: ClassVar[Topic] = LABELS_REJECTED

    admitted: Admitted
    payload_hash: str
    label: Label | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether the body is one of a label at all."""
        return self.label is not None


def event_case(admitted: Admitted, definitions: Definitions) -> EventCase | Undeliverable:
    """Read the body and find its FeatureSet; the features are not looked at yet."""
    case = EventCase(admitted, payload_hash(admitted.body))
    try:
        event = decode_event(admitted.body, now=_appended(admitted))
    except RefusedRecordError as error:
        case.reasons = error.reasons
        return case
    mismatch = check_key(admitted.record.key, event.entity_id)
    if mismatch:
        return Undeliverable(mismatch)
    case.event = event
    try:
        case.checked_set = definitions.checked_set(event.feature_set)
    except RefusedRecordError as error:
        case.reasons = error.reasons
    return case


def label_case(admitted: Admitted, definitions: Definitions) -> LabelCase | Undeliverable:
    """Read the body and judge the value against its model's target."""
    case = LabelCase(admitted, payload_hash(admitted.body))
    try:
        label = decode_label(admitted.body, now=_appended(admitted))
    except RefusedRecordError as error:
        case.reasons = error.reasons
        return case
    mismatch = check_key(admitted.record.key, label.entity_id)
    if mismatch:
        return Undeliverable(mismatch)
    case.label = label
    try:
        case.reasons = check_label_value(definitions.model(label.model), label.value)
    except RefusedRecordError as error:
        case.reasons = error.reasons
    return case


def check_features(cases: Iterable[EventCase]) -> None:
    """Judge the features of all events, one vectorised pass per FeatureSet, and write the verdicts into the cases."""
    groups: dict[int, list[EventCase]] = {}
    for case in cases:
        if case.checked_set is not None:
            groups.setdefault(id(case.checked_set), []).append(case)
    for group in groups.values():
        checked_set = group[0].checked_set
        rows = [case.event.features for case in group if case.event is not None]
        if checked_set is None:
            continue
        batch = checked_set.checker.check(rows)
        for case, features, reasons in zip(group, batch.features, batch.reasons, strict=True):
            case.features = features
            case.reasons = reasons


def _appended(admitted: Admitted) -> datetime:
    """Times are judged against the broker's append time, so that a replay judges alike."""
    return _moment(admitted.record.timestamp)


@lru_cache(maxsize=64)  # the broker stamps a whole record batch alike
def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / _SECOND, UTC)
