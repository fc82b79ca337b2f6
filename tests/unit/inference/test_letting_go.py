"""A version that was swapped out is let go at once: its session must not outlive it."""

import gc
import weakref

import inference_models as models
from inference_models import REF, candidate, event_message, parcels, stored

from services.inference.adapters.onnxruntime import OnnxSession, SessionOptions, open_session
from services.inference.partition_scoring import PartitionScoring
from services.inference.scoring import Scored, Scorer, ScoringLimits
from services.inference.serving_plan import CurrentPlan, LoadedVersion, ServedModel, Slot, build_plan
from shared.clock import FixedClock


class _Nobody:
    def scored(self, scored: Scored) -> None:
        pass


def swap(current: CurrentPlan, version: int) -> "weakref.ref[OnnxSession]":
    artifact = models.binary()
    session = open_session(artifact, SessionOptions())
    loaded = LoadedVersion.of(candidate(artifact), session)
    current.swap(build_plan([ServedModel("late", REF, Slot("late", version, "champion", loaded))], {REF: parcels()}))
    return weakref.ref(session)


def test_a_session_ends_when_its_version_is_swapped_out_even_if_no_event_follows() -> None:
    clock, current = FixedClock(models.AT), CurrentPlan()
    old = swap(current, 1)
    scorer = Scorer(ScoringLimits(), clock.monotonic)
    scoring = PartitionScoring(0, {"late"}, plan=current, scorer=scorer, observer=_Nobody(), clock=clock)
    records = stored([event_message(1)])
    scoring.process(records)
    assert old() is not None
    swap(current, 2)
    gc.collect()
    assert old() is None


def test_a_batch_leaves_nothing_for_the_garbage_collector() -> None:
    clock, current = FixedClock(models.AT), CurrentPlan()
    swap(current, 1)
    scorer = Scorer(ScoringLimits(), clock.monotonic)
    scoring = PartitionScoring(0, {"late"}, plan=current, scorer=scorer, observer=_Nobody(), clock=clock)
    records = stored([event_message(number) for number in range(3)])
    scoring.process(records)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        scoring.process(records)
        gc.collect()
        ours = {type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("services.")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not ours
