"""Quality before labels: what is expected of the probabilities that a model gave, and how surely."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from monitoring_stream import (
    MODEL,
    START,
    Partition,
    Rows,
    Verdicts,
    candidate,
    deployment,
    knowledge,
    records,
    tick,
)
from scipy.special import expit

from schemas.definitions import TargetType
from schemas.events.monitoring import ChannelResult, ClosedWindow, WindowBounds
from schemas.probability_bins import BINS, LOG_ODDS, count_cases
from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.artifacts import Artifact
from services.monitoring.book import Page, Window
from services.monitoring.calibration import Calibration, calibration_of, fitted
from services.monitoring.estimates import errors, estimates, values
from services.monitoring.inputs import Outputs
from services.monitoring.joins import Pair
from services.monitoring.judgement import accepted
from services.monitoring.observations import observations
from services.monitoring.probabilities import PROBABILITY, tally_outcomes, tally_probabilities
from services.monitoring.quality import roc_auc
from services.monitoring.tallies import Tally

BINARY, MULTICLASS = TargetType.BINARY, TargetType.MULTICLASS
CLASSES = ("a", "b", "c")
ROWS = 400
WINDOWS = 300


def _served(scores: np.ndarray) -> Tally:
    tally = Tally()
    tally_probabilities(BINARY, (), [Outputs(label=bool(s > 0.5), score=float(s)) for s in scores], tally)
    return tally


def _pairs(scores: np.ndarray, labels: np.ndarray) -> list[Pair]:
    return [Pair(float(s), bool(s > 0.5), None, bool(y), 1) for s, y in zip(scores, labels, strict=True)]


def _labelled(scores: np.ndarray, labels: np.ndarray) -> Tally:
    tally = Tally()
    tally_outcomes(BINARY, (), _pairs(scores, labels), tally)
    return tally


def _of(rows: list[ChannelResult], metric: str) -> ChannelResult:
    return next(row for row in rows if row.channel == f"estimate:{metric}")


def _counted(scores: np.ndarray, happened: np.ndarray | None = None) -> Tally:
    """As `_served` and `_labelled`, from arrays."""
    hits = None if happened is None else happened[:, None]
    counts = count_cases(scores[:, None], scores[:, None] > 0.5, hits)
    return Tally({f"{PROBABILITY}{name}": held for name, held in counts.items()})


def _measured(scores: np.ndarray, happened: np.ndarray) -> dict[str, float]:
    auc = roc_auc(*(np.bincount((scores[which] * 1000).astype(int), minlength=1000) for which in (happened, ~happened)))
    assert auc is not None
    return {
        "roc_auc": auc.value,
        "log_loss": float(-np.log(np.where(happened, scores, 1 - scores)).mean()),
        "brier": float(((scores - happened) ** 2).mean()),
        "accuracy": float(((scores > 0.5) == happened).mean()),
    }


def _held(random: np.random.Generator, said: float, labels: int | None) -> dict[str, int]:
    """In how many windows the interval held what was measured; ``said``: what the model makes of the log-odds."""
    held: dict[str, int] = {}
    for _ in range(WINDOWS):
        calibration = Calibration(shared=True)
        if labels is not None:
            known = random.normal(0, 1.2, labels)
            past = _counted(expit(said * known), random.random(labels) < expit(known))
            calibration = calibration_of(BINARY, [past], None)
        odds = random.normal(0, 1.2, ROWS)
        happened = random.random(ROWS) < expit(odds)
        scores = expit(said * odds)
        measured = _measured(scores, happened)
        for row in estimates(BINARY, _counted(scores), calibration)[:-1]:
            assert row.low is not None
            assert row.high is not None
            held[row.statistic] = held.get(row.statistic, 0) + (row.low <= measured[row.statistic] <= row.high)
    return held


@pytest.mark.parametrize(("said", "labels"), [(1.0, None), (1.6, 600)])
def test_the_interval_holds_what_is_measured_in_95_of_100_windows(said: float, labels: int | None) -> None:
    # binomial(300, 0.95) is outside of 266 to 299 with a probability below 2e-6, over all eight together below 2e-5
    held = _held(np.random.default_rng(11), said, labels)
    assert set(held) == {"roc_auc", "log_loss", "brier", "accuracy"}
    assert all(266 <= count <= 299 for count in held.values()), held


def test_multiclass_intervals_hold_what_is_measured_in_at_least_95_of_100_windows() -> None:
    # P(binomial(200, 0.95) < 174) < 1e-5; that of log loss also holds the rows' own differences, so it may hold more
    random, held = np.random.default_rng(12), {"log_loss": 0, "accuracy": 0}
    for _ in range(200):
        given = random.dirichlet([0.7, 1.0, 1.5], ROWS)
        chosen = given.argmax(axis=1)[:, None] == np.arange(3)
        happened = (random.random((ROWS, 1)) > given.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        tally = Tally({f"{PROBABILITY}{name}": counts for name, counts in count_cases(given, chosen).items()})
        of_label = given[np.arange(ROWS), happened]
        measured = {
            "log_loss": float(-np.log(of_label).mean()),
            "accuracy": float((happened == given.argmax(axis=1)).mean()),
        }
        for row in estimates(MULTICLASS, tally, Calibration())[:-1]:
            assert row.low is not None
            assert row.high is not None
            held[row.statistic] += row.low <= measured[row.statistic] <= row.high
    assert min(held.values()) >= 174, held


def test_expectations_are_the_means_over_all_that_may_happen() -> None:
    """Three rows are enumerated: 2³ outcomes, each with its probability; ROC AUC as expected pairs over expected pairs."""
    odds = np.array([-1.05, 0.25, 0.95])  # middles of bins
    chances = expit(odds)
    losses, right, above, pairs = 0.0, 0.0, 0.0, 0.0
    for outcome in range(8):
        happened = np.array([bool(outcome >> place & 1) for place in range(3)])
        weight = float(np.where(happened, chances, 1 - chances).prod())
        losses -= weight * float(np.log(np.where(happened, chances, 1 - chances)).mean())
        right += weight * float((happened == (chances > 0.5)).mean())
        ranked = odds[happened][:, None] > odds[~happened]
        above, pairs = above + weight * ranked.sum(), pairs + weight * ranked.size
    copies = 20  # of each row, so that the window is large enough; pairs of the same row are ties
    found = estimates(BINARY, _served(np.repeat(chances, copies)), Calibration(shared=True))
    assert _of(found, "log_loss").value == pytest.approx(losses, rel=1e-5)
    assert _of(found, "accuracy").value == pytest.approx(right, rel=1e-5)
    ties = copies * (copies - 1) * float((chances * (1 - chances)).sum())
    expected = (copies**2 * above + ties / 2) / (copies**2 * pairs + ties)
    assert _of(found, "roc_auc").value == pytest.approx(expected, rel=1e-5)


def test_a_curve_fitted_to_labels_finds_what_the_model_makes_of_the_chances() -> None:
    # 20,000 labels: standard errors of 0.02; 0.1 is beyond five of them, P < 1e-6
    random = np.random.default_rng(3)
    odds = random.normal(0, 1, 20_000)
    tally = _counted(expit(2 * odds + 1), random.random(20_000) < expit(odds))
    intercept, slope = calibration_of(BINARY, [tally], None).curves[0].line
    assert (intercept, slope) == (pytest.approx(-0.5, abs=0.1), pytest.approx(0.5, abs=0.1))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_labels_of_one_class_alone_give_a_curve_too(share: float) -> None:
    cases = np.where(np.abs(LOG_ODDS) < 3, 50, 0).astype(np.int64)
    curve = fitted(cases, (cases * share).astype(np.int64))
    assert np.isfinite([*curve.line, *np.ravel(curve.covariance)]).all()


def test_labels_come_before_the_test_block_and_the_test_block_before_the_scores_as_they_are() -> None:
    random = np.random.default_rng(4)
    scores = random.uniform(0.1, 0.9, 200)
    happened = random.random(200) < scores
    counts = count_cases(scores[:, None], scores[:, None] > 0.5, happened[:, None])
    artifact = Artifact("", BINARY, probabilities=counts)
    enough, few = _labelled(scores[:60], happened[:60]), _labelled(scores[:40], happened[:40])
    known = [calibration_of(BINARY, tallies, of) for tallies, of in (([enough], artifact), ([few], artifact))]
    assert [(each.basis, each.rows) for each in known] == [("labels", 60), ("test_block", 200)]
    assert calibration_of(BINARY, [few], None).basis == "none"
    told = _of(estimates(BINARY, _served(scores), calibration_of(BINARY, [few], None)), "calibration")
    assert (told.statistic, told.value) == ("none", 0.0)


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (np.empty(0), set()),
        (np.full(500, np.nan), set()),
        (np.full(49, 0.3), set()),
        (np.full(500, 0.3), {"log_loss", "brier", "accuracy"}),
        (np.array([0.0, 1.0] * 100), {"roc_auc", "log_loss", "brier", "accuracy"}),
        (np.array([-3.0, 7.0, np.nan] * 100), {"roc_auc", "log_loss", "brier", "accuracy"}),
    ],
    ids=["empty", "nan", "few", "one bin", "certain", "no probabilities"],
)
def test_what_cannot_be_told_is_null_and_never_nonsense(scores: np.ndarray, told: set[str]) -> None:
    found = estimates(BINARY, _served(scores), Calibration(shared=True))
    assert {row.statistic for row in found[:-1]} == {"roc_auc", "log_loss", "brier", "accuracy"}
    assert set(values(found)) == told
    for row in found[:-1]:
        if row.value is not None:
            assert row.low is not None
            assert row.high is not None
            assert 0 <= row.low <= row.value <= row.high
            assert row.high <= 1 or row.statistic == "log_loss"


def test_multiclass_without_probabilities_is_null_and_regression_has_no_estimates() -> None:
    tally = Tally()
    tally_probabilities(MULTICLASS, CLASSES, [Outputs(label="a")] * 100, tally)
    assert [row.value for row in estimates(MULTICLASS, tally, Calibration())] == [None, None, 0.0]
    assert estimates(TargetType.REGRESSION, tally, Calibration()) == []


def test_classes_that_were_not_chosen_happen_as_often_as_the_chosen_one_does_not() -> None:
    """Pooled over many classes, fitted curves need not add up to one class a row; the log loss is taken as if they did."""
    given = np.array([[0.6, 0.3, 0.1]] * 200)
    tally = Tally()
    outputs = [Outputs(label="a", probabilities=row) for row in given.tolist()]
    tally_probabilities(MULTICLASS, CLASSES, outputs, tally)
    loss = _of(estimates(MULTICLASS, tally, Calibration()), "log_loss").value
    assert loss == pytest.approx(-(given[0] * np.log(given[0])).sum(), rel=0.03)  # bins are 10 % of the odds wide


def test_estimates_never_alarm_and_never_become_history() -> None:
    scores = np.random.default_rng(6).uniform(0, 1, 500)
    rows = [*estimates(BINARY, _served(scores), Calibration(shared=True))]
    rows += errors(values(rows), [ChannelResult(channel="quality:roc_auc", statistic="roc_auc", value=0.1)])
    assert rows[-1].channel == "estimate_error:roc_auc"
    assert accepted(rows) == {}
    loud = tuple(row.model_copy(update={"alarming": True, "threshold": 0.0}) for row in rows)
    bounds = WindowBounds(start=START, end=START)
    closed = ClosedWindow(
        model=MODEL,
        version=1,
        route="champion",
        lane="performance",
        window=bounds,
        rows=500,
        channels=loud,
        closed_at=START,
    )
    assert observations(closed) == []


def test_probabilities_of_many_classes_outlive_the_join(tmp_path: Path) -> None:
    """Inference says the label's probability as the score of a multiclass prediction, too; its log loss needs all of them."""
    known = knowledge(target={"name": "late", "type": "multiclass", "label": {"expected": "1h", "timeout": "6h"}})
    digest = "cd" * 32
    trained = candidate(digest).model_copy(update={"classes": ("a", "b"), "target_type": MULTICLASS})
    known.apply_candidate(trained)
    known.apply_deployment(deployment(1, digest))
    rows = Rows()
    served = [rows.prediction(START + timedelta(minutes=place % 60)) for place in range(60)]
    outputs = {"label": "a", "score": 0.7, "probabilities": [0.7, 0.3]}
    served = [each.model_copy(update={"status": "ok", "error": None, "outputs": outputs}) for each in served]
    labels = [rows.label(each).model_copy(update={"value": "b"}) for each in served]
    ends = [tick(START + timedelta(hours=8))]
    partition, verdicts = Partition(tmp_path, known), Verdicts(known)
    partition.process([*records(PREDICTIONS, [*served, *ends]), *records(LABELS_VALIDATED, [*labels, *ends])])
    verdicts.process(partition.published)
    found = {row.channel: row.value for window in verdicts.windows for row in window.channels}
    assert found["quality:log_loss"] == pytest.approx(-np.log(0.3), abs=1e-5)
    assert found["estimate:accuracy"] == pytest.approx(0.7, abs=0.02)
    assert found["estimate_error:accuracy"] == pytest.approx(0.7, abs=0.02)


def test_bins_hold_every_probability_and_an_edge_belongs_above_it() -> None:
    counts = count_cases(np.array([[0.0], [0.5], [1.0]]), np.ones((3, 1), dtype=np.bool_))
    assert np.flatnonzero(counts["chosen"]).tolist() == [0, BINS // 2, BINS - 1]


def test_a_page_of_an_older_checkpoint_has_no_estimates() -> None:
    page = Page(Window("m", 1, "champion", "performance", 0), 1, 1, 1, "f@1", None)
    content = page.content()
    del content["estimates"]
    assert Page.restored(content).estimates == {}
