"""Monitoring and the registry, each without the other: what the one publishes of a failing challenger, the other acts on."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring_stream import START, Partition, Rows, Verdicts, records, tick
from registry_play import Play, started

from schemas.events.inference import Prediction
from schemas.events.monitoring import Alert
from schemas.topics import PREDICTIONS
from services.registry.automatic import on_alert


def alerts(directory: Path, route: str, version: int, *, failing: int, rows: int) -> list[Alert]:
    """What monitoring says of one hour in which ``failing`` of ``rows`` predictions failed."""
    made, partition, verdicts = Rows(), Partition(directory), Verdicts()

    def prediction(place: int) -> Prediction:
        sound = made.prediction(START + timedelta(seconds=place), version=version, route=route)
        changes: dict[str, Any] = {"status": "ok", "error": None, "outputs": sound.outputs or {"score": 0.5}}
        if place < failing:
            changes = {"status": "failed", "error": "boom", "outputs": None}
        return sound.model_copy(update=changes)

    partition.process(records(PREDICTIONS, [*map(prediction, range(rows)), tick(START + timedelta(hours=2))]))
    verdicts.process(partition.published)
    return [
        alert.model_copy(update={"model": "shade"}) for alert in verdicts.alerts
    ]  # one world's model in the other's


def challenged(strategy: str) -> Play:
    play = started(rollout={"strategy": strategy})
    play.train(b"one")
    play.train(b"two")
    assert play.shade.challenger is not None
    return play


@pytest.mark.parametrize("route", ["canary", "shadow"])
@pytest.mark.parametrize("rows", [3, 200])
def test_a_challenger_of_which_everything_fails_ends(tmp_path: Path, route: str, rows: int) -> None:
    play = challenged(route)
    seen = alerts(tmp_path, route, 2, failing=rows, rows=rows)
    assert [(alert.kind, alert.state) for alert in seen] == [("errors", "firing")]
    assert seen[0].severity != "page"
    assert [entry.fact.type for entry in on_alert(play.state, seen[0])] == ["challenger-stopped"]


@pytest.mark.parametrize("route", ["canary", "shadow"])
@pytest.mark.parametrize(("failing", "rows"), [(1, 2), (2, 200)])
def test_a_challenger_that_fails_now_and_then_goes_on(tmp_path: Path, route: str, failing: int, rows: int) -> None:
    play = challenged(route)
    seen = alerts(tmp_path, route, 2, failing=failing, rows=rows)
    assert [entry for alert in seen for entry in on_alert(play.state, alert)] == []


def test_a_champion_that_fails_pages_and_stays_the_affair_of_people(tmp_path: Path) -> None:
    play = challenged("canary")
    seen = alerts(tmp_path, "champion", 1, failing=200, rows=200)
    assert [alert.severity for alert in seen if alert.kind == "errors"] == ["page"]
    assert [entry for alert in seen for entry in on_alert(play.state, alert)] == []
