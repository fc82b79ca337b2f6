"""Stage 2: when a window is final, what it says, and the life of the alerts that follow."""

import random
from datetime import timedelta
from pathlib import Path

import pytest
from monitoring_stream import (
    MODEL,
    START,
    Partition,
    Rows,
    Verdicts,
    candidate,
    deployment,
    hours,
    knowledge,
    records,
    reference_windows,
    tick,
)

from schemas.events.contract import Contract
from schemas.events.inference import Prediction
from schemas.events.monitoring import AlertCommand, ChannelResult, ClosedWindow
from schemas.topics import ALERTS, ALERTS_COMMANDS, LABELS_VALIDATED, PREDICTIONS
from shared.records import message


def _run(directory: Path, *parts: tuple[list[Contract], list[Contract]], verdicts: Verdicts | None = None) -> Verdicts:
    """Both stages over the given stretches of one partition."""
    partition, verdicts = Partition(directory), verdicts or Verdicts()
    first, second = 0, 0
    for predictions, labels in parts:
        partition.process(
            [*records(PREDICTIONS, predictions, first=first), *records(LABELS_VALIDATED, labels, first=second)]
        )
        first, second = first + len(predictions), second + len(labels)
    verdicts.process(partition.published)
    return verdicts


def _channel(window: ClosedWindow, name: str) -> ChannelResult:
    return next(channel for channel in window.channels if channel.channel == name)


def test_a_window_is_final_once_every_partition_has_passed_it(tmp_path: Path) -> None:
    verdicts = Verdicts(partitions=2)
    mine, other = Partition(tmp_path, number=0), Partition(tmp_path, number=1)
    rows = Rows()
    mine.process(records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(hours=2))]))
    verdicts.process(mine.published)
    assert verdicts.windows == []
    other.process(records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(hours=2))], partition=1))
    verdicts.process(other.published)
    [window] = verdicts.windows
    assert window.rows == 2
    assert window.closed_at == START + timedelta(minutes=70)


def test_a_partition_without_rows_holds_nothing_back(tmp_path: Path) -> None:
    verdicts = Verdicts(partitions=2)
    mine, empty = Partition(tmp_path, number=0), Partition(tmp_path, number=1)
    mine.process(records(PREDICTIONS, [Rows().prediction(START), tick(START + timedelta(hours=2))]))
    empty.process(records(PREDICTIONS, [tick(START + timedelta(hours=2))], partition=1))
    verdicts.process([*mine.published, *empty.published])
    assert [window.rows for window in verdicts.windows] == [1]


def test_a_correction_repeats_the_window_with_a_higher_revision(tmp_path: Path) -> None:
    partition, verdicts, rows = Partition(tmp_path), Verdicts(), Rows()
    partition.process(records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(hours=2))]))
    partition.process(records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(hours=3))], first=2))
    verdicts.process(partition.published)
    assert [(w.window.start, w.revision, w.rows) for w in verdicts.windows] == [(START, 1, 1), (START, 2, 2)]


def test_unchanged_data_raises_no_alert(tmp_path: Path) -> None:
    verdicts = _run(tmp_path, hours(24, Rows(), per_hour=300))
    assert len([w for w in verdicts.windows if w.lane == "performance"]) == 23
    assert len([w for w in verdicts.windows if w.lane == "quality"]) >= 18
    assert [alert.kind for alert in verdicts.alerts if alert.state != "pending"] == []


def test_an_input_that_changes_a_little_is_one_alert_from_firing_to_resolved(tmp_path: Path) -> None:
    rows = Rows()
    verdicts = _run(
        tmp_path,
        hours(30, rows, per_hour=100),
        hours(6, rows, per_hour=100, first=30, shift=0.5),
        hours(14, rows, per_hour=100, first=36),
    )
    drift = [alert for alert in verdicts.alerts if alert.kind == "drift"]
    assert [drift[0].state, drift[-1].state] == ["firing", "resolved"]
    assert drift[0].window.start <= START + timedelta(hours=35)
    assert len({alert.episode for alert in drift}) == 1
    assert drift[0].evidence[0].channel == "location:distance"
    assert drift[0].severity == "inform"


def test_windows_of_the_training_data_spare_a_new_version_the_time_to_learn(tmp_path: Path) -> None:
    known, rows = knowledge(), Rows()
    known.apply_candidate(candidate("cd" * 32, windows=reference_windows(30)))
    known.apply_deployment(deployment(1, "cd" * 32))
    partition, verdicts = Partition(tmp_path, known), Verdicts(known)
    partition.process(records(PREDICTIONS, hours(6, rows, per_hour=100, shift=0.5)[0]))
    verdicts.process(partition.published)
    drift = [alert for alert in verdicts.alerts if alert.kind == "drift"]
    assert drift
    assert drift[0].evidence[0].channel == "location:distance"


def test_a_broken_input_pages_after_one_window_and_what_follows_from_it_has_no_alert_of_its_own(tmp_path: Path) -> None:
    rows = Rows(seed=8)
    verdicts = _run(
        tmp_path,
        hours(30, rows, per_hour=100),
        hours(6, rows, per_hour=100, first=30, shift=3),
        hours(4, rows, per_hour=100, first=36),
    )
    drift = [alert for alert in verdicts.alerts if alert.kind == "drift"]
    assert {alert.severity for alert in drift} == {"page"}
    assert drift[0].window.start == START + timedelta(hours=30)
    assert (drift[0].state, drift[-1].state) == ("firing", "resolved")
    assert "location:distance" in {item.channel for item in drift[0].evidence}
    assert "evidence:broken_predictions" in {
        row.channel for window in verdicts.windows for row in window.channels if row.alarming
    }
    assert [alert for alert in verdicts.alerts if alert.kind == "prediction_drift"] == []


def test_worse_labels_page(tmp_path: Path) -> None:
    rows = Rows()
    verdicts = _run(tmp_path, hours(3, rows, per_hour=400), hours(5, rows, per_hour=400, first=3, skill=0.0))
    paging = [alert for alert in verdicts.alerts if alert.kind == "quality"]
    assert paging
    assert paging[0].severity == "page"
    assert paging[0].evidence[0].channel == "quality:roc_auc"
    assert "worse" in paging[0].summary


def test_acknowledging_and_silencing_are_kept_until_the_alert_resolves(tmp_path: Path) -> None:
    rows = Rows()
    verdicts = _run(tmp_path, hours(4, rows, per_hour=200, shift=1.5))
    firing = [alert for alert in verdicts.alerts if alert.kind == "drift" and alert.state == "firing"][-1]
    until = START + timedelta(days=1)
    orders = [
        AlertCommand(
            command_id=f"c{action}",
            fingerprint=firing.fingerprint,
            action=action,
            until=until,
            actor="alex",
            issued_at=START + timedelta(days=4000),  # the wall clock, while a year long past is replayed
        )
        for action in ("acknowledge", "silence")
    ]
    verdicts.process(
        [message(ALERTS_COMMANDS, order, key=order.fingerprint, source="t") for order in orders], ALERTS_COMMANDS
    )
    acknowledged, silenced = verdicts.alerts[-2:]
    assert (acknowledged.state, acknowledged.acknowledged_by) == ("acknowledged", "alex")
    assert silenced.silenced_until == until
    assert acknowledged.updated_at == silenced.updated_at == firing.updated_at
    ids = [dict(item.headers)["ce_id"] for item in verdicts.published if item.topic is ALERTS]
    assert len(set(ids)) == len(ids)


def test_kpis_failed_share_latency_and_throughput_stand_in_every_window(tmp_path: Path) -> None:
    verdicts = _run(tmp_path, hours(3, Rows(), per_hour=200))
    window = verdicts.windows[0]
    share = _channel(window, "kpi:warned_share").value
    assert share is not None
    assert 0.35 < share < 0.65
    assert _channel(window, "throughput").value == 200 / 3600
    fast = _channel(window, "latency:p50").value
    assert fast is not None
    assert fast > 10


def test_two_versions_in_one_window_are_two_windows_and_the_newer_one_speaks(tmp_path: Path) -> None:
    rows, known = Rows(), knowledge()
    known.apply_deployment(deployment(2))
    partition, verdicts = Partition(tmp_path, known), Verdicts(known)
    old = [rows.prediction(START + timedelta(seconds=place), shift=3) for place in range(100)]
    new = [rows.prediction(START + timedelta(minutes=30, seconds=place), version=2) for place in range(100)]
    partition.process(records(PREDICTIONS, [*old, *new, tick(START + timedelta(hours=2))]))
    verdicts.process(partition.published)
    assert [(w.version, w.rows) for w in verdicts.windows] == [(1, 100), (2, 100)]
    assert [alert for alert in verdicts.alerts if alert.kind == "drift"] == []


def test_the_quality_of_a_version_that_was_replaced_within_the_window_does_not_page(tmp_path: Path) -> None:
    rows, known = Rows(), knowledge()
    known.apply_deployment(deployment(2))
    partition, verdicts = Partition(tmp_path, known), Verdicts(known)
    old = [rows.prediction(START + timedelta(seconds=place)) for place in range(200)]
    new = [rows.prediction(START + timedelta(minutes=30, seconds=place), version=2) for place in range(200)]
    labels = [
        *(rows.label(each, skill=0.0) for each in old),
        *(rows.label(each) for each in new),
        tick(START + timedelta(hours=9)),
    ]
    partition.process(records(PREDICTIONS, [*old, *new, tick(START + timedelta(hours=9))]))
    partition.process(records(LABELS_VALIDATED, labels))
    verdicts.process(partition.published)
    quality = [window for window in verdicts.windows if window.lane == "quality"]
    assert any(_channel(window, "quality:roc_auc").alarming for window in quality if window.version == 1)
    assert [alert for alert in verdicts.alerts if alert.kind == "quality"] == []


def test_a_shadow_never_alerts(tmp_path: Path) -> None:
    rows = Rows()
    partition, verdicts = Partition(tmp_path), Verdicts()
    shadow = [rows.prediction(START, shift=3, route="shadow") for _ in range(100)]
    partition.process(records(PREDICTIONS, [*shadow, tick(START + timedelta(hours=2))]))
    verdicts.process(partition.published)
    assert [w.route for w in verdicts.windows] == ["shadow"]
    assert verdicts.alerts == []


def test_a_version_without_reference_says_that_drift_is_not_tested(tmp_path: Path) -> None:
    partition, verdicts = Partition(tmp_path), Verdicts()
    unknown = Rows().prediction(START).model_copy(update={"version": 9})
    partition.process(records(PREDICTIONS, [unknown, tick(START + timedelta(hours=2))]))
    verdicts.process(partition.published)
    assert "no reference" in _channel(verdicts.windows[0], "drift").statistic


def test_windows_belong_to_their_model(tmp_path: Path) -> None:
    verdicts = _run(tmp_path, hours(2, Rows()))
    assert {window.model for window in verdicts.windows} == {MODEL}


def test_what_is_remembered_of_versions_that_serve_no_more_is_dropped_from_the_state(tmp_path: Path) -> None:
    rows, known = Rows(), knowledge()
    partition, verdicts = Partition(tmp_path, known), Verdicts(known)
    stretches = [hours(3, rows, per_hour=60, first=3 * version, version=version)[0] for version in range(1, 6)]
    partition.process(records(PREDICTIONS, [body for stretch in stretches for body in stretch]))
    verdicts.process(partition.published)
    kept = {key.split("/")[2] for key in verdicts.state.entries if key.startswith(("history/", "standing/"))}
    assert kept == {"3", "4", "5"}


@pytest.mark.parametrize(("share", "lasts"), [(0.3, False), (0.4, True)])
def test_a_break_in_windows_too_small_to_show_it_alone_is_told_after_a_few(
    share: float,
    lasts: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    """Windows of 60 rows: the first must not excuse the next."""
    rows, chance = Rows(), random.Random(5)
    whole, later = hours(40, rows, per_hour=60)[0], hours(30, rows, per_hour=60, first=40)[0]
    gaps = [
        sent.model_copy(update={"features": {**sent.features, "distance": None}})
        if isinstance(sent, Prediction) and chance.random() < share
        else sent
        for sent in later
    ]
    verdicts = _run(tmp_path, ([*whole, *gaps], []))
    pages = [alert for alert in verdicts.alerts if alert.kind == "drift" and alert.severity == "page"]
    assert (pages[0].state, pages[0].evidence[0].channel) == ("firing", "missing:distance")
    assert pages[0].window.start - START - timedelta(hours=40) <= timedelta(hours=4)
    assert ("resolved" not in [alert.state for alert in pages]) is lasts, "30 % of 60 rows are seen, sooner or later"
