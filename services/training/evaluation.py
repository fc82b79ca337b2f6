"""How good a model is on rows that it never saw: metrics of the artifact's own outputs, and of the constant predictor.

A metric that is not defined on these rows (one class only, no spread) is None, so that its gate does not hold.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from schemas.definitions import TargetType

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
Metrics = dict[str, float | None]

CALIBRATION_BINS: Final = 10
SMALLEST_PROBABILITY: Final = 1e-15
SEARCHED: Final = {TargetType.BINARY: "roc_auc", TargetType.MULTICLASS: "log_loss", TargetType.REGRESSION: "rmse"}
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece", "rmse", "mae"})


def evaluate(target: TargetType, truth: Floats | Classes, predicted: Floats) -> Metrics:
    """The metrics of ``target``. ``truth``: class positions (-1 for a class the model does not know) or values."""
    if target is TargetType.REGRESSION:
        return _regression(truth.astype(np.float64), predicted)
    classes = truth.astype(np.int64)
    if target is TargetType.BINARY:
        return _binary(classes, predicted)
    return _multiclass(classes, predicted)


def baseline(target: TargetType, fitted: Floats | Classes, truth: Floats | Classes, classes: int) -> Metrics:
    """The same loss for a predictor that always says the fitted rows' base rate or mean, named ``baseline_…``."""
    if target is TargetType.REGRESSION:
        constant = np.full(len(truth), float(np.mean(fitted)))
        return {"baseline_rmse": _regression(truth.astype(np.float64), constant)["rmse"]}
    shares = np.bincount(fitted.astype(np.int64), minlength=classes) / len(fitted)
    return {"baseline_log_loss": log_loss(truth.astype(np.int64), np.tile(shares, (len(truth), 1)))}


def skill(found: Metrics, constant: Metrics) -> float | None:
    """1 - loss / loss of the constant predictor: 0 is no better than a constant, 1 is perfect."""
    for name, bound in constant.items():
        loss = found.get(name.removeprefix("baseline_"))
        if loss is not None and bound:
            return 1.0 - loss / bound
    return None


def log_loss(truth: Classes, probabilities: Floats) -> float:
    """Mean negative logarithm of the true class's probability, floored at `SMALLEST_PROBABILITY`."""
    known = truth >= 0
    given = np.where(known, probabilities[np.arange(len(truth)), np.maximum(truth, 0)], 0.0)
    return float(-np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0)).mean())


def calibration_error(happened: Floats, scores: Floats) -> float:
    """Expected calibration error over ten equal-width bins (Guo et al. 2017): mean |observed rate - mean score|, by rows."""
    bins = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=happened - scores, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(scores))


def _binary(truth: Classes, probabilities: Floats) -> Metrics:
    score = probabilities[:, 1]
    happened = (truth == 1).astype(np.float64)
    ranked = 0.0 < happened.mean() < 1.0
    return {
        "roc_auc": float(sk.roc_auc_score(happened, score)) if ranked else None,
        "average_precision": float(sk.average_precision_score(happened, score)) if ranked else None,
        "log_loss": log_loss(truth, probabilities),
        "brier": float(np.mean((score - happened) ** 2)),
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == truth)),
        "f1": float(sk.f1_score(happened, probabilities.argmax(axis=1), zero_division=0.0)),
        "ece": calibration_error(happened, score),
        "base_rate": float(happened.mean()),
        "mean_score": float(score.mean()),
    }


def _multiclass(truth: Classes, probabilities: Floats) -> Metrics:
    chosen = probabilities.argmax(axis=1)
    right = (chosen == truth).astype(np.float64)
    return {
        "accuracy": float(right.mean()),
        "log_loss": log_loss(truth, probabilities),
        "f1_macro": float(sk.f1_score(truth, chosen, average="macro", zero_division=0.0)),
        "ece": calibration_error(right, np.clip(probabilities.max(axis=1), 0.0, 1.0)),
    }


def _regression(truth: Floats, predicted: Floats) -> Metrics:
    errors = predicted - truth
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return {
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "mae": float(np.mean(np.abs(errors))),
        "r2": 1.0 - float(np.sum(errors**2)) / spread if spread else None,
        "bias": float(errors.mean()),
    }
