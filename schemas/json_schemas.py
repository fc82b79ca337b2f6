"""JSON Schema (2020-12) of each contract record and of the definitions, made from the pydantic models."""

from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from schemas.contracts import contracts
from schemas.definitions import FeatureSet, Key, Model
from schemas.definitions.metadata import format_duration

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DEFINITIONS: Final[dict[str, type[BaseModel]]] = {
    "definition.FeatureSet": FeatureSet,
    "definition.Key": Key,
    "definition.Model": Model,
}


class _Generator(GenerateJsonSchema):
    """Durations by default in the spelling that is read, instead of ISO 8601."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schemas() -> dict[str, dict[str, Any]]:
    """Schemas by name: the ``ce_type`` of a record, or ``definition.<kind>``.

    They describe shape. What JSON Schema cannot say (repeated keys, cross-field rules, a FeatureSet's own rules) stays
    with `schemas.decoding` and `schemas.checks`.
    """
    schemas = {}
    for name, model in {**contracts(), **_DEFINITIONS}.items():
        schema = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
        schemas[name] = {"$schema": DIALECT, "$id": f"urn:headrace:{name}", **schema}
    return schemas
