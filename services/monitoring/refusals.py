"""Rejected events: of which feature set and moment each is, and which rules it broke. What is broken may be the body itself."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from schemas.decoding import FUTURE_TOLERANCE
from schemas.envelope import header, parse_time
from schemas.reasons import Rule
from services.monitoring import inputs
from services.monitoring.windows import MICROSECOND, micros
from shared.records import Record

REJECTED_BY: Final = "rejected:"  # sums in a tally that begin so: events that broke a rule
OTHER: Final = "other"  # a rule of a later validation: names are bounded, so that state is
RULES: Final = frozenset(rule.value for rule in Rule)
_FEATURE_SET: Final = re.compile(rb'"feature_set"\s*:\s*"([^"\\]{1,200})"')
_TOLERANCE: Final = FUTURE_TOLERANCE // MICROSECOND


class Refusal(NamedTuple):
    """What a rejected event counts as. ``feature_set`` as sent, "" where none can be read; ``occurred`` in microseconds."""

    feature_set: str
    occurred: int
    rules: tuple[str, ...]


def refusal_of(record: Record, live: Callable[[str], bool]) -> Refusal | None:
    """The refusal that ``record`` of events.rejected tells of; None where no moment can be told.

    The moment is the body's; where that cannot be one, it is when the raw record was appended if the feature set is ``live``,
    whose event time is the clock's, else the envelope's time: what stands in the record, so that a repetition gives the same.
    Raises msgspec's errors for a record that is no rejection.
    """
    rejection = inputs.REJECTION.decode(record.value or b"")
    appended = rejection.origin.timestamp_ms * 1000
    body, feature_set, occurred = _body(rejection.payload_base64), "", None
    try:
        event = inputs.REJECTED.decode(body)
        feature_set, occurred = event.feature_set, micros(event.occurred_at)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # whatever validation has refused may stand here
        found = _FEATURE_SET.search(body)
        feature_set = found[1].decode(errors="replace") if found else ""
    if occurred is None or not _plausible(occurred, appended):
        occurred = appended if live(feature_set) else _sent(record)
    if occurred is None or not _plausible(occurred, appended):
        return None
    rules = {reason.rule if reason.rule in RULES else OTHER for reason in rejection.reasons}
    return Refusal(feature_set, occurred, tuple(sorted(rules)))


def _plausible(moment: int, appended: int) -> bool:
    """Validation's own bounds: no window of the year 9999 is opened, which no tick would ever close."""
    return 0 <= moment <= appended + _TOLERANCE


def _sent(record: Record) -> int | None:
    try:
        return micros(parse_time(header(record.headers, "ce_time") or ""))
    except ValueError:
        return None


def _body(payload: str) -> bytes:
    try:
        return base64.b64decode(payload)
    except binascii.Error:
        return b""
