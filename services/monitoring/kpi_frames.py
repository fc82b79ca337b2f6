"""The columns that KPI expressions speak of: features, and over them ``score``, ``label`` and ``value`` of the prediction."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from schemas.definitions import Dtype, TargetType
from services.monitoring.inputs import Outputs, Prediction
from services.monitoring.kpis import Plan

HEIGHT: Final = "__height__"  # a column that is always there, so that the frame has its rows even without others
_POLARS: Final = {
    Dtype.FLOAT32: pl.Float64,
    Dtype.FLOAT64: pl.Float64,
    Dtype.INT64: pl.Int64,
    Dtype.BOOL: pl.Boolean,
    Dtype.CATEGORY: pl.String,
    Dtype.STRING: pl.String,
}


def kpi_frame(rows: Sequence[Prediction], dtypes: Mapping[str, Dtype], kpis: Sequence[Plan]) -> pl.DataFrame:
    """A frame [rows] with the columns that ``kpis`` mention. ``label`` is the predicted one: a number, or text."""
    available = (*dtypes, "score", "label", "value")
    wanted = {name for kpi in kpis for name in kpi.columns(available)}
    columns = {HEIGHT: pl.Series(np.zeros(len(rows), dtype=np.int8))}
    for name, dtype in dtypes.items():
        if name in wanted:
            values: list[Any] = [row.features.get(name) for row in rows]
            columns[name] = pl.Series(name, values, dtype=_POLARS[dtype], strict=False)
    outputs = [row.outputs or Outputs() for row in rows]
    if "score" in wanted:
        columns["score"] = pl.Series("score", [output.score for output in outputs], dtype=pl.Float64, strict=False)
    if "value" in wanted:
        columns["value"] = pl.Series("value", [output.value for output in outputs], dtype=pl.Float64, strict=False)
    if "label" in wanted:
        columns["label"] = _labels([output.label for output in outputs])
    return pl.DataFrame(columns)


def empty_frame(dtypes: Mapping[str, Dtype], target: TargetType) -> pl.DataFrame:
    """The same without rows, with every column: what an expression is checked against."""
    schema: dict[str, Any] = {name: _POLARS[dtype] for name, dtype in dtypes.items()}
    label = pl.Int64 if target is TargetType.BINARY else pl.String
    return pl.DataFrame(schema={**schema, "score": pl.Float64, "value": pl.Float64, "label": label})


def _labels(values: Sequence[bool | int | str | None]) -> pl.Series:
    if any(isinstance(value, str) for value in values):
        return pl.Series("label", [None if value is None else str(value) for value in values], dtype=pl.String)
    return pl.Series("label", [None if value is None else int(value) for value in values], dtype=pl.Int64)
