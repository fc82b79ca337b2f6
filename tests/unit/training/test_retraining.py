"""When a model asks to be trained again, decided from folds alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from training_scene import SET, model

from schemas.definitions import FeatureSet
from schemas.events.monitoring import Alert, WindowBounds
from schemas.events.training import RunCompleted, RunFailed, RunStarted, TrainingRequest
from schemas.identities import run_id
from services.training.catching_up import check_reachable, cutoff
from services.training.errors import RunError
from services.training.ledger import Ledger
from services.training.retraining import due

AT = datetime(2024, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def alert(**changes: Any) -> Alert:
    content: dict[str, Any] = {
        "fingerprint": "f",
        "model": "meters-binary",
        "version": 1,
        "kind": "drift",
        "severity": "warn",
        "state": "firing",
        "episode": "e",
        "summary": "moved",
        "evidence": (),
        "window": WindowBounds(start=AT - 2 * DAY, end=AT - DAY),
        "started_at": AT,
        "updated_at": AT,
    }
    return Alert(**{**content, **changes})


def request(request_id: str = "r", **changes: Any) -> TrainingRequest:
    content: dict[str, Any] = {"model": "meters-binary", "reason": "manual", "requested_by": "ann", "requested_at": NOW}
    return TrainingRequest(request_id=request_id, **{**content, **changes})


def finished(ledger: Ledger, asked: TrainingRequest, offset: int = 0) -> None:
    ledger.add(asked, offset)
    run = run_id(asked.request_id)
    ledger.observe(RunFailed(run_id=run, request_id=asked.request_id, model=asked.model, at=NOW, code="x", message="y"))


RETRAINED = model(retraining={"on": ["drift", "quality"], "cooldown": "2d", "schedule": "7d"})
ALERTED = model(retraining={"on": ["drift"], "cooldown": "2d"})


def test_a_standing_alert_is_one_request_as_of_the_watermark() -> None:
    ledger = Ledger()
    made = due(ALERTED, [alert()], ledger, AT, NOW)
    assert made is not None
    assert (made.reason, made.as_of, made.alert_fingerprint, made.episode) == ("drift", AT, "f", "e")
    ledger.add(made, 0)
    assert due(ALERTED, [alert()], ledger, AT, NOW) is None
    finished(ledger, made)
    assert due(ALERTED, [alert()], ledger, AT + 30 * DAY, NOW) is None


def test_a_new_episode_is_a_new_request() -> None:
    ledger = Ledger()
    first = due(ALERTED, [alert()], ledger, AT, NOW)
    assert first is not None
    finished(ledger, first)
    second = due(ALERTED, [alert(episode="e2")], ledger, AT + 3 * DAY, NOW)
    assert second is not None
    assert second.request_id != first.request_id


def test_an_alert_within_the_cool_down_waits_for_its_end_and_is_forgotten_if_it_resolves() -> None:
    ledger = Ledger()
    finished(ledger, request(reason="schedule", as_of=AT))
    assert due(ALERTED, [alert()], ledger, AT + DAY, NOW) is None
    assert due(ALERTED, [alert(state="acknowledged")], ledger, AT + 2 * DAY, NOW) is not None
    assert due(ALERTED, [alert(state="resolved")], ledger, AT + 2 * DAY, NOW) is None


@pytest.mark.parametrize(
    "other", [{"kind": "latency"}, {"kind": "kpi"}, {"state": "pending"}, {"model": "another"}, {"kind": "quality"}]
)
def test_other_alerts_ask_for_nothing(other: dict[str, Any]) -> None:
    assert due(ALERTED, [alert(**other)], Ledger(), AT, NOW) is None


def test_drift_of_the_prediction_counts_as_drift() -> None:
    made = due(ALERTED, [alert(kind="prediction_drift")], Ledger(), AT, NOW)
    assert made is not None
    assert made.reason == "drift"


def test_a_model_that_is_being_trained_asks_for_nothing() -> None:
    ledger = Ledger()
    ledger.add(request(), 0)
    assert due(RETRAINED, [alert()], ledger, AT, NOW) is None


def test_the_schedule_asks_for_the_latest_slot_that_has_passed_once() -> None:
    ledger = Ledger()
    finished(ledger, request(reason="drift", as_of=AT))
    assert due(RETRAINED, [], ledger, AT + 6 * DAY, NOW) is None
    made = due(RETRAINED, [], ledger, AT + 16 * DAY, NOW)
    assert made is not None
    assert (made.reason, made.as_of) == ("schedule", AT + 14 * DAY)
    finished(ledger, made)
    assert due(RETRAINED, [], ledger, AT + 16 * DAY, NOW) is None


def test_a_model_that_was_never_trained_has_no_schedule() -> None:
    assert due(RETRAINED, [], Ledger(), AT, NOW) is None


def test_the_ledger_is_the_same_in_whatever_order_its_topics_are_read() -> None:
    asked, run = request(as_of=AT, reason="drift"), run_id("r")
    events = [
        RunStarted(run_id=run, request_id="r", model=asked.model, at=NOW),
        RunCompleted(run_id=run, request_id="r", model=asked.model, at=NOW, digest="0" * 64, metrics={}, seconds=1),
    ]
    forward, backward = Ledger(), Ledger()
    forward.add(asked, 4)
    for event in events:
        forward.observe(event)
        backward.observe(event)
    backward.add(asked, 4)
    for ledger in (forward, backward):
        assert ledger.next() is None
        assert ledger.started(run)
        assert ledger.known("r")
        assert not ledger.busy(asked.model)
        assert ledger.last_cutoff(asked.model) == AT


def test_requests_are_worked_on_in_order_and_a_repeated_one_counts_once() -> None:
    ledger = Ledger()
    for offset, name in enumerate(["a", "b", "a"]):
        ledger.add(request(name), offset)
    assert [each.request_id for each in ledger.waiting] == ["a", "b"]
    ledger.finish("a")
    following = ledger.next()
    assert following is not None
    assert following.request_id == "b"


def test_a_request_with_a_time_waits_for_the_watermark_or_for_silence() -> None:
    asked = request(as_of=AT)
    assert cutoff(asked, SET, AT - DAY, caught_up=True, quiet=False) is None
    assert cutoff(asked, SET, AT + DAY, caught_up=False, quiet=False) == AT
    assert cutoff(asked, SET, None, caught_up=True, quiet=True) == AT


def test_a_time_beyond_event_time_is_refused_once_nothing_is_on_its_way() -> None:
    asked = request(as_of=AT)
    with pytest.raises(
        RunError, match=r"lies beyond event time .* of meters@1: replay more, or leave it out"
    ) as refusal:
        cutoff(asked, SET, AT - DAY, caught_up=True, quiet=True)
    assert refusal.value.code == "as_of_ahead"
    assert cutoff(asked, SET, AT - DAY, caught_up=False, quiet=False) is None


def test_a_time_that_the_wall_clock_cannot_reach_in_time_is_refused_at_once() -> None:
    live, replayed = (
        FeatureSet.model_validate(
            {
                "apiVersion": "headrace/v1",
                "kind": "FeatureSet",
                "metadata": {"name": "meters", "owner": "o", "description": "d"},
                "spec": {
                    "version": "1.0.0",
                    "entity": "meter",
                    "clock": clock,
                    "features": [{"name": "x", "dtype": "int64"}],
                },
            }
        )
        for clock in ("live", "replay")
    )
    asked = request(as_of=AT)
    with pytest.raises(RunError, match="lies beyond event time"):
        check_reachable(asked, live, AT - DAY, AT - DAY, 300)
    check_reachable(asked, live, AT - DAY, AT - timedelta(seconds=60), 300)
    check_reachable(asked, replayed, AT - DAY, AT - DAY, 300)


def test_a_request_without_a_time_takes_the_watermark_after_catching_up() -> None:
    assert cutoff(request(), SET, AT, caught_up=False, quiet=False) is None
    assert cutoff(request(), SET, AT, caught_up=True, quiet=False) == AT
    with pytest.raises(RunError, match="No tick of meters@1 has arrived"):
        cutoff(request(), SET, None, caught_up=True, quiet=True)
