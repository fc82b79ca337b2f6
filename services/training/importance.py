"""How much a model's loss on its test rows hangs on each feature: permutation importance (Breiman 2001), of the artifact itself.

Monitoring weighs changes of features by it. It says what the model uses, not what causes the outcome; of two features that say the
same each looks less important than both are.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.definitions import TargetType
from schemas.events.training import ModelInput
from services.training.evaluation import SMALLEST_PROBABILITY

Arrays = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]
Score = Callable[[Arrays], Floats]

REPEATS: Final = 3  # permutations of each feature
MOST_ROWS: Final = 2000
MOST_CELLS: Final = 100_000  # rows times features: each costs `REPEATS` scored rows, of a large forest 150 µs each
LEAST_ROWS: Final = 50
CERTAIN: Final = 3.0  # standard errors over rows that a rise must exceed: what chance alone shows is no importance
DECIMALS: Final = 4


def importances(
    score: Score,
    inputs: Sequence[ModelInput],
    arrays: Arrays,
    truth: npt.NDArray[Any],
    target: TargetType,
    seed: int,
) -> dict[str, float]:
    """The share of each feature of ``inputs`` in the rise of the loss when its column is permuted; shares sum to 1.

    ``arrays``: the test rows by input, [rows, features] or [rows]; ``truth`` [rows]: class positions or values. The loss is log loss,
    of regressions the mean square. A feature without which nothing is certainly worse has 0. Empty where there are too few rows, no
    feature matters, or the loss has no bound (a regression that a permuted row sends to infinity).
    """
    places = _spread(len(truth), sum(len(entry.features) for entry in inputs))
    if len(places) < LEAST_ROWS:
        return {}
    held, known = {name: array[places] for name, array in arrays.items()}, truth[places]
    random, rises = np.random.default_rng(seed), {}
    with np.errstate(over="ignore", invalid="ignore"):  # a loss without bound
        before = _losses(target, known, score(held))
        for entry in inputs:
            for column, feature in enumerate(entry.features):
                after = [_losses(target, known, score(_permuted(held, entry, column, random))) for _ in range(REPEATS)]
                rises[feature] = _rise(np.mean(after, axis=0) - before)
    total = math.fsum(rises.values())
    if not (math.isfinite(total) and total > 0):
        return {}
    return {name: round(rise / total, DECIMALS) for name, rise in rises.items()}


def _spread(rows: int, features: int) -> npt.NDArray[np.int64]:
    """Places of rows, evenly over all of them, so that every time of the test block takes part."""
    most = min(rows, MOST_ROWS, MOST_CELLS // max(features, 1))
    return np.unique(np.linspace(0, max(rows - 1, 0), most).astype(np.int64))


def _permuted(arrays: Arrays, entry: ModelInput, column: int, random: np.random.Generator) -> Arrays:
    changed = arrays[entry.name].copy()
    where = changed if changed.ndim == 1 else changed[:, column]
    where[:] = random.permutation(where)
    return {**arrays, entry.name: changed}


def _losses(target: TargetType, truth: npt.NDArray[Any], predicted: Floats) -> Floats:
    """[rows]; of a class that the model does not know as of one that it gave no chance."""
    if target is TargetType.REGRESSION:
        return np.asarray((predicted - truth) ** 2, np.float64)
    classes = truth.astype(np.int64)
    given = np.where(classes >= 0, predicted[np.arange(len(classes)), np.maximum(classes, 0)], 0.0)
    return np.asarray(-np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0)), np.float64)


def _rise(differences: Floats) -> float:
    """The mean of ``differences`` [rows]; 0 unless it is certainly above 0; infinite or NaN where a loss was."""
    mean = float(differences.mean())
    if not math.isfinite(mean):
        return mean
    error = float(differences.std()) / math.sqrt(len(differences))
    return mean if mean > CERTAIN * error else 0.0
