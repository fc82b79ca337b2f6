"""Business figures: arithmetic over sums, counts and averages, which merge over partitions and windows.

Here an expression is only judged, when its Model is applied; monitoring computes it.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from schemas.definitions.feature_set import FeatureSet
from schemas.definitions.model import Model, TargetType
from schemas.expressions import AGGREGATES, ROW_FUNCTIONS, ExpressionError, Token, compile_row, tokenize
from schemas.feature_types import polars_type

_LABEL_TYPES: Final[dict[TargetType, tuple[pl.DataType, ...]]] = {
    TargetType.BINARY: (pl.Boolean(), pl.Int64()),
    TargetType.MULTICLASS: (pl.Int64(), pl.String()),
}
_ARITHMETIC: Final = frozenset("+-*/()")


def check_kpi(text: str, columns: Mapping[str, pl.DataType]) -> None:
    """Raises `ExpressionError` unless ``text`` is arithmetic (``+ - * /``) over sum, count and avg of row expressions."""
    tokens = tokenize(text, columns, ROW_FUNCTIONS | AGGREGATES)
    outer: list[str] = []
    position = aggregates = 0
    while position < len(tokens):
        token = tokens[position]
        if token.kind == "function" and token.text.lower() in AGGREGATES:
            end = _closing(tokens, position + 1)
            _check_aggregate(token.text.lower(), tokens[position + 2 : end], columns)
            outer.append("1.5")  # any number: only its place in the arithmetic matters here
            aggregates += 1
            position = end + 1
        elif token.kind == "number" or (token.kind == "operator" and token.text in _ARITHMETIC):
            outer.append(token.text)
            position += 1
        else:
            message = f"has {token.text!r} outside sum, count and avg, where only numbers and + - * / ( ) may stand"
            raise ExpressionError(message)
    if not aggregates:
        message = "has no sum, count or avg"
        raise ExpressionError(message)
    compile_row(" ".join(outer), {})


def kpi_columns(model: Model, feature_set: FeatureSet) -> tuple[dict[str, pl.DataType], ...]:
    """What the KPIs of ``model`` may read, one mapping for each type its labels can have: outputs and features."""
    features = {feature.name: polars_type(feature.dtype) for feature in feature_set.spec.features}
    if model.spec.target.type is TargetType.REGRESSION:
        return ({**features, "value": pl.Float64()},)
    labels = _LABEL_TYPES[model.spec.target.type]
    return tuple({**features, "score": pl.Float64(), "label": label} for label in labels)


def _check_aggregate(name: str, argument: list[Token], columns: Mapping[str, pl.DataType]) -> None:
    if name == "count" and [token.text for token in argument] == ["*"]:
        return
    text = " ".join(f'"{token.text}"' if token.kind == "column" else token.text for token in argument)
    inner = compile_row(text, columns)
    if name != "count" and not (inner.dtype.is_numeric() or inner.dtype == pl.Boolean):
        message = f"has {name}({text}), which is {inner.dtype}, not a number"
        raise ExpressionError(message)


def _closing(tokens: list[Token], opening: int) -> int:
    depth = 0
    for position in range(opening, len(tokens)):
        depth += (tokens[position].text == "(") - (tokens[position].text == ")")
        if depth == 0:
            return position
    message = "has a parenthesis that is not closed"
    raise ExpressionError(message)
