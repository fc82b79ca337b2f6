"""The one checker: a FeatureSet compiled once, applied to batches, by ingestion, validation and V2 requests alike.

Pure and deterministic: what is said of a row does not depend on the rows around it. Canonical values are described in
`schemas.feature_columns`. Expressions see float32 features as 32-bit columns, int64 as 64-bit, categories as strings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from schemas.definitions import DefinitionError, Dtype, Feature, FeatureSet, Problem, RowRule
from schemas.derived_texts import DERIVED_TEXT_BYTES, cut_off
from schemas.expressions import FAILURES, ExpressionError, RowExpression, compile_row
from schemas.feature_columns import Column, ColumnCheck, shown
from schemas.feature_types import polars_type
from schemas.reasons import MASK, Reason, Rule, capped, reason
from schemas.sent_rows import SentRows

_BOOLEANS: Final = (pl.Boolean, pl.Null)


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """One entry of ``reasons`` per row, empty for an accepted one; personal values are masked in it.

    ``columns`` holds the canonical values of each feature in definition order, derived ones included.
    """

    columns: Mapping[str, Sequence[Any]]
    reasons: list[tuple[Reason, ...]]

    @property
    def features(self) -> list[dict[str, Any] | None]:
        """One entry per row: its canonical values, or None if it was refused. Made anew by each call."""
        names, rows = tuple(self.columns), zip(*self.columns.values(), strict=True)
        return [
            None if reasons else dict(zip(names, values, strict=True))
            for values, reasons in zip(rows, self.reasons, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Derived:
    """A feature that is computed; its value must keep the feature's own type, range, categories and pattern."""

    check: ColumnCheck
    expression: RowExpression


@dataclass(frozen=True, slots=True)
class _Rule:
    definition: RowRule
    expression: RowExpression


class Checker:
    """Judges feature rows of one FeatureSet; made by `compile_checker`. Holds no state between calls."""

    def __init__(
        self,
        feature_set: FeatureSet,
        checks: Sequence[ColumnCheck],
        derived: Sequence[_Derived],
        rules: Sequence[_Rule],
    ) -> None:
        self.feature_set = feature_set
        self._checks = tuple(checks)
        self._derived = tuple(derived)
        self._rules = tuple(rules)
        self._order = tuple(feature.name for feature in feature_set.spec.features)
        self._sent = SentRows([check.feature.name for check in checks])
        self._types = {feature.name: polars_type(feature.dtype) for feature in feature_set.spec.features}
        personal = {feature.name for feature in feature_set.spec.features if feature.sensitivity == "personal"}
        for each in derived:  # what is computed from personal data is not repeated either
            if not personal.isdisjoint(each.expression.columns):
                personal.add(each.check.feature.name)
        self._personal = frozenset(personal)

    def check(self, rows: Sequence[Mapping[str, Any]]) -> CheckedBatch:
        """Judge the ``features`` objects of a batch of events. Never raises, whatever the values are."""
        if not rows:
            return CheckedBatch({}, [])
        faults: list[list[Reason]] = [[] for _ in rows]
        sent, unusual = self._sent.columns(rows)
        columns = {each.feature.name: each.check(values) for each, values in zip(self._checks, sent, strict=True)}
        for column in columns.values():
            for row, fault in column.faults.items():
                faults[row].append(fault)
        self._find_extra(unusual, faults)
        room = [DERIVED_TEXT_BYTES] * len(rows)
        for derived in self._derived:
            column = columns[derived.check.feature.name] = self._derive(derived, columns, faults)
            if derived.check.feature.dtype in (Dtype.STRING, Dtype.CATEGORY):
                for row, fault in cut_off(derived.check.field, column, room).items():
                    faults[row].append(fault)
                    column.faults[row] = _UNKNOWN
        for rule in self._rules:
            self._apply(rule, columns, faults)
        values = {name: columns[name].values for name in self._order}
        return CheckedBatch(values, [capped(found) if found else () for found in faults])

    def _find_extra(self, rows: Mapping[int, Mapping[str, Any]], faults: list[list[Reason]]) -> None:
        for row, sent in rows.items():
            for name in self._sent.beside(sent):
                expected = "no such feature; it is derived" if name in self._types else "no such feature"
                faults[row].append(reason(f"features.{name}", Rule.EXTRA_FIELD, expected, "present"))

    def _derive(self, derived: _Derived, columns: Mapping[str, Column], faults: list[list[Reason]]) -> Column:
        """The derived column; rows whose inputs are faulty stay None, marked as faulty without a further reason."""
        check, expression = derived.check, derived.expression
        blocked = _blocked(expression, columns)
        results = self._evaluate(expression, columns, len(faults))
        wanted = [None if row in blocked else _as_json(value, check.feature.dtype) for row, value in enumerate(results)]
        judged = check.check([None if value is _FAILED else value for value in wanted])
        unknown = dict.fromkeys(blocked, _UNKNOWN)
        failed = {row for row, value in enumerate(wanted) if value is _FAILED}
        for row in sorted({*judged.faults, *failed} - blocked):
            unknown[row] = _UNKNOWN
            fault = judged.faults.get(row)
            expected = expression.text if fault is None else f"{expression.text} → {fault.expected}"
            if fault is None or row in failed:
                observed = "a value that cannot be computed"
            else:
                observed = MASK if check.feature.name in self._personal else fault.observed
            faults[row].append(reason(check.field, Rule.DERIVATION, expected, observed))
        return Column(judged.values, unknown)

    def _apply(self, rule: _Rule, columns: Mapping[str, Column], faults: list[list[Reason]]) -> None:
        results = self._evaluate(rule.expression, columns, len(faults))
        if all(result is True or result is None for result in results):
            return
        blocked = _blocked(rule.expression, columns)
        for row, result in enumerate(results):
            if result is True or result is None or row in blocked:
                continue
            observed = ", ".join(
                f"{name}={self._shown(name, columns[name].values[row])}" for name in rule.expression.columns
            )
            expected = f"{rule.definition.name}: {rule.definition.expression}"
            faults[row].append(reason("features", Rule.CROSS_FIELD, expected, observed))

    def _evaluate(self, expression: RowExpression, columns: Mapping[str, Column], rows: int) -> list[Any]:
        frame = pl.DataFrame(
            {"=row": pl.int_range(rows, eager=True)}
            | {name: pl.Series(columns[name].values, dtype=self._types[name]) for name in expression.columns}
        )
        return list(_results(expression.expr, frame))

    def _shown(self, name: str, value: object) -> str:
        return MASK if name in self._personal else shown(value, Rule.TYPE)


def compile_checker(feature_set: FeatureSet) -> Checker:
    """A checker for ``feature_set``; compile once, use for every batch.

    Raises `DefinitionError` with each expression or pattern that cannot be used, by its path. A derived feature may refer to
    the features that are sent and to derived ones above it.
    """
    problems: list[Problem] = []
    checks: list[ColumnCheck] = []
    derived: list[_Derived] = []
    known = {f.name: polars_type(f.dtype) for f in feature_set.spec.features if not f.derived}
    for position, feature in enumerate(feature_set.spec.features):
        path = f"spec.features[{position}]"
        try:
            check = ColumnCheck(feature)
        except ValueError as error:
            problems.append(Problem(1, f"{path}.pattern", str(error)))
            continue
        if feature.expression is None:
            checks.append(check)
            continue
        try:
            derived.append(_Derived(check, _derivation(feature, known)))
        except ExpressionError as error:
            problems.append(Problem(1, f"{path}.expression", str(error)))
        known[feature.name] = polars_type(feature.dtype)
    rules: list[_Rule] = []
    for position, rule in enumerate(feature_set.spec.rules):
        try:
            rules.append(_Rule(rule, _condition(rule, known)))
        except ExpressionError as error:
            problems.append(Problem(1, f"spec.rules[{position}].expression", str(error)))
    if problems:
        raise DefinitionError(problems)
    return Checker(feature_set, checks, derived, rules)


class _Failed:
    """What stands for a value whose computation failed."""


_FAILED: Final = _Failed()
_UNKNOWN: Final = Reason(field="features", rule=Rule.DERIVATION.value, expected="known inputs", observed="unknown")


def _derivation(feature: Feature, known: Mapping[str, pl.DataType]) -> RowExpression:
    expression = compile_row(feature.expression or "", known)
    dtype = expression.dtype
    fits = {
        Dtype.FLOAT32: dtype.is_numeric(),
        Dtype.FLOAT64: dtype.is_numeric(),
        Dtype.INT64: dtype.is_integer(),
        Dtype.BOOL: dtype == pl.Boolean,
        Dtype.CATEGORY: dtype == pl.String,
        Dtype.STRING: dtype == pl.String,
    }[feature.dtype]
    if not fits:
        raise ExpressionError(f"gives {dtype}, but the feature is {feature.dtype.value}; use cast(… as …)")
    if feature.dtype in (Dtype.FLOAT32, Dtype.FLOAT64):  # integers and decimals are numbers too
        return replace(expression, expr=expression.expr.cast(pl.Float64))
    return expression


def _condition(rule: RowRule, known: Mapping[str, pl.DataType]) -> RowExpression:
    expression = compile_row(rule.expression, known)
    if expression.dtype not in _BOOLEANS:
        raise ExpressionError(f"gives {expression.dtype}, not true or false")
    return expression


def _blocked(expression: RowExpression, columns: Mapping[str, Column]) -> set[int]:
    """Rows where a column that ``expression`` reads is faulty, so that its result means nothing."""
    return {row for name in expression.columns for row in columns[name].faults}


def _results(expr: pl.Expr, frame: pl.DataFrame) -> Iterator[Any]:
    """One result per row; where polars fails over a batch, halves are tried until the rows that fail are alone."""
    try:
        yield from frame.with_columns(expr.alias("=value"))["=value"].to_list()
    except FAILURES:
        if frame.height == 1:
            yield _FAILED
            return
        half = frame.height // 2
        yield from _results(expr, frame[:half])
        yield from _results(expr, frame[half:])


def _as_json(value: Any, dtype: Dtype) -> Any:
    return (
        float(value)
        if dtype in (Dtype.FLOAT32, Dtype.FLOAT64) and value is not None and value is not _FAILED
        else value
    )
