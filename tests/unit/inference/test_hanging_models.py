"""A model that hangs holds up nobody for longer than one deadline, however many models and partitions there are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from inference_models import REF, candidate, event_message, parcels, stored

from schemas.definitions import TargetType
from services.inference.decoding import EventToScore, decode
from services.inference.errors import DeadlineError, ScoringError
from services.inference.outputs import ValueOutputs
from services.inference.scoring import Scorer, ScoringLimits
from services.inference.serving_plan import LoadedVersion, ServedModel, Slot, build_plan

LIMITS = ScoringLimits(deadline=5.0, hurried=0.25, rest=1.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Session:
    """A model that takes ``seconds`` for each run, on a clock of its own."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.runs = 0

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str], deadline: float) -> Mapping[str, Any]:
        self.runs += 1
        self.clock.now += min(self.seconds, deadline)
        if self.seconds > deadline:
            raise DeadlineError(f"stopped after {deadline:g} s")
        rows = len(next(iter(inputs.values())))
        return {name: np.zeros((rows, 1), np.float32) for name in outputs}


def champion(name: str, session: Session) -> ServedModel:
    made = candidate(b"x", target=TargetType.REGRESSION)
    return ServedModel(name, REF, Slot(name, 1, "champion", LoadedVersion.of(made, session)))


def events() -> list[EventToScore]:
    records = stored([event_message(number) for number in range(3)])
    return [found for place, record in enumerate(records) if isinstance(found := decode(record, place), EventToScore)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def scored(scorer: Scorer, *models: ServedModel) -> list[list[object]]:
    plan = build_plan(models, {REF: parcels()}).feature_sets[REF]
    return [one.answers for one in scorer.score(plan, events())]


def test_many_partitions_cost_a_hanging_champion_one_deadline_together(clock: Clock) -> None:
    session = Session(clock, 60.0)
    scorer = Scorer(LIMITS, clock)
    began = clock.now
    for _ in range(16):
        (answers,) = scored(scorer, champion("slow", session))
        assert all(isinstance(answer, ScoringError) for answer in answers)
    assert clock.now - began == LIMITS.deadline
    assert session.runs == 1


def test_many_hanging_models_cost_one_deadline_and_a_little_each(clock: Clock) -> None:
    scorer = Scorer(LIMITS, clock)
    began = clock.now
    scored(scorer, *(champion(f"slow-{number}", Session(clock, 60.0)) for number in range(4)))
    assert clock.now - began == pytest.approx(LIMITS.deadline + 3 * LIMITS.hurried)


def test_a_quick_model_beside_a_hanging_one_answers_as_ever(clock: Clock) -> None:
    _, quick = scored(
        Scorer(LIMITS, clock), champion("slow", Session(clock, 60.0)), champion("quick", Session(clock, 0.01))
    )
    assert quick == [ValueOutputs(0.0)] * 3


def test_a_champion_that_hung_is_tried_again_after_its_rest(clock: Clock) -> None:
    session = Session(clock, 60.0)
    scorer = Scorer(LIMITS, clock)
    scored(scorer, champion("slow", session))
    session.seconds = 0.01
    (resting,) = scored(scorer, champion("slow", session))
    assert "rests" in str(resting[0])
    clock.now += LIMITS.rest
    assert scored(scorer, champion("slow", session)) == [[ValueOutputs(0.0)] * 3]
