"""What windows say of a champion and its challenger, from predictions and labels to `metrics.windows`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from monitoring_challengers import challenged, judged, known, profiled
from monitoring_stream import Partition, Verdicts, records

from schemas.events.inference import Prediction
from schemas.events.monitoring import ClosedWindow, Comparison
from schemas.events.validation import ValidatedLabel
from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.comparing import KEPT_RIVALRIES


def said(windows: Sequence[ClosedWindow], metric: str) -> list[Comparison]:
    return [found for window in windows for found in window.comparisons if found.metric == metric]


def _loss(prediction: Prediction, label: Any) -> float:
    assert prediction.outputs is not None
    return float((prediction.outputs["score"] - label) ** 2)


def test_a_shadow_is_compared_event_by_event_and_window_by_window(tmp_path: Path) -> None:
    stream = challenged(8, "shadow")
    found = said(judged(tmp_path, stream).windows, "brier")
    assert [each.windows for each in found] == [1, 2, 3, 4, 5, 6, 7]
    answers = {
        (each.event_id, each.version): each for each in stream[0] if isinstance(each, Prediction) and each.outputs
    }
    truth = {each.event_id: each.value for each in stream[1] if isinstance(each, ValidatedLabel)}
    means = []
    for hour in range(7):
        events = [event for event, version in answers if version == 1 and event.startswith(f"e{hour}-")]
        differences = [
            _loss(answers[event, 1], truth[event]) - _loss(answers[event, 2], truth[event]) for event in events
        ]
        means.append(sum(differences) / len(differences))
    assert found[-1].estimate == pytest.approx(sum(means) / 7, abs=2e-6)
    assert (found[-1].champion, found[-1].challenger, found[-1].route) == (1, 2, "shadow")
    assert [each.lower is None for each in found] == [True] * 3 + [False] * 4
    last = found[-1]
    assert last.lower is not None
    assert last.upper is not None
    assert last.lower < last.estimate < last.upper < 0, "a version that guesses half of it is worse"


def test_every_metric_of_both_windows_is_compared_and_positive_is_better(tmp_path: Path) -> None:
    found = judged(tmp_path, challenged(3, "shadow")).windows
    latest = {each.metric: each for window in found for each in window.comparisons}
    assert latest.keys() == {"accuracy", "roc_auc", "log_loss", "brier"}
    assert all(each.estimate < 0 for each in latest.values())


def test_a_canary_is_compared_by_the_metrics_of_its_own_entities(tmp_path: Path) -> None:
    windows = judged(tmp_path, challenged(6, "canary", per_hour=140)).windows
    found = said(windows, "brier")
    assert [each.windows for each in found] == [1, 2, 3, 4, 5]
    value = {
        (window.version, window.window.start): next(
            row.value for row in window.channels if row.channel == "quality:brier"
        )
        for window in windows
        if window.lane == "quality"
    }
    starts = sorted({start for _, start in value})
    expected = sum((value[1, s] or 0) - (value[2, s] or 0) for s in starts) / len(starts)
    assert found[-1].estimate == pytest.approx(expected, abs=1e-6)
    assert found[-1].route == "canary"


def test_the_comparison_comes_with_the_later_of_both_windows(tmp_path: Path) -> None:
    seen: set[Any] = set()
    for window in judged(tmp_path, challenged(5, "shadow")).windows:
        if window.lane == "quality":
            assert bool(window.comparisons) == (window.window.start in seen)
            seen.add(window.window.start)
    assert len(seen) == 4


def test_windows_with_few_events_are_no_evidence(tmp_path: Path) -> None:
    windows = judged(tmp_path, challenged(5, "shadow", per_hour=40)).windows
    assert any(window.lane == "quality" and window.version == 2 for window in windows)
    assert not any(window.comparisons for window in windows)


def test_a_kill_between_windows_changes_no_bit(tmp_path: Path) -> None:
    partition = profiled(tmp_path, challenged(8, "shadow"))
    whole, killed = Verdicts(known()), Verdicts(known())
    whole.process(partition.published)
    for place in range(0, len(partition.published), 6):
        killed.kill()
        killed.process(partition.published[place : place + 6])
    assert [item.value for item in killed.published] == [item.value for item in whole.published]
    assert said(whole.windows, "brier")[-1].windows == 7
    partition.profiling.close()


def test_a_kill_of_the_first_stage_and_the_loss_of_its_file_change_no_sum(tmp_path: Path) -> None:
    stream = challenged(4, "shadow")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = profiled(tmp_path / "a", stream)
    other = Partition(tmp_path / "b", known())
    ours, theirs = records(PREDICTIONS, stream[0]), records(LABELS_VALIDATED, stream[1])
    for place in range(0, len(ours), 150):
        other.crash_during(ours[place : place + 150])
        other.process(ours[place : place + 150])
    other.lose_file()
    for place in range(0, len(theirs), 70):
        other.process(theirs[place : place + 70])
        other.kill()
    assert [item.value for item in other.published] == [item.value for item in whole.published]
    assert any(
        name.startswith("paired/1/brier") for profile in whole.profiles for name in profile.content["tally"]["sums"]
    )
    whole.profiling.close()
    other.profiling.close()


def test_rivals_that_are_over_are_forgotten(tmp_path: Path) -> None:
    versions = range(2, 2 + KEPT_RIVALRIES + 2)
    streams = [challenged(1, "shadow", first=place, version=version) for place, version in enumerate(versions)]
    verdicts = judged(tmp_path, *streams, challenged(1, "shadow", first=len(versions), version=2))
    held = [key for key in verdicts.state.entries if key.startswith("rivalry/")]
    assert len(held) == KEPT_RIVALRIES


def test_the_version_that_answered_names_the_champion(tmp_path: Path) -> None:
    stream = challenged(2, "shadow"), challenged(2, "shadow", first=2, champion=3)
    found = said(judged(tmp_path, *stream).windows, "brier")
    assert [(each.champion, each.windows) for each in found] == [(1, 1), (1, 2), (3, 1)]
