"""How much a model's loss on its test rows hangs on each feature: permutation importance (Breiman 2001), of the artifact itself.

Monitoring weighs changes of features by it. It says what the model uses, not what causes the outcome; of two features that say the
same each looks less important than both are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.definitions import TargetType
from schemas.events.training import ModelInput
from services.training.evaluation import log_loss

Arrays = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]

REPEATS: Final = 3  # permutations of each feature
MOST_ROWS: Final = 2000
MOST_CELLS: Final = 400_000  # rows times features: each costs `REPEATS` scored rows
LEAST_ROWS: Final = 50
DECIMALS: Final = 4


def importances(
    score: Callable[[Arrays], Floats],
    inputs: Sequence[ModelInput],
    arrays: Arrays,
    truth: npt.NDArray[Any],
    target: TargetType,
    seed: int,
) -> dict[str, float]:
    """The share of each feature of ``inputs`` in the rise of the loss when its column is permuted; shares sum to 1.

    ``arrays``: the test rows by input, [rows, features] or [rows]; ``truth`` [rows]: class positions or values. The loss is log loss,
    of regressions the mean square. A feature without which nothing is worse has 0. Empty where there are too few rows, or no
    feature matters.
    """
    places = _spread(len(truth), sum(len(entry.features) for entry in inputs))
    if len(places) < LEAST_ROWS:
        return {}
    held, known = {name: array[places] for name, array in arrays.items()}, truth[places]
    random, before = np.random.default_rng(seed), _loss(target, known, score(held))
    rises = {
        feature: float(
            np.mean(
                [_loss(target, known, score(_permuted(held, entry, column, random))) - before for _ in range(REPEATS)]
            )
        )
        for entry in inputs
        for column, feature in enumerate(entry.features)
    }
    total = sum(max(rise, 0.0) for rise in rises.values())
    return {name: round(max(rise, 0.0) / total, DECIMALS) for name, rise in rises.items()} if total > 0 else {}


def _spread(rows: int, features: int) -> npt.NDArray[np.int64]:
    """Places of rows, evenly over all of them, so that every time of the test block takes part."""
    most = min(rows, MOST_ROWS, MOST_CELLS // max(features, 1))
    return np.unique(np.linspace(0, max(rows - 1, 0), most).astype(np.int64))


def _permuted(arrays: Arrays, entry: ModelInput, column: int, random: np.random.Generator) -> Arrays:
    changed = arrays[entry.name].copy()
    where = changed if changed.ndim == 1 else changed[:, column]
    where[:] = random.permutation(where)
    return {**arrays, entry.name: changed}


def _loss(target: TargetType, truth: npt.NDArray[Any], predicted: Floats) -> float:
    if target is TargetType.REGRESSION:
        return float(np.mean((predicted - truth) ** 2))
    return log_loss(truth.astype(np.int64), predicted)
