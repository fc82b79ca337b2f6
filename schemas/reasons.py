"""Why a record was refused: one vocabulary for HTTP, quarantine and dead letters, so that a fault has one code everywhere."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

OBSERVED_LIMIT: Final = 200  # characters of a field, an expectation or an offending value that a reason repeats
MAX_REASONS: Final = 200  # so that a rejection fits its topic, whatever the record is
MASK: Final = "(personal data masked)"


class Reason(BaseModel):
    """One fault of one record: where it is, which rule it breaks, what was expected and what stood there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    rule: str
    expected: str
    observed: str


class Rule(StrEnum):
    """The rules a record can break; `shared`, `ingestion` and `validation` use these codes and no others."""

    # the envelope (dead letter over Kafka, 4xx over HTTP)
    MISSING_KEY = "missing_key"
    KEY_MISMATCH = "key_mismatch"
    MISSING_HEADER = "missing_header"
    BAD_HEADER = "bad_header"
    TOO_MANY_HEADERS = "too_many_headers"
    SPECVERSION = "specversion"
    CONTENT_TYPE = "content_type"
    TOMBSTONE = "tombstone"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_VERSION = "unknown_version"
    # the bytes
    EMPTY = "empty"
    ENCODING = "encoding"
    JSON_SYNTAX = "json_syntax"
    TRAILING_DATA = "trailing_data"
    DUPLICATE_KEY = "duplicate_key"
    NOT_FINITE = "not_finite"
    NUMBER_TOO_LARGE = "number_too_large"
    NESTING = "nesting"
    LONE_SURROGATE = "lone_surrogate"
    TOO_LARGE = "too_large"
    # the record
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    EXTRA_FIELD = "extra_field"
    TYPE = "type"
    ID_FORMAT = "id_format"
    TIME_FORMAT = "time_format"
    TIME_RANGE = "time_range"
    UNKNOWN_FEATURE_SET = "unknown_feature_set"
    AMBIGUOUS_FEATURE_SET = "ambiguous_feature_set"
    UNKNOWN_MODEL = "unknown_model"
    # the features and labels
    MISSING_FEATURE = "missing_feature"
    NULL = "null"
    RANGE = "range"
    CATEGORY = "category"
    PATTERN = "pattern"
    CROSS_FIELD = "rule"
    DERIVATION = "derivation"
    OUTPUT_TOO_LARGE = "output_too_large"
    LABEL_VALUE = "label_value"
    ID_CONFLICT = "id_conflict"


class RefusedRecordError(Exception):
    """A record that breaks at least one rule.

    ``reasons`` is never empty. Callers turn it into a 4xx answer, a rejection or a dead letter.
    """

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        self.reasons = reasons
        super().__init__(
            "; ".join(f"{r.field}: {r.rule}, expected {r.expected}, observed {r.observed}" for r in reasons)
        )


def reason(field: str, rule: Rule, expected: str, observed: object) -> Reason:
    """A reason whose texts are cut to `OBSERVED_LIMIT` characters each."""
    text = observed if isinstance(observed, str) else repr(observed)
    return Reason(field=shortened(field), rule=rule.value, expected=shortened(expected), observed=shortened(text))


def capped(faults: Sequence[Reason]) -> tuple[Reason, ...]:
    """``faults``, or the first `MAX_REASONS` of them, the last of which then says how many were left out."""
    if len(faults) <= MAX_REASONS:
        return tuple(faults)
    kept = tuple(faults[: MAX_REASONS - 1])
    following = faults[MAX_REASONS - 1]
    rest = f"{following.observed} (and {len(faults) - MAX_REASONS} more faults)"
    return (*kept, following.model_copy(update={"observed": rest}))


def shortened(text: str, limit: int = OBSERVED_LIMIT) -> str:
    """``text``, or its first ``limit`` characters and how many there are."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
