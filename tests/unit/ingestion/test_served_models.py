"""What the edge knows of models and of inference."""

from datetime import timedelta

from rides import FEATURE_SET, NOW, stored
from v2_scene import candidate, deployment, heartbeat

from schemas.definitions import FeatureSet
from schemas.topics import DEPLOYMENTS, MODELS_CANDIDATES
from services.ingestion.served import SILENCE_SECONDS, ServedModels
from shared.clock import FixedClock
from shared.records import message, tombstone

RIDES = FeatureSet.model_validate(FEATURE_SET)


def served(clock: FixedClock | None = None) -> ServedModels:
    """`ride-late` is deployed; its candidate has not arrived."""
    found = ServedModels(clock or FixedClock(NOW))
    found.apply(stored(message(DEPLOYMENTS, deployment(), key="ride-late", source="tests")))
    return found


def test_a_process_that_falls_silent_is_not_ready_any_more_until_it_speaks_again() -> None:
    clock = FixedClock(NOW)
    found = served(clock)
    assert not found.inference_ready()
    found.heard(heartbeat())
    clock.advance(timedelta(seconds=SILENCE_SECONDS))
    assert found.inference_ready()
    clock.advance(timedelta(seconds=1))
    assert not found.inference_ready()
    found.heard(heartbeat())
    assert found.inference_ready()


def test_a_deployment_that_is_deleted_or_loses_its_champion_is_none() -> None:
    found = served()
    assert found.deployed("ride-late")
    found.apply(stored(message(DEPLOYMENTS, deployment(None), key="ride-late", source="tests")))
    assert not found.deployed("ride-late")
    found = served()
    found.apply(stored(tombstone(DEPLOYMENTS, "ride-late")))
    assert not found.deployed("ride-late")


def test_a_candidate_may_come_before_or_after_its_deployment() -> None:
    found = served()
    assert found.metadata("ride-late", RIDES) is None
    found.apply(stored(message(MODELS_CANDIDATES, candidate(), key="ride-late", source="tests")))
    described = found.metadata("ride-late", RIDES)
    assert described is not None
    assert described.versions == ["3"]
