"""Rejected events and labels: of what and which moment each is, and which rules it broke. What is broken may be the body itself."""

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
from services.monitoring.tallies import Tally
from services.monitoring.windows import MICROSECOND, micros
from shared.records import Record

REFUSED: Final = "rejected"  # a sum in a tally: what was rejected
REJECTED_BY: Final = "rejected:"  # sums in a tally that begin so: of that, what broke a rule
OTHER: Final = "other"  # a rule of a later validation: names are bounded, so that state is
RULES: Final = frozenset(rule.value for rule in Rule)
_TOLERANCE: Final = FUTURE_TOLERANCE // MICROSECOND


class Body(NamedTuple):
    """How a body is read: whole, and where that fails the name of what it is about."""

    decoder: msgspec.json.Decoder[inputs.RejectedEvent] | msgspec.json.Decoder[inputs.RejectedLabel]
    subject: re.Pattern[bytes]


EVENT: Final = Body(inputs.REJECTED_EVENT, re.compile(rb'"feature_set"\s*:\s*"([^"\\]{1,200})"'))
LABEL: Final = Body(inputs.REJECTED_LABEL, re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"'))


class Refusal(NamedTuple):
    """What a rejected record counts as. ``occurred`` in microseconds, of a label when it was observed.

    ``subject``: an event's feature set or a label's model, as sent, "" where none can be read.
    """

    subject: str
    occurred: int
    rules: tuple[str, ...]

    def add_to(self, tally: Tally) -> None:
        """Once in all, and once for each rule that it broke."""
        tally.add(REFUSED, 1)
        for rule in self.rules:
            tally.add(f"{REJECTED_BY}{rule}", 1)


def refusal_of(record: Record, live: Callable[[str], bool], body: Body = EVENT) -> Refusal | None:
    """The refusal that ``record`` of events.rejected or labels.rejected tells of; None where no moment can be told.

    The moment is the body's; where that cannot be one, it is when the raw record was appended if the subject is ``live``,
    whose event time is the clock's, else the envelope's time: what stands in the record, so that a repetition gives the same.
    Raises msgspec's errors for a record that is no rejection.
    """
    rejection = inputs.REJECTION.decode(record.value or b"")
    appended = rejection.origin.timestamp_ms * 1000
    sent, subject, occurred = _sent_body(rejection.payload_base64), "", None
    try:
        read = body.decoder.decode(sent)
        subject, occurred = read.subject, micros(read.occurred)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # whatever validation has refused may stand here
        found = body.subject.search(sent)
        subject = found[1].decode(errors="replace") if found else ""
    if occurred is None or not _plausible(occurred, appended):
        occurred = appended if live(subject) else _sent(record)
    if occurred is None or not _plausible(occurred, appended):
        return None
    rules = {reason.rule if reason.rule in RULES else OTHER for reason in rejection.reasons}
    return Refusal(subject, occurred, tuple(sorted(rules)))


def _plausible(moment: int, appended: int) -> bool:
    """Validation's own bounds: no window of the year 9999 is opened, which no tick would ever close."""
    return 0 <= moment <= appended + _TOLERANCE


def _sent(record: Record) -> int | None:
    try:
        return micros(parse_time(header(record.headers, "ce_time") or ""))
    except ValueError:
        return None


def _sent_body(payload: str) -> bytes:
    try:
        return base64.b64decode(payload)
    except binascii.Error:
        return b""
