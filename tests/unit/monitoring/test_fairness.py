"""Gaps between groups on labelled windows: the gates' own formulas, bounds that hold for certain, and few rows that prove nothing."""

import math
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monitoring_stream import (
    START,
    Partition,
    Rows,
    Verdicts,
    candidate,
    definition_records,
    deployment,
    hours,
    knowledge,
    records,
    reference_windows,
    tick,
)
from scipy.special import ndtri

from schemas.definitions import Gate, TargetType
from schemas.events.contract import Contract
from schemas.events.inference import Prediction
from schemas.events.monitoring import Alert, ChannelResult
from schemas.events.training import CategoricalReference, ReferenceProfile
from schemas.groups import GAPS, SMALLEST_GROUP, describe_groups, gap
from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.binning import CategoricalBinning, grouping_of
from services.monitoring.fairness import bounds_of, gaps, tally_groups, widest, wilson
from services.monitoring.joins import Pair
from services.monitoring.knowledge import Knowledge
from services.monitoring.tallies import Tally, merged

BINARY = TargetType.BINARY
PARITY, OPPORTUNITY = "demographic_parity_gap", "equal_opportunity_gap"


def by(**counts: int) -> dict[str, CategoricalBinning]:
    """The groups of a feature ``city``."""
    return {"city": grouping_of(CategoricalReference(counts=counts, missing=0))}


def pair(group: int | None, predicted: bool, value: bool) -> Pair:  # noqa: FBT001 - as they stand in a table
    return Pair(0.9 if predicted else 0.1, predicted, None, value, 1, None if group is None else [group])


def tallied(pairs: Sequence[Pair], groups: dict[str, CategoricalBinning], target: TargetType = BINARY) -> Tally:
    tally = Tally()
    tally_groups(target, (False, True), pairs, groups, tally)
    return tally


def rows_of(
    tally: Tally, groups: dict[str, CategoricalBinning], *gates: Gate, alpha: float = 0.01, target: TargetType = BINARY
) -> dict[str, ChannelResult]:
    return {row.channel: row for row in gaps(target, tally, groups, gates, alpha)}


def bound(metric: str = PARITY, most: float = 0.2) -> Gate:
    return Gate(metric=metric, group="city", max=most)


def drawn(random: np.random.Generator, *chosen: tuple[int, float]) -> list[Pair]:
    """So many pairs of each group, each predicted positive with a probability."""
    return [
        pair(group, bool(random.random() < share), bool(random.random() < 0.5))
        for group, (rows, share) in enumerate(chosen)
        for _ in range(rows)
    ]


# ---- values


def test_the_gap_of_a_regression_is_that_of_the_root_mean_squares() -> None:
    random = np.random.default_rng(2)
    errors = np.concatenate([random.normal(0, 1, 400), random.normal(0, 3, 400)])
    pairs = [Pair(float(error) + 5, None, None, 5.0, 1, [int(place >= 400)]) for place, error in enumerate(errors)]
    groups = by(a=1, b=1)
    gate = Gate(metric="rmse_gap", group="city", max=1.0)
    row = rows_of(tallied(pairs, groups, TargetType.REGRESSION), groups, gate, target=TargetType.REGRESSION)[
        "fairness:rmse_gap:city"
    ]
    roots = [math.sqrt(float((errors[part] ** 2).mean())) for part in (slice(400), slice(400, None))]
    assert row.value == pytest.approx(roots[1] - roots[0], abs=1e-4)
    assert row.alarming
    assert row.statistic == "b over a"


def test_of_several_classes_the_accuracy_is_compared_and_a_class_may_be_text() -> None:
    pairs = [Pair(None, "1", None, value, 1, [group]) for group, value in [(0, 1)] * 40 + [(1, 2)] * 40]
    groups = by(a=1, b=1)
    found = rows_of(tallied(pairs, groups, TargetType.MULTICLASS), groups, target=TargetType.MULTICLASS)
    assert [(row.channel, row.value) for row in found.values()] == [("fairness:accuracy_gap:city", 1.0)]


def test_merging_halves_gives_the_bits_of_the_whole() -> None:
    random, groups = np.random.default_rng(3), by(a=1, b=1)
    pairs = [
        Pair(float(random.normal()), None, None, float(random.normal()), 1, [int(random.integers(4))])
        for _ in range(300)
    ]
    whole = tallied(pairs, groups, TargetType.REGRESSION)
    halves = [tallied(part, groups, TargetType.REGRESSION) for part in (pairs[130:], pairs[:130])]
    assert merged(halves).to_content() == whole.to_content()


def test_what_belongs_to_no_group_or_was_filed_without_one_is_left_out() -> None:
    groups = by(a=1, b=1)
    pairs = (
        [pair(0, True, True)] * 40
        + [pair(2, True, True)] * 40
        + [pair(3, False, False)] * 40
        + [pair(None, True, True)] * 40
    )
    assert tallied(pairs, groups).counts["fairness:city:rows"].tolist() == [40, 0]


# ---- bounds


def test_a_gap_beyond_its_bound_for_certain_alarms_and_says_who_is_over_whom() -> None:
    groups, random = by(rome=1, bern=1, ulm=1), np.random.default_rng(4)
    row = rows_of(tallied(drawn(random, (500, 0.2), (500, 0.7), (500, 0.3)), groups), groups, bound())[
        f"fairness:{PARITY}:city"
    ]
    assert row.alarming
    assert row.statistic == "bern over rome"
    assert row.threshold == 0.2
    assert row.low is not None
    assert row.high is not None
    assert row.value is not None
    assert 0.2 < row.low < row.value < row.high


def test_a_gap_that_few_rows_leave_open_does_not_alarm_however_large() -> None:
    groups, random = by(a=1, b=1), np.random.default_rng(5)
    few = rows_of(tallied(drawn(random, (SMALLEST_GROUP, 0.3), (SMALLEST_GROUP, 0.65)), groups), groups, bound())
    many = rows_of(tallied(drawn(random, (3000, 0.3), (3000, 0.65)), groups), groups, bound())
    assert not few[f"fairness:{PARITY}:city"].alarming
    assert many[f"fairness:{PARITY}:city"].alarming


def test_a_group_below_the_least_size_is_not_compared() -> None:
    groups = by(a=1, b=1)
    pairs = [pair(0, True, True)] * 200 + [pair(1, False, True)] * (SMALLEST_GROUP - 1)
    row = rows_of(tallied(pairs, groups), groups, bound())[f"fairness:{PARITY}:city"]
    assert (row.value, row.alarming) == (None, False)
    assert "fewer than two groups" in row.statistic


def test_of_equal_opportunity_the_positive_rows_must_be_enough() -> None:
    groups = by(a=1, b=1)
    pairs = [pair(0, True, True)] * 200 + [pair(1, False, True)] * 10 + [pair(1, False, False)] * 190
    found = rows_of(tallied(pairs, groups), groups, bound(OPPORTUNITY))
    assert found[f"fairness:{OPPORTUNITY}:city"].value is None
    assert found[f"fairness:{PARITY}:city"].value == 1.0


def test_a_gap_without_a_bound_is_shown_and_never_alarms() -> None:
    groups, random = by(a=1, b=1), np.random.default_rng(6)
    row = rows_of(tallied(drawn(random, (900, 0.05), (900, 0.95)), groups), groups)[f"fairness:{PARITY}:city"]
    assert (row.threshold, row.alarming) == (None, False)


def test_the_strictest_of_several_bounds_counts_and_lower_bounds_are_none() -> None:
    gates = [
        bound(most=0.3),
        bound(most=0.1),
        Gate(metric="accuracy", group="city", min=0.5),
        Gate(metric="roc_auc", max=1),
    ]
    assert bounds_of(gates) == {("city", PARITY): 0.1}


@pytest.mark.parametrize("rows", [SMALLEST_GROUP, 300])
@pytest.mark.parametrize("groups", [2, 8])
def test_a_gap_at_its_bound_alarms_less_often_than_the_budget(rows: int, groups: int) -> None:
    """One group is 0.2 over the others, as the bound allows: 4,000 windows at one in 20 allow 200 alarms; measured 0 to 7, so a sound
    interval fails less than once in 10⁶. The bare gap is beyond the bound in 1,800 windows and more.
    """
    random, held = np.random.default_rng(rows + groups), by(**{f"g{place}": 1 for place in range(groups)})
    of, alarms, beyond = np.full(groups, rows), 0, 0
    for _ in range(4000):
        tally = Tally()
        tally.count("fairness:city:rows", of)
        tally.count("fairness:city:chosen", random.binomial(rows, [0.6] + [0.4] * (groups - 1)).astype(np.int64))
        for other in ("positive", "hit", "correct"):
            tally.count(f"fairness:city:{other}", of)
        row = rows_of(tally, held, bound(), alpha=0.05)[f"fairness:{PARITY}:city"]
        alarms += row.alarming
        beyond += row.value is not None and row.value > 0.2
    assert alarms < 200
    assert beyond > 1400


def test_intervals_of_shares_are_wilsons() -> None:
    """Newcombe (1998), table II, method 10: 56/70 against 48/80 at 95 % is 0.0524 to 0.3339."""
    z, widened = -float(ndtri(0.025)), 1.5**2
    found = widest(wilson(["a", "b"], np.array([56, 48]) * widened, np.array([70, 80]) * widened, z))  # type: ignore[arg-type]
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_a_gap_needs_two_known_values() -> None:
    assert gap([0.5, None, 0.2]) == pytest.approx(0.3)
    assert gap([0.5, None]) is None
    assert gap([]) is None


def test_groups_are_the_frequent_values_the_largest_first() -> None:
    values = ["b"] * 40 + ["a"] * 50 + ["rare"] * 29 + [None] * 3 + ["x" * 101] * 60
    found = describe_groups(values)
    assert list(found.counts.items()) == [("a", 50), ("b", 40)]
    assert (found.missing, found.unseen) == (3, 89)
    assert describe_groups([True] * 30 + [False] * 31).counts == {"false": 31, "true": 30}


# ---- both stages


def scene(*gates: dict[str, Any], inputs: bool = False) -> Knowledge:
    """Groups are ``carrier``: of the training data half A, half B. As an input of the model, or beside them."""
    known, trained = knowledge(), candidate("ef" * 32, windows=reference_windows(30)).reference
    assert trained is not None
    groups = {"carrier": CategoricalReference(counts={"A": 2500, "B": 2500}, missing=0)}
    windows = tuple(
        window.model_copy(
            update={
                "groups": {"carrier": window.features["carrier"]},
                "features": window.features if inputs else {"distance": window.features["distance"]},
            }
        )
        for window in trained.windows
    )
    features = trained.features if inputs else {"distance": trained.features["distance"]}
    profile = ReferenceProfile(**{**trained.__dict__, "groups": groups, "features": features, "windows": windows})
    for each in definition_records(gates=list(gates)):
        known.apply_definition(each)
    known.apply_candidate(candidate("ef" * 32).model_copy(update={"reference": profile}))
    known.apply_deployment(deployment(1, "ef" * 32))
    return known


GATE = {"metric": PARITY, "group": "carrier", "max": 0.2}


def unfair(bodies: Sequence[Contract], from_hour: int, share: float) -> list[Contract]:
    """From that hour on so many of the predictions of A, in every hour the first, are negative whatever the score."""
    found: list[Contract] = []
    count = 0
    for body in bodies:
        said = body
        if (
            isinstance(body, Prediction)
            and body.outputs is not None
            and body.features["carrier"] == "A"
            and body.occurred_at >= START + timedelta(hours=from_hour)
        ):
            count += 1
            if count % 10 < 10 * share:
                said = body.model_copy(update={"outputs": {**body.outputs, "label": False}})
        found.append(said)
    return found


def run(directory: Path, known: Knowledge, predictions: Sequence[Contract], labels: Sequence[Contract]) -> Verdicts:
    partition, verdicts = Partition(directory, known), Verdicts(known)
    partition.process(records(PREDICTIONS, predictions))
    partition.process(records(LABELS_VALIDATED, labels))
    verdicts.process(partition.published)
    return verdicts


def test_a_group_that_is_treated_otherwise_pages_with_the_bound_of_the_definition(tmp_path: Path) -> None:
    predictions, labels = hours(10, Rows(), per_hour=300)
    verdicts = run(tmp_path, scene(GATE), unfair(predictions, 4, 0.9), labels)
    told = [alert for alert in verdicts.alerts if "groups fare" in alert.summary]
    assert next(alert.window.start for alert in told if alert.state == "firing") <= START + timedelta(hours=5)
    assert (told[0].kind, told[0].severity) == ("quality", "page")
    assert told[0].evidence[0].channel == f"fairness:{PARITY}:carrier"
    assert "B over A" in told[0].summary
    fair = [w for w in verdicts.windows if w.lane == "quality" and w.window.start < START + timedelta(hours=4)]
    assert len(fair) == 4
    assert not any(row.alarming for window in fair for row in window.channels if row.channel.startswith("fairness:"))


def test_without_a_bound_in_the_definition_gaps_are_in_the_window_and_alert_nobody(tmp_path: Path) -> None:
    predictions, labels = hours(8, Rows(), per_hour=300)
    verdicts = run(tmp_path, scene(), unfair(predictions, 0, 0.9), labels)
    gaps_shown = [row for w in verdicts.windows for row in w.channels if row.channel == f"fairness:{PARITY}:carrier"]
    assert all(row.value is not None and row.value > 0.2 for row in gaps_shown)
    assert gaps_shown
    assert not any("groups fare" in alert.summary for alert in verdicts.alerts)


@pytest.mark.parametrize(
    ("gates", "states"),
    [((), ["resolved"]), (({**GATE, "metric": OPPORTUNITY},), ["firing"] * 4)],
    ids=["no", "another"],
)
def test_bounds_that_change_count_from_the_next_labelled_window_however_far_predictions_are(
    tmp_path: Path, gates: Sequence[dict[str, Any]], states: Sequence[str]
) -> None:
    """Without a bound the alert ends there; another bound that is broken keeps it, with the gap that breaks it."""
    known, rows = scene(GATE), Rows()
    partition, verdicts = Partition(tmp_path, known), Verdicts(known)

    def serve(predictions: Sequence[Contract], labels: Sequence[Contract], first: int) -> list[Alert]:
        seen, told = len(partition.published), len(verdicts.alerts)
        partition.process(records(PREDICTIONS, predictions, first=first))
        partition.process(records(LABELS_VALIDATED, labels, first=first))
        verdicts.process(partition.published[seen:])
        return [each for each in verdicts.alerts[told:] if each.kind == "quality"]

    predictions, labels = hours(5, rows, per_hour=300)
    assert serve(unfair(predictions, 0, 0.9), labels, 0)[-1].state == "firing"
    for each in definition_records(gates=list(gates)):
        known.apply_definition(each)
    predictions, labels = hours(5, rows, per_hour=300, first=5)
    assert serve(unfair(predictions, 5, 0.9), [], 5000) == []
    after = serve([], labels, 5000)
    assert [each.state for each in after] == states
    assert after[-1].evidence[0].channel == f"fairness:{OPPORTUNITY if gates else PARITY}:carrier"


def test_fair_predictions_of_many_windows_raise_no_alert_of_fairness(tmp_path: Path) -> None:
    gates = [{"metric": metric, "group": "carrier", "max": 0.1} for metric in GAPS[BINARY]]
    verdicts = run(tmp_path, scene(*gates), *hours(40, Rows(), per_hour=100))
    quality = [window for window in verdicts.windows if window.lane == "quality"]
    beyond = [
        row for w in quality for row in w.channels if row.channel.startswith("fairness:") and (row.effect or 0) > 0
    ]
    assert len(beyond) > 20, "by the bare gap half of the windows would be unfair"
    assert not any("groups fare" in alert.summary for alert in verdicts.alerts)


def only(bodies: Sequence[Contract], carrier: str, from_hour: int) -> list[Contract]:
    """From that hour on all trips are of ``carrier``."""
    return [
        body.model_copy(update={"features": {**body.features, "carrier": carrier}})
        if isinstance(body, Prediction) and body.occurred_at >= START + timedelta(hours=from_hour)
        else body
        for body in bodies
    ]


def test_a_group_that_is_represented_otherwise_than_in_training_is_found_and_named(tmp_path: Path) -> None:
    predictions, labels = hours(8, Rows(), per_hour=300)
    verdicts = run(tmp_path, scene(), only(predictions, "B", 4), labels)
    [first, *_] = [alert for alert in verdicts.alerts if alert.kind == "drift"]
    assert first.window.start == START + timedelta(hours=4), "half to all is far beyond 0.1: found in one window"
    assert [item.channel for item in first.evidence][:2] == ["group:carrier=A", "group:carrier=B"]
    shares = {
        row.channel: row
        for row in verdicts.windows[0].channels
        if row.channel.startswith("group:") and not row.alarming
    }
    assert abs((shares["group:carrier=A"].effect or 0) + 0.5 - (shares["group:carrier=A"].value or 0)) < 1e-5


def test_a_small_change_of_representation_is_found_by_the_calibrated_lane(tmp_path: Path) -> None:
    known, rows = scene(), Rows()
    predictions, _ = hours(10, rows, per_hour=300)
    few = [
        body.model_copy(update={"features": {**body.features, "carrier": "B"}})
        if isinstance(body, Prediction) and int(body.prediction_id[1:]) % 4 == 0
        else body
        for body in predictions
    ]
    verdicts = run(tmp_path, known, few, [])
    drift = [alert for alert in verdicts.alerts if alert.kind == "drift"]
    assert drift
    assert drift[0].severity == "inform"
    assert drift[0].window.start <= START + timedelta(hours=4)
    assert drift[0].evidence[0].channel.startswith("group:carrier=")


def test_groups_that_are_the_categories_of_an_input_are_judged_once(tmp_path: Path) -> None:
    predictions, labels = hours(6, Rows(), per_hour=300)
    verdicts = run(tmp_path, scene(inputs=True), only(predictions, "B", 3), labels)
    shown = [row for w in verdicts.windows for row in w.channels if row.channel.startswith("group:")]
    assert shown
    assert {row.method for row in shown} == {"anchor"}
    named = {item.channel for alert in verdicts.alerts if alert.kind == "drift" for item in alert.evidence}
    assert {"category:carrier=A", "category:carrier=B"} <= named
    assert not any(name.startswith("group:") for name in named)


def test_a_candidate_without_published_groups_has_no_channels_of_fairness(tmp_path: Path) -> None:
    verdicts = run(tmp_path, knowledge(gates=[GATE]), *hours(4, Rows(), per_hour=100))
    assert verdicts.windows
    channels = {row.channel.partition(":")[0] for window in verdicts.windows for row in window.channels}
    assert not channels & {"fairness", "group"}


def test_a_kill_or_a_lost_file_changes_no_gap(tmp_path: Path) -> None:
    predictions, labels = hours(9, Rows(), per_hour=60)
    ours, theirs = records(PREDICTIONS, unfair(predictions, 2, 0.9)), records(LABELS_VALIDATED, labels)
    calm, killed = Partition(tmp_path / "calm", scene(GATE)), Partition(tmp_path / "killed", scene(GATE))
    for place in range(0, max(len(ours), len(theirs)), 50):
        batch = [*ours[place : place + 50], *theirs[place : place + 50]]
        calm.process(batch)
        killed.crash_during(batch)
        killed.process(batch)
        if place == 300:
            killed.lose_file()
    assert killed.profiles == calm.profiles
    assert any("fairness:carrier:rows" in p.content["tally"]["counts"] for p in calm.profiles if p.lane == "quality")
    whole, pieces = Verdicts(scene(GATE)), Verdicts(scene(GATE))
    whole.process(calm.published)
    for item in killed.published:
        pieces.kill()
        pieces.process([item])
    assert [item.value for item in pieces.published] == [item.value for item in whole.published]


def test_a_join_file_of_the_schema_before_is_built_anew(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path, scene(GATE)), Rows()
    partition.process(records(PREDICTIONS, [rows.prediction(START), tick(START + timedelta(minutes=30))]))
    partition.profiling.close()
    with sqlite3.connect(partition.file) as connection:
        connection.execute("PRAGMA user_version = 2")
    partition.kill()
    assert partition.profiling._store.counts(next(iter(partition.profiling._windows._entries["trips@1"]))) == (1, 0)
