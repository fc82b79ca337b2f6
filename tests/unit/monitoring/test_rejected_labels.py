"""Rejected labels: counted by the rule that they broke beside the labels of the same time, and a warning where a rule is news."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
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
    model_definition,
    record,
    records,
    refused_label,
    tick,
)

from schemas.definitions import FalseAlarms
from schemas.envelope import format_time
from schemas.events.contract import Contract
from schemas.events.inference import Prediction
from schemas.events.monitoring import ChannelResult
from schemas.events.registry import DefinitionRecord
from schemas.topics import LABELS_REJECTED, LABELS_VALIDATED, PREDICTIONS
from services.monitoring.detectors import direction, group_of, groups
from services.monitoring.knowledge import Knowledge
from services.monitoring.label_counts import ACCEPTED
from services.monitoring.refusals import LABEL, REFUSED, REJECTED_BY, refusal_of
from services.monitoring.rejections import (
    NEW_REASON,
    REASONS,
    REJECTED_EVENTS,
    REJECTED_LABELS,
    rejected_events,
    rejected_labels,
)
from services.monitoring.tallies import Tally
from services.monitoring.window_values import WindowValues
from shared.records import StoredRecord

ALPHA = 1 / 90
HOUR = timedelta(hours=1)


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


# ---- how a window is judged


def judged_as(
    judge: Callable[[Tally, WindowValues, float], list[ChannelResult]], prefix: str, accepted: str
) -> list[ChannelResult]:
    tally = Tally()
    for name, count in {accepted: 890, REFUSED: 110, f"{REJECTED_BY}type": 80, f"{REJECTED_BY}range": 30}.items():
        tally.add(name, count)
    past = {hour: {REASONS: 1.0, f"{prefix}range": 0.03, f"{prefix}null": 0.01} for hour in range(6)}
    return [
        row.model_copy(update={"channel": row.channel.removeprefix(prefix)})
        for row in judge(tally, WindowValues.of_windows(past), ALPHA)
    ]


def test_labels_are_judged_exactly_as_events_are() -> None:
    labels = judged_as(rejected_labels, REJECTED_LABELS, ACCEPTED)
    assert labels == judged_as(rejected_events, REJECTED_EVENTS, "rows")
    assert [(row.channel, row.value, row.alarming) for row in labels] == [
        ("null", 0.0, False),
        ("range", 0.03, False),
        ("type", 0.08, True),
    ]


def test_they_share_the_detector_of_missing_labels_and_only_a_rise_is_bad() -> None:
    channels = ["labels:never_labelled", "labels:rejected:type", "labels:rejected:null"]
    [group] = groups(channels, FalseAlarms())
    assert group.name == "missing_labels"
    assert list(group.weights) == [0.5, 0.25, 0.25], "many rules do not drown the share without a label"
    assert [direction(channel) for channel in channels] == [1, 1, 1]
    assert group_of("labels:positive_rate") == "label_drift"


# ---- what a record of the topic counts as


def refused(
    body: bytes | None = None, *, live: bool = False, headers: Sequence[tuple[str, bytes]] = ()
) -> tuple[str, datetime, tuple[str, ...]] | None:
    rejection = refused_label(START, "type", "label_value", body=body, appended=START + timedelta(minutes=3))
    made = record(LABELS_REJECTED, rejection, 0)
    stored = StoredRecord(made.topic, 0, 0, 0, b"k", made.value, [*made.headers, *headers])
    found = refusal_of(stored, lambda _: live, LABEL)
    return None if found is None else (found.subject, datetime.fromtimestamp(found.occurred / 1e6, UTC), found.rules)


def test_a_label_counts_for_its_model_when_it_was_observed_once_for_each_rule_that_it_broke() -> None:
    assert refused() == (MODEL, START, ("label_value", "type"))


TORN = b'{"model": "trip-late", "observed_at": "2024-03-0'
AHEAD = msgspec.json.encode({"model": MODEL, "observed_at": "9999-12-31T00:00:00Z"})


@pytest.mark.parametrize("body", [TORN, AHEAD])
def test_without_a_moment_of_its_own_a_label_counts_when_it_was_appended_or_sent(body: bytes) -> None:
    rules = ("label_value", "type")
    assert refused(body, live=True) == (MODEL, START + timedelta(minutes=3), rules)
    assert refused(body, headers=[("ce_time", format_time(START).encode())]) == (MODEL, START, rules)
    assert refused(body) is None


def test_a_model_that_is_not_defined_is_taken_for_the_only_one_there_is() -> None:
    known = knowledge()
    assert [known.meant(name) for name in ("", "trip-lat", MODEL)] == [MODEL] * 3
    definition = model_definition()
    definition["metadata"]["name"] = "trip-lost"
    known.apply_definition(DefinitionRecord(kind="Model", name="trip-lost", major=1, revision=1, definition=definition))
    assert [known.meant(name) for name in ("", "trip-lat", MODEL)] == ["", "trip-lat", MODEL]


def test_the_event_time_of_a_label_is_that_of_its_models_feature_set() -> None:
    known = knowledge()
    assert not known.live_model(MODEL)
    feature_set = definition_records()[0]
    spec = {**feature_set.definition["spec"], "clock": "live"}
    known.apply_definition(feature_set.model_copy(update={"definition": {**feature_set.definition, "spec": spec}}))
    assert known.live_model(MODEL)
    assert not Knowledge().live_model(MODEL)


def test_what_is_no_rejection_is_a_dead_letter(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    broken = record(LABELS_REJECTED, refused_label(START, "type"), 0)
    partition.process([StoredRecord(broken.topic, 0, 0, 0, b"k", b'{"reasons": 1}', broken.headers)])
    assert [item.topic.name for item in partition.published] == ["monitoring.dead-letters"]


# ---- stage 1


def stream(
    windows: int, refusals: Mapping[int, Sequence[str]], *, instead: bool = False, per_hour: int = 60, versions: int = 1
) -> list[list[StoredRecord]]:
    """So many hours, topic by topic; ``refusals``: by the hour in which they were observed, the rule of each rejected label.

    ``instead``: nothing else was observed in those hours. ``versions``: how many serve every event as champion.
    """
    predictions, labels = hours(windows, Rows(), per_hour=per_hour)
    predictions = [
        body.model_copy(update={"version": version}) if isinstance(body, Prediction) else body
        for body in predictions
        for version in range(1, versions + 1)
    ]
    if instead:
        spoilt = {at(hour) for hour in refusals}
        labels = [label for label in labels if not hasattr(label, "value") or _hour(label) not in spoilt]
    rejected: list[Contract] = [
        refused_label(at(hour) + timedelta(seconds=place), rule)
        for hour, rules in refusals.items()
        for place, rule in enumerate(rules)
    ]
    return [
        records(LABELS_REJECTED, rejected),
        records(LABELS_VALIDATED, labels),
        records(PREDICTIONS, predictions),
    ]


def _hour(label: Contract) -> datetime:
    observed: datetime = label.observed_at  # type: ignore[attr-defined]
    return observed.replace(minute=0, second=0, microsecond=0)


def quality_of(partition: Partition, hour: int, version: int = 1) -> Tally:
    return Tally.from_content(partition.last("quality")[version, at(hour)].content["tally"])


def counted(tally: Tally) -> dict[str, int]:
    return {name: count for name, count in tally.sums.items() if name == ACCEPTED or name.startswith(REFUSED)}


def run(directory: Path, topics: Sequence[Sequence[StoredRecord]], known: Knowledge | None = None) -> Partition:
    partition = Partition(directory, known)
    for batch in topics:
        partition.process(batch)
    return partition


def test_labels_count_in_the_window_whose_own_labels_are_expected_when_they_are_observed(tmp_path: Path) -> None:
    """Labels are expected after an hour, so those observed in hour 4 belong to the window of hour 3."""
    partition = run(tmp_path, stream(6, {4: ["type"] * 3 + ["label_value"] * 2}))
    assert counted(quality_of(partition, 3)) == {
        "labels": 60,
        "rejected": 5,
        "rejected:label_value": 2,
        "rejected:type": 3,
    }
    assert counted(quality_of(partition, 2)) == {"labels": 60}


def test_no_order_of_reading_the_topics_changes_a_count(tmp_path: Path) -> None:
    topics = stream(8, {hour: ["type"] * hour for hour in range(8)})
    forward, backward = run(tmp_path / "a", topics), run(tmp_path / "b", topics[::-1])
    ends = [tick(at(12)), tick(at(18))]
    for partition in (forward, backward):
        for topic in (LABELS_VALIDATED, PREDICTIONS):
            partition.process(records(topic, ends, first=10_000))
    assert [counted(quality_of(forward, hour)) for hour in range(7)] == [
        counted(quality_of(backward, hour)) for hour in range(7)
    ]
    assert counted(quality_of(backward, 5))["rejected"] == 6


def test_every_version_that_served_as_champion_says_it_and_no_shadow(tmp_path: Path) -> None:
    topics = stream(6, {4: ["type"] * 3}, versions=2)
    shadow = [
        record(PREDICTIONS, Rows(8).prediction(at(3), version=3, route="shadow"), 90_000 + place) for place in range(5)
    ]
    known = knowledge()
    partition = run(
        tmp_path, [*topics[:2], [*shadow], topics[2], records(PREDICTIONS, [tick(at(20))], first=99_000)], known
    )
    partition.process(records(LABELS_VALIDATED, [tick(at(20))], first=99_000))
    assert counted(quality_of(partition, 3, 1)) == counted(quality_of(partition, 3, 2)) != {}
    assert counted(quality_of(partition, 3, 3)) == {}


def test_a_label_that_is_refused_after_the_window_was_told_corrects_it(tmp_path: Path) -> None:
    partition = run(tmp_path, stream(6, {}))
    before = partition.last("quality")[1, at(3)].revision
    partition.process(records(LABELS_REJECTED, [refused_label(at(4), "type")]))
    for topic in (LABELS_VALIDATED, PREDICTIONS):
        partition.process(records(topic, [tick(at(12))], first=10_000))
    assert partition.last("quality")[1, at(3)].revision == before + 1
    assert counted(quality_of(partition, 3))["rejected:type"] == 1


def test_counts_leave_with_their_windows(tmp_path: Path) -> None:
    partition = run(tmp_path, stream(6, {4: ["type"]}))
    ancient = refused_label(at(-9000), "type")
    partition.process([record(LABELS_REJECTED, ancient, 50)])
    assert len([key for key in partition.state.entries if key.startswith("labels/")]) == 8
    for topic in (LABELS_VALIDATED, PREDICTIONS):
        partition.process(records(topic, [tick(at(24 * 3))], first=10_000))
    assert [key for key in partition.state.entries if key.startswith(("labels/", "window/"))] == []


def test_labels_of_models_that_nobody_watches_keep_no_state(tmp_path: Path) -> None:
    partition = Partition(tmp_path, Knowledge())
    partition.process(records(LABELS_REJECTED, [refused_label(START, "unknown_model")]))
    assert [key for key in partition.state.entries if key.startswith("labels/")] == []


def test_a_batch_that_is_met_again_counts_nothing_twice(tmp_path: Path) -> None:
    """Delivered at least once, the checkpoint may stand though the offsets do not."""
    topics = stream(6, {4: ["type"] * 3})
    once, twice = run(tmp_path / "once", topics), Partition(tmp_path / "twice")
    for batch in topics[:2]:
        twice.process(batch)
        twice.kill()
        twice.process(batch)
    twice.process(topics[2])
    assert counted(quality_of(twice, 3)) == counted(quality_of(once, 3))


def test_a_batch_that_closes_a_window_counts_what_was_refused_with_it(tmp_path: Path) -> None:
    """Refused labels have no ticks of their own: what was fetched together is taken before the ticks."""
    partition = run(tmp_path, [[item for topic in stream(6, {4: ["type"] * 3}) for item in topic]])
    first = next(p for p in partition.profiles if p.lane == "quality" and p.window.start == at(3))
    assert counted(Tally.from_content(first.content["tally"]))["rejected:type"] == 3


# ---- both stages


def verdicts_of(directory: Path, topics: Sequence[Sequence[StoredRecord]]) -> Verdicts:
    verdicts = Verdicts()
    verdicts.process(run(directory, topics).published)
    return verdicts


def test_a_sudden_new_reason_warns_in_its_window_and_the_alert_names_it_and_ends(tmp_path: Path) -> None:
    verdicts = verdicts_of(tmp_path, stream(14, {8: ["label_value"] * 10}))
    [fired, *later] = [alert for alert in verdicts.alerts if alert.kind == "missing_labels"]
    assert (fired.state, fired.severity, fired.window.start) == ("firing", "warn", at(7))
    assert [(item.channel, item.threshold) for item in fired.evidence] == [("labels:rejected:label_value", NEW_REASON)]
    assert "labels are rejected" in fired.summary
    assert "rejected:label_value" in fired.summary
    assert later[-1].state == "resolved"


def test_labels_that_are_missing_because_they_are_rejected_are_one_alert_that_says_why(tmp_path: Path) -> None:
    topics = stream(14, {8: ["label_value"] * 60}, instead=True)
    ends = [tick(at(15)), tick(at(21))]
    verdicts = verdicts_of(
        tmp_path, [*topics, *(records(t, ends, first=9_000) for t in (LABELS_VALIDATED, PREDICTIONS))]
    )
    fired = [a for a in verdicts.alerts if a.kind == "missing_labels" and a.state == "firing"]
    assert {item.channel for alert in fired for item in alert.evidence} == {
        "labels:never_labelled",
        "labels:rejected:label_value",
    }
    assert len({alert.episode for alert in fired}) == 1


def test_a_reason_that_always_rejects_some_is_no_news(tmp_path: Path) -> None:
    refusals = {hour: ["id_conflict"] * 2 for hour in range(20)}
    assert [
        alert for alert in verdicts_of(tmp_path, stream(20, refusals)).alerts if alert.kind == "missing_labels"
    ] == []


def test_windows_without_any_label_do_not_make_a_habit_look_like_news(tmp_path: Path) -> None:
    """Labels come every fourth hour, a tenth of them refused: hours without labels say nothing about what is usual."""
    predictions, labels = hours(40, Rows())
    loaded = [
        label if not hasattr(label, "value") else label.model_copy(update={"observed_at": _load(label)})
        for label in labels
    ]
    loaded.sort(key=lambda label: (getattr(label, "observed_at", None) or label.time, hasattr(label, "time")))
    refusals: list[Contract] = [
        refused_label(at(hour) + timedelta(seconds=place), "id_conflict")
        for hour in range(4, 40, 4)
        for place in range(24)
    ]
    verdicts = verdicts_of(
        tmp_path,
        [records(LABELS_REJECTED, refusals), records(LABELS_VALIDATED, loaded), records(PREDICTIONS, predictions)],
    )
    told = [
        row
        for w in verdicts.windows
        for row in w.channels
        if row.channel == "labels:rejected:id_conflict" and row.value
    ]
    assert len(told) >= 7
    assert not any(row.alarming for row in told)
    assert told[-1].threshold == pytest.approx(0.2)


def _load(label: Contract) -> datetime:
    hour = _hour(label) + HOUR
    return hour + timedelta(hours=-((hour - START) // HOUR) % 4)


def test_a_kill_anywhere_changes_no_count_and_no_verdict(tmp_path: Path) -> None:
    topics = stream(12, {hour: ["type"] * (hour % 3) + ["label_value"] * (8 * (hour == 9)) for hour in range(12)})
    batch = [item for topic in topics for item in topic]
    calm, killed, verdicts = Partition(tmp_path / "calm"), Partition(tmp_path / "killed"), [Verdicts(), Verdicts()]
    for place in range(0, len(batch), 37):
        calm.process(batch[place : place + 37])
        killed.crash_during(batch[place : place + 37])
        killed.process(batch[place : place + 37])
    assert [item.value for item in killed.published] == [item.value for item in calm.published]
    assert killed.state.entries == calm.state.entries
    verdicts[0].process(calm.published)
    for item in calm.published:
        verdicts[1].kill()
        verdicts[1].process([item])
    assert [item.value for item in verdicts[0].published] == [item.value for item in verdicts[1].published]
    assert any("rejected:label_value" in alert.summary for alert in verdicts[0].alerts)
