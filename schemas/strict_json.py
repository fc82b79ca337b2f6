"""JSON by the letter: what parsers let pass in silence (repeated keys, NaN, endless numbers, lone surrogates) is refused.

The normal record takes the fast path, `msgspec` and one walk. The walk proves that no key was repeated: outside strings a
colon stands once per key, so the colons of the text must equal the keys of the result plus the colons inside its strings.
Whatever the fast path does not like is read again, slowly, to name every fault with its place.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from schemas.reasons import Reason, RefusedRecordError, Rule, capped, reason
from schemas.topics import EDGE_RECORD_BYTES

MAX_NESTING: Final = 64
INTEGER_LIMIT: Final = 2**63
WHOLE: Final = "(record)"

_DECODER: Final = msgspec.json.Decoder()
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class _SuspiciousError(Exception):
    """The fast path saw something that the slow path must judge."""


class _Faulty:
    """Stands in the slow path's result where a value is not acceptable."""

    __slots__ = ("expected", "observed", "rule")

    def __init__(self, rule: Rule, expected: str, observed: str) -> None:
        self.rule, self.expected, self.observed = rule, expected, observed


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys were repeated."""

    repeated: tuple[str, ...] = ()


def parse(payload: bytes, *, limit: int = EDGE_RECORD_BYTES) -> Any:
    """The value of a UTF-8 JSON text of at most ``limit`` bytes.

    Raises `RefusedRecordError`: too_large, empty, encoding, json_syntax, trailing_data, nesting, or, each with its path,
    duplicate_key, not_finite, number_too_large, lone_surrogate.
    """
    if len(payload) > limit:
        raise RefusedRecordError((reason(WHOLE, Rule.TOO_LARGE, f"at most {limit} bytes", f"{len(payload)} bytes"),))
    try:
        value = _DECODER.decode(payload)
        colons = _colons(value, 1)
    except (msgspec.MsgspecError, _SuspiciousError, RecursionError, UnicodeDecodeError):
        return _parse_slowly(payload)
    if colons != payload.count(b":") or b"\\u003" in payload:  # \u003a is a colon that the count misses
        return _parse_slowly(payload)
    return value


def _colons(value: Any, depth: int) -> int:
    """Keys plus colons inside strings; raises `_SuspiciousError` for what is too deep or too large."""
    kind = type(value)
    if kind is dict or kind is list:
        if depth > MAX_NESTING:
            raise _SuspiciousError
        return (
            _colons_of_keys(value) + _colons_of_items(value.values(), depth)
            if kind is dict
            else _colons_of_items(value, depth)
        )
    if kind is str:
        return int(value.count(":"))
    if kind is int and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        raise _SuspiciousError
    return 0


def _colons_of_keys(value: dict[str, Any]) -> int:
    return len(value) + "".join(value).count(":")


def _colons_of_items(items: Iterable[Any], depth: int) -> int:
    """The sum of `_colons` over ``items``; strings and floats, which are most of them, cost no call."""
    count = 0
    for item in items:
        kind = type(item)
        if kind is float:
            continue
        if kind is str:
            if ":" in item:
                count += item.count(":")
        else:
            count += _colons(item, depth + 1)
    return count


def _parse_slowly(payload: bytes) -> Any:
    text = _text(payload)
    if _depth(text) > MAX_NESTING:
        raise RefusedRecordError((reason(WHOLE, Rule.NESTING, f"at most {MAX_NESTING} levels", "more"),))
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        rule = Rule.TRAILING_DATA if error.msg == "Extra data" else Rule.JSON_SYNTAX
        where = f"{error.msg}, line {error.lineno} column {error.colno}"
        raise RefusedRecordError((reason(WHOLE, rule, "one JSON value", where),)) from error
    faults: list[Reason] = []
    _collect(value, "", faults)
    if faults:
        raise RefusedRecordError(capped(faults))
    return value


def _text(payload: bytes) -> str:
    if not payload.strip():
        raise RefusedRecordError((reason(WHOLE, Rule.EMPTY, "a JSON object", f"{len(payload)} bytes"),))
    if payload.startswith(_BOMS):
        raise RefusedRecordError((reason(WHOLE, Rule.ENCODING, "UTF-8 without byte order mark", "a byte order mark"),))
    if b"\x00" in payload:  # never legal in JSON; UTF-16 and UTF-32 without a mark are full of it
        raise RefusedRecordError((reason(WHOLE, Rule.ENCODING, "UTF-8", f"byte 0x00 at {payload.index(0)}"),))
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        observed = f"byte 0x{payload[error.start]:02x} at {error.start}"
        raise RefusedRecordError((reason(WHOLE, Rule.ENCODING, "UTF-8", observed),)) from error


def _depth(text: str) -> int:
    """How deep brackets are nested outside strings, counted without recursion."""
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object(pairs)
    if len(result) != len(pairs):
        result.repeated = tuple(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return result


def _constant(text: str) -> _Faulty:
    return _Faulty(Rule.NOT_FINITE, "a finite number", text)


def _integer(text: str) -> int | _Faulty:
    if len(text) <= len(str(-INTEGER_LIMIT)) and -INTEGER_LIMIT <= int(text) < INTEGER_LIMIT:
        return int(text)
    return _Faulty(Rule.NUMBER_TOO_LARGE, "an integer of 64 bits", text)


def _float(text: str) -> float | _Faulty:
    value = float(text)
    if value - value == 0:
        return value
    return _Faulty(Rule.NUMBER_TOO_LARGE, "a number that a double can hold", text)


def _collect(value: Any, path: str, faults: list[Reason]) -> None:
    if isinstance(value, _Faulty):
        faults.append(reason(path or WHOLE, value.rule, value.expected, value.observed))
    elif isinstance(value, str):
        _check_text(value, path, faults)
    elif isinstance(value, _Object):
        faults.extend(
            reason(
                _join(path, _printable(name)),
                Rule.DUPLICATE_KEY,
                "each key once",
                "the key stands there more than once",
            )
            for name in value.repeated
        )
        for name, item in value.items():
            _check_text(name, path, faults)
            _collect(item, _join(path, _printable(name)), faults)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _collect(item, f"{path}[{position}]", faults)


def _check_text(text: str, path: str, faults: list[Reason]) -> None:
    if not _encodable(text):
        faults.append(reason(path or WHOLE, Rule.LONE_SURROGATE, "Unicode text", "half of a surrogate pair"))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
