"""What all contract records have in common, and how they become bytes and come back."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, TypeVar

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)

from schemas.envelope import ID_PATTERN, format_time, parse_time
from schemas.reasons import Reason, RefusedRecordError, Rule, capped, reason
from schemas.strict_json import parse
from schemas.topics import EVIDENCE_RECORD_BYTES


class Contract(BaseModel):
    """A record on a topic: frozen, unknown keys refused. ``ce_type`` ends in the contract's version."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    ce_type: ClassVar[str]


def _time(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        message = "must be an RFC 3339 time with offset, as a string"
        raise ValueError(message)  # noqa: TRY004 - pydantic turns a ValueError into a reason, a TypeError into a crash
    return parse_time(value)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        message = "time has no offset"
        raise ValueError(message)
    return value.astimezone(UTC)


def _identifier(value: str) -> str:
    if not ID_PATTERN.fullmatch(value):
        message = "must be 1 to 128 of A-Z a-z 0-9 . _ : / -"
        raise ValueError(message)
    return value


Time = Annotated[
    datetime, BeforeValidator(_time), AfterValidator(_aware), PlainSerializer(format_time, return_type=str)
]
Identifier = Annotated[
    str, AfterValidator(_identifier), WithJsonSchema({"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"})
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
VersionNumber = Annotated[int, Field(ge=1)]

M = TypeVar("M", bound=Contract)

_RULES: Final = {"missing": Rule.MISSING_FIELD, "extra_forbidden": Rule.EXTRA_FIELD}


def encode(message: BaseModel) -> bytes:
    """``message`` as JSON; the same message gives the same bytes. NaN and infinities become null."""
    return msgspec.json.encode(message.model_dump(mode="json"))


def decode(cls: type[M], payload: bytes) -> M:
    """``payload`` as ``cls``, by the letter: no repeated key, no text for a number. Raises `RefusedRecordError` with a reason
    per fault.
    """
    parse(payload, limit=EVIDENCE_RECORD_BYTES)  # the most that any topic takes
    try:
        return cls.model_validate_json(payload, strict=True)
    except ValidationError as error:
        raise RefusedRecordError(capped(_reasons(error))) from error


def _reasons(error: ValidationError) -> list[Reason]:
    found = []
    for item in error.errors(include_url=False):
        kind = item["type"]
        field = ".".join(map(str, item["loc"])) or "(record)"
        rule = Rule.JSON_SYNTAX if kind == "json_invalid" else _RULES.get(kind, Rule.TYPE)
        observed = "absent" if kind == "missing" else item["input"]
        found.append(reason(field, rule, item["msg"], observed))
    return found
