"""SQL expressions that users write: a whitelist of tokens, compiled by polars to column expressions.

Only literals, the given columns, operators, CASE, CAST, IN, LIKE, BETWEEN, IS and the functions named here get through; there
are no tables, no subqueries, no windows, no comments, nothing that reads a file, a clock or a random number. What polars
then evaluates is a plain column expression; it runs no code of the user's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

MAX_CHARACTERS: Final = 1000
ROW_FUNCTIONS: Final = frozenset(
    [
        "abs",
        "ceil",
        "ceiling",
        "coalesce",
        "char_length",
        "concat",
        "ends_with",
        "exp",
        "floor",
        "greatest",
        "ifnull",
        "least",
        "left",
        "length",
        "ln",
        "log10",
        "log2",
        "lower",
        "mod",
        "nullif",
        "pow",
        "power",
        "replace",
        "right",
        "round",
        "sign",
        "sqrt",
        "starts_with",
        "substr",
        "trim",
        "upper",
    ]
)
AGGREGATES: Final = frozenset(("sum", "count", "avg"))

CAST_TYPES: Final = frozenset(
    ["bigint", "bool", "boolean", "double", "float", "int", "integer", "real", "smallint", "text", "varchar"]
)
_WORDS: Final = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "is",
        "null",
        "between",
        "like",
        "case",
        "when",
        "then",
        "else",
        "end",
        "true",
        "false",
        "distinct",
        "from",
    ]
)
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_.]))
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"[A-Za-z_][A-Za-z0-9_]*")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<operator><=|>=|<>|!=|\|\||[-+*/%<>=(),])
    """,
    re.VERBOSE,
)
_PANIC: Final = pl.exceptions.PanicException  # no child of Exception, so it must be named
FAILURES: Final = (pl.exceptions.PolarsError, _PANIC)


class ExpressionError(Exception):
    """An expression that is not accepted; the message is a sentence for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token: ``kind`` is number, string, column, function, type, keyword or operator."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class RowExpression:
    """A compiled expression over one row: its text, its columns in order of first use, and the type of its result."""

    text: str
    expr: pl.Expr
    columns: tuple[str, ...]
    dtype: pl.DataType


def compile_row(text: str, columns: Mapping[str, pl.DataType]) -> RowExpression:
    """``text`` as an expression over ``columns``, evaluated row by row.

    Raises `ExpressionError`: too long, a character, function or name that is not accepted, not SQL, types that do not fit.
    """
    tokens = tokenize(text, columns, ROW_FUNCTIONS)
    used = tuple(dict.fromkeys(token.text for token in tokens if token.kind == "column"))
    try:
        expr = pl.sql_expr(text)
        foreign = set(expr.meta.root_names()) - set(used)
        if foreign or expr.meta.has_multiple_outputs():
            raise ExpressionError(f"is not one value per record: {text}")
        nothing = pl.DataFrame(schema={"": pl.Int8, **columns}).with_columns(expr.alias("=value"))
    except FAILURES as error:
        raise ExpressionError(f"is not accepted: {_first_line(error)}") from error
    return RowExpression(text, expr, used, nothing.schema["=value"])


def tokenize(text: str, columns: Mapping[str, pl.DataType], functions: frozenset[str]) -> list[Token]:
    """The tokens of ``text`` without spaces. Raises `ExpressionError` for the first that is not accepted."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"has {len(text)} characters; at most {MAX_CHARACTERS}")
    return list(_tokens(text, columns, functions))


def _tokens(text: str, columns: Mapping[str, pl.DataType], functions: frozenset[str]) -> Iterator[Token]:
    position = 0
    casts: list[int] = []  # how deep in parentheses each open CAST stands
    depth = 0
    after_as = False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or text.startswith(("--", "/*"), position):
            raise ExpressionError(f"has {text[position : position + 10]!r} at {position}, which is not accepted")
        kind, part = str(match.lastgroup), match.group()
        position = match.end()
        if kind == "space":
            continue
        if part == "(":
            depth += 1
        elif part == ")":
            if casts and casts[-1] == depth:
                casts.pop()
            depth -= 1
        if kind == "word":
            called = text[position:].lstrip().startswith("(")
            kind = _word(part, columns, functions, called=called, in_cast=bool(casts), after_as=after_as)
            if kind == "function" and part.lower() == "cast":
                casts.append(depth + 1)
        elif kind == "quoted":
            kind, part = _column(part[1:-1], columns)
        after_as = kind == "keyword" and part.lower() == "as"
        yield Token(kind, part)


def _word(
    word: str,
    columns: Mapping[str, pl.DataType],
    functions: frozenset[str],
    *,
    called: bool,
    in_cast: bool,
    after_as: bool,
) -> str:
    """What a bare word is; raises `ExpressionError` where it is nothing that is accepted."""
    lower = word.lower()
    if after_as:
        if lower not in CAST_TYPES:
            raise ExpressionError(f"casts to {word!r}; accepted: {', '.join(sorted(CAST_TYPES))}")
        return "type"
    if lower in _WORDS or (lower == "as" and in_cast):
        return "keyword"
    if called:
        if lower != "cast" and lower not in functions:
            raise ExpressionError(f"calls {word!r}; accepted: {', '.join(sorted(functions | {'cast'}))}")
        return "function"
    return _column(word, columns)[0]


def _column(name: str, columns: Mapping[str, pl.DataType]) -> tuple[str, str]:
    if name not in columns:
        raise ExpressionError(f"refers to {name!r}; known here: {', '.join(columns) or 'nothing'}")
    return "column", name


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]
