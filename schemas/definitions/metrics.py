"""The metrics that a gate may name, by target type, each with what it means and the values it can take.

Names only; training and the registry measure them, and their tests hold the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Final

from schemas.definitions.model import TargetType


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. No value lies outside ``low`` … ``high``, so a bound beyond them is never kept."""

    meaning: str
    low: float = 0.0
    high: float = inf


def _shared(baseline: str) -> dict[str, Metric]:
    return {
        f"baseline_{baseline}": Metric(f"{baseline} of the constant predictor, for comparison"),
        "skill": Metric("1 − loss / loss of the constant predictor: 0 is no better than a constant", -inf, 1.0),
        "onnx_mismatch_share": Metric("share of rows where the ONNX graph and the estimator differ", 0.0, 1.0),
        "onnx_bytes": Metric("size of the ONNX file, in bytes"),
        "onnx_latency_ms": Metric("p99 of scoring one row, where it was trained"),
        "onnx_batch_latency_ms": Metric("p99 of scoring up to 500 rows, where it was trained"),
        **PROBED,
    }


# Every version has these, imported ones too: the registry's probe measures them.
PROBED: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "latency_ms": Metric("median of scoring one row, in the registry's probe"),
        "size_bytes": Metric("size of the artifact, in bytes"),
    }
)
_ACCURACY: Final = Metric("share of rows whose class is predicted right", 0.0, 1.0)
_LOG_LOSS: Final = Metric("mean negative logarithm of the probability given to the true class")
_CALIBRATION: Final = Metric("expected calibration error over ten equal bins", 0.0, 1.0)

_QUALITY: Final[Mapping[TargetType, Mapping[str, Metric]]] = {
    TargetType.BINARY: {
        "roc_auc": Metric("area under the ROC curve", 0.0, 1.0),
        "average_precision": Metric("area under the precision-recall curve", 0.0, 1.0),
        "log_loss": _LOG_LOSS,
        "brier": Metric("mean squared error of the score", 0.0, 1.0),
        "accuracy": _ACCURACY,
        "f1": Metric("harmonic mean of precision and recall", 0.0, 1.0),
        "ece": _CALIBRATION,
        "base_rate": Metric("share of positives among the test rows", 0.0, 1.0),
        "mean_score": Metric("mean score of the test rows", 0.0, 1.0),
    },
    TargetType.MULTICLASS: {
        "accuracy": _ACCURACY,
        "log_loss": _LOG_LOSS,
        "f1_macro": Metric("mean of the classes' f1", 0.0, 1.0),
        "ece": _CALIBRATION,
    },
    TargetType.REGRESSION: {
        "rmse": Metric("root of the mean squared error, in the target's unit"),
        "mae": Metric("mean absolute error, in the target's unit"),
        "r2": Metric("share of the variance that is explained", -inf, 1.0),
        "bias": Metric("mean error (predicted − true), in the target's unit", -inf),
    },
}
_ACCURACY_GAP: Final = {"accuracy_gap": Metric("largest difference in accuracy", 0.0, 1.0)}
_GAPS: Final[Mapping[TargetType, Mapping[str, Metric]]] = {
    TargetType.BINARY: {
        **_ACCURACY_GAP,
        "demographic_parity_gap": Metric("largest difference in the share predicted positive", 0.0, 1.0),
        "equal_opportunity_gap": Metric("largest difference in the true-positive rate", 0.0, 1.0),
        "base_rate_gap": Metric("largest difference in the share of positives", 0.0, 1.0),
    },
    TargetType.MULTICLASS: _ACCURACY_GAP,
    TargetType.REGRESSION: {"rmse_gap": Metric("largest difference in rmse")},
}
_OF_THE_WHOLE: Final = frozenset({"base_rate", "mean_score", "bias"})  # there is no worst group of these
_BASELINE: Final = {
    TargetType.BINARY: "log_loss",
    TargetType.MULTICLASS: "log_loss",
    TargetType.REGRESSION: "rmse",
}

METRICS: Final[Mapping[TargetType, Mapping[str, Metric]]] = MappingProxyType(
    {target: MappingProxyType({**_QUALITY[target], **_shared(_BASELINE[target])}) for target in TargetType}
)
# With ``group``: gaps between the groups of a feature, and other metrics by their value in the worst group.
GROUP_METRICS: Final[Mapping[TargetType, Mapping[str, Metric]]] = MappingProxyType(
    {
        target: MappingProxyType(
            {
                **_GAPS[target],
                **{name: each for name, each in _QUALITY[target].items() if name not in _OF_THE_WHOLE},
                "groups": Metric("how many groups have at least 30 test rows"),
            }
        )
        for target in TargetType
    }
)
