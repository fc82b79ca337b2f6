"""Stage 1: one partition's predictions, labels and rejections become profiles of windows.

Rows are taken in segments that end where a tick may close a window, so what is published does not depend on how the topic
was cut into batches. Only ticks move event time: those of ``predictions`` close windows of predictions, and labels are due
by the earlier of the ticks of ``predictions`` and ``labels.validated``, so that a partition that reads one topic faster
does not call labels missing that it has not read yet.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from schemas.envelope import header
from schemas.events.ingestion import Tick as TickContract
from schemas.events.monitoring import Profile
from schemas.reasons import RefusedRecordError
from schemas.topics import EVENTS_REJECTED, LABELS_REJECTED, LABELS_VALIDATED, PREDICTIONS, Topic
from services.monitoring import inputs
from services.monitoring.checkpoints import Checkpoint
from services.monitoring.joins import JoinStore, ObservedLabel, StoreFault
from services.monitoring.knowledge import Knowledge, Series
from services.monitoring.label_counts import KIND as LABEL_COUNT
from services.monitoring.label_counts import LabelCounts
from services.monitoring.labelling import Labelling
from services.monitoring.open_windows import OpenWindows, Watermarks
from services.monitoring.publications import profile_message, progress_message
from services.monitoring.refusals import LABEL, refusal_of
from services.monitoring.replays import RETRY, passed_on, replayed_from
from services.monitoring.segments import Segment
from services.monitoring.windows import micros
from shared.clock import Clock
from shared.dead_letters import dead_letter
from shared.records import Outgoing, Record, TopicNames

TICK: Final = TickContract.ce_type
# In the order in which a batch is taken: refused labels have no ticks, so they come before the ticks that close their windows.
PROFILED: Final = (LABELS_REJECTED, PREDICTIONS, LABELS_VALIDATED, EVENTS_REJECTED, RETRY)


class Profiling:
    """The state of one partition. A `shared.transactions.PartitionProcessor`."""

    def __init__(
        self,
        partition: int,
        names: TopicNames,
        knowledge: Knowledge,
        store: JoinStore,
        clock: Clock,
        unwatched: Callable[[int], None],
    ) -> None:
        """Empty; `restore` fills it from a checkpoint. ``unwatched`` is told how many predictions are not counted."""
        self._partition = partition
        self._topics = {names.name(topic): topic for topic in PROFILED}
        self._knowledge = knowledge
        self._store = store
        self._clock = clock
        self._checkpoint = Checkpoint(partition, str(partition))
        self._positions: dict[str, int] = {}
        self._label_counts = LabelCounts(knowledge, self._checkpoint, self._positions)
        self._labelling = Labelling(store, knowledge, self._label_counts)
        self._windows = OpenWindows(partition, knowledge, self._labelling, self._checkpoint, self._positions, unwatched)
        self._segment = Segment()
        self._outgoing: list[Outgoing] = []

    def restore(self, entries: dict[str, dict[str, Any]]) -> None:
        """Take over the checkpoint ``entries`` of this partition."""
        for key, content in entries.items():
            self._checkpoint.restored(key)
            if key.startswith("window/"):
                self._windows.restore(content)
            elif key.startswith(f"{LABEL_COUNT}/"):
                self._label_counts.restore(content)
            elif key == "watermarks":
                self._windows.watermarks = {name: Watermarks(**marks) for name, marks in content.items()}
            elif key == "positions":
                self._positions.update(content["next"])

    def replay(self, records: Sequence[Record]) -> None:
        """Put records that were processed before into the label join again; nothing is counted or published."""
        for record in records:
            topic = self._source(record)
            if record.value is None or header(record.headers, "ce_type") == TICK:
                continue
            try:
                if topic is PREDICTIONS:
                    self._segment.add(self._segment.counted, inputs.PREDICTION.decode(record.value), record.timestamp)
                elif topic is LABELS_VALIDATED:
                    self._take_label(inputs.LABEL.decode(record.value), record.timestamp)
            except msgspec.MsgspecError:
                continue  # it has been a dead letter the first time
        self._flush()
        for feature_set, marks in self._windows.watermarks.items():
            self._labelling.expire(feature_set, marks.predictions, marks.labels)

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Count ``records``; the profiles of windows that closed, and the checkpoint of what changed.

        Raises `TransientError` where the label join's file cannot be written: this is to be thrown away then.
        """
        try:
            return self._process(records)
        except StoreFault as error:
            raise self._store.trouble(error) from error

    def _process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        self._store.commit()  # the batch before this one is committed in Kafka
        self._outgoing = []
        for record in records:
            try:
                self._take(record)
            except RefusedRecordError as error:
                self._dead(record, error.reasons[0].rule, str(error))
            except (msgspec.MsgspecError, ValueError) as error:
                self._dead(record, "undecodable", str(error))
        self._flush()
        self._note_positions(records)
        return [*self._outgoing, *self._checkpoint.changes()]

    def close(self) -> None:
        """Let go of the label join's file."""
        self._store.close()

    # ---- records in

    def _source(self, record: Record) -> Topic | None:
        """The topic whose record this is: a replay counts as what it was. None for anything else."""
        topic = self._topics[record.topic]
        return replayed_from(record, self._topics) if topic.name == RETRY.name else topic

    def _take(self, record: Record) -> None:
        topic = self._source(record)
        if record.value is None:
            self._dead(record, "tombstone", "a record without a body")
            return
        if topic is None:
            self._outgoing.append(passed_on(record))
            return
        if header(record.headers, "ce_type") == TICK:
            tick = inputs.TICK.decode(record.value)
            self._tick(self._knowledge.resolve(tick.feature_set), micros(tick.time), labels=topic is LABELS_VALIDATED)
        elif topic is PREDICTIONS:
            self._take_prediction(inputs.PREDICTION.decode(record.value), record)
        elif topic is LABELS_VALIDATED:
            label = inputs.LABEL.decode(record.value)
            self._take_label(label, record.timestamp)
            self._label_counts.accept(label.model, micros(label.observed_at), *self._stands_at(record))
        elif topic is LABELS_REJECTED:
            self._take_refused_label(record)
        else:
            self._take_rejection(record)

    def _take_prediction(self, prediction: inputs.Prediction, record: Record) -> None:
        series = Series(prediction.model, prediction.version, prediction.route)
        counted = self._counted(series, micros(prediction.occurred_at), prediction.feature_set, record)
        into = self._segment.counted if counted else self._segment.predictions
        self._segment.add(into, prediction, record.timestamp)

    def _counted(self, series: Series, occurred: int, feature_set: str, record: Record) -> bool:
        return self._windows.counted(series, occurred, feature_set, *self._stands_at(record))

    def _stands_at(self, record: Record) -> tuple[str, int]:
        return self._topics[record.topic].name, record.offset

    def _take_label(self, label: inputs.Label, appended: int) -> None:
        self._segment.labels.append(
            ObservedLabel(
                label.model,
                label.event_source,
                label.event_id,
                label.value,
                label.label_version,
                micros(label.observed_at),
                appended,
            )
        )

    def _take_rejection(self, record: Record) -> None:
        """Count a rejected event for the champion of each model of its feature set, where it can be told which that is."""
        refusal = refusal_of(record, self._knowledge.live)
        if refusal is None:
            return
        feature_set = self._knowledge.resolve(refusal.subject)
        for name in self._knowledge.models_of(feature_set):
            version = self._knowledge.champion(name)
            if version is None:
                continue
            series = Series(name, version, "champion")
            if not self._counted(series, refusal.occurred, feature_set, record):
                self._windows.count_rejection(series, refusal, feature_set)

    def _take_refused_label(self, record: Record) -> None:
        """Count a rejected label for its model, where it can be told which and when that is."""
        refusal = refusal_of(record, self._knowledge.live_model, LABEL)
        if refusal is not None:
            self._label_counts.refuse(self._knowledge.meant(refusal.subject), refusal, *self._stands_at(record))

    # ---- event time

    def _tick(self, feature_set: str, time: int, *, labels: bool) -> None:
        marks = self._windows.watermarks.setdefault(feature_set, Watermarks())
        before = marks.labels if labels else marks.predictions
        if before is not None and time <= before:
            return
        grain = self._knowledge.grain(feature_set)
        crossed = before is None or time // grain > before // grain
        if crossed:
            self._flush()
        if labels:
            marks.labels = time
        else:
            marks.predictions = time
        self._checkpoint.put("watermarks", self._watermarks_content)
        if not crossed:
            return
        if not labels:
            self._publish(self._windows.close_performance(feature_set, time))
            self._outgoing.append(progress_message(feature_set, self._partition, time))
        if marks.predictions is not None:
            self._publish(self._windows.close_quality(feature_set, marks.predictions, marks.labels))
        self._labelling.expire(feature_set, marks.predictions, marks.labels)

    # ---- counting

    def _flush(self) -> None:
        for series, (rows, appended) in self._segment.predictions.items():
            self._windows.count(series, rows, appended)
        for series, (rows, appended) in self._segment.counted.items():
            self._windows.await_labels(series, rows, appended)
        self._labelling.add_labels(self._segment.labels)
        self._segment.clear()

    # ---- records out

    def _watermarks_content(self) -> dict[str, Any]:
        return {
            name: {"predictions": marks.predictions, "labels": marks.labels}
            for name, marks in self._windows.watermarks.items()
        }

    def _note_positions(self, records: Sequence[Record]) -> None:
        for record in records:
            topic = self._topics[record.topic].name
            self._positions[topic] = max(record.offset + 1, self._positions.get(topic, 0))
        self._store.move_to(self._positions)
        self._checkpoint.put("positions", lambda: {"next": self._positions, "floor": self._store.floor()})

    def _publish(self, profiles: Iterable[Profile]) -> None:
        self._outgoing += map(profile_message, profiles)

    def _dead(self, record: Record, code: str, text: str) -> None:
        self._outgoing.append(dead_letter(record, service="monitoring", code=code, message=text, clock=self._clock))
