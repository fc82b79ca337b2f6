"""From canonical feature rows to a model's ONNX inputs: the one encoding of training, the registry's probe and inference."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.definitions import Dtype, Feature, FeatureSet
from schemas.events.training import ModelInput

MISSING: Final = -1
UNSEEN: Final = -2
FLOAT32_INTEGERS: Final = 2**24  # every whole number up to here has a float32 of its own

_KIND_DTYPES: Final[dict[str, tuple[Dtype, ...]]] = {
    "numeric": (Dtype.FLOAT32, Dtype.FLOAT64, Dtype.INT64, Dtype.BOOL),
    "float64": (Dtype.FLOAT32, Dtype.FLOAT64, Dtype.INT64, Dtype.BOOL),
    "int64": (Dtype.INT64, Dtype.BOOL),
    "categorical": (Dtype.CATEGORY,),
    "string": (Dtype.CATEGORY, Dtype.STRING),
}


def assemble(
    inputs: Sequence[ModelInput], feature_set: FeatureSet, rows: Sequence[Mapping[str, Any]]
) -> dict[str, NDArray[Any]]:
    """One array per input, [N, n] or, for rank 1, [N]; N = ``len(rows)``.

    ``rows`` hold canonical values; a key that is absent counts as missing. numeric is float32 and float64 float64, missing =
    NaN; categorical is int64 codes by position in the feature's categories, -1 missing, -2 unseen; string is an object
    array, missing = ""; int64 must not be missing. An int64 feature
    whose values leave ±2^24 although no range says so is rounded in float32, alike in training and serving.

    Raises KeyError for a feature that the set does not have (see `problems`), ValueError for a missing int64.
    """
    return {item.name: _encode(item, feature_set, rows) for item in inputs}


def problems(inputs: Sequence[ModelInput], feature_set: FeatureSet) -> list[str]:
    """Why ``inputs`` cannot be filled from ``feature_set``, one sentence each; empty if they can."""
    known = {feature.name: feature for feature in feature_set.spec.features}
    found: list[str] = []
    names = [item.name for item in inputs]
    found.extend(f"input {name!r} is mapped twice" for name in sorted(set(names)) if names.count(name) > 1)
    for item in inputs:
        if item.rank == 1 and len(item.features) != 1:
            found.append(f"input {item.name!r} has rank 1, which takes exactly one feature, not {len(item.features)}")
        for name in item.features:
            problem = _problem(item, known.get(name), name, feature_set.ref)
            if problem is not None:
                found.append(problem)
    return found


def _problem(item: ModelInput, feature: Feature | None, name: str, ref: str) -> str | None:
    if feature is None:
        return f"input {item.name!r} needs feature {name!r}, which {ref} does not have"
    accepted = _KIND_DTYPES[item.kind]
    if feature.dtype not in accepted:
        dtypes = ", ".join(accepted)
        return f"input {item.name!r} is {item.kind} and takes {dtypes}; feature {name!r} is {feature.dtype.value}"
    if item.kind == "int64" and feature.nullable:
        return f"input {item.name!r} is int64, which cannot be missing; feature {name!r} is nullable"
    if item.kind == "numeric" and feature.dtype is Dtype.INT64 and not exact_in_float32(feature):
        return f"input {item.name!r} is float32; feature {name!r} ranges beyond 2^24, where float32 skips whole numbers"
    return None


def exact_in_float32(feature: Feature) -> bool:
    """Whether the declared range of an int64 feature stays where float32 holds every whole number (no range: trusted to)."""
    return feature.range is None or max(map(abs, feature.range)) <= FLOAT32_INTEGERS


def _encode(item: ModelInput, feature_set: FeatureSet, rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
    columns = [_column(item, feature_set.feature(name), [row.get(name) for row in rows]) for name in item.features]
    if item.rank == 1:
        return columns[0]
    return np.stack(columns, axis=1)


def _column(item: ModelInput, feature: Feature, values: list[Any]) -> NDArray[Any]:
    if item.kind == "numeric":
        return np.array(values, dtype=np.float64).astype(np.float32)  # None becomes NaN
    if item.kind == "float64":
        return np.array(values, dtype=np.float64)
    if item.kind == "int64":
        if None in values:
            message = (
                f"feature {feature.name!r} is missing in row {values.index(None)}, and input {item.name!r} is int64"
            )
            raise ValueError(message)
        return np.array(values, dtype=np.int64)
    if item.kind == "categorical":
        codes: dict[str | None, int] = {name: position for position, name in enumerate(feature.categories or ())}
        codes[None] = MISSING
        return np.fromiter((codes.get(value, UNSEEN) for value in values), dtype=np.int64, count=len(values))
    column = np.empty(len(values), dtype=object)
    column[:] = ["" if value is None else value for value in values]
    return column
