"""Business figures per window: SQL aggregates taken apart into sums and counts, which merge over batches and partitions.

``avg(x)`` becomes ``sum(x) / count(x)``; what stands around the aggregates must be arithmetic (``+ - * /``, numbers,
parentheses). What is inside is evaluated row by row by polars, so it may be any SQL expression over the columns.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from schemas.expressions import FAILURES
from services.monitoring.tallies import SCALE, Tally, fixed_sum

_CALL: Final = re.compile(r"\b([A-Za-z_][A-Za-z0-9_]*)\s*\(")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class KpiError(ValueError):
    """An expression that is no arithmetic over sum, count and avg; the message says where."""


@dataclass(frozen=True, slots=True)
class Part:
    """One mergeable aggregate: the sum of an expression's values, or how many of them are not null (None: rows)."""

    function: str
    expression: str | None

    @property
    def name(self) -> str:
        """Its name in a tally."""
        return f"kpi:{self.function}({self.expression or '*'})"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a KPI is computed: ``parts`` p0, p1, … and the arithmetic ``skeleton`` over them."""

    name: str
    parts: tuple[Part, ...]
    skeleton: ast.expr

    @property
    def divides(self) -> bool:
        """Whether it is an average or another ratio, which few rows do not settle."""
        return any(isinstance(node, ast.Div) for node in ast.walk(self.skeleton))

    def columns(self, available: Sequence[str]) -> list[str]:
        """Those of ``available`` that the expressions mention."""
        words = {word for part in self.parts for word in _WORD.findall(part.expression or "")}
        return [name for name in available if name in words]


def plan(name: str, expression: str) -> Plan:
    """Take ``expression`` apart. Raises `KpiError` where it is anything but arithmetic over sum, count and avg."""
    parts: list[Part] = []
    skeleton, position = "", 0
    while match := _CALL.search(expression, position):
        inner, end = _argument(expression, match.end())
        skeleton += expression[position : match.start()] + _aggregate(match[1].lower(), inner.strip(), parts)
        position = end
    skeleton += expression[position:]
    if not parts:
        message = f"{expression!r} contains no sum, count or avg"
        raise KpiError(message)
    try:
        tree = ast.parse(skeleton.strip(), mode="eval").body
    except SyntaxError as error:
        message = f"{expression!r}: what stands around the aggregates is not arithmetic"
        raise KpiError(message) from error
    _check(tree, expression)
    return Plan(name, tuple(parts), tree)


def tally_parts(plans: Sequence[Plan], frame: pl.DataFrame, tally: Tally) -> None:
    """Add what the plans need of ``frame``'s rows to ``tally``.

    A part that polars cannot compute for some row makes its KPIs unknown for the whole window.
    """
    for part in sorted({part for item in plans for part in item.parts}, key=lambda part: part.name):
        try:
            tally.add(part.name, _total(part, frame))
        except KpiError:
            tally.add(f"broken {part.name}", 1)


def check(item: Plan, frame: pl.DataFrame) -> None:
    """Compute a plan over ``frame``, which may be empty. Raises `KpiError` where polars refuses one of its expressions."""
    for part in item.parts:
        _total(part, frame)


def value(item: Plan, tally: Tally) -> float | None:
    """The KPI over everything in ``tally``; None where it divides by zero or could not be computed."""
    if any(tally.total(f"broken {part.name}") for part in item.parts):
        return None
    parts = {f"p{position}": tally.real(part.name) for position, part in enumerate(item.parts)}
    try:
        return _evaluate(item.skeleton, parts)
    except ZeroDivisionError:
        return None


def share(item: Plan, tally: Tally) -> tuple[int, int] | None:
    """How many of how many, where the KPI is the average of an expression that is 0 or 1; None for any other."""
    match item.parts, item.skeleton:
        case (Part("sum", one), Part("count", other)), ast.BinOp(
            left=ast.Name(id="p0"), op=ast.Div(), right=ast.Name(id="p1")
        ) if one == other:
            count, rest = divmod(tally.total(item.parts[0].name), SCALE)
            of = tally.total(item.parts[1].name) // SCALE
            return (count, of) if rest == 0 and 0 <= count <= of else None
        case _:
            return None


def _total(part: Part, frame: pl.DataFrame) -> int:
    if part.expression is None:
        return frame.height * SCALE
    try:
        values = frame.select(pl.sql_expr(part.expression).cast(pl.Float64).alias("v"))["v"]
    except FAILURES as error:
        message = f"{part.expression!r}: {(str(error) or type(error).__name__).splitlines()[0]}"
        raise KpiError(message) from error
    if part.function == "count":
        return (len(values) - values.null_count()) * SCALE
    return fixed_sum(values.fill_null(np.nan).to_numpy())


def _argument(expression: str, start: int) -> tuple[str, int]:
    depth, quoted = 1, False
    for position in range(start, len(expression)):
        character = expression[position]
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return expression[start:position], position + 1
    message = f"{expression!r}: a parenthesis is not closed"
    raise KpiError(message)


def _aggregate(function: str, inner: str, parts: list[Part]) -> str:
    if re.match(r"distinct\b", inner, re.IGNORECASE):
        message = (
            f"{function}({inner}): distinct values cannot be merged over windows; use sum, count, avg or ratios of them"
        )
        raise KpiError(message)
    if function == "count":
        return _placeholder(Part("count", None if inner in ("*", "1") else inner), parts)
    if function == "sum":
        return _placeholder(Part("sum", inner), parts)
    if function == "avg":
        return f"({_placeholder(Part('sum', inner), parts)}/{_placeholder(Part('count', inner), parts)})"
    message = f"{function}(…) cannot be merged over windows; use sum, count, avg or ratios of them"
    raise KpiError(message)


def _placeholder(part: Part, parts: list[Part]) -> str:
    if part.expression == "":
        message = f"{part.function}() of nothing"
        raise KpiError(message)
    if part not in parts:
        parts.append(part)
    return f"p{parts.index(part)}"


def _check(node: ast.expr, expression: str) -> None:
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            _check(left, expression)
            _check(right, expression)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, expression)
        case ast.Name(id=name) if re.fullmatch(r"p\d+", name):
            return
        case ast.Constant(value=int() | float()):
            return
        case _:
            message = f"{expression!r}: {ast.unparse(node)} stands outside an aggregate"
            raise KpiError(message)


def _evaluate(node: ast.expr, parts: Mapping[str, float]) -> float:
    match node:
        case ast.BinOp(left=left, op=symbol, right=right):
            return _OPERATORS[type(symbol)](_evaluate(left, parts), _evaluate(right, parts))
        case ast.UnaryOp(op=sign, operand=operand):
            return -_evaluate(operand, parts) if isinstance(sign, ast.USub) else _evaluate(operand, parts)
        case ast.Name(id=name):
            return parts[name]
        case ast.Constant(value=number):
            return _number(number)
        case _:
            raise AssertionError(ast.dump(node))  # `_check` has refused everything else


def _number(constant: Any) -> float:
    return float(constant)
