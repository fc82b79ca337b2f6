"""Files of events and labels, row by row, in the shape that ingestion takes. Whatever is wrong is said with its place in the file."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from schemas.envelope import format_time
from shared.errors import RefusedError

TABLES: Final = (".csv", ".parquet")
EVENT_COLUMNS: Final = ("entity_id", "occurred_at")
LABEL_COLUMNS: Final = ("event_id", "entity_id", "observed_at", "value")
_NOT_FEATURES: Final = ("id", "feature_set", "entity_id", "occurred_at")

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """What stands at one place of a file."""

    place: str  # "line 5" or, in a table, "row 5"
    fields: Fields

    @property
    def structured(self) -> bool:
        """Whether it is a whole CloudEvent."""
        return "specversion" in self.fields


@dataclass(frozen=True, slots=True)
class Line:
    """A record as it is sent."""

    place: str
    content: bytes


def rows_of(file: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a file, as the format says that its name ends in; a table must have ``columns``."""
    if str(file) == "-":
        return list(_ndjson(sys.stdin.buffer.read(), "standard input"))
    if not file.is_file():
        problem = f"There is no file {file}."
        raise RefusedError(problem)
    if file.suffix in TABLES:
        return _table(file, columns)
    return list(_ndjson(file.read_bytes(), str(file)))


def _table(file: Path, columns: Sequence[str]) -> list[Row]:
    import polars as pl  # noqa: PLC0415 - NDJSON does without

    try:
        frame = pl.read_csv(file, infer_schema_length=None) if file.suffix == ".csv" else pl.read_parquet(file)
    except pl.exceptions.PolarsError as error:
        problem = f"{file} cannot be read as {file.suffix[1:]}: {error}"
        raise RefusedError(problem) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        problem = f"{file} has no column {' and no column '.join(missing)}; its columns are {', '.join(frame.columns)}."
        raise RefusedError(problem)
    return [Row(f"row {number}", fields) for number, fields in enumerate(frame.iter_rows(named=True), start=1)]


def _ndjson(content: bytes, name: str) -> Iterator[Row]:
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield Row(f"line {number}", msgspec.json.decode(line, type=Fields))
        except msgspec.MsgspecError as error:
            problem = f"{name}, line {number} is not a JSON object: {error}"
            raise RefusedError(problem) from error


def event_line(row: Row, feature_set: str | None, source: str) -> Line:
    """An event. Raises `RefusedError` where the row contradicts ``feature_set``, or lacks what cannot be left to ingestion."""
    if row.structured:
        return _whole(row, "feature_set", feature_set)
    own = _agreed(row, "feature_set", row.fields, feature_set)
    if "features" in row.fields:
        data = {**({} if own is None else {"feature_set": own}), **row.fields}
        return _line(row, data, "headrace.event.v1", source)
    if own is None:
        problem = f"{row.place} does not say its feature set: name it with --feature-set."
        raise RefusedError(problem)
    data = {
        "feature_set": own,
        "entity_id": str(_given(row, "entity_id")),
        "occurred_at": format_time(time_of(row, "occurred_at")),
        "features": {name: value for name, value in row.fields.items() if name not in _NOT_FEATURES},
    }
    return _line(row, data, "headrace.event.v1", source)


def label_line(row: Row, model: str | None, source: str) -> Line:
    """A label, its ids as text, which a table may hold as numbers, and its time with an offset."""
    if row.structured:
        return _whole(row, "model", model)
    own = _agreed(row, "model", row.fields, model)
    given: Fields = {"event_source": source, **row.fields, **({} if own is None else {"model": own})}
    texts = {
        name: str(given[name]) for name in ("event_source", "event_id", "entity_id") if given.get(name) is not None
    }
    times = {} if given.get("observed_at") is None else {"observed_at": format_time(time_of(row, "observed_at"))}
    return _line(row, {**given, **texts, **times}, "headrace.label.v1", source)


def time_of(row: Row, column: str) -> datetime:
    """A time of a row; without an offset it is UTC. Raises `RefusedError`."""
    fields = row.fields
    if row.structured and isinstance(fields.get("data"), dict):
        row = Row(row.place, fields["data"])
    value = _given(row, column)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        problem = f"{row.place}: {column} {value!r} is not a time like 2026-03-01T12:00:00Z."
        raise RefusedError(problem) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def feature_set_of(line: Line) -> str | None:
    """The feature set that a line names."""
    data = msgspec.json.decode(line.content).get("data")
    found = data.get("feature_set") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _given(row: Row, column: str) -> Any:
    value = row.fields.get(column)
    if value is None and column in row.fields:
        problem = f"{row.place}: {column} is empty."
        raise RefusedError(problem)
    if value is None:
        problem = f"{row.place} has no {column}; it has {', '.join(row.fields) or 'nothing'}."
        raise RefusedError(problem)
    return value


def _whole(row: Row, name: str, wanted: str | None) -> Line:
    data = row.fields.get("data")
    own = _agreed(row, name, data, wanted) if isinstance(data, dict) else None
    fields = row.fields if own is None else {**row.fields, "data": {**row.fields["data"], name: own}}
    return Line(row.place, msgspec.json.encode(fields))


def _agreed(row: Row, name: str, fields: Mapping[str, Any], wanted: str | None) -> str | None:
    """What the row says, else the option. Raises `RefusedError` where they are not the same."""
    own = fields.get(name)
    if own is None:
        return wanted
    if wanted is not None and not _same(str(own), wanted):
        option = f"--{name.replace('_', '-')} {wanted}"
        problem = f"{row.place} is for {own}, but {option} was given: leave the option out, or correct the file."
        raise RefusedError(problem)
    return str(own)


def _same(one: str, other: str) -> bool:
    """``flights`` is ``flights@1``, but ``flights@1`` is not ``flights@2``."""
    (name, _, major), (other_name, _, other_major) = one.partition("@"), other.partition("@")
    return name == other_name and (major == other_major or not major or not other_major)


def _line(row: Row, data: Fields, kind: str, source: str) -> Line:
    given = row.fields.get("id")
    identity = str(given) if given is not None else str(uuid4())
    body = {name: value for name, value in data.items() if name != "id"}
    event = {"specversion": "1.0", "id": identity, "source": source, "type": kind, "data": body}
    return Line(row.place, msgspec.json.encode(event))
