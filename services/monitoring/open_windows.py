"""The windows of one partition that can still change: opened by rows, counted into, closed by event time, dropped when too old."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.events.monitoring import Profile
from services.monitoring import inputs
from services.monitoring.checkpoints import Checkpoint
from services.monitoring.entries import Entry
from services.monitoring.joins import Place
from services.monitoring.knowledge import Knowledge, Series
from services.monitoring.labelling import KEPT_BEYOND, Labelling
from services.monitoring.profiles import tally_rows
from services.monitoring.refusals import Refusal


@dataclass(slots=True)
class Watermarks:
    """Event time of one feature set in this partition, per topic; None before the first tick."""

    predictions: int | None = None
    labels: int | None = None


class OpenWindows:
    """Entries by feature set and place, each kept in ``checkpoint`` with how far the topics are counted."""

    def __init__(
        self,
        partition: int,
        knowledge: Knowledge,
        labelling: Labelling,
        checkpoint: Checkpoint,
        positions: Mapping[str, int],
        unwatched: Callable[[int], None],
    ) -> None:
        """``positions``: the next offset of each topic, looked at when a batch is written."""
        self.watermarks: dict[str, Watermarks] = {}
        self._partition = partition
        self._knowledge = knowledge
        self._labelling = labelling
        self._checkpoint = checkpoint
        self._positions = positions
        self._unwatched = unwatched
        self._entries: dict[str, dict[Place, Entry]] = {}  # by feature set
        self._horizon: dict[str, int] = {}  # by topic: from this offset on, no restored window holds a record yet

    def restore(self, content: dict[str, Any]) -> None:
        """Take over one entry of the checkpoint."""
        entry = Entry.restored(content)
        self._entries.setdefault(entry.feature_set, {})[entry.place] = entry
        self._labelling.touch(entry)
        for topic, taken in entry.taken.items():
            self._horizon[topic] = max(taken, self._horizon.get(topic, 0))
        if entry.digest is not None:
            self._knowledge.remember(entry.series.model, entry.series.version, entry.digest)

    def counted(self, series: Series, occurred: int, feature_set: str, topic: str, offset: int) -> bool:
        """Whether a record is in its window's checkpoint: the process before died between publishing and commit."""
        if offset >= self._horizon.get(topic, 0):
            return False
        watched = self._knowledge.watched(series.model)
        if watched is None or not watched.policy.every:
            return False
        entry = self._entries.get(feature_set, {}).get((series, occurred - occurred % watched.policy.every))
        return entry is not None and offset < entry.taken.get(topic, 0)

    # ---- counting

    def count(self, series: Series, rows: Sequence[inputs.Prediction], appended: Sequence[int]) -> None:
        """Count ``rows`` in their windows and let them wait for labels; ``appended``: when each was, epoch milliseconds."""
        watched = self._knowledge.watched(series.model)
        if watched is None or not watched.policy.every:
            self._unwatched(len(rows))
            return
        artifact = self._knowledge.artifact(self._knowledge.digest(series.model, series.version))
        for start, tally in tally_rows(rows, appended, watched, artifact).items():
            entry = self._entry(series, start, rows[0].feature_set)
            if entry is not None:
                entry.tally.merge(tally)
        self.await_labels(series, rows, appended)

    def await_labels(self, series: Series, rows: Sequence[inputs.Prediction], appended: Sequence[int]) -> None:
        """Only let ``rows`` wait for labels: they are counted."""
        watched = self._knowledge.watched(series.model)
        if watched is not None and watched.policy.every:
            windows = self._entries.get(rows[0].feature_set, {})
            self._labelling.add_predictions(series, rows, appended, watched.policy.every, windows)

    def count_rejection(self, series: Series, refusal: Refusal, feature_set: str) -> None:
        """Count a rejected event in the window of ``series``."""
        watched = self._knowledge.watched(series.model)
        if watched is None or not watched.policy.every:
            return
        entry = self._entry(series, refusal.occurred - refusal.occurred % watched.policy.every, feature_set)
        if entry is not None:
            refusal.add_to(entry.tally)

    # ---- event time

    def close_performance(self, feature_set: str, time: int) -> Iterator[Profile]:
        """Profiles of windows that ``time`` closes, or that changed since."""
        for entry in self._in_order(feature_set):
            if entry.closes_at <= time and entry.reported != entry.revision:
                yield entry.profile(self._partition)
                self._keep(entry)

    def close_quality(self, feature_set: str, predictions: int, labels: int | None) -> Iterator[Profile]:
        """Profiles of windows whose labels are due by the ticks of both topics; what is too old is dropped."""
        # without ticks of labels be patient, but not for ever
        due = predictions - KEPT_BEYOND if labels is None else min(predictions, labels)
        for entry in self._in_order(feature_set):
            final = entry.quality_final
            judged = self._labelling.judge(entry, due)
            if judged is not None:
                yield entry.quality_profile(self._partition, judged.tally, judged.revision, judged.closed_at)
            if judged is not None or entry.quality_final != final:
                self._keep(entry)
            if due >= entry.kept_until:
                self._drop(entry)

    def _in_order(self, feature_set: str) -> list[Entry]:
        entries = self._entries.get(feature_set, {})
        return [entries[place] for place in sorted(entries, key=lambda place: (entries[place].end, place))]

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.feature_set][entry.place]
        self._labelling.drop(entry)
        self._checkpoint.delete(entry.key)

    def _entry(self, series: Series, start: int, feature_set: str) -> Entry | None:
        """The window's entry, opened if need be; None if it is too old to be corrected."""
        entries = self._entries.setdefault(feature_set, {})
        entry = entries.get((series, start))
        if entry is None:
            watched = self._knowledge.watched(series.model)
            if watched is None:
                return None
            entry = Entry.opened(series, start, feature_set, watched.policy)
            now = self.watermarks.get(feature_set, Watermarks()).predictions
            if now is not None and now >= entry.kept_until + KEPT_BEYOND:
                return None
            entries[series, start] = entry
        entry.digest = entry.digest or self._knowledge.digest(series.model, series.version)
        self._keep(entry)
        return entry

    def _keep(self, entry: Entry) -> None:
        self._checkpoint.put(entry.key, lambda: entry.content(self._positions))
