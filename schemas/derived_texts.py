"""How long the derived texts of one record may be: an expression can make many times of what was sent. Pure."""

from typing import Final

import msgspec

from schemas.feature_columns import Column
from schemas.reasons import Reason, Rule, reason
from schemas.topics import EDGE_RECORD_BYTES

DERIVED_TEXT_BYTES: Final = (
    EDGE_RECORD_BYTES  # all of a record's, as JSON: bounded like the record itself, it fits where that fits
)
_encode: Final = msgspec.json.Encoder().encode


def cut_off(field: str, column: Column, room: list[int]) -> dict[int, Reason]:
    """Take the texts of ``column`` out of each row's ``room``, in bytes. Where that does not suffice the value becomes None;
    the reason why, by row.
    """
    faults: dict[int, Reason] = {}
    for row, text in enumerate(column.values):
        if text is None:
            continue
        size = len(_encode(text))
        if size <= room[row]:
            room[row] -= size
            continue
        column.values[row] = None
        expected = f"derived texts of at most {DERIVED_TEXT_BYTES} bytes a record"
        faults[row] = reason(field, Rule.OUTPUT_TOO_LARGE, expected, f"{len(text)} characters")
    return faults
