"""W3C trace context: the ``traceparent`` that travels with a record from the producer to the last alert."""

import re
import secrets
from dataclasses import dataclass
from typing import Final

_FORMAT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """One step of a trace. ``str()`` gives the header's value."""

    trace_id: str
    span_id: str
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def child(self) -> "TraceParent":
        """The next step of the same trace."""
        return TraceParent(self.trace_id, secrets.token_hex(8), self.sampled)


def new() -> TraceParent:
    """The first step of a new trace."""
    return TraceParent(secrets.token_hex(16), secrets.token_hex(8))


def parse(value: str | None) -> TraceParent | None:
    """What a ``traceparent`` says, or None where it is absent or malformed (a bad trace never refuses a record).

    Source: W3C Trace Context, section 3.2 (version ff and all-zero ids are invalid).
    """
    match = _FORMAT.match(value or "")
    if match is None:
        return None
    version, trace_id, span_id, flags = match.groups()
    longer = len(value or "") > match.end()
    if version == "ff" or not int(trace_id, 16) or not int(span_id, 16) or (version == "00" and longer):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & 1))


def child(value: str | None) -> str:
    """The ``traceparent`` of what follows from a record that carried ``value``; a new trace where it carried none."""
    parent = parse(value)
    return str(parent.child() if parent else new())
