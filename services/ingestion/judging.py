"""Records judged at the edge by the same decoder and the same checker as in validation, so a fault has one code everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.decoding import SentEvent, decode_strict, event_of, label_of
from schemas.envelope import Envelope, encode_headers
from schemas.events.ingestion import Event, Label
from schemas.labels import check_label_value
from schemas.reasons import Reason, RefusedRecordError, Rule
from schemas.topics import EVENTS_RAW, LABELS_RAW, Topic
from services.ingestion.attributes import data_of, envelope_of, from_structured
from services.ingestion.definitions import CheckedSet, Definitions
from shared.records import Outgoing

UNKNOWN_NAMES: Final = frozenset((Rule.UNKNOWN_FEATURE_SET.value, Rule.UNKNOWN_MODEL.value))


@dataclass(frozen=True, slots=True)
class Kind:
    """What an address takes: events or labels."""

    name: str
    ce_type: str
    topic: Topic


EVENTS: Final = Kind("events", Event.ce_type, EVENTS_RAW)
LABELS: Final = Kind("labels", Label.ce_type, LABELS_RAW)


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A record that may be published: the bytes of its body as they were received."""

    id: str
    source: str
    outgoing: Outgoing


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that breaks a rule; ``id`` where it could be read and was given."""

    reasons: tuple[Reason, ...]
    id: str | None = None

    @property
    def unknown_name(self) -> bool:
        """Whether it names a definition that may be on its way."""
        return any(each.rule in UNKNOWN_NAMES for each in self.reasons)


Verdict = Accepted | Refused


class Submission(msgspec.Struct, frozen=True, gc=False):
    """One record as it came. ``structured`` None: a line that says itself what it is."""

    payload: bytes
    structured: bool | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What the records of one request have in common. ``source`` and ``trace`` stand in where a record names none."""

    source: str
    trace: str
    now: datetime
    attributes: Mapping[str, Any] = field(default_factory=dict)  # from ``ce-`` headers, for what is not structured


class _Read(msgspec.Struct, frozen=True, gc=False):
    """A record whose envelope and body can be read."""

    envelope: Envelope
    body: bytes
    event: SentEvent | None = None
    label: Label | None = None
    checked_set: CheckedSet | None = None

    @property
    def key(self) -> bytes:
        entity = self.event or self.label
        return entity.entity_id.encode() if entity is not None else b""


def judge(submissions: Sequence[Submission], kind: Kind, definitions: Definitions, request: Request) -> list[Verdict]:
    """One verdict per submission, in order; features of a FeatureSet in one vectorised pass. Never raises for a record."""
    read = [_read(each, kind, definitions, request) for each in submissions]
    reasons = _feature_reasons([each for each in read if isinstance(each, _Read)])
    verdicts: list[Verdict] = []
    for each in read:
        if isinstance(each, Refused):
            verdicts.append(each)
        elif found := reasons.get(id(each)):
            verdicts.append(Refused(found, each.envelope.id))
        else:
            outgoing = Outgoing(kind.topic, each.key, each.body, encode_headers(each.envelope))
            verdicts.append(Accepted(each.envelope.id, each.envelope.source, outgoing))
    return verdicts


def _read(submission: Submission, kind: Kind, definitions: Definitions, request: Request) -> _Read | Refused:
    try:
        record = decode_strict(submission.payload)
    except RefusedRecordError as error:
        return Refused(error.reasons, _given_id(request.attributes))
    structured = "specversion" in record if submission.structured is None else submission.structured
    attributes = from_structured(record) if structured else request.attributes
    faults: list[Reason] = []
    envelope, found = None, None
    try:  # what is wrong with the envelope and what is wrong with the body are told together
        envelope = envelope_of(attributes, kind=kind.ce_type, source=request.source, trace=request.trace)
    except RefusedRecordError as error:
        faults.extend(error.reasons)
    body = submission.payload
    try:
        if structured:
            record, body = data_of(record, submission.payload)
        found = _body(record, kind, definitions, request.now)
    except RefusedRecordError as error:
        faults.extend(error.reasons)
    if envelope is None or found is None:
        return Refused(tuple(faults), _given_id(attributes))
    return _Read(envelope, body, *found)


def _body(
    record: dict[str, Any], kind: Kind, definitions: Definitions, now: datetime
) -> tuple[SentEvent | None, Label | None, CheckedSet | None]:
    if kind is EVENTS:
        event = event_of(record, now=now)
        return event, None, definitions.checked_set(event.feature_set)
    label = label_of(record, now=now)
    reasons = check_label_value(definitions.model(label.model), label.value)
    if reasons:
        raise RefusedRecordError(reasons)
    return None, label, None


def _feature_reasons(read: Sequence[_Read]) -> dict[int, tuple[Reason, ...]]:
    """What is wrong with the features, by the identity of the record."""
    groups: dict[int, list[_Read]] = {}
    for each in read:
        if each.checked_set is not None:
            groups.setdefault(id(each.checked_set), []).append(each)
    found: dict[int, tuple[Reason, ...]] = {}
    for group in groups.values():
        if group[0].checked_set is None:
            continue
        rows = [each.event.features for each in group if each.event is not None]
        for each, reasons in zip(group, group[0].checked_set.checker.check(rows).reasons, strict=True):
            if reasons:
                found[id(each)] = reasons
    return found


def _given_id(attributes: Mapping[str, Any]) -> str | None:
    given = attributes.get("id")
    return given if isinstance(given, str) else None
