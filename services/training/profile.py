"""What travels with a candidate for others to compare with: reference distributions and golden rows."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.definitions import FeatureSet, TargetType
from schemas.events.training import ModelInput, ReferenceProfile
from schemas.groups import describe_groups
from schemas.probability_bins import count_cases
from schemas.reference import describe, describe_numbers, name_of
from services.training.dataset import Dataset
from services.training.reference_windows import Windows

GOLDEN_ROWS: Final = 20


def reference(
    dataset: Dataset,
    feature_set: FeatureSet,
    inputs: Sequence[ModelInput],
    target: TargetType,
    predicted: npt.NDArray[np.float64],
    quality: dict[str, float | None],
    cut: Windows | None,
    grouping: Sequence[str] = (),
) -> ReferenceProfile:
    """Features and the groups of those ``grouping`` over the rows the model learned from; prediction, labels and quality over the test rows, which come later.

    The blocks are kept apart in time: a reference taken at random from all rows would promise a quality that no model keeps.
    """
    learned = dataset.blocks.fitted_rows
    names = [name for entry in inputs for name in entry.features]
    columns = dataset.table.slice(learned.start, learned.stop - learned.start)
    described = {name: describe(feature_set.feature(name), columns.column(name).to_pylist()) for name in names}
    groups = {name: describe_groups(columns.column(name).to_pylist()) for name in grouping}
    labels: dict[str, int] = {}
    if target is not TargetType.REGRESSION:
        for value in dataset.labels(dataset.blocks.test_rows):
            name = name_of(value) or ""
            labels[name] = labels.get(name, 0) + 1
    watched = prediction_of(target, predicted)
    prediction = describe_numbers(watched)
    return ReferenceProfile(
        rows=learned.stop - learned.start,
        features=described,
        prediction=prediction,
        labels=dict(sorted(labels.items())),
        quality=quality,
        groups=groups,
        windows=() if cut is None else cut.described(dataset, described, prediction, watched, groups),
    )


def prediction_of(target: TargetType, predicted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The one number per row that is watched: the value, the positive class's probability, or the largest probability."""
    if target is TargetType.REGRESSION:
        return predicted
    return predicted[:, 1] if target is TargetType.BINARY else predicted.max(axis=1)


def probabilities(
    target: TargetType, predicted: npt.NDArray[np.float64], truth: npt.NDArray[Any]
) -> dict[str, tuple[int, ...]]:
    """How often what a classifier gave a probability happened in the test rows, as `schemas.probability_bins.count_cases`.

    ``predicted`` [rows, classes]; ``truth`` [rows]: positions of classes, -1 for one that the model does not know. Nothing of regressions.
    """
    if target is TargetType.REGRESSION:
        return {}
    classes = np.arange(predicted.shape[1])
    chosen, happened = predicted.argmax(axis=1)[:, None] == classes, truth[:, None] == classes
    if target is TargetType.BINARY:  # the positive class says it all
        predicted, chosen, happened = predicted[:, 1:], chosen[:, 1:], happened[:, 1:]
    return {name: tuple(counts.tolist()) for name, counts in count_cases(predicted, chosen, happened).items()}


def golden(
    rows: Sequence[dict[str, Any]], feature_set: FeatureSet, inputs: Sequence[ModelInput]
) -> tuple[dict[str, Any], ...]:
    """Up to `GOLDEN_ROWS` rows for the registry's probe: spread over the test block, rows with missing values first.

    The last one has every nullable feature missing, whether or not that ever happened.
    """
    if not rows:
        return ()
    spread = [rows[int(i)] for i in np.unique(np.linspace(0, len(rows) - 1, GOLDEN_ROWS - 6).astype(int))]
    gaps = [row for row in rows if None in row.values()][:5]
    names = [name for entry in inputs for name in entry.features]
    empty = {name: None if feature_set.feature(name).nullable else rows[0][name] for name in names}
    chosen: list[dict[str, Any]] = []
    for row in (*gaps, *spread, empty):
        if row not in chosen:
            chosen.append(row)
    return tuple(chosen)
