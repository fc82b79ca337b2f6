"""What every definition has in common: strict models, names, durations."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

API_VERSION: Final = "headrace/v1"
NAME: Final = r"^[a-z][a-z0-9-]{0,62}$"
FIELD_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
MEASURE: Final = r"^[a-z][a-z0-9_]{0,62}$"
FEATURE_SET_REF: Final = r"^[a-z][a-z0-9-]{0,62}@\d{1,6}$"
ESTIMATOR: Final = r"^[A-Za-z][A-Za-z0-9_.:-]{0,99}$"
SEMVER: Final = r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$"
DURATION_PATTERN: Final = r"^(\d{1,6})(s|m|h|d|w)$"
DURATION_FORM: Final = "a duration like 90s, 15m, 6h, 30d or 2w"
# Each pattern in words, for whoever has missed it.
FORMS: Final = {
    NAME: "a name like ride-fares: a-z, 0-9 and -, beginning with a letter, at most 63 characters",
    FIELD_NAME: "a name like wind_speed: letters, digits and _, beginning with no digit, at most 63 characters",
    MEASURE: "a name like roc_auc: a-z, 0-9 and _, beginning with a letter, at most 63 characters",
    FEATURE_SET_REF: "name@major like rides@1",
    ESTIMATOR: "the name of an estimator like Ridge",
    SEMVER: "a version of three numbers like 1.0.0",
    DURATION_PATTERN: DURATION_FORM,
}
_DURATION: Final = re.compile(DURATION_PATTERN.strip("^$"))
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Strict(BaseModel):
    """A frozen part of a definition: unknown keys are errors, YAML's camelCase is the alias."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        strict=False,
        serialize_by_alias=True,
        use_attribute_docstrings=True,  # the text below a field is what the reference says about it
    )


def parse_duration(value: object) -> object:
    """``"90s"``, ``"15m"``, ``"6h"``, ``"30d"`` or ``"2w"`` as a timedelta; a timedelta passes."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        message = f"not {DURATION_FORM}: {value!r}"
        raise ValueError(message)
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """The shortest of the notations that `parse_duration` reads."""
    seconds = int(value.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
Name = Annotated[str, Field(pattern=NAME)]
FieldName = Annotated[str, Field(pattern=FIELD_NAME)]


def like(*examples: Any, **constraints: Any) -> Any:
    """A field with examples, which the reference prints and messages quote; each is valid by itself."""
    return Field(examples=list(examples), **constraints)


class Metadata(Strict):
    """Who answers for a definition and what it is."""

    name: Annotated[Name, like("rides")]
    """How everything else refers to it; for a Model its identity."""
    owner: Annotated[str, like("data-team", min_length=1, max_length=100)]
    """The team or person to ask."""
    description: Annotated[str, like("Taxi rides at the time of the order", min_length=1, max_length=2000)]
    """One sentence for people."""
