"""An alert about what a model's definition names itself ends when it is taken out of the definition."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring_stream import (
    START,
    Partition,
    Rows,
    Verdicts,
    definition_records,
    hours,
    knowledge,
    records,
    watched_model,
)

from schemas.events.monitoring import Alert, AlertKind, Evidence, WindowBounds
from schemas.topics import PREDICTIONS
from services.monitoring.alerting import WITHDRAWN_WORDS, Memory, withdraw
from services.monitoring.withdrawn import withdrawn

FIRST = WindowBounds(start=START, end=START + timedelta(hours=1))
SECOND = WindowBounds(start=FIRST.end, end=FIRST.end + timedelta(hours=1))
TOO_HIGH = {"name": "mean_score", "expression": "avg(score)", "max": 0.01}
OTHER = {"name": "served", "expression": "count(score)"}
GATES = [{"metric": "demographic_parity", "max": 0.1, "group": "carrier"}]


def alert(channel: str, kind: AlertKind = "kpi") -> Alert:
    return Alert(
        fingerprint="f", model="m", version=1, kind=kind, severity="page", state="firing", episode="e", summary="m v1: bad",
        evidence=(Evidence(channel=channel, statistic="value", value=1.0, threshold=0.5, effect=None),), window=FIRST,
        started_at=FIRST.end, updated_at=FIRST.end,
    )  # fmt: skip


def fired_then(directory: Path, *kpis: dict[str, Any]) -> list[Alert]:
    """Two hours in which a KPI is out of its bounds, then two more under a definition with ``kpis``."""
    known = knowledge(kpis=[TOO_HIGH])
    rows, partition, verdicts = Rows(), Partition(directory, known), Verdicts(known)
    partition.process(records(PREDICTIONS, hours(2, rows, per_hour=60)[0]))
    verdicts.process(partition.published)
    for record in definition_records(kpis=list(kpis)):
        known.apply_definition(record)
    seen = len(partition.published)
    partition.process(records(PREDICTIONS, hours(2, rows, per_hour=60, first=2)[0], first=1000))
    verdicts.process(partition.published[seen:])
    return [each for each in verdicts.alerts if each.kind == "kpi"]


def test_a_kpi_that_is_taken_out_of_the_definition_ends_its_alert_with_the_reason(tmp_path: Path) -> None:
    told = fired_then(tmp_path, OTHER)
    assert [each.state for each in told][:1] == ["firing"]
    assert [each.state for each in told].count("resolved") == 1
    assert told[-1].state == "resolved"
    assert told[-1].summary.endswith(WITHDRAWN_WORDS)


def test_a_kpi_that_stays_in_the_definition_keeps_its_alert(tmp_path: Path) -> None:
    assert {each.state for each in fired_then(tmp_path, TOO_HIGH, OTHER)} == {"firing"}


@pytest.mark.parametrize("channel", ["kpi:gone", "uplift:gone", "evidence:kpi:gone"])
def test_a_figure_is_withdrawn_when_no_kpi_has_its_name(channel: str) -> None:
    assert withdrawn(alert(channel), watched_model(kpis=[OTHER]))
    assert not withdrawn(alert(channel), watched_model(kpis=[{**OTHER, "name": "gone"}]))


def test_a_gap_between_groups_is_withdrawn_when_no_gate_bounds_it() -> None:
    about = alert("fairness:demographic_parity:carrier", "quality")
    assert withdrawn(about, watched_model())
    assert not withdrawn(about, watched_model(gates=GATES))


def test_what_no_definition_names_is_never_withdrawn() -> None:
    assert not withdrawn(alert("quality:roc_auc", "quality"), watched_model())
    assert not withdrawn(alert("kpi:gone", "drift"), watched_model(kpis=[OTHER]))


def test_withdrawing_ends_what_is_active_once_and_never_by_a_window_that_was_seen() -> None:
    memory = Memory(alert("kpi:gone"), alarming=2, last_end=FIRST.end)
    assert withdraw(memory, FIRST, FIRST.end) == (memory, None)
    after, told = withdraw(memory, SECOND, SECOND.end)
    assert told is not None
    assert (told.state, told.window, told.updated_at) == ("resolved", SECOND, SECOND.end)
    assert (after.alert, after.alarming, after.last_end) == (told, 0, SECOND.end)
    assert withdraw(after, SECOND, SECOND.end) == (after, None)
