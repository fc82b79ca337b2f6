"""At-least-once delivery: what of a batch stands already, because a process died between publishing and committing it.

Every outcome tells which raw record it came from, so a record that is judged again gets the same outcome, and only what is
missing is published.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from schemas.envelope import RawHeaders, header
from schemas.topics import EVENTS_VALIDATED, LABELS_VALIDATED, TICK
from shared.records import Outgoing, Record

ORIGIN: Final = "ce_origin"  # on validated records; the bodies of all other outcomes tell it anyway
_ORIGIN: Final = re.compile(r"(.+)/(\d+)@(\d+)")
_NOTED: Final = (EVENTS_VALIDATED.name, LABELS_VALIDATED.name)


class Place(NamedTuple):
    """Where a raw record stands. ``topic`` is the physical name."""

    topic: str
    partition: int
    offset: int


class _Origin(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _WithOrigin(msgspec.Struct):
    origin: _Origin


_decode: Final = msgspec.json.Decoder(_WithOrigin).decode


def noted_origin(headers: RawHeaders) -> Place | None:
    """What the header of a validated record says; None where there is none."""
    found = _ORIGIN.fullmatch(header(headers, ORIGIN) or "")
    return None if found is None else Place(found[1], int(found[2]), int(found[3]))


def origin_of(record: Record) -> Place | None:
    """The raw record that an outcome came from; None for ticks and for what was delivered exactly once."""
    noted = noted_origin(record.headers)
    if noted is not None or header(record.headers, "ce_type") == TICK:
        return noted
    try:
        origin = _decode(record.value or b"").origin
    except msgspec.MsgspecError:
        return None
    return Place(origin.topic, origin.partition, origin.offset)


@dataclass(frozen=True, slots=True)
class Resumption:
    """``resume_at``: by physical topic, the offset that the group goes on from. ``published``: (output topic, origin) of
    the outcomes of records from there on.
    """

    resume_at: Mapping[str, int]
    published: AbstractSet[tuple[str, Place]]

    def settled(self, place: Place | None) -> bool:
        """Whether the record's outcome is committed; a record that is not will be judged again."""
        return place is None or place.offset < self.resume_at.get(place.topic, 0)

    def missing(self, records: Sequence[Record], outputs: Sequence[Outgoing]) -> list[Outgoing]:
        """Of ``outputs``, one for each record, those that do not stand yet; validated ones with a note of their origin."""
        found = []
        for record, output in zip(records, outputs, strict=True):
            place = Place(record.topic, record.partition, record.offset)
            if (output.topic.name, place) not in self.published:
                found.append(_noted(output, place))
        return found


def _noted(output: Outgoing, place: Place) -> Outgoing:
    if output.topic.name not in _NOTED or header(output.headers, "ce_type") == TICK:
        return output
    note = (ORIGIN, f"{place.topic}/{place.partition}@{place.offset}".encode())
    return replace(output, headers=[*output.headers, note])
