"""Which features fill which input of our graphs, and whether the rows can go into them without losing digits."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.definitions import Dtype, Feature, FeatureSet, Model
from schemas.events.training import ModelInput
from services.training.errors import RunError

NUMERIC: Final = "numeric"
CATEGORICAL: Final = "categorical"
LARGEST_EXACT: Final = 2**24  # from here on float32 cannot tell neighbouring whole numbers apart


def inputs_of(model: Model, feature_set: FeatureSet) -> tuple[ModelInput, ...]:
    """``numeric`` and ``categorical`` over the model's features, in definition order of the model (default: of the set).

    A model that lists no features uses every one that can be used. Raises `RunError`: ``unknown_feature``,
    ``unusable_feature`` for a string that the model names, ``no_features``.
    """
    named = model.spec.features
    features = [_known(feature_set, name, place) for place, name in enumerate(named)] or list(feature_set.spec.features)
    strings = [feature.name for feature in features if feature.dtype is Dtype.STRING]
    if named and strings:
        message = (
            f"spec.features: {', '.join(strings)} is free text, which the whitelisted recipes cannot use. "
            "Give it dtype category with its categories in the FeatureSet, or leave it out."
        )
        raise RunError("unusable_feature", message)
    numeric = tuple(feature.name for feature in features if feature.dtype.numeric)
    categorical = tuple(feature.name for feature in features if feature.dtype is Dtype.CATEGORY)
    mapped = []
    if numeric:
        mapped.append(ModelInput(name=NUMERIC, kind="numeric", features=numeric))
    if categorical:
        mapped.append(ModelInput(name=CATEGORICAL, kind="categorical", features=categorical))
    if not mapped:
        message = f"{feature_set.ref} has no numeric, bool or category feature, so there is nothing to learn from."
        raise RunError("no_features", message)
    return tuple(mapped)


def grouping_features(model: Model, feature_set: FeatureSet) -> tuple[str, ...]:
    """The features by which the model's fairness is judged: of its monitors and of its gates, each once."""
    names = [*model.spec.monitoring.groups, *(gate.group for gate in model.spec.gates if gate.group is not None)]
    known = {feature.name for feature in feature_set.spec.features}
    return tuple(name for name in dict.fromkeys(names) if name in known)


def published_groups(model: Model, feature_set: FeatureSet) -> tuple[str, ...]:
    """Those of them whose groups monitoring watches by name: not numbers, and no personal text, which is no group's name."""
    features = [feature_set.feature(name) for name in grouping_features(model, feature_set)]
    return tuple(
        feature.name
        for feature in features
        if feature.dtype in (Dtype.CATEGORY, Dtype.BOOL)
        or (feature.dtype is Dtype.STRING and feature.sensitivity != "personal")
    )


def check_exact(
    inputs: tuple[ModelInput, ...], feature_set: FeatureSet, arrays: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Raise `RunError` for numbers that float32 cannot hold: ``integer_too_large`` beyond 2^24, ``number_too_large``."""
    for entry in inputs:
        if entry.kind != "numeric":
            continue
        for column, name in enumerate(entry.features):
            _check_column(feature_set.feature(name), arrays[entry.name][:, column])


def _check_column(feature: Feature, values: npt.NDArray[Any]) -> None:
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if np.isinf(largest):
        raise RunError(
            "number_too_large", f"Feature {feature.name} holds numbers beyond the range of float32; rescale it."
        )
    if feature.dtype is Dtype.INT64 and largest >= LARGEST_EXACT:
        message = (
            f"Feature {feature.name} holds whole numbers beyond 2^24, which float32 would round. "
            "Make it a category, or derive a smaller number from it (spec.features[].expression)."
        )
        raise RunError("integer_too_large", message)


def _known(feature_set: FeatureSet, name: str, place: int) -> Feature:
    try:
        return feature_set.feature(name)
    except KeyError:
        there = ", ".join(feature.name for feature in feature_set.spec.features)
        message = f"spec.features[{place}]: {name} is no feature of {feature_set.ref}; there are {there}."
        raise RunError("unknown_feature", message) from None
