"""Quality before labels: what is expected of the probabilities that a model gave, and how surely."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from monitoring_stream import (
    MODEL,
    NAMES,
    START,
    Partition,
    Rows,
    Verdicts,
    candidate,
    deployment,
    hours,
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
from services.monitoring.book import Book, Page, Part, Window, labelled, past_errors
from services.monitoring.calibration import Calibration, calibration_of, fitted
from services.monitoring.estimates import NOTHING, errors, estimates, expectations
from services.monitoring.inputs import Outputs
from services.monitoring.joins import Pair
from services.monitoring.judgement import accepted
from services.monitoring.observations import observations
from services.monitoring.past_errors import KEPT, LEAST, Past, PastError, errors_of, reach
from services.monitoring.probabilities import PROBABILITY, SERVED, tally_outcomes, tally_probabilities
from services.monitoring.quality import metrics, roc_auc, tally_pairs
from services.monitoring.tallies import Tally

BINARY, MULTICLASS = TargetType.BINARY, TargetType.MULTICLASS
CLASSES = ("a", "b", "c")
TOPICS = (PREDICTIONS, LABELS_VALIDATED)
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


def _told(target: TargetType, tally: Tally, calibration: Calibration, past: Past = NOTHING) -> list[ChannelResult]:
    return estimates(target, expectations(target, tally, calibration), calibration, past)


def _metrics(rows: list[ChannelResult]) -> list[ChannelResult]:
    """Those of metrics, without what says how they came about."""
    return [row for row in rows if row.channel == f"estimate:{row.statistic}"]


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
        for row in _metrics(_told(BINARY, _counted(scores), calibration)):
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
        for row in _metrics(_told(MULTICLASS, tally, Calibration())):
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
    found = _told(BINARY, _served(np.repeat(chances, copies)), Calibration(shared=True))
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
    told = _of(_told(BINARY, _served(scores), calibration_of(BINARY, [few], None)), "calibration")
    assert (told.statistic, told.value) == ("none", 0.0)


def test_few_labels_do_not_throw_away_what_the_test_block_has_shown() -> None:
    """60 labels alone say little of a slope; over 40 streams the root mean square error of ROC AUC is at most two thirds with a test block."""
    random, missed = np.random.default_rng(15), {"alone": 0.0, "after": 0.0}
    for _ in range(40):
        tested, known, served = (random.normal(-1, 1, rows) for rows in (2000, 60, 5000))
        counts = count_cases(
            expit(tested)[:, None], tested[:, None] > 0, random.random((2000, 1)) < expit(tested)[:, None]
        )
        labels = _counted(expit(known), random.random(60) < expit(known))
        true = expectations(BINARY, _counted(expit(served)), Calibration(shared=True))["roc_auc"].value
        for name, artifact in (("alone", None), ("after", Artifact("", BINARY, probabilities=counts))):
            calibration = calibration_of(BINARY, [labels], artifact)
            assert (calibration.basis, calibration.rows) == ("labels", 60)
            found = expectations(BINARY, _counted(expit(served)), calibration)["roc_auc"].value
            missed[name] += (found - true) ** 2
    assert missed["after"] < (2 / 3) ** 2 * missed["alone"], missed


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
    found = _metrics(_told(BINARY, _served(scores), Calibration(shared=True)))
    assert {row.statistic for row in found} == {"roc_auc", "log_loss", "brier", "accuracy"}
    assert {row.statistic for row in found if row.value is not None} == told
    for row in found:
        if row.value is not None:
            assert row.low is not None
            assert row.high is not None
            assert 0 <= row.low <= row.value <= row.high
            assert row.high <= 1 or row.statistic == "log_loss"


def test_multiclass_without_probabilities_is_null_and_regression_has_no_estimates() -> None:
    tally = Tally()
    tally_probabilities(MULTICLASS, CLASSES, [Outputs(label="a")] * 100, tally)
    assert [row.value for row in _told(MULTICLASS, tally, Calibration())] == [None, None, 0.0]
    assert _told(TargetType.REGRESSION, tally, Calibration()) == []


def test_classes_that_were_not_chosen_happen_as_often_as_the_chosen_one_does_not() -> None:
    """Pooled over many classes, fitted curves need not add up to one class a row; the log loss is taken as if they did."""
    given = np.array([[0.6, 0.3, 0.1]] * 200)
    tally = Tally()
    outputs = [Outputs(label="a", probabilities=row) for row in given.tolist()]
    tally_probabilities(MULTICLASS, CLASSES, outputs, tally)
    loss = _of(_told(MULTICLASS, tally, Calibration()), "log_loss").value
    assert loss == pytest.approx(-(given[0] * np.log(given[0])).sum(), rel=0.03)  # bins are 10 % of the odds wide


def test_estimates_never_alarm_and_never_become_history() -> None:
    scores = np.random.default_rng(6).uniform(0, 1, 500)
    rows = _told(BINARY, _served(scores), Calibration(shared=True))
    rows += errors({"roc_auc": 0.7}, [ChannelResult(channel="quality:roc_auc", statistic="roc_auc", value=0.1)])
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


def test_of_rare_events_the_measured_roc_auc_ranks_scores_that_are_all_next_to_0() -> None:
    """At a rate of 0.06 % equal bins of a thousandth tie nearly all pairs, and quality would be called worse than on the test block."""
    random = np.random.default_rng(14)
    odds = random.normal(-8, 1, 60_000)
    odds[:40] += 1.0
    happened = np.arange(60_000) < 40
    pairs = [Pair(s, False, None, y, 1) for s, y in zip(expit(odds).tolist(), happened.tolist(), strict=True)]
    tally = tally_pairs(BINARY, (), pairs, len(pairs))
    tally_outcomes(BINARY, (), pairs, tally)
    ranked = float((odds[happened][:, None] > odds[~happened]).mean())
    assert metrics(BINARY, tally)["roc_auc"].value == pytest.approx(ranked, abs=0.005)


def test_bins_hold_every_probability_and_an_edge_belongs_above_it() -> None:
    counts = count_cases(np.array([[0.0], [0.5], [1.0]]), np.ones((3, 1), dtype=np.bool_))
    assert np.flatnonzero(counts["chosen"]).tolist() == [0, BINS // 2, BINS - 1]


def test_a_page_of_an_older_checkpoint_has_no_estimates_or_errors() -> None:
    content = _page(0).content()
    for name in ("estimates", "variances", "errors"):
        del content[name]
    restored = Page.restored(content)
    assert (restored.estimates, restored.variances, restored.errors) == ({}, {}, {})


def test_counts_of_other_bins_are_none() -> None:
    tally = Tally({name: np.full(BINS + 80, 5, dtype=np.int64) for name in SERVED})
    assert [row.value for row in _metrics(_told(BINARY, tally, Calibration(shared=True)))] == [None] * 4


# ---- intervals and past errors


def test_the_interval_is_of_chance_alone_until_five_errors_are_known_and_says_so() -> None:
    tally, calibration = _served(np.random.default_rng(7).uniform(0, 1, 200)), Calibration(shared=True)
    chance = _of(_told(BINARY, tally, calibration), "brier")
    for known, statistic in ((LEAST - 1, "chance"), (LEAST, "past_errors")):
        rows = _told(BINARY, tally, calibration, {"brier": [PastError(0.1, 1e-4)] * known})
        said = next(row for row in rows if row.channel == "estimate_interval:brier")
        assert (said.statistic, said.value) == (statistic, known)
        assert (_of(rows, "brier").low == chance.low) == (statistic == "chance")
        assert _of(rows, "roc_auc") == _of(_told(BINARY, tally, calibration), "roc_auc")  # it has no errors of its own


def test_what_chance_explains_of_past_errors_is_not_counted_twice() -> None:
    chance = 0.02**2
    explained = reach(chance, [PastError(0.02, chance)] * 20)
    assert explained == pytest.approx(2.086 * 0.02, rel=1e-3)  # Student's t of 20 degrees, not its √2
    assert (
        reach(chance, [PastError(0.0, chance)] * 20) == explained
    )  # fewer errors than chance makes are no less chance
    assert reach(chance, [PastError(0.05, chance)] * 20) == pytest.approx(2.086 * 0.05, rel=1e-3)


def test_where_whole_windows_are_worse_together_past_errors_bring_the_interval_back_to_95_percent() -> None:
    # P(binomial(300, 0.93) < 255) < 1e-6: errors of 20 windows are not quite enough to be sure of their scatter
    random, held, past = np.random.default_rng(13), {"chance": 0, "past_errors": 0}, list[PastError]()
    for window in range(WINDOWS + KEPT):
        odds = random.normal(-1.5, 1.2, ROWS)
        happened = random.random(ROWS) < expit(odds + random.normal(0, 0.6))
        scores = expit(odds)
        measured = _measured(scores, happened)["log_loss"]
        expected = expectations(BINARY, _counted(scores), Calibration(shared=True))
        for name, errors_before in (("chance", []), ("past_errors", past)):
            row = _of(estimates(BINARY, expected, Calibration(shared=True), {"log_loss": errors_before}), "log_loss")
            assert row.low is not None
            assert row.high is not None
            held[name] += window >= KEPT and row.low <= measured <= row.high
        past = [*past, PastError(expected["log_loss"].value - measured, expected["log_loss"].variance)][-KEPT:]
    assert held["chance"] < 210
    assert held["past_errors"] >= 255


def test_an_error_over_few_labels_counts_no_more_than_the_chance_in_it() -> None:
    told = errors({"brier": 0.2}, [ChannelResult(channel="quality:brier", statistic="brier", value=0.3)])
    assert errors_of(told, {"brier": 1e-4}, Tally(sums={"rows": 400, "labelled": 49})) == {}
    assert errors_of(told, {"brier": 1e-4}, Tally(sums={"rows": 400, "labelled": 100})) == {
        "brier": PastError(-0.1, 4e-4)
    }
    assert errors_of(told, {}, Tally(sums={"rows": 400, "labelled": 400})) == {}  # of a release that kept no variance


def _page(hour: int, version: int = 1, route: str = "champion", error: float | None = None) -> Page:
    """Of the quality lane with an ``error``, published when the hour was over."""
    start, hours_ = hour * 3600, 3600
    window = Window("m", version, route, "performance" if error is None else "quality", start)
    page = Page(window, start + hours_, start + hours_, start + 99 * hours_, "f@1", None)
    if error is not None:
        page.published, page.errors = 1, {"brier": PastError(error, 0.0)}
        page.parts = {0: Part(1, start + hours_, _labelled(np.full(60, 0.3), np.zeros(60, dtype=bool)))}
    return page


def _book(*pages: Page) -> Book:
    book = Book(1)
    book.pages = {page.window: page for page in pages}
    return book


def test_of_a_window_that_several_versions_served_the_error_of_the_same_version_counts() -> None:
    pages = [_page(hour, version, error=hour + version / 10) for hour in range(4) for version in (1, 2)]
    book = _book(*pages, _page(4, 3, "shadow", error=4.3), _page(4, 1, error=4.1), _page(5, 3, error=5.3))
    assert [error for error, _ in past_errors(book.due(_page(6)), 2, 20)["brier"]] == [0.2, 1.2, 2.2, 3.2, 4.1, 5.3]
    assert [error for error, _ in past_errors(book.due(_page(6)), 1, 3)["brier"]] == [3.1, 4.1, 5.3]


def test_a_window_knows_neither_its_own_labels_nor_those_that_were_due_after_it() -> None:
    book = _book(_page(0, error=0.1), _page(1, error=0.2), _page(2, error=0.3))
    assert [error for error, _ in past_errors(book.due(_page(1)), 1, 20)["brier"]] == [0.1]
    assert len(labelled(book.due(_page(1)), 1, 20)) == 1
    book.pages[_page(0, error=0.0).window].parts[0].closed_at = 99 * 3600
    assert past_errors(book.due(_page(1)), 1, 20) == {}
    assert labelled(book.due(_page(1)), 1, 20) == []


def test_intervals_of_a_new_version_begin_with_the_errors_of_the_one_before(tmp_path: Path) -> None:
    known, rows = knowledge(), Rows()
    partition, verdicts = Partition(tmp_path, known), Verdicts(known)
    digest = "cd" * 32
    known.apply_candidate(candidate(digest))
    for version, first, count in ((1, 0, 8), (2, 8, 3)):
        known.apply_deployment(deployment(version, digest if version == 2 else "ab" * 32))
        served, answers = hours(count, rows, per_hour=70, first=first, version=version)
        offsets = {topic: len([r for r in partition.read if r.topic == NAMES.name(topic)]) for topic in TOPICS}
        for place in range(count):
            batch = [part[place * len(part) // count : (place + 1) * len(part) // count] for part in (served, answers)]
            for topic, bodies in zip(TOPICS, batch, strict=True):
                partition.process(records(topic, bodies, first=offsets[topic]))
                offsets[topic] += len(bodies)
    verdicts.process(partition.published)
    said = {
        (window.version, window.window.start.hour): (row.statistic, row.value)
        for window in verdicts.windows
        for row in window.channels
        if row.channel == "estimate_interval:brier"
    }
    assert said[1, 0] == ("chance", 0.0)
    assert said[2, 8] == ("past_errors", said[1, 7][1] + 1)
