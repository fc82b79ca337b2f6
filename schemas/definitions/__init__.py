"""What users declare in YAML: FeatureSets, Models and Keys, checked as a whole before anything is published."""

from schemas.definitions.feature_set import Dtype, Feature, FeatureSet, FeatureSetSpec, RowRule
from schemas.definitions.key import Key, KeySpec, Revocation, Role
from schemas.definitions.metadata import Metadata
from schemas.definitions.model import (
    Approval,
    Dataset,
    FalseAlarms,
    Gate,
    Kpi,
    LabelDelay,
    Model,
    ModelSpec,
    Monitoring,
    Recipe,
    Retraining,
    Rollout,
    Split,
    Target,
    TargetType,
    Window,
)
from schemas.definitions.parsing import Definition, parse_definitions, validate_documents
from schemas.definitions.problems import DefinitionError, Problem

__all__ = [
    "Approval",
    "Dataset",
    "Definition",
    "DefinitionError",
    "Dtype",
    "FalseAlarms",
    "Feature",
    "FeatureSet",
    "FeatureSetSpec",
    "Gate",
    "Key",
    "KeySpec",
    "Kpi",
    "LabelDelay",
    "Metadata",
    "Model",
    "ModelSpec",
    "Monitoring",
    "Problem",
    "Recipe",
    "Retraining",
    "Revocation",
    "Role",
    "Rollout",
    "RowRule",
    "Split",
    "Target",
    "TargetType",
    "Window",
    "parse_definitions",
    "validate_documents",
]
