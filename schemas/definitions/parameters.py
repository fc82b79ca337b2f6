"""What a recipe's parameter may be, in a notation that people read and programs check: ``int [1, inf) | null``.

Alternatives are separated by ``|``: ``int`` and ``number`` with an interval, ``fraction`` (a number that must be written with a
point, where a whole number would mean a count), ``bool``, ``text``, ``null``, a word in quotes, and ``list of`` one of these.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

_INTERVAL: Final = re.compile(r"(int|number|fraction) ([\[(])(\S+), (\S+)([\])])")
_LIST: Final = "list of "
_PLAIN: Final[dict[str, type]] = {"bool": bool, "text": str, "null": type(None)}


@dataclass(frozen=True)
class Parameter:
    """One parameter by its notation, which the reference prints as it stands."""

    notation: str

    def accepts(self, value: object) -> bool:
        """Whether a definition may give it this value."""
        return any(_fits(alternative, value) for alternative in self.alternatives)

    @cached_property
    def alternatives(self) -> tuple[str, ...]:
        """The notation's parts."""
        return tuple(part.strip() for part in self.notation.split("|"))

    def __str__(self) -> str:
        return " or ".join(_said(each) for each in self.alternatives)


def _fits(alternative: str, value: object) -> bool:
    if alternative.startswith(_LIST):
        within = alternative.removeprefix(_LIST)
        return isinstance(value, list | tuple) and bool(value) and all(_fits(within, each) for each in value)
    if alternative in _PLAIN:
        return isinstance(value, _PLAIN[alternative])
    if alternative.startswith("'"):
        return isinstance(value, str) and value == alternative.strip("'")
    return _within(alternative, value)


def _within(alternative: str, value: object) -> bool:
    match = _INTERVAL.fullmatch(alternative)
    if match is None:
        message = f"not a parameter's notation: {alternative}"
        raise ValueError(message)
    kind, opening, low, high, closing = match.groups()
    if isinstance(value, bool) or not isinstance(value, int if kind == "int" else float | int):
        return False
    if (kind == "fraction" and isinstance(value, int)) or math.isnan(value) or math.isinf(value):
        return False
    above = value > float(low) if opening == "(" else value >= float(low)
    below = value < float(high) if closing == ")" else value <= float(high)
    return above and below


def _said(alternative: str) -> str:
    if alternative.startswith(_LIST):
        return f"a list, each {_said(alternative.removeprefix(_LIST))}"
    match = _INTERVAL.fullmatch(alternative)
    if match is None:
        return {"bool": "true or false", "text": "a text"}.get(alternative, alternative.strip("'"))
    kind, opening, low, high, closing = match.groups()
    noun = {"int": "a whole number", "number": "a number", "fraction": "a number with a point"}[kind]
    if high == "inf":
        return f"{noun} {'above' if opening == '(' else 'from'} {low}"
    return f"{noun} in {opening}{low}, {high}{closing}"
