"""A whole run from stored records to a candidate, in this process."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_scene import CITIES, end, feature_set, filled, job, model, stream

from schemas.definitions import Model
from schemas.events.contract import decode
from schemas.events.training import Candidate
from schemas.groups import SMALLEST_GROUP
from schemas.model_inputs import assemble
from services.training import dataset_files
from services.training.errors import RunError
from services.training.inputs import published_groups
from services.training.job import Completed, Job, Materialised, Progressed, Report
from services.training.run import execute
from services.training.scoring import Scorer
from shared.clock import SystemClock


def trained(job_: Job) -> tuple[Candidate, bytes, list[Report]]:
    said: list[Report] = []
    outcome = execute(job_, said.append, SystemClock())
    candidate = decode(Candidate, job_.candidate_path.read_bytes())
    assert outcome == Completed(candidate.digest)
    return candidate, job_.artifact_path.read_bytes(), said


def ran(root: Path, definition: Model, **changes: Any) -> tuple[Candidate, bytes, list[Report]]:
    store = filled(root, list(stream(definition.spec.target.type.value)))
    return trained(job(root, store, definition, end(), **changes))


@pytest.fixture
def binary() -> Model:
    return model(parameters={"max_iter": 20}, monitoring={"groups": ["city"]})


def test_a_run_ends_in_a_candidate_that_is_better_than_a_constant(tmp_path: Path, binary: Model) -> None:
    candidate, artifact, said = ran(tmp_path, binary)
    metrics = {name: value for name, value in candidate.metrics.items() if value is not None}
    assert metrics["roc_auc"] > 0.7
    assert metrics["log_loss"] < metrics["baseline_log_loss"]
    assert metrics["skill"] > 0
    assert metrics["onnx_mismatch_share"] <= 0.001
    assert metrics["onnx_bytes"] == len(artifact) == candidate.size
    assert metrics["onnx_latency_ms"] > 0
    assert candidate.classes == (False, True)
    assert [type(value) for value in candidate.classes] == [bool, bool]
    shares = [report.share for report in said if isinstance(report, Progressed)]
    assert all(before <= after for before, after in pairwise(shares))
    assert any(isinstance(report, Materialised) for report in said)


def test_the_golden_rows_include_gaps_and_score_without_nan(tmp_path: Path, binary: Model) -> None:
    candidate, artifact, _ = ran(tmp_path, binary)
    assert 10 <= len(candidate.golden) <= 20
    assert any(row["heat"] is None for row in candidate.golden)
    assert any(row["heat"] is None and row["city"] is None for row in candidate.golden)
    scores = Scorer(artifact)(assemble(candidate.inputs, feature_set(), candidate.golden))
    assert np.isfinite(scores).all()
    assert all("note" not in row for row in candidate.golden)


def test_the_reference_covers_the_fitted_rows_and_the_quality_the_later_test_rows(
    tmp_path: Path, binary: Model
) -> None:
    candidate, _, _ = ran(tmp_path, binary)
    reference, dataset = candidate.reference, candidate.lineage.dataset
    assert reference is not None
    assert dataset is not None
    assert reference.rows == dataset.train_rows + dataset.validation_rows == 320
    assert sum(reference.labels.values()) == dataset.test_rows == 80
    assert set(reference.labels) == {"false", "true"}
    assert sum(reference.features["load"].counts) == 320  # type: ignore[arg-type]
    assert reference.features["city"].counts.keys() == set(CITIES)  # type: ignore[union-attr]
    assert reference.features["city"].unseen > 0  # type: ignore[union-attr]
    assert reference.prediction is not None
    assert sum(reference.prediction.counts) == 80
    assert reference.quality["roc_auc"] == candidate.metrics["roc_auc"]
    given = {name: sum(counts) for name, counts in reference.probabilities.items()}
    assert given["chosen"] + given["other"] == 80
    assert given["chosen:hit"] + given["other:hit"] == reference.labels["true"]


def test_the_reference_is_also_given_by_windows_and_their_counts_are_those_of_their_rows(tmp_path: Path) -> None:
    definition = model(
        parameters={"max_iter": 20}, monitoring={"window": {"every": "12h"}}, dataset={"split": {"test": 0.5}}
    )
    candidate, _, _ = ran(tmp_path, definition)
    reference = candidate.reference
    assert reference is not None
    assert len(reference.windows) > 3
    starts = [window.start for window in reference.windows]
    assert {after - before for before, after in pairwise(starts)} == {timedelta(hours=12)}
    for window in reference.windows:
        assert window.start.hour % 12 == 0
        assert all(sum(counts) == window.rows for counts in window.features.values())
        assert len(window.products) == 4, "load, heat and hour: three pairs, and the rows"
        assert window.products[-1] == window.rows
    tested = [window for window in reference.windows if window.prediction]
    assert 0 < len(tested) < len(reference.windows)
    assert all(sum(window.prediction) == window.rows and window.quality["log_loss"] for window in tested)


def test_fairness_is_measured_by_the_features_of_monitors_and_gates(tmp_path: Path) -> None:
    gates = [{"metric": "demographic_parity_gap", "group": "night", "max": 0.9}]
    definition = model(
        parameters={"max_iter": 20}, monitoring={"groups": ["city"]}, gates=gates, dataset={"split": {"test": 0.5}}
    )
    candidate, _, _ = ran(tmp_path, definition)
    assert set(candidate.group_metrics) == {"city", "night"}
    gap = candidate.group_metrics["night"]["demographic_parity_gap"]
    assert gap is not None
    assert 0 <= gap <= 1


def test_the_groups_that_monitoring_compares_with_are_published_whole_and_by_window(tmp_path: Path) -> None:
    gates = [{"metric": "demographic_parity_gap", "group": "night", "max": 0.9}]
    definition = model(
        parameters={"max_iter": 20},
        monitoring={"groups": ["city"], "window": {"every": "12h"}},
        gates=gates,
        dataset={"split": {"test": 0.5}},
    )
    reference = ran(tmp_path, definition)[0].reference
    assert reference is not None
    assert set(reference.groups) == {"city", "night"}
    city, night = reference.groups["city"], reference.groups["night"]
    assert set(city.counts) <= set(CITIES)
    assert list(city.counts.values()) == sorted(city.counts.values(), reverse=True)
    assert city.unseen > 0
    assert city.missing > 0
    assert set(night.counts) == {"true", "false"}
    for group in (city, night):
        assert sum(group.counts.values()) + group.missing + group.unseen == reference.rows
        assert all(count >= SMALLEST_GROUP for count in group.counts.values())
    assert reference.windows
    for window in reference.windows:
        assert {name: len(counts) for name, counts in window.groups.items()} == {
            "city": len(city.counts) + 2,
            "night": 4,
        }
        assert all(sum(counts) == window.rows for counts in window.groups.values())


def test_personal_text_and_numbers_are_no_names_of_published_groups() -> None:
    plain, definition = feature_set(), model(monitoring={"groups": ["note", "city", "night", "load"]})
    assert published_groups(definition, plain) == ("note", "city", "night")
    features = [
        each.model_copy(update={"sensitivity": "personal"}) if each.name == "note" else each
        for each in plain.spec.features
    ]
    personal = plain.model_copy(update={"spec": plain.spec.model_copy(update={"features": tuple(features)})})
    assert published_groups(definition, personal) == ("city", "night")


def test_lineage_names_data_set_environment_and_request(tmp_path: Path, binary: Model) -> None:
    candidate, _, _ = ran(tmp_path, binary)
    lineage = candidate.lineage
    assert lineage.run_id == "run1"
    assert lineage.request_id == "request1"
    assert lineage.environment["scikit-learn"]
    assert lineage.dataset is not None
    assert lineage.dataset.offsets["events.validated"] == {"0": (0, 199), "1": (0, 199)}


@pytest.mark.parametrize(
    ("kind", "estimator", "metric"),
    [
        ("multiclass", "RandomForestClassifier", "f1_macro"),
        ("regression", "Ridge", "r2"),
        ("binary", "MLPClassifier", "roc_auc"),
    ],
)
def test_every_kind_of_target_is_learned(tmp_path: Path, kind: str, estimator: str, metric: str) -> None:
    small = {"n_estimators": 15} if "Forest" in estimator else {"max_iter": 60}
    candidate, _, _ = ran(tmp_path, model(kind, estimator, parameters=small))
    found = candidate.metrics[metric]
    assert found is not None
    assert found > 0.4
    assert (
        candidate.classes == {"multiclass": ("high", "low", "middle"), "regression": (), "binary": (False, True)}[kind]
    )
    assert (candidate.outputs.value is not None) == (kind == "regression")
    assert candidate.reference is not None
    given = {name: sum(counts) for name, counts in candidate.reference.probabilities.items()}
    if kind == "multiclass":  # a case for each class of each row, one of which was chosen and one of which happened
        rows = sum(candidate.reference.labels.values())
        assert (given["chosen"], given["other"], given["chosen:hit"] + given["other:hit"]) == (rows, 2 * rows, rows)
        assert given["chosen:hit"] / rows == pytest.approx(candidate.metrics["accuracy"])
    assert bool(given) == (kind != "regression")


def test_the_same_data_set_and_seed_give_the_same_artifact_whatever_the_run(tmp_path: Path) -> None:
    definition = model(estimator="RandomForestClassifier", parameters={"n_estimators": 10})
    first, artifact, _ = ran(tmp_path / "a", definition)
    second, repeated, _ = ran(tmp_path / "b", definition, run_id="run2", request_id="request2")
    assert artifact == repeated
    assert first.digest == second.digest
    assert first.reference == second.reference
    assert first.golden == second.golden


def test_the_search_chooses_on_the_validation_block(tmp_path: Path) -> None:
    recipe = {
        "estimator": "HistGradientBoostingClassifier",
        "parameters": {},
        "search": {"max_iter": [1, 25], "max_depth": [1, 3]},
    }
    _, _, said = ran(tmp_path, model(recipe=recipe))
    tried = [
        report for report in said if isinstance(report, Progressed) and report.stage == "searching" and report.metrics
    ]
    assert len(tried) == 4
    assert len({report.metrics["roc_auc"] for report in tried}) > 1


def test_a_data_set_is_verified_against_its_manifest_and_an_altered_one_is_found(tmp_path: Path, binary: Model) -> None:
    candidate, _, _ = ran(tmp_path, binary)
    assert candidate.lineage.dataset is not None
    manifest = tmp_path / "datasets" / "meters-binary" / f"{candidate.lineage.dataset.version}.json"
    assert dataset_files.verify(manifest) == candidate.lineage.dataset.version
    parquet = manifest.with_suffix(".parquet")
    parquet.write_bytes(parquet.read_bytes().replace(b"ulm", b"ULM"))
    with pytest.raises((RunError, OSError)):
        dataset_files.verify(manifest)


def cases() -> Iterator[Any]:
    early = end() - timedelta(hours=399)
    yield pytest.param(
        {}, early, "too_few_rows", r"\d+ of \d+ events of meters@1 before .* at least 50", id="too early"
    )
    yield pytest.param({"features": ["load", "note"]}, None, "unusable_feature", "note is free text", id="text")
    yield pytest.param(
        {"features": ["load", "volume"]}, None, "unknown_feature", r"features\[1\]: volume", id="unknown"
    )
    yield pytest.param({"recipe": {"estimator": "Prophet"}}, None, "unknown_estimator", "Prophet", id="estimator")


@pytest.mark.parametrize(("spec", "as_of", "code", "said"), list(cases()))
def test_a_run_that_cannot_succeed_says_what_to_do(
    tmp_path: Path, spec: dict[str, Any], as_of: Any, code: str, said: str
) -> None:
    store = filled(tmp_path, list(stream("binary")))
    with pytest.raises(RunError, match=said) as error:
        execute(job(tmp_path, store, model(**spec), as_of or end()), lambda _: None, SystemClock())
    assert error.value.code == code
