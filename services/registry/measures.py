"""What the registry knows of metrics: which way is better, and which one a champion and a challenger are compared by."""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.definitions import Model, TargetType

LOWER_IS_BETTER: Final = frozenset(
    {
        "brier",
        "brier_score",
        "calibration_error",
        "ece",
        "latency_ms",
        "log_loss",
        "mae",
        "mape",
        "max_error",
        "median_absolute_error",
        "mse",
        "onnx_mismatch_share",
        "rmse",
        "size_bytes",
    }
)
_MAIN: Final[Mapping[TargetType, tuple[str, ...]]] = {
    TargetType.BINARY: ("roc_auc", "log_loss", "brier", "pr_auc", "f1", "accuracy"),
    TargetType.MULTICLASS: ("log_loss", "macro_f1", "f1_macro", "balanced_accuracy", "accuracy"),
    TargetType.REGRESSION: ("rmse", "mae", "r2", "mape"),
}


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value is the better one; gaps between groups count as such, an unknown metric does not."""
    return metric in LOWER_IS_BETTER or metric.endswith(("_gap", "_loss", "_error"))


def improvement(metric: str, value: float, base: float) -> float:
    """By how much ``value`` is better than ``base``; positive is better, in the metric's unit."""
    return base - value if lower_is_better(metric) else value - base


def preference(model: Model) -> Sequence[str]:
    """The metrics to compare versions by, the best first: what the gates hold against the champion, then the usual ones."""
    declared = [gate.metric for gate in model.spec.gates if gate.against is not None and gate.group is None]
    return tuple(dict.fromkeys((*declared, *_MAIN[model.spec.target.type])))


def tolerance(model: Model, metric: str) -> float:
    """How much worse than the champion still counts as "not worse": the gate's minDelta if it is negative, else 0."""
    for gate in model.spec.gates:
        if gate.metric == metric and gate.group is None and gate.min_delta is not None:
            return max(0.0, -gate.min_delta)
    return 0.0
