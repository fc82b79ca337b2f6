"""An alert about what a model's definition names itself ends when it is taken out of the definition."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from monitoring_stream import (
    MODEL,
    START,
    Partition,
    Rows,
    Verdicts,
    definition_records,
    hours,
    knowledge,
    records,
    tick,
    watched_model,
)

from schemas.events.monitoring import Alert, AlertKind, ClosedWindow, Evidence, WindowBounds
from schemas.topics import PREDICTIONS
from services.monitoring.alerting import UNWATCHED_WORDS, Memory, end_unwatched
from services.monitoring.flapping import Firings, flapping_words
from services.monitoring.unwatched import unwatched

FIRST = WindowBounds(start=START, end=START + timedelta(hours=1))
SECOND = WindowBounds(start=FIRST.end, end=FIRST.end + timedelta(hours=1))
TOO_HIGH = {"name": "mean_score", "expression": "avg(score)", "max": 0.01}
OTHER = {"name": "served", "expression": "count(score)"}
GATES = [{"metric": "demographic_parity", "max": 0.1, "group": "carrier"}]


def alert(channel: str, kind: AlertKind = "kpi", model: str = MODEL, **changed: Any) -> Alert:
    told = Alert(
        fingerprint="f", model=model, version=1, kind=kind, severity="page", state="firing", episode="e", summary="m v1: bad",
        evidence=(Evidence(channel=channel, statistic="value", value=1.0, threshold=0.5, effect=None),), window=FIRST,
        started_at=FIRST.end, updated_at=FIRST.end,
    )  # fmt: skip
    return told.model_copy(update=changed)


def closed(lane: Literal["performance", "quality"] = "performance") -> ClosedWindow:
    return ClosedWindow(
        model=MODEL, version=1, route="champion", lane=lane, window=SECOND, revision=1, rows=10, failed=0, channels=(),
        closed_at=SECOND.end,
    )  # fmt: skip


def fired_then(directory: Path, *kpis: dict[str, Any], route: Any = "champion", killed: bool = False) -> list[Alert]:
    """Two hours in which a KPI is out of its bounds, then two more under a definition with ``kpis``, of which ``route`` serves."""
    known = knowledge(kpis=[TOO_HIGH])
    rows, partition, verdicts = Rows(), Partition(directory, known), Verdicts(known)
    served = [*hours(2, rows, per_hour=60)[0], tick(START + timedelta(hours=2, minutes=15))]  # both windows are closed
    partition.process(records(PREDICTIONS, served))
    verdicts.process(partition.published)
    for record in definition_records(kpis=list(kpis)):
        known.apply_definition(record)
    seen = len(partition.published)
    partition.process(records(PREDICTIONS, hours(2, rows, per_hour=60, first=2, route=route)[0], first=1000))
    for item in partition.published[seen:]:
        if killed:
            verdicts.kill()
        verdicts.process([item])
    return [each for each in verdicts.alerts if each.kind == "kpi"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_kpi_that_is_taken_out_of_the_definition_ends_its_alert_once_and_with_the_reason(
    tmp_path: Path,
    killed: bool,  # noqa: FBT001
) -> None:
    told = fired_then(tmp_path, OTHER, killed=killed)
    assert told[0].state == "firing"
    assert [each.state for each in told].count("resolved") == 1
    assert told[-1].state == "resolved"
    assert told[-1].summary.endswith(UNWATCHED_WORDS)


def test_a_kpi_that_stays_in_the_definition_keeps_its_alert(tmp_path: Path) -> None:
    assert {each.state for each in fired_then(tmp_path, TOO_HIGH, OTHER)} == {"firing"}


def test_windows_of_a_shadow_end_nothing(tmp_path: Path) -> None:
    assert {each.state for each in fired_then(tmp_path, OTHER, route="shadow")} == {"firing"}


@pytest.mark.parametrize("channel", ["kpi:gone", "uplift:gone", "evidence:kpi:gone"])
def test_a_figure_is_unwatched_when_no_kpi_has_its_name(channel: str) -> None:
    assert unwatched(alert(channel), closed(), watched_model(kpis=[OTHER]))
    assert not unwatched(alert(channel), closed(), watched_model(kpis=[{**TOO_HIGH, "name": "gone"}]))


@pytest.mark.parametrize(
    ("bounds", "ends"), [({}, True), ({"min": 0.0, "max": 1.0}, True), ({"max": 1.0}, False), ({"min": 0.0}, False)]
)
def test_an_uplift_is_unwatched_when_nothing_says_which_side_is_worse(bounds: dict[str, float], ends: bool) -> None:  # noqa: FBT001
    kpis = [{"name": "k", "expression": "avg(score)", **bounds}]
    assert unwatched(alert("uplift:k"), closed(), watched_model(kpis=kpis)) == ends


def test_a_gap_between_groups_is_unwatched_when_no_gate_bounds_it() -> None:
    about = alert("fairness:demographic_parity:carrier", "quality")
    assert unwatched(about, closed("quality"), watched_model())
    assert not unwatched(about, closed("quality"), watched_model(gates=GATES))


def test_windows_of_the_other_lane_and_of_other_models_end_nothing() -> None:
    assert not unwatched(
        alert("fairness:demographic_parity:carrier", "quality"), closed("performance"), watched_model()
    )
    assert not unwatched(alert("kpi:gone"), closed("quality"), watched_model(kpis=[OTHER]))
    assert not unwatched(alert("kpi:gone", model="another"), closed(), watched_model(kpis=[OTHER]))


def test_what_no_definition_names_is_never_unwatched() -> None:
    assert not unwatched(alert("quality:roc_auc", "quality"), closed("quality"), watched_model())
    assert not unwatched(alert("kpi:gone", "drift"), closed(), watched_model(kpis=[OTHER]))


def test_what_is_active_ends_once_and_never_by_a_window_that_was_seen() -> None:
    memory = Memory(alert("kpi:gone"), alarming=2, last_end=FIRST.end)
    assert end_unwatched(memory, FIRST, FIRST.end) == (memory, None)
    after, told = end_unwatched(memory, SECOND, SECOND.end)
    assert told is not None
    assert (told.state, told.window, told.updated_at) == ("resolved", SECOND, SECOND.end)
    assert (after.alert, after.alarming, after.last_end) == (told, 0, FIRST.end)
    assert end_unwatched(after, SECOND, SECOND.end) == (after, None)


def test_an_acknowledged_alert_that_flapped_ends_too_and_its_firings_are_forgotten() -> None:
    flapping = alert(
        "kpi:gone", state="acknowledged", acknowledged_by="ada", flapping=True, summary=f"m v1: bad; {flapping_words()}"
    )
    firings = Firings().with_one_more().with_one_more().with_one_more()
    after, told = end_unwatched(Memory(flapping, firings=firings, last_end=FIRST.end), SECOND, SECOND.end)
    assert told is not None
    assert (told.state, told.acknowledged_by, told.summary) == ("resolved", "ada", f"m v1: bad; {UNWATCHED_WORDS}")
    assert not after.firings.with_one_more().flapping
