"""Learning: choose the parameters on the validation block, then fit on everything before the test block."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.definitions import TargetType
from services.training.errors import RunError
from services.training.evaluation import LOWER_IS_BETTER, SEARCHED, evaluate
from services.training.preparation import Preparation, learn
from services.training.recipes import Estimator, build
from services.training.split import Blocks

Arrays = Mapping[str, npt.NDArray[Any]]
OnTried = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """An estimator with its preparation, and the parameters that won."""

    estimator: Any
    preparation: Preparation
    parameters: dict[str, Any]

    def predict(self, arrays: Arrays) -> npt.NDArray[np.float64]:
        """What scikit-learn says: probabilities [N, classes] or values [N]."""
        prepared = self.preparation.apply(arrays)
        answer = (
            self.estimator.predict_proba(prepared)
            if hasattr(self.estimator, "predict_proba")
            else self.estimator.predict(prepared)
        )
        return np.asarray(answer, np.float64)


def fit(entry: Estimator, parameters: Mapping[str, Any], arrays: Arrays, truth: npt.NDArray[Any], seed: int) -> Fitted:
    """Fit on all rows given. Raises `RunError`: ``bad_parameter``, ``fit_failed``."""
    preparation = learn(arrays, impute=entry.impute, standardise=entry.standardise)
    estimator = build(entry, parameters, seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converging shows in the metrics
            estimator.fit(preparation.apply(arrays), truth)
    except (ValueError, TypeError, ArithmeticError) as error:
        from sklearn.utils._param_validation import InvalidParameterError  # noqa: PLC0415 - sklearn loads with the estimator

        if isinstance(error, InvalidParameterError):
            raise RunError("bad_parameter", f"spec.recipe.parameters: {error}") from error
        raise RunError("fit_failed", f"{entry.name} could not learn from these rows: {error}") from error
    return Fitted(estimator, preparation, dict(parameters))


def search(  # noqa: PLR0913 - what a search is made of
    entry: Estimator,
    candidates: Sequence[Mapping[str, Any]],
    arrays: Arrays,
    truth: npt.NDArray[Any],
    blocks: Blocks,
    *,
    target: TargetType,
    classes: int,
    seed: int,
    tried: OnTried,
) -> dict[str, Any]:
    """The parameter set that does best on the validation block; the first of equals. One candidate is not tried at all."""
    if len(candidates) == 1:
        return dict(candidates[0])
    judged, happened = cut(arrays, blocks.validation_rows), truth[blocks.validation_rows]
    metric = SEARCHED[target] if target is not TargetType.BINARY or len(np.unique(happened)) > 1 else "log_loss"
    scores: list[float] = []
    for place, parameters in enumerate(candidates):
        fitted = fit(entry, parameters, cut(arrays, blocks.train_rows), truth[blocks.train_rows], seed)
        predicted = fitted.predict(judged)
        if classes:
            predicted = _wide(predicted, fitted.estimator.classes_.astype(np.int64), classes)
        found = float(evaluate(target, happened, predicted)[metric] or 0.0)
        scores.append(-found if metric in LOWER_IS_BETTER else found)
        tried(place, {metric: found})
    return dict(candidates[int(np.argmax(scores))])


def _wide(
    probabilities: npt.NDArray[np.float64], known: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.float64]:
    """A column for every class; the train block alone may not have shown them all."""
    wide = np.zeros((len(probabilities), classes))
    wide[:, known] = probabilities
    return wide


def cut(arrays: Arrays, rows: slice) -> dict[str, npt.NDArray[Any]]:
    """The rows of every array."""
    return {name: values[rows] for name, values in arrays.items()}
