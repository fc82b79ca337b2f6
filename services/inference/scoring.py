"""One batch against one plan: decode once, one run per loaded version, every event answered by every slot that owes it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.inference.columns import BatchColumns, Row
from services.inference.decoding import EventToScore
from services.inference.errors import DeadlineError, ScoringError
from services.inference.isolation import isolate
from services.inference.outputs import Answer
from services.inference.routing import split
from services.inference.serving_plan import Breaker, FeatureSetPlan, ServedModel, Slot

SHADOW_SEARCH_SECONDS: Final = 0.25  # a shadow that fails on everything may hold a batch no longer than this


@dataclass(frozen=True, slots=True)
class ScoringLimits:
    """Seconds that a run may take, and for which a version rests that took longer.

    Scoring holds the event loop, and partitions are scored one after the other. So the deadlines must not add up over
    models and partitions: while a version that serves rests, the other ones have ``hurried`` seconds a run.
    """

    deadline: float = 5.0
    hurried: float = 0.25
    rest: float = 1.0
    shadow_deadline: float = 1.0
    shadow_rest: float = 60.0


@dataclass(frozen=True, slots=True)
class Scored:
    """What one slot answers: ``answers[i]`` for ``events[i]``. ``seconds`` of model time in ``runs`` runs."""

    slot: Slot
    events: Sequence[EventToScore]
    answers: list[Answer]
    seconds: float
    runs: int


class Scorer:
    """Scores batches. ``monotonic`` gives seconds."""

    def __init__(self, limits: ScoringLimits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._hung: dict[tuple[str, int], Breaker] = {}  # versions that serve, by model and number
        self._hurried = Breaker()

    def score(self, plan: FeatureSetPlan, events: Sequence[EventToScore]) -> list[Scored]:
        """Every slot's answers for ``events``, all of them of the plan's FeatureSet, in their order."""
        decoded = plan.columns.decode([event.body.features for event in events])
        batch = _Batch(plan, events, decoded)
        return [scored for model in plan.models for scored in self._model(model, batch)]

    def _model(self, model: ServedModel, batch: "_Batch") -> list[Scored]:
        everything = range(len(batch.events))
        champion, canary = split(model.name, batch.entities, model.share) if model.canary else (everything, ())
        scored = [self._slot(model.champion, batch, champion)]
        if model.canary is not None:
            scored.append(self._slot(model.canary, batch, canary))
        scored.extend(self._slot(shadow, batch, everything) for shadow in model.shadows)
        return [one for one in scored if one.events]

    def _slot(self, slot: Slot, batch: "_Batch", places: Sequence[int]) -> Scored:
        events = batch.events if len(places) == len(batch.events) else [batch.events[place] for place in places]
        if not events:
            return Scored(slot, events, [], 0.0, 0)
        started = self._monotonic()
        if self._breaker(slot).open(started):
            return Scored(slot, events, [_RESTING] * len(events), 0.0, 0)
        answers, runs = self._answers(slot, batch, places)
        return Scored(slot, events, answers, self._monotonic() - started, runs)

    def _answers(self, slot: Slot, batch: "_Batch", places: Sequence[int]) -> tuple[list[Answer], int]:
        good = [place for place in places if place not in batch.faults] if batch.faults else places
        until = self._monotonic() + SHADOW_SEARCH_SECONDS if slot.route == "shadow" else math.inf
        found = isolate(good, lambda part: self._run(slot, batch, part), exhausted=lambda: self._monotonic() > until)
        if not batch.faults:
            return found.answers, found.runs
        answered = dict(zip(good, found.answers, strict=True))
        return [answered[place] if place in answered else batch.faults[place] for place in places], found.runs

    def _run(self, slot: Slot, batch: "_Batch", places: Sequence[int]) -> list[Answer]:
        """Answers for the rows at ``places``, in one run. Raises `ScoringError` where the run fails as a whole."""
        loaded = slot.loaded
        try:
            arrays = batch.columns.arrays(loaded.inputs, batch.rows_at(places))
            outputs = loaded.session.run(arrays, loaded.reader.names, self._deadline(slot))
            return loaded.reader.read(outputs, len(places))
        except DeadlineError:
            self._rest(slot)
            raise
        except ScoringError:
            raise
        except Exception as error:  # one version's surprise must not stop the others, nor the partition for ever
            message = f"the model failed unexpectedly: {type(error).__name__}: {error}"
            raise ScoringError(message) from error

    def _breaker(self, slot: Slot) -> Breaker:
        return slot.breaker or self._hung.get((slot.model, slot.version)) or _CLOSED

    def _deadline(self, slot: Slot) -> float:
        if slot.route == "shadow":
            return self._limits.shadow_deadline
        return self._limits.hurried if self._hurried.open(self._monotonic()) else self._limits.deadline

    def _rest(self, slot: Slot) -> None:
        now = self._monotonic()
        if slot.breaker is not None:
            slot.breaker.trip(now, self._limits.shadow_rest)
            return
        self._hung.setdefault((slot.model, slot.version), Breaker()).trip(now, self._limits.rest)
        self._hurried.trip(now, self._limits.rest)


_CLOSED: Final = Breaker()
_RESTING: Final = ScoringError("the version rests after a run beyond its deadline")


class _Batch:
    """A batch's rows. Events whose features cannot be decoded have a fault, and no row."""

    def __init__(
        self, plan: FeatureSetPlan, events: Sequence[EventToScore], decoded: Sequence[Row | ScoringError]
    ) -> None:
        self.events = events
        self.faults = {place: row for place, row in enumerate(decoded) if isinstance(row, ScoringError)}
        rows = [row for row in decoded if not isinstance(row, ScoringError)]
        self.columns = BatchColumns(plan.columns, rows)
        self._row_of = self._numbering() if self.faults else None
        self._entities: list[str] | None = None

    @property
    def entities(self) -> list[str]:
        """The events' entities, for routing."""
        if self._entities is None:
            self._entities = [event.body.entity_id for event in self.events]
        return self._entities

    def rows_at(self, places: Sequence[int]) -> Sequence[int] | None:
        """Row numbers of the events at ``places``; None where that is all rows."""
        if len(places) == len(self.events) - len(self.faults):
            return None
        if self._row_of is None:
            return places
        return [self._row_of[place] for place in places]

    def _numbering(self) -> dict[int, int]:
        good = (place for place in range(len(self.events)) if place not in self.faults)
        return {place: row for row, place in enumerate(good)}


def row_milliseconds(scored: Scored) -> float:
    """A row's share of the time that the model took, milliseconds."""
    return round(scored.seconds * 1000 / max(1, len(scored.events)), 6)
