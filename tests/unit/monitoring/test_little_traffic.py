"""Few rows or none: outages are seen all the same, and chance does not alarm."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring_stream import START, Partition, Rows, Verdicts, hours, knowledge, records, tick

from schemas.events.inference import Prediction
from schemas.events.monitoring import ChannelResult
from schemas.topics import PREDICTIONS
from services.monitoring.kpis import plan, share
from services.monitoring.service_levels import errors, throughput
from services.monitoring.tallies import SCALE, Tally
from services.monitoring.windows import WindowPolicy

HOUR = 3600.0
ALPHA = 0.01


def tally(**sums: int) -> Tally:
    found = Tally()
    for name, amount in sums.items():
        found.add(name, amount)
    return found


@pytest.mark.parametrize(("failed", "rows"), [(1, 1), (1, 2), (1, 10), (2, 100)])
def test_a_failure_or_two_that_chance_explains_do_not_alarm(failed: int, rows: int) -> None:
    assert not errors(tally(rows=rows, failed=failed), 1 / 365)[0].alarming


@pytest.mark.parametrize(("failed", "rows"), [(2, 2), (3, 3), (5, 20), (30, 500)])
def test_failures_that_chance_does_not_explain_alarm_whatever_the_traffic(failed: int, rows: int) -> None:
    assert errors(tally(rows=rows, failed=failed), 1 / 365)[0].alarming


@settings(deadline=None)  # the machine is shared
@given(st.integers(0, 400), st.integers(0, 400))
def test_more_failures_never_calm(failed: int, sound: int) -> None:
    less, more = (errors(tally(rows=failed + sound + 1, failed=failed + extra), 0.01)[0].alarming for extra in (0, 1))
    assert more or not less


def test_of_nothing_the_failed_share_is_unknown() -> None:
    assert [channel.value for channel in errors(Tally(), ALPHA)] == [None, None]


def lull(rows: int, *before: int) -> ChannelResult:
    return throughput(tally(rows=rows), HOUR, [each / HOUR for each in before], ALPHA)


def test_a_drop_to_zero_alarms_and_goes_on_alarming() -> None:
    assert lull(0, *[100] * 8).alarming
    assert lull(0, *[100] * 20, *[0] * 30).alarming


def test_what_is_often_quiet_may_be_quiet() -> None:
    day = [0] * 8 + [100] * 16
    assert not lull(0, *day, *day, 0, 0).alarming


def test_an_hour_without_one_of_the_usual_two_events_is_chance() -> None:
    assert not lull(0, *[2] * 10).alarming


def test_without_enough_windows_before_it_is_not_known_what_is_usual() -> None:
    assert lull(0, 100, 100).threshold is None


def test_windows_close_in_the_stretch_of_event_time_that_their_ends_lie_in() -> None:
    policy = WindowPolicy(every=60, lateness=10, expected=0, timeout=0)
    stretches = [(before, before + step) for before in range(0, 400, 7) for step in (1, 7, 200)]
    for before, now in stretches:
        expected = [start for start in range(-600, 1200, 60) if before < policy.closes_at(start) <= now]
        assert list(policy.closing(before, now)) == expected


def test_the_average_of_a_yes_or_no_is_a_share_and_other_averages_are_not() -> None:
    item = plan("k", "avg(cast(x > 1 as int))")
    counted = tally(**{item.parts[0].name: 3 * SCALE, item.parts[1].name: 4 * SCALE})
    assert share(item, counted) == (3, 4)
    counted.add(item.parts[0].name, SCALE // 2)
    assert share(item, counted) is None


def stream(directory: Path, *batches: list[Prediction], kpi: str | None = None, **bounds: float) -> Verdicts:
    """Hours of predictions, one batch each, through both stages."""
    known = knowledge(kpis=[{"name": "k", "expression": kpi, **bounds}]) if kpi else knowledge()
    partition, verdicts, first = Partition(directory, known), Verdicts(known), 0
    for hour, batch in enumerate(batches):
        bodies = [*batch, tick(START + timedelta(hours=hour + 1, minutes=10))]
        partition.process(records(PREDICTIONS, bodies, first=first))
        first += len(bodies)
    verdicts.process(partition.published)
    return verdicts


def hour(rows: Rows, number: int, count: int, *, failed: bool = False) -> list[Prediction]:
    made = [rows.prediction(START + timedelta(hours=number, seconds=place)) for place in range(count)]
    if failed:
        return [each.model_copy(update={"status": "failed", "error": "boom", "outputs": None}) for each in made]
    return made


def test_an_outage_of_a_model_with_ten_events_an_hour_pages(tmp_path: Path) -> None:
    rows = Rows()
    verdicts = stream(tmp_path, hour(rows, 0, 10), hour(rows, 1, 10, failed=True))
    assert [(a.kind, a.severity, a.state) for a in verdicts.alerts] == [("errors", "page", "firing")]


def test_traffic_that_stops_opens_windows_without_rows_and_alerts_on_throughput(tmp_path: Path) -> None:
    rows = Rows()
    verdicts = stream(tmp_path, *(hour(rows, number, 30) for number in range(6)), [], [])
    assert [window.rows for window in verdicts.windows] == [30] * 6 + [0, 0]
    assert [(a.kind, a.state) for a in verdicts.alerts if a.kind == "throughput"] == [
        ("throughput", "pending"),
        ("throughput", "firing"),
    ]


def test_windows_without_rows_do_not_resolve_what_was_wrong_before(tmp_path: Path) -> None:
    rows = Rows()
    broken = hour(rows, 6, 30, failed=True)
    verdicts = stream(tmp_path, *(hour(rows, number, 30) for number in range(6)), broken, [], [], [])
    assert [a.state for a in verdicts.alerts if a.kind == "errors"] == ["firing"]


def test_a_champion_that_was_never_used_has_no_windows(tmp_path: Path) -> None:
    assert stream(tmp_path, [], [], []).windows == []


def test_one_row_does_not_break_a_bound_of_a_share(tmp_path: Path) -> None:
    rows, expression = Rows(), "avg(cast(score > 0.0 as int))"
    assert [a for a in stream(tmp_path, hour(rows, 0, 1), kpi=expression, max=0.9).alerts if a.kind == "kpi"] == []


def test_many_rows_of_few_break_it(tmp_path: Path) -> None:
    rows, expression = Rows(), "avg(cast(score > 0.0 as int))"
    assert [a.kind for a in stream(tmp_path, hour(rows, 0, 20), kpi=expression, max=0.5).alerts] == ["kpi"]


def test_drift_is_not_tested_on_few_rows(tmp_path: Path) -> None:
    partition, verdicts, rows = Partition(tmp_path), Verdicts(), Rows()
    partition.process(records(PREDICTIONS, hours(6, rows, per_hour=20, shift=5)[0]))
    verdicts.process(partition.published)
    assert verdicts.windows
    assert [alert for alert in verdicts.alerts if "drift" in alert.kind] == []
