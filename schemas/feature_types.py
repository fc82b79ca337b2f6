"""How each dtype of a FeatureSet stands in polars."""

from typing import Final

import polars as pl

from schemas.definitions.feature_set import Dtype

_POLARS: Final[dict[Dtype, pl.DataType]] = {
    Dtype.FLOAT32: pl.Float32(),
    Dtype.FLOAT64: pl.Float64(),
    Dtype.INT64: pl.Int64(),
    Dtype.BOOL: pl.Boolean(),
    Dtype.CATEGORY: pl.String(),
    Dtype.STRING: pl.String(),
}


def polars_type(dtype: Dtype) -> pl.DataType:
    """The polars type in which expressions see a feature of ``dtype``."""
    return _POLARS[dtype]
