"""One partition of validation: each record in gets exactly one outcome, in order."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.decoding import decode_tick
from schemas.events.contract import encode
from schemas.events.ingestion import Event, Label
from schemas.reasons import Reason, RefusedRecordError, Rule, reason
from schemas.topics import EVENTS_VALIDATED, LABELS_RAW, LABELS_VALIDATED, Topic
from services.validation.admission import Admitted, Misplaced, Undeliverable, admit
from services.validation.cases import EventCase, LabelCase, check_features, event_case, label_case
from services.validation.definitions import Definitions
from services.validation.duplicates import DuplicateWindow, Sighting, WindowBatch, identity_key
from services.validation.outcomes import duplicate, forwarded, rejection, validated_event, validated_label
from services.validation.resuming import Resumption
from shared.clock import Clock
from shared.dead_letters import dead_letter
from shared.noted_positions import without_notes
from shared.partition_slot import CatchUp, OutdatedError
from shared.records import Outgoing, Record, TopicNames

SERVICE: Final = "validation"


@dataclass(slots=True)
class Tally:
    """What became of a batch: (kind, outcome) → records; rule → how often it was broken."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Windows:
    """The ids validated lately in one partition; an event and a label may share an id."""

    events: DuplicateWindow
    labels: DuplicateWindow


Case = EventCase | LabelCase
Step = Case | Outgoing

_CONFLICT: Final = reason(
    "headers.ce_id", Rule.ID_CONFLICT, "the payload that was validated under this source and id", "another payload"
)


class Processor:
    """`shared.transactions.PartitionProcessor` of validation. All state is in the windows and the definitions."""

    def __init__(
        self,
        *,
        names: TopicNames,
        partitions: int,
        definitions: Definitions,
        windows: Windows,
        clock: Clock,
        report: Callable[[Tally], None],
        catch_up: CatchUp,
        resumption: Resumption | None = None,
    ) -> None:
        """``catch_up`` brings the definitions up to date. ``resumption``: where delivery is at least once, what stands
        already of the first batch.
        """
        self._names = names
        self._partitions = partitions
        self._definitions = definitions
        self._windows = windows
        self._clock = clock
        self._report = report
        self._resumption = resumption
        self._table_catch_up = catch_up
        self._up_to_date = False  # for the batch in work

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """One outcome per record, in order.

        Raises `OutdatedError` before it rejects by a definition: the edge may have accepted the record by a newer one, for
        the two follow the definitions each for itself.
        """
        outputs: Sequence[Outgoing] = self._judge(records)
        self._up_to_date = False
        return outputs if self._resumption is None else self._resumption.missing(records, outputs)

    def close(self) -> None:
        """Nothing is held outside of memory."""

    def _judge(self, records: Sequence[Record]) -> list[Outgoing]:
        tally = Tally()
        steps = [self._first_step(record, tally) for record in records]
        check_features(step for step in steps if isinstance(step, EventCase))
        if not self._up_to_date and any(_by_definition(step) for step in steps):
            raise OutdatedError(self._catch_up)
        events, labels = self._windows.events.batch(), self._windows.labels.batch()
        outputs: list[Outgoing] = []
        for step in steps:
            if isinstance(step, EventCase):
                outputs.append(_conclude_event(step, events, tally))
            elif isinstance(step, LabelCase):
                outputs.append(_conclude_label(step, labels, tally))
            else:
                outputs.append(step)
        newest = max((record.timestamp for record in records), default=0)
        events.keep(newest)
        labels.keep(newest)
        self._report(tally)
        return outputs

    async def _catch_up(self) -> None:
        await self._table_catch_up()
        self._up_to_date = True

    def _first_step(self, record: Record, tally: Tally) -> Step:
        """The record's outcome where the envelope or the key decides it, else its case."""
        topic = self._names.logical(record.topic)
        if topic is None:
            problem = f"{record.topic} is none of the platform's topics"
            raise RuntimeError(problem)
        admitted = admit(record, topic, self._partitions)
        if isinstance(admitted, Admitted):
            kind = admitted.envelope.type
            if kind == Event.ce_type:
                case: Case | Undeliverable = event_case(admitted, self._definitions)
            elif kind == Label.ce_type:
                case = label_case(admitted, self._definitions)
            else:
                return self._tick(admitted, topic, tally)
            if not isinstance(case, Undeliverable):
                return case
            admitted = case
        if isinstance(admitted, Misplaced):
            tally.outcomes["record", "re-routed"] += 1
            return forwarded(admitted.topic, record, partition=admitted.partition)
        return self._dead(record, admitted.reasons, tally)

    def _tick(self, admitted: Admitted, topic: Topic, tally: Tally) -> Outgoing:
        """Pass a tick on, untouched where it names its FeatureSet in full."""
        record = admitted.record
        try:
            tick = decode_tick(admitted.body)
        except RefusedRecordError as error:
            return self._dead(record, error.reasons, tally)
        tally.outcomes["tick", "forwarded"] += 1
        passed = without_notes(forwarded(LABELS_VALIDATED if topic == LABELS_RAW else EVENTS_VALIDATED, record))
        try:
            ref = self._definitions.checked_set(tick.feature_set).ref
        except RefusedRecordError:
            return passed  # its definition may be on the way; nobody's watermark moves for a set that nobody knows
        if ref == tick.feature_set:
            return passed
        return Outgoing(passed.topic, passed.key, encode(tick.model_copy(update={"feature_set": ref})), passed.headers)

    def _dead(self, record: Record, reasons: tuple[Reason, ...], tally: Tally) -> Outgoing:
        tally.outcomes["record", "dead-letter"] += 1
        tally.rules.update(each.rule for each in reasons)
        text = str(RefusedRecordError(reasons))
        return dead_letter(record, service=SERVICE, code=reasons[0].rule, message=text, clock=self._clock)


def _by_definition(step: Step) -> bool:
    """Whether a record is refused by what is defined, not by its bytes."""
    return not isinstance(step, Outgoing) and step.readable and bool(step.reasons)


def _conclude_event(case: EventCase, window: WindowBatch, tally: Tally) -> Outgoing:
    settled = _settled(case, window, tally)
    if settled is not None:
        return settled
    if case.event is None or case.checked_set is None or case.features is None:
        problem = "an event without reasons has neither features nor a feature set"
        raise RuntimeError(problem)
    record, envelope = case.admitted.record, case.admitted.envelope
    ref, version = case.checked_set.ref, case.checked_set.version
    return validated_event(record, envelope, case.payload_hash, case.event, ref, version, case.features)


def _conclude_label(case: LabelCase, window: WindowBatch, tally: Tally) -> Outgoing:
    settled = _settled(case, window, tally)
    if settled is not None:
        return settled
    if case.label is None:
        problem = "a label without reasons has no body"
        raise RuntimeError(problem)
    return validated_label(case.admitted.record, case.admitted.envelope, case.payload_hash, case.label)


def _settled(case: Case, window: WindowBatch, tally: Tally) -> Outgoing | None:
    """The outcome of a repeated, conflicting or faulty record; None for a valid one, which the window then knows."""
    record, envelope, digest = case.admitted.record, case.admitted.envelope, case.payload_hash
    key, payload = identity_key(envelope.source, envelope.id), bytes.fromhex(digest)
    sighting = window.sight(key, payload) if case.readable else Sighting.NEW
    if sighting is Sighting.REPEATED:
        tally.outcomes[case.kind, "duplicate"] += 1
        return duplicate(record, envelope, digest)
    reasons = (_CONFLICT,) if sighting is Sighting.CONFLICTING else case.reasons
    if reasons:
        tally.outcomes[case.kind, "rejected"] += 1
        tally.rules.update(each.rule for each in reasons)
        return rejection(case.quarantine, record, envelope, digest, reasons)
    window.add(key, payload)
    tally.outcomes[case.kind, "validated"] += 1
    return None
