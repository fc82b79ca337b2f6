"""One training run from segments to candidate, as one function that reads from top to bottom. Runs in the worker process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.definitions import FeatureSet, Model, TargetType
from schemas.events.contract import encode
from schemas.events.training import Candidate, Lineage, ModelInput
from schemas.identities import artifact_digest, candidate_id
from schemas.model_inputs import assemble
from services.training import dataset_files, evaluation, lineage, parity, profile, recipes, targets
from services.training.dataset import Dataset, build
from services.training.durable import write_durably
from services.training.errors import RunError
from services.training.fairness import group_metrics
from services.training.fitting import Fitted, cut, fit, search
from services.training.graph import outputs_of, to_onnx
from services.training.importance import importances
from services.training.inputs import check_exact, grouping_features, inputs_of, published_groups
from services.training.job import Completed, Job, Materialised, Progressed, Report
from services.training.reference_windows import windows_of
from services.training.scoring import Scorer
from services.training.selection import select
from shared.clock import Clock

Tell = Callable[[Report], None]
LATENCY_ROWS = 500


@dataclass(frozen=True, slots=True)
class Subject:
    """What is learned: the data set, its arrays in the one encoding, and the labels as the estimator takes them."""

    model: Model
    feature_set: FeatureSet
    dataset: Dataset
    inputs: tuple[ModelInput, ...]
    arrays: Mapping[str, npt.NDArray[Any]]
    truth: npt.NDArray[Any]
    classes: tuple[targets.Class, ...]

    @property
    def target(self) -> TargetType:
        """The kind of value that is predicted."""
        return self.model.spec.target.type


def execute(job: Job, tell: Tell, clock: Clock) -> Completed:
    """Do the run, leave artifact and candidate in ``job.output_dir``. Raises `RunError` where no candidate can come of it."""
    model, feature_set = job.model_definition, job.feature_set_definition
    recipe = model.spec.recipe
    if recipe is None:
        raise RunError("no_recipe", f"{model.metadata.name} has no spec.recipe: it can only be imported.")
    entry = recipes.find(recipe, model.spec.target.type)
    candidates = recipes.grid(recipe, job.overrides)
    for parameters in candidates:  # refuse before anything is computed
        recipes.build(entry, parameters, model.spec.dataset.seed)
    tell(Progressed("selecting", 0.0))
    subject = _subject(job, model, feature_set)
    dataset_files.materialize(subject.dataset, model.metadata.name, Path(job.data_dir))
    tell(Materialised(subject.dataset.version.model_dump(mode="json")))
    fitted = _fit(subject, entry, candidates, tell)
    tell(Progressed("converting", 0.75))
    artifact = to_onnx(fitted.estimator, fitted.preparation, subject.inputs, subject.target)
    tell(Progressed("evaluating", 0.85))
    candidate = _candidate(job, subject, fitted, artifact, clock)
    output = Path(job.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    write_durably(job.artifact_path, lambda place: place.write_bytes(artifact))
    write_durably(job.candidate_path, lambda place: place.write_bytes(encode(candidate)))
    return Completed(candidate.digest)


def _subject(job: Job, model: Model, feature_set: FeatureSet) -> Subject:
    start = job.as_of - model.spec.dataset.window
    selection = select([Path(p) for p in job.events], [Path(p) for p in job.labels], start=start, as_of=job.as_of)
    dataset = build(selection, model, feature_set, job.as_of)
    inputs = inputs_of(model, feature_set)
    names = tuple(name for entry in inputs for name in entry.features)
    everything = slice(0, dataset.blocks.rows)
    arrays = assemble(inputs, feature_set, dataset.rows(names, everything))
    check_exact(inputs, feature_set, arrays)
    classes = targets.classes_of(dataset.labels(dataset.blocks.fitted_rows), model.spec.target.type)
    truth = targets.encoded(dataset.labels(everything), classes)
    return Subject(model, feature_set, dataset, inputs, arrays, truth, classes)


def _fit(subject: Subject, entry: recipes.Estimator, candidates: list[dict[str, Any]], tell: Tell) -> Fitted:
    blocks, seed = subject.dataset.blocks, subject.model.spec.dataset.seed

    def tried(place: int, metrics: dict[str, float]) -> None:
        tell(Progressed("searching", 0.1 + 0.4 * (place + 1) / len(candidates), metrics))

    tell(Progressed("fitting" if len(candidates) == 1 else "searching", 0.1))
    chosen = search(
        entry,
        candidates,
        subject.arrays,
        subject.truth,
        blocks,
        target=subject.target,
        classes=len(subject.classes),
        seed=seed,
        tried=tried,
    )
    tell(Progressed("fitting", 0.5))
    return fit(entry, chosen, cut(subject.arrays, blocks.fitted_rows), subject.truth[blocks.fitted_rows], seed)


def _candidate(job: Job, subject: Subject, fitted: Fitted, artifact: bytes, clock: Clock) -> Candidate:
    blocks = subject.dataset.blocks
    held_out = cut(subject.arrays, slice(blocks.train, blocks.rows))
    scorer = Scorer(artifact)
    scored = scorer(held_out)
    share = parity.mismatch_share(fitted.predict(held_out), scored)
    parity.prove(share, type(fitted.estimator).__name__)
    predicted = scored[blocks.validation - blocks.train :]
    metrics = _metrics(subject, predicted)
    metrics["onnx_mismatch_share"] = share
    metrics["onnx_bytes"] = float(len(artifact))
    quality = dict(metrics)  # what a repetition gives again; latency is the machine's
    metrics["onnx_latency_ms"] = scorer.latency(held_out, 1)
    metrics["onnx_batch_latency_ms"] = scorer.latency(held_out, min(LATENCY_ROWS, len(scored)))
    truth = subject.truth[blocks.test_rows]
    given = profile.probabilities(subject.target, predicted, truth)
    tested = cut(subject.arrays, blocks.test_rows)
    weights = importances(scorer, subject.inputs, tested, truth, subject.target, subject.model.spec.dataset.seed)
    groups = grouping_features(subject.model, subject.feature_set)
    columns = {name: [row[name] for row in subject.dataset.rows((name,), blocks.test_rows)] for name in groups}
    names = tuple(name for entry in subject.inputs for name in entry.features)
    digest = artifact_digest(artifact)
    return Candidate(
        candidate_id=candidate_id(job.run_id),
        model=subject.model.metadata.name,
        digest=digest,
        size=len(artifact),
        feature_set=subject.feature_set.ref,
        definition_version=subject.feature_set.spec.version,
        target_type=subject.target,
        inputs=subject.inputs,
        outputs=outputs_of(subject.target),
        classes=subject.classes,
        metrics=metrics,
        group_metrics=group_metrics(subject.target, columns, truth, predicted),
        reference=profile.reference(
            subject.dataset,
            subject.feature_set,
            subject.inputs,
            subject.target,
            predicted,
            quality,
            windows_of(subject.model, job.as_of, lambda rows: _quality(subject, predicted, rows)),
            published_groups(subject.model, subject.feature_set),
        ).model_copy(update={"probabilities": given, "importance": weights}),
        golden=profile.golden(subject.dataset.rows(names, blocks.test_rows), subject.feature_set, subject.inputs),
        lineage=Lineage(
            source="trained",
            run_id=job.run_id,
            request_id=job.request_id,
            dataset=subject.dataset.version,
            commit=lineage.commit(),
            environment=lineage.environment(),
        ),
        created_at=clock.now(),
    )


def _quality(subject: Subject, predicted: npt.NDArray[np.float64], rows: slice) -> evaluation.Metrics:
    truth = subject.truth[subject.dataset.blocks.test_rows][rows]
    return evaluation.evaluate(subject.target, truth, predicted[rows])


def _metrics(subject: Subject, predicted: npt.NDArray[np.float64]) -> evaluation.Metrics:
    blocks = subject.dataset.blocks
    truth = subject.truth[blocks.test_rows]
    found = evaluation.evaluate(subject.target, truth, predicted)
    constant = evaluation.baseline(subject.target, subject.truth[blocks.fitted_rows], truth, len(subject.classes))
    return {**found, **constant, "skill": evaluation.skill(found, constant)}
