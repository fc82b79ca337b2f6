"""Columnar batches on their way to disk: arrivals are appended to columns, columns become one immutable Parquet segment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.reasons import RefusedRecordError, Rule, reason
from services.training.arrivals import ArrivedEvent, ArrivedLabel
from services.training.durable import write_durably
from shared.records import Record

EVENTS: Final = "events"
LABELS: Final = "labels"
_TIME: Final = pa.timestamp("us", tz="UTC")
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    EVENTS: pa.schema(
        {
            "source": pa.string(),
            "id": pa.string(),
            "entity_id": pa.string(),
            "occurred_at": _TIME,
            "definition_version": pa.string(),
            "features": pa.binary(),
            "partition": pa.int32(),
            "offset": pa.int64(),
        }
    ),
    LABELS: pa.schema(
        {
            "event_source": pa.string(),
            "event_id": pa.string(),
            "entity_id": pa.string(),
            "observed_at": _TIME,
            "label_version": pa.int32(),
            "value": pa.binary(),
            "partition": pa.int32(),
            "offset": pa.int64(),
        }
    ),
}
_CLOCKS: Final = {EVENTS: "occurred_at", LABELS: "observed_at"}


class Segment(msgspec.Struct, frozen=True):
    """One immutable file. ``kind`` events of a feature set or labels of a model (``subject``); times are inclusive bounds."""

    file: str
    kind: str
    subject: str
    rows: int
    start: datetime
    end: datetime


@dataclass(slots=True)
class Columns:
    """Rows of one kind and subject that are not on disk yet."""

    kind: str
    subject: str
    values: tuple[list[Any], ...] = field(default_factory=lambda: tuple([] for _ in range(8)))

    def add_event(self, body: ArrivedEvent, headers: Mapping[str, bytes], record: Record) -> None:
        """Append a validated event."""
        names = _text(headers, "ce_source"), _text(headers, "ce_id")
        source, identity, entity, time, version, features, partition, offset = self.values
        source.append(names[0])
        identity.append(names[1])
        entity.append(body.entity_id)
        time.append(body.occurred_at)
        version.append(body.definition_version)
        features.append(bytes(body.features))
        partition.append(record.partition)
        offset.append(record.offset)

    def add_label(self, body: ArrivedLabel, record: Record) -> None:
        """Append a validated label."""
        source, identity, entity, time, version, value, partition, offset = self.values
        source.append(body.event_source)
        identity.append(body.event_id)
        entity.append(body.entity_id)
        time.append(body.observed_at)
        version.append(body.label_version)
        value.append(bytes(body.value))
        partition.append(record.partition)
        offset.append(record.offset)

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.values[0])

    def table(self) -> pa.Table:
        """The rows as one table."""
        schema = SCHEMAS[self.kind]
        arrays = [pa.array(values, entry.type) for values, entry in zip(self.values, schema, strict=True)]
        return pa.Table.from_arrays(arrays, schema=schema)


def _text(headers: Mapping[str, bytes], name: str) -> str:
    try:
        return headers[name].decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise RefusedRecordError((reason(f"headers.{name}", Rule.MISSING_HEADER, "a value", repr(error)),)) from error


def write(table: pa.Table, kind: str, subject: str, directory: Path, name: str) -> Segment:
    """``table`` as a durable segment ``name`` in ``directory``."""
    times = table.column(_CLOCKS[kind]).cast(pa.int64()).to_numpy()
    bounds = pa.array([times.min(), times.max()], pa.int64()).cast(_TIME).to_pylist()
    write_durably(directory / name, lambda place: pq.write_table(table, place, compression="zstd"))
    return Segment(name, kind, subject, table.num_rows, bounds[0], bounds[1])


def read(files: list[Path]) -> pa.Table:
    """Several segments of one kind as one table."""
    return pa.concat_tables([pq.read_table(file) for file in files])
