"""Feature rows made up from a FeatureSet, for models that bring no golden rows (imported ones)."""

from typing import Any, Final

from schemas.definitions import Dtype, Feature, FeatureSet

ROWS: Final = 8


def synthetic_rows(feature_set: FeatureSet) -> list[dict[str, Any]]:
    """`ROWS` rows of allowed values: bounds and middles of ranges, each category in turn, and nulls where they may be."""
    return [{feature.name: _value(feature, place) for feature in feature_set.spec.features} for place in range(ROWS)]


def _value(feature: Feature, place: int) -> Any:
    if feature.nullable and place == ROWS - 1:
        return None
    if feature.dtype is Dtype.BOOL:
        return place % 2 == 0
    if feature.dtype is Dtype.CATEGORY:
        categories = feature.categories or ("",)
        return categories[place % len(categories)]
    if feature.dtype is Dtype.STRING:
        return "" if place == 0 else f"text {place}"
    low, high = feature.range or (-1.0, 1.0) if feature.dtype is not Dtype.INT64 else feature.range or (0.0, 10.0)
    number = low + (high - low) * place / (ROWS - 1)
    return round(number) if feature.dtype is Dtype.INT64 else number
