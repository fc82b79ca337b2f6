"""Our monitor over `streams`: a candidate as training publishes it, tallies as stage 1 makes them, windows judged as stage 2 does."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from bench.drift.streams import CATEGORIES, NUMERIC, UNSEEN, Floats, Rows, Stream
from schemas.definitions import Dtype, Feature, Model, TargetType
from schemas.events.monitoring import ChannelResult, ClosedWindow, Severity, WindowBounds
from schemas.events.training import (
    Candidate,
    Lineage,
    ModelInput,
    ModelOutputs,
    NumericReference,
    ReferenceProfile,
    ReferenceWindow,
)
from schemas.normal_scores import fine_scores, products
from schemas.reference import Reference, bins_of, count, counts_of, describe, describe_numbers
from services.monitoring.artifacts import Artifact, artifact_of
from services.monitoring.book import Window
from services.monitoring.channels import PRODUCTS
from services.monitoring.checkpoints import Checkpoint
from services.monitoring.history import Histories
from services.monitoring.judgement import SUMMARY, Case, judge, remembered
from services.monitoring.knowledge import Watched
from services.monitoring.latency import histogram
from services.monitoring.observations import observations
from services.monitoring.standing import Standing, Standings
from services.monitoring.tallies import Tally
from services.monitoring.verdicts import performance
from services.monitoring.windows import micros, moment, policy_of

START: Final = datetime(2024, 1, 1, tzinfo=UTC)
EVERY: Final = timedelta(hours=1)
SEVERITIES: Final[tuple[Severity, ...]] = ("page", "warn", "inform")
NAMES: Final = [*(f"n{place}" for place in range(NUMERIC)), *("c0", "c1", "c2")]
MODEL: Final = Model.model_validate(
    {
        "kind": "Model",
        "metadata": {"name": "bench", "owner": "bench", "description": "Made up."},
        "spec": {
            "featureSet": "bench@1",
            "target": {"name": "y", "type": "binary"},
            "monitoring": {"window": {"every": "1h"}, "falseAlarms": {"page": 365, "warn": 90, "inform": 30}},
        },
    }
)
WATCHED: Final = Watched(MODEL, policy_of(MODEL), (), {})


def columns(rows: Rows) -> dict[str, Any]:
    """Values by feature name, as a reference counts them."""
    names = np.array([*CATEGORIES, "new"], dtype=object)
    found: dict[str, Any] = {f"n{place}": rows.numbers[:, place] for place in range(NUMERIC)}
    return found | {f"c{place}": names[rows.codes[:, place]].tolist() for place in range(rows.codes.shape[1])}


def artifact(stream: Stream, windows: int) -> Artifact:
    """What is known of a model that was trained on so many ``windows`` of 1000 rows of ``stream``."""
    return artifact_from([stream.window() for _ in range(windows)])


def artifact_from(parts: Sequence[Rows]) -> Artifact:
    """What is known of a model that was trained on ``parts``, one window each."""
    together = columns(
        Rows(np.concatenate([part.numbers for part in parts]), np.concatenate([part.codes for part in parts]))
    )
    described: dict[str, Reference] = {}
    for name, values in together.items():
        if name.startswith("n"):
            described[name] = describe_numbers(values)
        else:
            described[name] = describe(Feature(name=name, dtype=Dtype.CATEGORY, categories=CATEGORIES), values)
    return artifact_of(candidate_of(described, [columns(part) for part in parts], [part.scores for part in parts]))


def candidate_of(
    described: Mapping[str, Reference], parts: Sequence[Mapping[str, Any]], scores: Sequence[Floats] = ()
) -> Candidate:
    """A candidate as training publishes it; ``parts``: the training rows of each window by feature, ``scores`` what it says of them."""
    numbers = {name: item for name, item in described.items() if isinstance(item, NumericReference)}
    fine = [fine_scores(counts_of(item)) for item in numbers.values()]
    said = np.concatenate(scores) if scores else np.empty(0)
    prediction = describe_numbers(said) if len(said) else None
    seen = [
        ReferenceWindow(
            start=START + (place - len(parts)) * EVERY,
            rows=len(next(iter(part.values()))),
            features={name: tuple(count(item, part[name]).tolist()) for name, item in described.items()},
            products=tuple(products(fine, [bins_of(item, part[name]) for name, item in numbers.items()]).tolist()),
            prediction=() if prediction is None else tuple(count(prediction, scores[place]).tolist()),
        )
        for place, part in enumerate(parts)
    ]
    return Candidate(
        candidate_id="bench",
        model="bench",
        digest="ab" * 32,
        size=1,
        feature_set="bench@1",
        definition_version="1.0.0",
        target_type=TargetType.BINARY,
        inputs=(ModelInput(name="n", kind="numeric", features=tuple(numbers)),),
        outputs=ModelOutputs(label="label", probabilities="probabilities"),
        classes=(False, True),
        reference=ReferenceProfile(
            rows=sum(window.rows for window in seen),
            features=dict(described),
            windows=tuple(seen),
            prediction=prediction,
        ),
        lineage=Lineage(source="trained"),
        created_at=START,
    )


def profile(rows: Rows, known: Artifact) -> Tally:
    """What stage 1 counts of ``rows``: bins, products of scores, and what there is of predictions and latencies."""
    tally = Tally()
    tally.add("rows", len(rows.numbers))
    codes = []
    for place in range(NUMERIC):
        binning = known.features[f"n{place}"]
        found = binning.codes(rows.numbers[:, place])  # type: ignore[arg-type] - an array is what it makes of a list
        codes.append(found)
        tally.count(f"feature:n{place}", np.bincount(found, minlength=binning.width))
    for place in range(rows.codes.shape[1]):
        held = rows.codes[:, place]
        shifted = np.where(held == UNSEEN, UNSEEN + 1, held)  # missing comes before unseen
        tally.count(f"feature:c{place}", np.bincount(shifted, minlength=len(CATEGORIES) + 2))
    tally.count(PRODUCTS, products(list(known.correlated.values()), np.stack(codes)))
    if known.prediction is not None and len(rows.scores):
        found = known.prediction.codes(rows.scores)  # type: ignore[arg-type] - as above
        tally.count("prediction", np.bincount(found, minlength=known.prediction.width))
    if len(rows.milliseconds):
        tally.count("latency:e2e", histogram(rows.milliseconds))
    return tally


class Monitor:
    """One model's windows, in turn."""

    def __init__(self, known: Artifact, name: str = "bench") -> None:
        """``name``: whose windows they are; ties among ranks are broken by it, so streams that shall not share their luck need their own."""
        self._known = known
        self._name = name
        self._checkpoint = Checkpoint(0, "verdicts")
        self._histories = Histories(self._checkpoint)
        self._standings = Standings(self._checkpoint)
        self._windows = 0
        self.seconds = 0.0

    def judge(self, tally: Tally) -> dict[str, list[str]]:
        """Alarms of the next window: severity to the channels named, what is broken first."""
        begun = time.process_time()
        case, standing, rows = self._judged(tally)
        self._standings.add(case.window, standing)
        self._histories.add(case.window, remembered(case, rows, standing))
        self._windows += 1
        self.seconds += time.process_time() - begun
        return _alarms(case, rows)

    def would_say(self, tally: Tally) -> dict[str, list[str]]:
        """As `judge`, of a window that did not happen: nothing is remembered of it."""
        case, _, rows = self._judged(tally)
        return _alarms(case, rows)

    def _judged(self, tally: Tally) -> tuple[Case, Standing, list[ChannelResult]]:
        window = Window(self._name, 1, "champion", "performance", micros(START + self._windows * EVERY))
        case = Case(window, tally, WATCHED, self._known, self._histories.of(window))
        standing = self._standings.before(window)
        measured = performance(tally, EVERY.total_seconds(), WATCHED, self._known, case.history, None)
        return case, standing, judge(case, measured, standing)

    def state_bytes(self) -> int:
        """Size of everything that is kept of the series in the checkpoint."""
        return sum(len(item.key) + len(item.value or b"") for item in self._checkpoint.changes())


def _alarms(case: Case, rows: Sequence[ChannelResult]) -> dict[str, list[str]]:
    start = moment(case.window.start)
    closed = ClosedWindow(
        model="bench",
        version=1,
        route="champion",
        lane="performance",
        window=WindowBounds(start=start, end=start + EVERY),
        rows=case.rows,
        channels=tuple(rows),
        closed_at=start + EVERY,
    )
    alarms: dict[str, list[str]] = {}
    for seen in observations(closed):
        named = [row.channel for row in seen.channels if not row.channel.startswith(SUMMARY)]
        if seen.channels:
            alarms.setdefault(seen.severity, []).extend(named)
    return alarms
