"""What a model does to each group: gaps between groups, and every metric in the worst of them.

Per feature: ``demographic_parity_gap`` (largest difference in the share predicted positive), ``equal_opportunity_gap`` (in the
true-positive rate), ``base_rate_gap``, ``accuracy_gap``, ``rmse_gap``; and under the plain name of a metric its value in the
worst group. Sources: Dwork et al. 2012; Hardt, Price, Srebro 2016.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.definitions import TargetType
from schemas.groups import (
    ACCURACY,
    BASE_RATE,
    DEMOGRAPHIC_PARITY,
    EQUAL_OPPORTUNITY,
    MOST_GROUPS,
    RMSE,
    SMALLEST_GROUP,
    gap,
)
from services.training.evaluation import LOWER_IS_BETTER, Classes, Floats, Metrics, evaluate

NUMBER_GROUPS: Final = 4  # a numeric feature is cut at its quartiles

Mask = npt.NDArray[np.bool_]


def group_metrics(
    target: TargetType, columns: Mapping[str, Sequence[Any]], truth: Floats | Classes, predicted: Floats
) -> dict[str, Metrics]:
    """For each grouping feature its gaps and worst values; a feature with fewer than two groups has none (None)."""
    return {name: _of_feature(target, values, truth, predicted) for name, values in columns.items()}


def groups_of(values: Sequence[Any]) -> dict[str, Mask]:
    """The groups of a feature by value, the largest first; numbers with many values by quartile; missing is none."""
    column = np.array([None if value is None else value for value in values], object)
    present = np.array([value is not None for value in values], bool)
    distinct = sorted({value for value in values if value is not None}, key=str)
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
    if numeric and len(distinct) > MOST_GROUPS:
        return _quartiles(column, present)
    found = {str(value): present & (column == value) for value in distinct}
    large = {name: mask for name, mask in found.items() if mask.sum() >= SMALLEST_GROUP}
    by_size = sorted(large, key=lambda name: (-int(large[name].sum()), name))
    return {name: large[name] for name in by_size[:MOST_GROUPS]}


def _quartiles(column: npt.NDArray[np.object_], present: Mask) -> dict[str, Mask]:
    numbers = np.where(present, column, np.nan).astype(np.float64)
    edges = np.unique(np.quantile(numbers[present], np.linspace(0, 1, NUMBER_GROUPS + 1)[1:-1]))
    bins = np.digitize(numbers, edges)
    masks = {f"quartile {i + 1}": present & (bins == i) for i in range(len(edges) + 1)}
    return {name: mask for name, mask in masks.items() if mask.sum() >= SMALLEST_GROUP}


def _of_feature(target: TargetType, values: Sequence[Any], truth: Floats | Classes, predicted: Floats) -> Metrics:
    masks = list(groups_of(values).values())
    parts = [evaluate(target, truth[mask], predicted[mask]) for mask in masks]
    found: Metrics = {"groups": float(len(parts))}
    if len(parts) < 2:  # noqa: PLR2004 - a gap needs two sides
        return found
    for name in parts[0]:
        known = [value for part in parts if (value := part[name]) is not None]
        if known and name not in ("base_rate", "mean_score", "bias"):
            found[name] = max(known) if name in LOWER_IS_BETTER else min(known)
    if target is TargetType.REGRESSION:
        found[RMSE] = gap([part["rmse"] for part in parts])
        return found
    found[ACCURACY] = gap([part["accuracy"] for part in parts])
    if target is TargetType.BINARY:
        chosen = predicted.argmax(axis=1) == 1
        happened = truth == 1
        found[DEMOGRAPHIC_PARITY] = gap([float(chosen[mask].mean()) for mask in masks])
        found[EQUAL_OPPORTUNITY] = gap([_rate(chosen[mask & happened]) for mask in masks])
        found[BASE_RATE] = gap([part["base_rate"] for part in parts])
    return found


def _rate(chosen: Mask) -> float | None:
    return float(chosen.mean()) if len(chosen) else None
