"""Definitions about machines on a floor, for tests to vary."""

from typing import Any

from schemas.definitions import FeatureSet, Model

METADATA = {"name": "machines", "owner": "data-team", "description": "Machines on a floor"}


def machines(features: list[dict[str, Any]], version: str = "1.0.0", **spec: Any) -> FeatureSet:
    """A FeatureSet of these features."""
    return FeatureSet.model_validate(
        {
            "apiVersion": "headrace/v1",
            "kind": "FeatureSet",
            "metadata": METADATA,
            "spec": {"version": version, "entity": "machine", "features": features, **spec},
        }
    )


def model(target: str = "binary", /, **spec: Any) -> Model:
    """A Model over machines@1."""
    return Model.model_validate(
        {
            "apiVersion": "headrace/v1",
            "kind": "Model",
            "metadata": {**METADATA, "name": "breakdown"},
            "spec": {"featureSet": "machines@1", "target": {"name": "broke", "type": target}, **spec},
        }
    )
