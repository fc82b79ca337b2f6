"""Which labels are there, which are due, and what they say of the predictions: the label join's side of stage 1."""

from collections.abc import Container, Sequence
from typing import Final, NamedTuple

import numpy as np

from schemas.definitions import TargetType
from services.monitoring import inputs, quality
from services.monitoring.entries import Entry, life
from services.monitoring.fairness import tally_groups
from services.monitoring.joins import AwaitingLabel, JoinStore, ObservedLabel, Place
from services.monitoring.knowledge import Knowledge, Series
from services.monitoring.label_counts import LabelCounts, size
from services.monitoring.pairing import tally_twins
from services.monitoring.probabilities import tally_outcomes
from services.monitoring.tallies import Tally
from services.monitoring.windows import micros

ENOUGH_LABELLED: Final = 0.95
KEPT_BEYOND: Final = 86_400_000_000  # a day of event time: how far the labels' ticks may be behind, microseconds
UNKNOWN_LIFE: Final = 90 * KEPT_BEYOND  # of labels of models without a definition, as long as the topic keeps them


class Judged(NamedTuple):
    """The quality of a window that is due; ``closed_at`` in microseconds."""

    tally: Tally
    revision: int
    closed_at: int


class Labelling:
    """Feeds the join and remembers which windows it changed."""

    def __init__(self, store: JoinStore, knowledge: Knowledge, counts: LabelCounts) -> None:
        """``store`` holds predictions and labels; it is the caller's to open, commit and close. ``counts``: of labels, by time."""
        self._store = store
        self._knowledge = knowledge
        self._counts = counts
        self._counted: dict[Place, int] = {}  # labels of a window's time when it was last looked at
        self._touched: set[Place] = set()  # windows whose pairs may have changed since they were last looked at

    def touch(self, entry: Entry) -> None:
        """Look at this window again when it is due."""
        self._touched.add(entry.place)

    def add_predictions(
        self,
        series: Series,
        rows: Sequence[inputs.Prediction],
        appended: Sequence[int],
        every: int,
        windows: Container[Place],
    ) -> None:
        """Let the rows that were served wait for labels, if their window is one of ``windows``."""
        awaiting = []
        groups = self._groups(series, rows)
        watched = self._knowledge.watched(series.model)
        binary = watched is not None and watched.definition.spec.target.type is TargetType.BINARY
        for place, (row, time) in enumerate(zip(rows, appended, strict=True)):
            occurred = micros(row.occurred_at)
            start, output = occurred - occurred % every, row.outputs
            if output is None or row.status != "ok" or (series, start) not in windows:
                continue
            awaiting.append(
                AwaitingLabel(
                    series,
                    start,
                    row.event_source,
                    row.event_id,
                    output.score if output.score is not None else output.value,
                    output.label,
                    None if binary else output.probabilities,
                    time,
                    groups[place] if groups else None,
                )
            )
        self._touched |= self._store.add_predictions(awaiting)

    def _groups(self, series: Series, rows: Sequence[inputs.Prediction]) -> list[list[int]]:
        """The group of each row by each feature that its version measures fairness by; empty if by none."""
        artifact = self._knowledge.artifact(self._knowledge.digest(series.model, series.version))
        if artifact is None or not artifact.groups:
            return []
        codes = [binning.codes([row.features.get(name) for row in rows]) for name, binning in artifact.groups.items()]
        found: list[list[int]] = np.stack(codes, axis=1).tolist()
        return found

    def add_labels(self, labels: Sequence[ObservedLabel]) -> None:
        """Join labels, or let them wait for their predictions."""
        kept = [label for label in labels if self._joinable(label.model)]
        if kept:
            self._touched |= self._store.add_labels(kept)

    def _joinable(self, model: str) -> bool:
        watched = self._knowledge.watched(model)
        return watched is None or watched.policy.every > 0  # windows of rows are not monitored

    def expire(self, feature_set: str, predictions: int | None, labels: int | None) -> None:
        """Forget labels that found no prediction and can find none any more, and the counts of windows that are over.

        ``predictions`` and ``labels``: the watermarks of the two topics.

        A prediction that occurred by the time its label was observed is not taken any more then (`entries.Entry.kept_until`
        and a day), so what is forgotten changes no result, however the two topics were interleaved.
        """
        due = _due(predictions, labels)
        if due is None:
            return
        self._counts.forget(
            feature_set, due - KEPT_BEYOND
        )  # a kill between two ticks must not forget earlier than a window
        models = self._knowledge.models_of(feature_set)
        for model in models:
            watched = self._knowledge.watched(model)
            if watched is not None:
                self._store.expire_labels(model, due - life(watched.policy) - KEPT_BEYOND)
        for model in self._store.labelled_models:
            if self._knowledge.watched(model) is None:
                self._store.expire_labels(model, due - UNKNOWN_LIFE)

    def judge(self, entry: Entry, due: int) -> Judged | None:
        """The window's quality if ``due`` calls for it: once early, if enough is labelled, and from the time-out on."""
        place, timed_out = entry.place, due >= entry.timeout_at
        if due < entry.expected_at or (entry.quality_reported is not None and not timed_out):
            return None
        seen = self._counts.of(place)
        changed = place in self._touched or size(seen) != self._counted.get(place, 0)
        if not changed and (entry.quality_final or not timed_out):
            return None
        rows, labelled = self._store.counts(place)
        self._touched.discard(place)
        self._counted[place] = size(seen)
        entry.quality_final = entry.quality_final or timed_out
        watched = self._knowledge.watched(entry.series.model)
        if rows == 0 or watched is None or not (timed_out or labelled >= ENOUGH_LABELLED * rows):
            return None
        artifact = self._knowledge.artifact(entry.digest)
        classes, groups = (artifact.classes, artifact.groups) if artifact else ((), {})
        target, pairs = watched.definition.spec.target.type, self._store.pairs(place)
        tally = quality.tally_pairs(target, classes, pairs, rows)
        tally_outcomes(target, classes, pairs, tally)
        tally_groups(target, classes, pairs, groups, tally)
        if entry.series.route == "shadow":
            twins = self._store.twins(place)
            of = {version: self._classes(entry.series.model, version) for version in {twin.version for twin in twins}}
            tally.merge(tally_twins(target, of, classes, twins))
        tally.merge(seen)
        revision = rows + tally.total(quality.LABELLED) + tally.total(quality.REVISIONS) + size(seen)
        if revision == entry.quality_reported:
            return None
        return Judged(tally, revision, entry.timeout_at if timed_out else due)

    def _classes(self, model: str, version: int) -> Sequence[bool | int | str]:
        artifact = self._knowledge.artifact(self._knowledge.digest(model, version))
        return artifact.classes if artifact else ()

    def drop(self, entry: Entry) -> None:
        """Forget a window and its labels."""
        self._touched.discard(entry.place)
        self._counted.pop(entry.place, None)
        self._store.drop(entry.place)


def _due(predictions: int | None, labels: int | None) -> int | None:
    """The earlier watermark. A topic without any tick is waited for, but not for ever."""
    if predictions is None:
        return None if labels is None else labels - UNKNOWN_LIFE
    return predictions - KEPT_BEYOND if labels is None else min(predictions, labels)
