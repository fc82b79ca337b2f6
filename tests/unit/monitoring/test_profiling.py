"""Stage 1: what closes a window, what it contains, and what a kill changes (nothing)."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from monitoring_stream import START, Partition, Rows, hours, knowledge, progress_of, record, records, tick

from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.tallies import Tally


def test_a_window_closes_when_the_tick_passes_its_end_and_lateness(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    partition.process(records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(minutes=69))]))
    assert partition.profiles == []
    partition.process(records(PREDICTIONS, [tick(START + timedelta(minutes=70))], first=2))
    [profile] = partition.profiles
    assert profile.complete
    assert profile.window.start == START
    assert profile.window.end == START + timedelta(hours=1)


def test_a_prediction_dated_far_ahead_closes_nothing(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    ahead = rows.prediction(START + timedelta(days=700))
    partition.process(records(PREDICTIONS, [rows.prediction(START), ahead, tick(START + timedelta(minutes=10))]))
    assert partition.profiles == []


def test_a_late_prediction_corrects_its_window_with_a_higher_revision(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    first = [rows.prediction(START), tick(START + timedelta(hours=2))]
    partition.process(records(PREDICTIONS, first))
    partition.process(records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(hours=3))], first=2))
    closed, correction = partition.profiles
    assert closed.window == correction.window
    assert correction.revision > closed.revision
    assert Tally.from_content(correction.content["tally"]).total("rows") == 2


def test_every_row_is_counted_once_in_every_channel(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    predictions, _ = hours(3, Rows(), per_hour=200)
    partition.process(records(PREDICTIONS, predictions))
    [first, _] = partition.profiles
    tally = Tally.from_content(first.content["tally"])
    assert tally.total("rows") == 200
    assert tally.counts["feature:distance"].sum() == 200
    assert tally.counts["feature:carrier"].sum() == 200
    assert tally.counts["prediction"].sum() == 200 - tally.total("failed")
    assert tally.counts["latency:e2e"].sum() == 200


def test_progress_follows_the_profiles_that_it_closes(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    predictions, _ = hours(2, Rows())
    partition.process(records(PREDICTIONS, predictions))
    kinds = [dict(item.headers)["ce_type"].decode() for item in partition.published]
    assert kinds.index("headrace.profile.v1") < len(kinds) - 1
    assert kinds[-1] == "headrace.monitoring-progress.v1"
    assert progress_of(partition)[-1].watermark == START + timedelta(hours=2)


def test_labels_close_quality_early_once_enough_are_there(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    predictions, labels = hours(4, Rows())
    partition.process([*records(PREDICTIONS, predictions), *records(LABELS_VALIDATED, labels)])
    quality = partition.last("quality")
    assert (1, START) in quality
    tally = Tally.from_content(quality[1, START].content["tally"])
    assert tally.total("rows") <= 60
    assert tally.total("labelled") == tally.total("rows")


def test_quality_waits_for_the_ticks_of_the_labels(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    predictions, _ = hours(10, Rows())
    partition.process(records(PREDICTIONS, predictions))
    assert partition.last("quality") == {}


def test_labels_that_never_come_are_reported_at_the_time_out(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    predictions, _ = hours(10, Rows())
    label_ticks = [tick(START + timedelta(hours=hour)) for hour in range(11)]
    partition.process([*records(PREDICTIONS, predictions), *records(LABELS_VALIDATED, label_ticks)])
    tally = Tally.from_content(partition.last("quality")[1, START].content["tally"])
    assert tally.total("labelled") == 0
    assert tally.total("rows") > 50


def test_a_label_before_its_prediction_is_parked_and_joined(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    prediction = rows.prediction(START)
    label_first = [rows.label(prediction), tick(START + timedelta(hours=3))]
    partition.process(records(LABELS_VALIDATED, label_first))
    partition.process(records(PREDICTIONS, [prediction, tick(START + timedelta(hours=3))]))
    partition.process(records(LABELS_VALIDATED, [tick(START + timedelta(hours=4))], first=2))
    partition.process(records(PREDICTIONS, [tick(START + timedelta(hours=4))], first=2))
    assert Tally.from_content(partition.last("quality")[1, START].content["tally"]).total("labelled") == 1


def test_the_highest_label_version_wins_and_corrects_a_closed_window(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    prediction = rows.prediction(START)
    label = rows.label(prediction).model_copy(update={"value": True})
    end = START + timedelta(hours=8)
    partition.process(records(PREDICTIONS, [prediction, tick(end), tick(end + timedelta(hours=1))]))
    partition.process(records(LABELS_VALIDATED, [label, tick(end)]))
    revised = label.model_copy(update={"value": False, "label_version": 2})
    partition.process(records(LABELS_VALIDATED, [revised, label, tick(end + timedelta(hours=1))], first=2))
    first, last = [p for p in partition.profiles if p.lane == "quality"]
    assert last.revision > first.revision
    assert Tally.from_content(first.content["tally"]).counts["score:positive"].sum() == 1
    assert Tally.from_content(last.content["tally"]).counts["score:negative"].sum() == 1


def test_a_kill_anywhere_changes_no_profile(tmp_path: Path) -> None:
    predictions, labels = hours(9, Rows(), per_hour=30)
    ours, theirs = records(PREDICTIONS, predictions), records(LABELS_VALIDATED, labels)
    calm, killed = Partition(tmp_path / "calm"), Partition(tmp_path / "killed")
    for place in range(0, max(len(ours), len(theirs)), 50):
        batch = [*ours[place : place + 50], *theirs[place : place + 50]]
        calm.process(batch)
        killed.crash_during(batch)
        killed.process(batch)
        if place % 100 == 0:
            killed.kill()
        if place == 200:
            killed.lose_file()
    assert killed.profiles == calm.profiles
    assert len(calm.last("quality")) >= 5


def test_an_undecodable_record_becomes_a_dead_letter_and_the_rest_is_counted(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    good = records(PREDICTIONS, [rows.prediction(START), rows.prediction(START), tick(START + timedelta(hours=2))])
    broken = record(PREDICTIONS, rows.prediction(START), 9)
    object.__setattr__(broken, "value", b"{")
    partition.process([*good[:2], broken, good[2]])
    assert [item.topic.name for item in partition.published].count("monitoring.dead-letters") == 1


def test_predictions_of_an_unknown_model_are_counted_as_unwatched(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    stranger = rows.prediction(START).model_copy(update={"model": "stranger"})
    partition.process(records(PREDICTIONS, [stranger]))
    assert partition.unwatched == 1


def test_a_version_without_reference_is_profiled_without_features(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path, knowledge()), Rows()
    unknown = rows.prediction(START).model_copy(update={"version": 9})
    partition.process(records(PREDICTIONS, [unknown, tick(START + timedelta(hours=2))]))
    [profile] = partition.profiles
    tally = Tally.from_content(profile.content["tally"])
    assert profile.content["digest"] is None
    assert tally.total("rows") == 1
    assert "feature:distance" not in tally.counts


def test_state_of_a_window_that_is_too_old_is_tombstoned(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    predictions, labels = hours(60, Rows(), per_hour=2)
    partition.process([*records(PREDICTIONS, predictions), *records(LABELS_VALIDATED, labels)])
    windows = [key for key in partition.state.entries if key.startswith("window/")]
    assert 20 < len(windows) < 40


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("occurred_at", "2024-03-01T00:00:00"),
        ("route", "elsewhere"),
        ("version", 2**70),
        ("features", {"distance": [1]}),
        ("features", {"distance": 10**400}),
        ("outputs", {"score": "x"}),
    ],
)
def test_whatever_stands_in_a_prediction_never_stops_the_partition(tmp_path: Path, name: str, value: object) -> None:
    partition, rows = Partition(tmp_path), Rows()
    odd = record(PREDICTIONS, rows.prediction(START), 0)
    body = {**json.loads(odd.value or b""), name: value}
    object.__setattr__(odd, "value", json.dumps(body).encode())
    partition.process([odd, *records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(hours=2))], first=1)])
    assert [item.topic.name for item in partition.published].count("monitoring.dead-letters") == 1
    assert Tally.from_content(partition.profiles[0].content["tally"]).total("rows") == 1
