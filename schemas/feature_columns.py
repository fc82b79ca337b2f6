"""One feature over a batch: every value typed, ranged and matched, fast where the whole column is clean.

Canonical values: float64 is a Python float; float32 a Python float that has been rounded to float32; int64 an int; bool a
bool; category and string a str; missing (explicit null of a nullable feature) is None.
"""

import math
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from schemas.definitions import Dtype, Feature
from schemas.reasons import MASK, Reason, Rule, reason

ABSENT: Final = object()  # the producer did not send the feature
FLOAT_INTEGERS: Final = {Dtype.FLOAT32: 2**24, Dtype.FLOAT64: 2**53}  # whole numbers up to here are exact
_NONE: Final = type(None)
_ACCEPTED: Final[dict[Dtype, frozenset[type]]] = {
    Dtype.FLOAT32: frozenset((float,)),
    Dtype.FLOAT64: frozenset((float,)),
    Dtype.INT64: frozenset((int,)),
    Dtype.BOOL: frozenset((bool,)),
    Dtype.CATEGORY: frozenset((str,)),
    Dtype.STRING: frozenset((str,)),
}
_EXPECTED: Final = {
    Dtype.FLOAT32: "a number",
    Dtype.FLOAT64: "a number",
    Dtype.INT64: "an integer",
    Dtype.BOOL: "true or false",
    Dtype.CATEGORY: "a string",
    Dtype.STRING: "a string",
}
_FLOAT32: Final = struct.Struct("f")
_LISTED: Final = 20  # categories that a reason names


@dataclass(frozen=True, slots=True)
class Column:
    """A judged column: ``values`` canonical, None where missing or refused; ``faults`` by row number."""

    values: list[Any]
    faults: dict[int, Reason]


class ColumnCheck:
    """The compiled check of one feature. Raises ValueError for a pattern that cannot be matched in linear time."""

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        self.field = f"features.{feature.name}"
        self.clean_types = _ACCEPTED[feature.dtype] | ({_NONE} if feature.nullable else frozenset())
        self.float = feature.dtype in FLOAT_INTEGERS
        self.range = self._range()
        self.categories = frozenset(feature.categories) if feature.categories and feature.unseen == "reject" else None
        # Rust's engine is linear in the text; Python's can be made to run for ever by the value that it judges
        self.pattern = rf"\A(?:{feature.pattern})\z" if feature.pattern is not None else None
        if self.pattern is not None:
            try:
                _matches(self.pattern, [""])
            except pl.exceptions.PolarsError as error:
                message = f"cannot be matched in linear time (look-around and back references are not accepted): {feature.pattern}"
                raise ValueError(message) from error

    def check(self, sent: Sequence[Any]) -> Column:
        """Judge one value per row; `ABSENT` where the producer sent none. Never raises, whatever the values are."""
        types = set(map(type, sent))
        if types <= self.clean_types:
            values = self._clean(sent)
            if values is not None:
                return Column(values, {})
        column = Column([None] * len(sent), {})
        matching = self._matching(sent)
        for row, value in enumerate(sent):
            judged = self.judge(value, matching)
            if isinstance(judged, Reason):
                column.faults[row] = judged
            else:
                column.values[row] = judged
        return column

    def judge(self, value: Any, matching: Collection[str] | None = None) -> Any:
        """The canonical form of one value, or the `Reason` why there is none; ``matching`` are values known to match the pattern."""
        if value is ABSENT:
            return reason(self.field, Rule.MISSING_FEATURE, self._expected_type(), "absent")
        if value is None:
            return (
                None if self.feature.nullable else reason(self.field, Rule.NULL, _EXPECTED[self.feature.dtype], "null")
            )
        kind = type(value)
        if kind not in _ACCEPTED[self.feature.dtype] and not (self.float and kind is int):
            return self._refuse(Rule.TYPE, self._expected_type(), value)
        if self.float:
            return self._judge_float(value)
        if kind is str and not _encodable(value):
            return self._refuse(Rule.LONE_SURROGATE, "Unicode text", "half of a surrogate pair")
        if self.feature.dtype is Dtype.INT64 and not -(2**63) <= value < 2**63:
            return self._refuse(Rule.NUMBER_TOO_LARGE, "an integer of 64 bits", value)
        if self.range is not None and not self.range[0] <= value <= self.range[1]:
            return self._refuse(Rule.RANGE, self._range_text(), value)
        if self.categories is not None and value not in self.categories:
            return self._refuse(Rule.CATEGORY, _some(self.feature.categories or ()), value)
        if self.pattern is not None and value not in (self._matching([value]) if matching is None else matching):
            return self._refuse(Rule.PATTERN, self.feature.pattern or "", value)
        return value

    def _matching(self, sent: Sequence[Any]) -> frozenset[str]:
        """Which of the values match the pattern, all judged in one pass."""
        if self.pattern is None:
            return frozenset()
        texts = [value for value in set(map(_text, sent)) if value is not None]
        return frozenset(compress(texts, _matches(self.pattern, texts)))

    def _judge_float(self, value: float) -> Any:
        limit = FLOAT_INTEGERS[self.feature.dtype]
        if type(value) is int and not -limit <= value <= limit:
            expected = f"a whole number that {self.feature.dtype.value} holds exactly, at most {limit}"
            return self._refuse(Rule.NUMBER_TOO_LARGE, expected, value)
        number = float(value)
        if not math.isfinite(number):
            return self._refuse(Rule.NOT_FINITE, "a finite number", value)
        if self.feature.dtype is Dtype.FLOAT32:
            number = _float32(number)
            if not math.isfinite(number):
                return self._refuse(Rule.NUMBER_TOO_LARGE, "a number that float32 can hold", value)
        if self.range is not None and not self.range[0] <= number <= self.range[1]:
            return self._refuse(Rule.RANGE, self._range_text(), value)
        return number

    def _clean(self, sent: Sequence[Any]) -> list[Any] | None:
        """The canonical column if no value has a fault (types are right already), else None."""
        if self.float:
            return self._clean_floats(sent)
        present = [value for value in sent if value is not None] if self.feature.nullable else sent
        if not present:
            return list(sent)
        if self.feature.dtype is Dtype.INT64:
            low, high = self.range or (-(2**63), 2**63 - 1)
            lowest, highest = min(present), max(present)
            if not (low <= lowest and highest <= high and lowest >= -(2**63) and highest < 2**63):
                return None
        elif self.feature.dtype is Dtype.BOOL:
            return list(sent)
        elif (
            not _encodable("".join(present))
            or (self.categories is not None and not self.categories.issuperset(present))
            or (self.pattern is not None and not all(_matches(self.pattern, present)))
        ):
            return None
        return list(sent)

    def _clean_floats(self, sent: Sequence[Any]) -> list[Any] | None:
        array = np.array(sent, dtype=np.float64)  # None becomes NaN
        if self.feature.dtype is Dtype.FLOAT32:
            with np.errstate(over="ignore"):
                array = array.astype(np.float32).astype(np.float64)
        values: list[Any] = array.tolist()
        missing = 0
        if None in sent:
            for row, value in enumerate(sent):
                if value is None:
                    values[row] = None
                    missing += 1
        finite = np.isfinite(array)
        if int(finite.sum()) + missing != len(values):
            return None
        if self.range is not None and bool(((array < self.range[0]) | (array > self.range[1])).any()):
            return None
        return values

    def _range(self) -> tuple[float, float] | None:
        """The bounds in the feature's own precision, so that a bound of 0.1 admits a float32 of 0.1."""
        bounds = self.feature.range
        if bounds is not None and self.feature.dtype is Dtype.FLOAT32:
            return _float32(bounds[0]), _float32(bounds[1])
        return bounds

    def _range_text(self) -> str:
        low, high = self.feature.range or (-math.inf, math.inf)
        return f"{_plain(low)}..{_plain(high)}"

    def _expected_type(self) -> str:
        return _EXPECTED[self.feature.dtype] + (" or null" if self.feature.nullable else "")

    def _refuse(self, rule: Rule, expected: str, value: object) -> Reason:
        return reason(
            self.field, rule, expected, MASK if self.feature.sensitivity == "personal" else shown(value, rule)
        )


def shown(value: object, rule: Rule) -> str:
    """A value as a reason repeats it: as JSON where its type is the fault, else plain."""
    if isinstance(value, str) and rule is not Rule.TYPE:
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return repr(type(value))


def _text(value: Any) -> str | None:
    return value if type(value) is str and _encodable(value) else None


def _matches(pattern: str, values: Sequence[str]) -> list[bool]:
    matched: list[bool] = pl.Series(values, dtype=pl.String).str.contains(pattern).to_list()
    return matched


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _float32(value: float) -> float:
    """The nearest float32, as a Python float; infinite where float32 has none that large. Faster than numpy for one value."""
    try:
        return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _plain(bound: float) -> str:
    if math.isinf(bound):
        return ""
    return str(int(bound)) if bound == int(bound) else repr(bound)


def _some(names: Sequence[str]) -> str:
    text = "one of " + ", ".join(names[:_LISTED])
    return text if len(names) <= _LISTED else f"{text} and {len(names) - _LISTED} more"
